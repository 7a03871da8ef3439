"""Tells a listener when a run begins and ends, if the listener wants to know."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from charloom.api.notebook_display import Listener
from charloom.config import Config
from charloom.errors import ConfigError
from charloom.formatting import shortened
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


class Together:
    """Several listeners as one `RunListener`, which calls them in their order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners, self._open = listeners, ExitStack()

    def begin_run(self, config: Config, run: Path | None) -> None:
        """Tell each listener that wants to know that a run begins."""
        for listener in self._listeners:
            self._open.enter_context(listening(listener, config, run))

    def __call__(self, item: TrainingEvent | GradientCheck) -> None:
        for listener in self._listeners:
            listener(item)

    def end_run(self) -> None:
        """Tell each listener that was told of the beginning that the run ended, the last one first."""
        self._open.close()


def one_listener(given: Listener | Sequence[Listener]) -> Listener:
    """Return the listener that a user gives; if several are given, one that calls all of them.

    Raises:
        ConfigError: `given` is not a function, and not a list of functions.
    """
    if callable(given):
        return given
    several = list(given) if isinstance(given, Sequence) else [given]
    if not all(map(callable, several)):
        raise ConfigError(
            f"listener is {shortened(given)}; it must be a function that takes an event, or a list of such functions."
        )
    return Together(several)


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
