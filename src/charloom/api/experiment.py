"""Runs the whole classic experiment: check the gradients, train, write, and report."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.api.model import Model
from charloom.api.settling import settle, text_to_learn
from charloom.api.texts import Text, demo_text, new_run
from charloom.api.training import Asked, Listener, Training, begin, ignore, never
from charloom.engines import native_problem
from charloom.errors import NewerFormatError
from charloom.gradcheck import GradientCheck, check_gradients, fresh_problem, read_checks
from charloom.messages import for_python
from charloom.recipes import CLASSIC
from charloom.store import read_control
from charloom.store.journal import Watch, unwatched
from charloom.training import Ended, Item, Warned
from charloom.training.signals import Halt

# The course's gradient check, in a few streams where there are several.
SMALL: Final = {"hidden_size": 5, "seq_length": 3, "batch_size": 2}
# What decides a gradient.
NETWORK: Final = (
    "cell", "hidden_size", "layers", "dropout", "init", "sigma", "forget_bias",
    "seq_length", "batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Reported:
    """A report was written to `path`; `damage` has a marked message about each thing that it left out."""

    path: Path
    damage: tuple[str, ...]


@dataclass(frozen=True)
class Reproduction:
    """The outcome of the whole experiment.

    Attributes:
        checks: the gradient checks, small and full size, by engine and dtype.
        model: with a validation part the model that was best on it, without one that of the last update.
        run: the run directory.
        report: the report in it; None where another process stopped the training.
        damage: a sentence about each thing that the report left out, because it is damaged or missing.
    """

    checks: tuple[GradientCheck, ...]
    model: Model
    run: Path
    report: Path | None
    damage: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every gradient was right."""
        return all(check.passed for check in self.checks)


def reproduce(
    text: Text | None = None,
    run: str | Path | None = None,
    *,
    string: str | None = None,
    minutes: float | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Reproduction:
    """The whole classic experiment: prove the gradients, train, write, and report.

    Args:
        text: as for `train`; by default a built-in text.
        run: the run directory to make; by default a new one under runs/.
        string: the text itself, instead of `text`.
        minutes: as for `train`.
        listener: called with each gradient check, record, sample and so on as it comes.
        **settings: as for `train`.

    Raises:
        The same as `train`. A wrong gradient raises nothing: it is in the result and the report.
    """
    began, place = time.monotonic(), new_run(run)
    if text is None and string is None:
        corpus = demo_text(settings.get("tokens") or "characters")
    else:
        corpus = text_to_learn(text, string, default=CLASSIC, **settings)
    config = settle(corpus, minutes, default=CLASSIC, began=began, **settings)
    with begin(corpus, config, place) as training:
        checks: list[GradientCheck] = []
        reported = None
        with Halt() as halt, closing(reproduction(training, halt)) as items:
            for item in items:
                if isinstance(item, Reported):
                    reported = item
                    continue
                if isinstance(item, GradientCheck):
                    checks.append(item)
                listener(item)
        halt.send_on()
        report = None if reported is None else reported.path
        damage = () if reported is None else tuple(map(for_python, reported.damage))
        return Reproduction(tuple(checks), training.model(), training.run, report, damage)


def reproduction(
    training: Training, halt: Asked = never, watch: Watch = unwatched
) -> Generator[GradientCheck | Item | Reported]:
    """The experiment step by step: gradient checks, what training tells, the report.

    A halt in time, or a command to the run, ends it before the report. Gradient checks that were not
    finished, or of which some are damaged, are done again.

    Args:
        watch: as for `charloom.report.write_report`.
    """
    stored = read_checks(training.run)
    if stored.damage:
        told = f"{stored.damage} The gradients are checked again."
        yield Warned(training.learner.update, told)
    if stored.damage or not stored.checks:
        # An empty list stands for checks that were begun: a resumed run does them again.
        training.writer.write_gradcheck([])
        checks = []
        with suppress(Unfinished):
            for check in gradient_checks(training, halt):
                checks.append(check)
                yield check
            training.writer.write_gradcheck([check.to_dict() for check in checks])
    for item in training.items(halt):
        yield item
        if isinstance(item, Ended) and item.state != "finished":
            return
    from charloom.report import write_report

    damage: list[str] = []
    yield Reported(write_report(training.run, tell=damage.append, watch=watch), tuple(damage))


class Unfinished(Exception):
    """The gradient checks were ended before the last of them."""


def gradient_checks(training: Training, halt: Asked = never) -> Iterator[GradientCheck]:
    """The checks that go before an experiment: each engine that it could use, both dtypes, a small
    network and the full one, on the text's first window.

    Raises:
        Unfinished: a halt, or a command to stop, came before the end.
    """
    corpus, config = training.corpus, training.learner.config

    def between() -> None:
        if halt() is not None or stopped(training):
            raise Unfinished

    engines = ["reference"]
    if config.engine != "reference" and native_problem() is None:
        engines.append("native")
    network = {name: getattr(config, name) for name in NETWORK}
    for size in ({**SMALL, "batch_size": min(SMALL["batch_size"], config.batch_size)}, {}):
        for dtype in ("float64", "float32"):
            learner, x, y = fresh_problem(
                corpus=corpus, dtype=dtype, seed=config.seed, **{**network, **size}
            )
            yield from check_gradients(
                learner, x, y, engines=engines, seed=config.seed, text=corpus.name, between=between
            )
            between()


def stopped(training: Training) -> bool:
    """Whether a command to stop came since the run was opened; none of a later format counts."""
    try:
        control = read_control(training.run)
    except NewerFormatError:
        return False
    return control.command == "stop" and control.is_newer(training.writer.command)
