"""Tells a listener when a run begins and ends, if the listener wants to know."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from charloom.config import Config
from charloom.gradient_check import GradientCheck
from charloom.training import TrainingEvent


@runtime_checkable
class RunListener(Protocol):
    """A listener that is also called before the first event of a run and after the last one."""

    def begin_run(self, config: Config, run: Path | None) -> None:
        """Take the settings and the run directory of a run that will train now. `run` is None without one."""

    def __call__(self, item: TrainingEvent | GradientCheck) -> None:
        """Take an event."""

    def end_run(self) -> None:
        """Take the end of the run. It is called on errors and on Ctrl-C too."""


@contextmanager
def listening(listener: object, config: Config, run: Path | None) -> Iterator[None]:
    """Tell `listener` that a run begins, and at the end of the `with` block that it ended.

    Do nothing if the listener does not have both methods of `RunListener`.
    """
    if not isinstance(listener, RunListener):
        yield
        return
    listener.begin_run(config, run)
    try:
        yield
    finally:
        listener.end_run()
