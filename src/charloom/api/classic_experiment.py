"""Runs the classic experiment: check the gradients, train, write text and a report."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Unpack

from charloom.api.model import Model
from charloom.api.notebook_display import Listener, TrainingDisplay
from charloom.api.python_warnings import warn_user
from charloom.api.settings_help import with_settings_help
from charloom.api.text_arguments import Text, demo_text, new_run
from charloom.api.training import (
    HaltCheck,
    Training,
    begin,
    ignore,
    no_halt,
)
from charloom.api.training_plan import plan_training, text_to_learn
from charloom.config import Config
from charloom.engines import Engine, native_problem
from charloom.errors import NewerFormatError
from charloom.formatting import counted
from charloom.gradient_check import GradientCheck, check_gradients, fresh_problem, read_checks
from charloom.messages import for_python
from charloom.notebook_html import card, sentence, verdict
from charloom.recipes import CLASSIC
from charloom.settings_types import Settings
from charloom.store import read_control
from charloom.store.journal import ProgressCallback, ignore_progress
from charloom.training import Ended, TrainingEvent, Warned
from charloom.training.schedule_message import unwanted_schedule
from charloom.training.start_message import bad_starts
from charloom.training.stop_signals import Halt

# The sizes of the network for the small gradient check are those of the course from which this
# experiment comes (see README). The check uses two streams if the run has several, so that it also checks
# batches.
SMALL: Final = {"hidden_size": 5, "seq_length": 3, "batch_size": 2}
# The settings of the run that change its gradients. The small network has the same settings, except for the
# sizes in `SMALL`.
NETWORK: Final = (
    "cell", "hidden_size", "layers", "ngram_order", "input_pairs", "dropout", "init", "sigma",
    "forget_bias", "seq_length", "batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Reported:
    """The event that a report was written.

    Attributes:
        path: the path of the report.
        damage: a message about each damaged or missing file of the run that the report leaves out. The
            messages have placeholders for names (see `charloom.messages`).
    """

    path: Path
    damage: tuple[str, ...]


@dataclass(frozen=True)
class Reproduction:
    """The result of the classic experiment. A notebook shows the checks, the model and the path of the report.

    Attributes:
        checks: the results of the gradient checks: of a small network and of the network of the run, each
            with every engine and both dtypes.
        model: the model with the lowest validation loss; without a validation part, the last model.
        run: the run directory.
        report: the path of the report; None if another process stopped the run.
        damage: a sentence about each damaged or missing file of the run that the report leaves out.
    """

    checks: tuple[GradientCheck, ...]
    model: Model
    run: Path
    report: Path | None
    damage: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every gradient check found the right gradients."""
        return all(check.passed for check in self.checks)

    def _repr_html_(self) -> str:
        """Return the result as HTML for a notebook."""
        failed = [check for check in self.checks if not check.passed]
        number = counted(len(self.checks), "gradient check")
        passed = f"All {number} passed: the gradients are right."
        text = f"{len(failed)} of {number} failed. {failed[0].verdict()}" if failed else passed
        report = f"The report is {self.report}." if self.report else "There is no report."
        pieces = [sentence(message, quiet=True) for message in self.damage]
        return card(
            "The classic experiment",
            verdict(text, not failed),
            self.model._repr_html_(),
            sentence(report),
            *pieces,
        )


