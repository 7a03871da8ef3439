"""The commands that make runs: reproduce, train, resume, report."""

import shlex
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli.guard import CHECK_FAILED
from charloom.cli.options import SETTINGS, Json, Minutes, NewRun, Run, Texts, takes_settings
from charloom.cli.terminal import bits, duration, excerpt, say, show, show_json

if TYPE_CHECKING:
    from charloom.api import Training
    from charloom.gradcheck import GradientCheck
    from charloom.training import Ended


FEW_UPDATES: Final = 1_000  # the smooth loss alone needs as many to forget its start


@takes_settings(*SETTINGS)
def reproduce(
    text: Texts = None,
    run: NewRun = None,
    minutes: Minutes = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Do the classic experiment: check, train, write, report.

    Without a TEXT it reads a built-in one: the New Testament where the extra
    corpora is installed, else the Python documentation. A wrong gradient ends
    in exit code 1.

    \b
    Example:
      charloom reproduce book.txt --run runs/book
    """
    from charloom import api

    corpus = api.open_text(text) if text else api.demo_text()
    config = api.settle(corpus, minutes, **(settings or {}))
    with api.begin(corpus, config, run or api.free_run(corpus)) as training:
        introduce(training)
        say("checking the gradients …")
        outcome = follow(training, whole=True)
        finish(training, outcome, as_json)


@takes_settings(*SETTINGS)
def train(
    text: Texts = None,
    run: NewRun = None,
    minutes: Minutes = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train a model on a text, in a new run directory.

    Ctrl-C saves and ends; charloom resume goes on from there.

    \b
    Example:
      charloom train book.txt --run runs/book --epochs 3
    """
    from charloom import api

    corpus = api.open_text(text or [])
    config = api.settle(corpus, minutes, **(settings or {}))
    with api.begin(corpus, config, run or api.free_run(corpus)) as training:
        introduce(training)
        finish(training, follow(training), as_json)


@takes_settings("engine", engine="the run's")
def resume(
    run: Run,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="where the text is now, if it was moved; repeatable"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="a new end, in epochs from the start")] = None,
    updates: Annotated[
        int | None, typer.Option(help="a new end, in updates from the start")
    ] = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Go on with a run from its last checkpoint, bit for bit.

    A finished run is left as it is, unless --epochs or --updates give it a new
    end.

    \b
    Example:
      charloom resume runs/book --epochs 20
    """
    from charloom import api

    with api.reopen(run, text, epochs, updates, **(settings or {})) as training:
        if training.finished:
            say(
                f"{run} is finished, at update {training.learner.update:,}; nothing to do. "
                f"To train it further, give --epochs or --updates."
            )
            outcome = Outcome()
        else:
            introduce(training)
            # Where there is a gradient check, even an unfinished one, reproduce began the run: its
            # last step is the report.
            outcome = follow(training, whole=(run / "gradcheck.json").exists())
        finish(training, outcome, as_json)


def report(run: Run, as_json: Json = False) -> None:
    """Write a run's report.html, loss.svg and loss.png.

    \b
    Example:
      charloom report runs/book
    """
    from charloom.report import write_report

    path = write_report(run)
    if as_json:
        show_json({"report": str(path)})
    else:
        show(str(path))


class Outcome:
    """What came of following a training.

    Attributes:
        checks: the gradient checks.
        ended: how the training ended; None where there was nothing to do.
        report: the report, if one was written.
        exit_code: of the signal that ended it, or 0.
        seconds: that it took.
    """

    def __init__(self) -> None:
        self.checks: list[GradientCheck] = []
        self.ended: Ended | None = None
        self.report: Path | None = None
        self.exit_code = 0
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether the training came to its end just now."""
        return self.ended is not None and self.ended.state == "finished"


def introduce(training: "Training") -> None:
    """Say what begins, and what it begins with."""
    from charloom.engines import native_problem

    config, corpus = training.learner.config, training.corpus
    problem = native_problem()
    if config.engine == "auto" and training.engine.name == "reference" and problem:
        say(
            f"{problem}. The reference engine runs, many times slower; for the fast one install a "
            f"C++20 compiler and then charloom again."
        )
    say(
        f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct; "
        f"{training.updates:,} updates; {training.engine.describe()}, {config.dtype}; "
        f"run directory {training.run}"
    )
    if training.updates < FEW_UPDATES:
        say(
            f"only {training.updates:,} updates: a text this short is learnt in some "
            f"{10 * FEW_UPDATES:,} of them, --updates {10 * FEW_UPDATES}."
        )


