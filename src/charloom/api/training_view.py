"""Collects the events of a training run, and shows its progress as HTML and as one line of text.

This module does not know when or where the progress is shown.
"""

import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from charloom.api.loss_svg import Point, loss_curve
from charloom.config import Config
from charloom.even_sample import EvenSample
from charloom.formatting import (
    bits_per_character,
    capitalized,
    count,
    counted,
    decimals,
    duration,
    one_of,
)
from charloom.gradient_check import GradientCheck
from charloom.messages import command, for_python
from charloom.notebook_html import LINE, card, code, plain_text, sentence
from charloom.training import (
    EndChanged,
    Ended,
    EvaluationProgress,
    FinalEvaluation,
    LearningRateChanged,
    Progress,
    Record,
    Sample,
    TrainingEvent,
    Warned,
)
from charloom.training.progress_rate import SpeedEstimate

MOST_POINTS: Final = 300  # of a curve
MOST_NOTES: Final = 4  # the last messages that are shown
MOST_LETTERS: Final = 600  # of a sample
TITLES: Final = {"finished": "Finished", "interrupted": "Interrupted", "stopped": "Stopped"}


class TrainingView:
    """What a notebook shows of a training run."""

    def __init__(self) -> None:
        self._title = "Preparing"
        self._detail = ""  # follows the title
        self._config: Config | None = None
        self._run: Path | None = None
        # The number of applied updates, and of updates of the whole run; 0 before it is known
        self._update, self._updates = 0, 0
        self._checks: list[GradientCheck] = []
        self._speed = SpeedEstimate()
        self._training: EvenSample[Point] = EvenSample(MOST_POINTS)
        self._validation: EvenSample[Point] = EvenSample(MOST_POINTS)
        # The loss in bits on the whole validation part; None before the final evaluation. It is not in the curve,
        # because it is the loss of the best model, which may be earlier than the last one.
        self._whole_validation: float | None = None
        self._sample: Sample | None = None
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)
        self._moved = ""  # why and where the end of the run moved last
        self._continue = ""  # the call that continues the run, with marks
        self._began: float | None = None
        self._seconds: float | None = None  # how long training took; None before its end

    def prepare(self, phase: str) -> None:
        """Show what is done before the run trains."""
        self._title, self._detail = phase, ""

    def begin(self, config: Config, run: Path | None, now: float) -> None:
        """Take the settings and the run directory of the run, which begins at the time `now` in seconds."""
        self._config, self._run, self._began = config, run, now
        self.prepare("Training")

    @property
    def has_begun(self) -> bool:
        """True if the run has begun to train."""
        return self._began is not None

    def take(self, item: TrainingEvent | GradientCheck, now: float) -> None:
        """Take an event of the run, which comes at the time `now` in seconds."""
        if isinstance(item, GradientCheck):
            self._checks.append(item)
            self._title = "Checking the gradients"
            return
        self._speed.take(item, now)
        if isinstance(item, Progress):
            self._take_progress(item)
        elif isinstance(item, Record):
            self._take_record(item)
        elif isinstance(item, Sample):
            self._sample = item
        elif isinstance(item, EvaluationProgress):
            share = item.read / max(item.characters, 1)
            self._detail = f": reading all of the validation part, {share:.0%}"
        elif isinstance(item, FinalEvaluation):
            self._whole_validation = bits_per_character(item.nats)
        elif isinstance(item, Ended):
            self._take_end(item, now)
        else:
            self._take_note(item)

    def _take_progress(self, item: Progress) -> None:
        self._update, self._updates = item.update, item.updates
        paused = item.state == "paused"
        self._title, self._detail, self._continue = "Paused" if paused else "Training", "", ""
        if paused and item.cause == "command" and self._run is not None:
            self._continue = command("control", self._run, "run")

    def _take_record(self, item: Record) -> None:
        self._training = before(self._training, item.update)
        self._validation = before(self._validation, item.update)
        if math.isfinite(item.train_nats):
            self._training.add((item.update, bits_per_character(item.train_nats)))
        if item.validation_nats is not None and math.isfinite(item.validation_nats):
            self._validation.add((item.update, bits_per_character(item.validation_nats)))

    def _take_note(self, item: TrainingEvent) -> None:
        if isinstance(item, Warned):
            self._notes.append(f"Warning: {item.message}")
        elif isinstance(item, EndChanged):
            self._updates, self._moved = item.updates, f"{capitalized(item.reason)}."
        elif isinstance(item, LearningRateChanged):
            rate = (
                f"from update {item.update + 1:,} on it is {item.factor:g} × that of the settings"
            )
            self._notes.append(f"A command changed the learning rate: {rate}.")

    def _take_end(self, item: Ended, now: float) -> None:
        self._update, self._title, self._detail = item.update, TITLES[item.state], ""
        if self._began is not None:
            self._seconds = now - self._began
        if item.state != "finished" and self._run is not None:
            self._continue = command("resume", self._run)

    def fail(self, error: BaseException) -> None:
        """Show that an error or Ctrl-C ended the work, unless the run has already reported its end."""
        if self._seconds is not None:
            return
        stopped = isinstance(error, KeyboardInterrupt)
        self._title = "Interrupted" if stopped else f"Ended by an error ({type(error).__name__})"
        self._detail = ""
        self._continue = command("resume", self._run) if self._run is not None else ""

    def _headline(self) -> str:
        """The title with the number of updates."""
        if not self._updates:
            return self._title + self._detail
        at = f"update {count(self._update)} of {count(self._updates)}"
        return f"{self._title}: {at}{self._detail}"

    def _figures(self) -> list[str]:
        """The time, the losses and the speed, each as a phrase."""
        found = []
        left = self._speed.seconds_left(self._updates - self._update)
        if self._seconds is not None:
            found.append(f"{duration(self._seconds)} of training")
        elif left is not None and self._title == "Training":
            found.append(f"{duration(left)} left")
        losses = [f"{name} {decimals(bits, 3)}" for name, bits in self._losses()]
        if losses:
            found.append(f"{', '.join(losses)} bits per {self._one}")
        rate = self._speed.updates_per_second
        if rate is not None and self._config is not None and self._seconds is None:
            speed = rate * self._config.seq_length * self._config.batch_size
            found.append(f"{speed:,.0f} {self._one}s per second")
        return found

    def _losses(self) -> Iterator[tuple[str, float]]:
        """Yield the names and the values in bits of the latest losses."""
        if points := self._training.kept():
            yield "training", points[-1][1]
        if self._whole_validation is not None:
            yield "whole validation part", self._whole_validation
        elif points := self._validation.kept():
            yield "validation", points[-1][1]

    @property
    def _one(self) -> str:
        return one_of(self._config.tokens) if self._config else "character"

    def html(self) -> str:
        """Return the progress as HTML."""
        pieces = [bar(self._update / self._updates)] if self._updates else []
        if figures := self._figures():
            pieces.append(sentence(" · ".join(figures)))
        if self._checks:
            passed = sum(check.passed for check in self._checks)
            number = counted(len(self._checks), "gradient check")
            pieces.append(sentence(f"{passed} of {number} passed."))
        pieces.append(loss_curve(self._training.kept(), self._validation.kept(), self._one))
        if self._sample is not None:
            wrote = f"After {counted(self._sample.update, 'update')} the model writes:"
            pieces += [
                sentence(wrote, quiet=True),
                plain_text(self._sample.text.strip("\n")[:MOST_LETTERS]),
            ]
        pieces += map(sentence, filter(None, [self._moved, *self._notes]))
        if self._continue:
            pieces += [sentence("To continue:"), code(for_python(self._continue))]
        return card(self._headline(), *pieces)

    def line(self) -> str:
        """Return the progress as one line of text."""
        return f"charloom: {', '.join([self._headline(), *self._figures()])}"


def before(curve: EvenSample[Point], update: int) -> EvenSample[Point]:
    """Return the curve without its points at `update` and later; `curve` itself if it has none.

    A run that diverged goes back to an earlier update, and has records of the same updates again.
    """
    points = curve.kept()
    if not points or points[-1][0] < update:
        return curve
    earlier: EvenSample[Point] = EvenSample(MOST_POINTS)
    for point in points:
        if point[0] < update:
            earlier.add(point)
    return earlier


def bar(share: float) -> str:
    """Return a bar of which a part is filled. `share` is that part, from 0 to 1."""
    outer = f"height:8px;max-width:640px;border:{LINE};border-radius:5px;overflow:hidden"
    inner = f"height:8px;background:rgb(59,121,201);width:{100 * min(share, 1):.1f}%"
    return f'<div style="{outer}"><div style="{inner}"></div></div>'