@with_settings_help(CLASSIC)
def reproduce(
    text: Text | None = None,
    run: str | Path | None = None,
    *,
    string: str | None = None,
    minutes: float | None = None,
    listener: Listener = ignore,
    progress: bool = True,
    **settings: Unpack[Settings],
) -> Reproduction:
    """Do the classic experiment: check the gradients, train, and write a text and a report.

    Args:
        text: as for `train`; by default a built-in text.
        run: the run directory to create; by default a new one under runs/.
        string: the text itself, instead of `text`.
        minutes: as for `train`; the gradient checks and the report take additional time.
        listener: called with each gradient check and each event of the training run.
        progress: False shows nothing in a notebook, as for `train`.
        **settings: as for `train`.

    Raises:
        The same errors as `train`. A wrong gradient does not raise: the result and the report show it.
    """
    began, place = time.monotonic(), new_run(run)
    if text is None and string is None:
        corpus = demo_text(settings.get("tokens") or "characters")
    else:
        corpus = text_to_learn(text, string, default=CLASSIC, **settings)
    plan = plan_training(corpus, minutes, default=CLASSIC, began=began, **settings)
    warn_user(unwanted_schedule(plan.config, len(corpus)))
    with begin(corpus, plan.config, place, limit=plan.limit, ngrams=plan.ngrams) as training:
        checks: list[GradientCheck] = []
        report: Path | None = None
        damage: tuple[str, ...] = ()
        with (
            TrainingDisplay(progress) as display,
            Halt() as halt,
            closing(reproduction(training, halt)) as items,
        ):
            shown = display.begin(plan.config, training.run, listener)
            for item in items:
                if isinstance(item, Reported):
                    report, damage = item.path, tuple(map(for_python, item.damage))
                    continue
                if isinstance(item, GradientCheck):
                    checks.append(item)
                shown(item)
        halt.raise_received()
        model = training.model()
        warn_user(bad_starts(model.learner.start_losses))
        return Reproduction(tuple(checks), model, training.run, report, damage)


def reproduction(
    training: Training, halt: HaltCheck = no_halt, on_progress: ProgressCallback = ignore_progress
) -> Generator[GradientCheck | TrainingEvent | Reported]:
    """Do the classic experiment and yield its events: gradient checks, training events, the report.

    If `halt` or a command stops the run, there is no report. If the run already has results of the
    gradient checks, the checks are done again only if these results are incomplete or damaged.

    Args:
        training: the run to train.
        halt: returns the reason to stop, such as "SIGINT"; None to continue.
        on_progress: as for `charloom.report.write_report`.
    """
    began, stored = time.monotonic(), read_checks(training.run)
    if stored.damage:
        message = f"{stored.damage} The gradients are checked again."
        yield Warned(training.learner.update, message)
    if stored.damage or not stored.checks:
        # An empty list in the file of gradient checks shows that the checks were started. If this process
        # ends before the last check, `charloom resume` does all of the checks again.
        training.writer.write_gradcheck([])
        checks = []
        with suppress(ChecksStopped):
            for check in gradient_checks(training, halt):
                checks.append(check)
                yield check
            training.writer.write_gradcheck([check.to_dict() for check in checks])
    if training.limit is not None:
        # The minutes are for training; the gradient checks and the report take additional time.
        training.limit = training.limit.later(time.monotonic() - began)
    for item in training.items(halt):
        yield item
        if isinstance(item, Ended) and item.state != "finished":
            return
    from charloom.report import write_report

    damage: list[str] = []
    yield Reported(
        write_report(training.run, on_message=damage.append, on_progress=on_progress), tuple(damage)
    )


class ChecksStopped(Exception):
    """Raised by `gradient_checks` if `halt` or a command stops the run before the last check."""


def gradient_checks(training: Training, halt: HaltCheck = no_halt) -> Iterator[GradientCheck]:
    """Do the gradient checks of the classic experiment, and yield the result of each check.

    A small network and the network of the run are checked, both in float64 and in float32, and with each
    engine that the run could use. Every check uses the first window of the text.

    Raises:
        ChecksStopped: `halt` or a command stopped the run before the last check.
    """
    corpus, config = training.corpus, training.learner.config

    def between() -> None:
        if halt() is not None or is_stopped(training):
            raise ChecksStopped

    engines: list[str | Engine] = ["reference"]
    if config.engine == "torch":
        engines.append(training.engine)
    elif config.engine != "reference" and native_problem() is None:
        engines.append("native")
    network = {name: getattr(config, name) for name in NETWORK}
    for size in ({**SMALL, "batch_size": min(SMALL["batch_size"], config.batch_size)}, {}):
        for dtype in ("float64", "float32"):
            checked = Config(dtype=dtype, seed=config.seed, **{**network, **size})
            learner, x, y = fresh_problem(checked, corpus=corpus)
            yield from check_gradients(
                learner, x, y, engines=engines, seed=config.seed, text=corpus.name, between=between
            )
            between()


def is_stopped(training: Training) -> bool:
    """Return True if a command to stop the run was sent after the run was opened.

    Return False if a later version of charloom wrote the command.
    """
    try:
        control = read_control(training.run)
    except NewerFormatError:
        return False
    return control.command == "stop" and control.is_newer(training.writer.command)