def follow(training: "Training", whole: bool = False) -> Outcome:
    """Train, or do the whole experiment, and show it as it goes."""
    from charloom.api import reproduction
    from charloom.cli.progress import Watcher
    from charloom.gradcheck import GradientCheck
    from charloom.training import Ended
    from charloom.training.signals import Halt

    outcome = Outcome()
    config, done = training.learner.config, training.learner.update
    started = time.monotonic()
    try:
        with Halt(say) as halt, Watcher(training.updates, done, config.seq_length) as watch:
            items = reproduction(training, halt) if whole else training.items(halt)
            with closing(items):
                for item in items:
                    if isinstance(item, GradientCheck):
                        outcome.checks.append(item)
                        if not item.passed:
                            say(item.verdict())
                    elif isinstance(item, Path):
                        outcome.report = item
                    else:
                        watch(item)
                        if isinstance(item, Ended):
                            outcome.ended = item
            if outcome.ended is not None and outcome.ended.state == "interrupted":
                outcome.exit_code = halt.exit_code
    except KeyboardInterrupt:
        run = shlex.quote(str(training.run))
        say(
            f"left at once, unsaved since the last checkpoint. To go on there: charloom resume {run}"
        )
        raise
    outcome.seconds = time.monotonic() - started
    return outcome


def finish(training: "Training", outcome: Outcome, as_json: bool) -> None:
    """Show what came of it, and leave with the exit code."""
    ended, run = outcome.ended, shlex.quote(str(training.run))
    if ended is not None and ended.state != "finished":
        say(
            f"{ended.state} by {ended.reason} at update {ended.update:,} of {training.updates:,}; "
            f"saved. To go on: charloom resume {run}"
        )
    if as_json:
        show_json(summary(training, outcome))
    else:
        for line in headlines(training, outcome):
            show(line)
        if outcome.finished and outcome.report is None:
            say(f"its report: charloom report {run}; its writing: charloom sample {run}")
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
    if not all(check.passed for check in outcome.checks):
        raise typer.Exit(CHECK_FAILED)


def headlines(training: "Training", outcome: Outcome) -> list[str]:
    """The result in a few lines, in the order of the report's sections."""
    learner, T = training.learner, training.learner.config.seq_length
    lines = []
    if outcome.checks:
        lines.append(gradients_line(outcome.checks))
    if learner.smooth_loss is not None:
        line = (
            f"smooth loss: {learner.smooth_loss:.2f} at update {learner.update:,} "
            f"({bits(learner.smooth_loss, T):.3f} bits per character of the training text)"
        )
        if learner.best_loss is not None:
            line += f", lowest {learner.best_loss:.2f} at update {learner.best_update:,}"
        lines.append(line)
    passage = training.run / "passage.txt"
    if outcome.finished and passage.exists():
        text = passage.read_text(encoding="utf-8", errors="replace")
        lines.append(f"it writes:   {excerpt(text)}")
    if outcome.seconds:
        lines.append(f"time:        {duration(outcome.seconds)}")
    if outcome.report is not None:
        lines.append(f"report:      {outcome.report}")
    else:
        lines.append(f"run:         {training.run}")
    return lines


def gradients_line(checks: "list[GradientCheck]") -> str:
    """All the gradient checks in one line."""
    wrong = [check for check in checks if not check.passed]
    if wrong:
        return f"gradients:   {len(wrong)} of {len(checks)} checks FAILED"
    exact = [check.worst for check in checks if check.settings.dtype == "float64"]
    worst = max(row.norm_relative for row in exact)
    engines = " and ".join(dict.fromkeys(check.settings.engine for check in checks))
    return (
        f"gradients:   right in all {len(checks)} checks ({engines}); in float64 at most "
        f"{worst:.0e} from the complex step"
    )


def summary(training: "Training", outcome: Outcome) -> dict[str, Any]:
    """The result for programs."""
    learner, T = training.learner, training.learner.config.seq_length
    ended, smooth = outcome.ended, learner.smooth_loss
    return {
        "run": str(training.run),
        "state": "finished" if ended is None else ended.state,
        "reason": None if ended is None else ended.reason,
        "update": learner.update,
        "updates": training.updates,
        "smooth_loss": smooth,
        "train_bits_per_character": None if smooth is None else bits(smooth, T),
        "best_smooth_loss": learner.best_loss,
        "best_update": learner.best_update,
        "seconds": round(outcome.seconds, 3),
        "engine": training.engine.describe(),
        "gradients_right": all(c.passed for c in outcome.checks) if outcome.checks else None,
        "report": None if outcome.report is None else str(outcome.report),
    }
