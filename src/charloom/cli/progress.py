"""Shows the progress of a training run: as one line of a terminal or, without a terminal, as a log.

A run has thousands of events per second. The progress is drawn only a few times per second, so that
training stays fast.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from charloom.cli.terminal import LINE_SECONDS, say
from charloom.config import Config
from charloom.formatting import (
    bits_per_character,
    counted,
    decimals,
    duration,
    excerpt,
    harmless,
    one_of,
)
from charloom.messages import command, for_command_line
from charloom.training import (
    EndChanged,
    EvaluationProgress,
    LearningRateChanged,
    Progress,
    Record,
    Sample,
    TrainingEvent,
    Warned,
)
from charloom.training.progress_rate import SpeedEstimate

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

DRAW_SECONDS: Final = 0.25
LINE_WIDTH: Final = 69  # largest number of columns of the line about a sample, after "charloom: "
LOG_WIDTH: Final = 1_000  # columns of a line if there is no terminal: more than any line needs
FIGURES_WIDTH: Final = 123  # columns of the longest progress line
# Print that the end of the run moved only if it is this fraction away from the end that was printed last, and not
# again for so many seconds. The end can move many times, mostly by little.
MOVED_SHARE: Final = 0.1
MOVED_SECONDS: Final = 60.0


class ProgressDisplay:
    """Shows the progress of a training run.

    A terminal shows one line that is updated. Without a terminal, a new line is printed every few
    seconds. Use an object of this class in a `with` statement, and call it with each event of the run.

    Args:
        updates: number of updates of the whole run.
        done: number of updates that were done before this process started.
        config: the settings of the run.
        clock: function that returns the time in seconds.
        run: the run directory. When a command pauses the run, the display prints the command that
            continues it, which names this directory. With None, it prints no command.
    """

    def __init__(
        self,
        updates: int,
        done: int,
        config: Config,
        clock: Callable[[], float] = time.monotonic,
        run: Path | None = None,
    ) -> None:
        self._updates, self._config = updates, config
        # The end of the run that was printed last, and the time from which another one may be printed.
        self._printed_end, self._next_end = updates, -math.inf
        self._moved: EndChanged | None = None  # the last move of the end
        self._run, self._paused = run, False
        # Short name of the unit of prediction: "char" or "byte"
        self._one = one_of(config.tokens)[:4]
        self._judged: float | None = None  # last validation loss in nats per character
        self._clock, self._pace = clock, SpeedEstimate()
        self._bar = make_bar() if sys.stderr.isatty() else None
        # The number of columns of a line. A terminal cuts off a longer line; a log does not.
        self._space = LOG_WIDTH if self._bar is None else self._bar.console.width
        self._interval = LINE_SECONDS if self._bar is None else DRAW_SECONDS
        # The time at which the progress is drawn next; None before the first Progress event.
        self._next: float | None = None
        if self._bar is not None:
            self._task = self._bar.add_task("", total=updates, completed=done, figures="")

    def __enter__(self) -> "ProgressDisplay":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, item: TrainingEvent) -> None:
        now = self._clock()
        self._pace.take(item, now)
        if isinstance(item, Record):
            if item.validation_nats is not None:
                self._judged = item.validation_nats
        elif isinstance(item, Progress):
            self._report_pause(item)
            if item.update == self._updates:
                self._print_end_if_far()
            if self._next is None:
                self._next = now + self._interval
            if now >= self._next or item.update == self._updates:
                self._next = now + self._interval
                self._draw(item)
        elif isinstance(item, EvaluationProgress):
            if self._next is None or now >= self._next:
                self._next = now + self._interval
                share = item.read / item.characters
                self._show(item.update, f"reading all of the validation part: {share:.0%}")
        elif isinstance(item, Sample):
            start = f"after {counted(item.update, 'update')} it writes: "
            self._line(start + excerpt(item.text, LINE_WIDTH - len(start)))
        elif isinstance(item, LearningRateChanged):
            self._line(
                f"a command changed the learning rate: from the next update on it is {item.factor:g} × "
                f"that of the settings"
            )
        elif isinstance(item, EndChanged):
            self._move_end(item, now)
        elif isinstance(item, Warned):
            self._line(f"warning: {item.marked}")

    def _move_end(self, item: EndChanged, now: float) -> None:
        """Show the progress towards the new end, and print a line if the end has moved far."""
        self._updates = item.updates
        if self._bar is not None:
            self._bar.update(self._task, total=item.updates)
        self._moved = item
        if now >= self._next_end and self._print_end_if_far():
            self._next_end = now + MOVED_SECONDS

    def _print_end_if_far(self) -> bool:
        """Print the end of the run if it is far from the one that was printed last. Return True if it is printed."""
        if self._moved is None:
            return False
        updates = self._moved.updates
        far = abs(updates - self._printed_end) >= MOVED_SHARE * self._printed_end
        if far:
            self._line(replace(self._moved, before=self._printed_end).reason)
            self._printed_end = updates
        return far

    def _report_pause(self, item: Progress) -> None:
        """Print a line if the run has just been paused or continued."""
        paused = item.state == "paused"
        if paused and not self._paused:
            line = f"paused at update {item.update:,} of {self._updates:,}"
            if item.cause == "command" and self._run is not None:
                line += f" by a command. To continue: {command('control', self._run, 'run')}"
            self._line(line)
        elif self._paused and not paused:
            self._line(f"continued at update {item.update:,} of {self._updates:,}")
        self._paused = paused

    @property
    def _end(self) -> str:
        """The end of the run as text. If it has moved, it may move again."""
        return f"about {self._updates:,}" if self._moved else f"{self._updates:,}"

    def _draw(self, item: Progress) -> None:
        """Show the update, the time left, the losses and the speed."""
        columns = [f"{item.update:,} / {self._end}"]
        if item.state == "paused":
            if self._bar is None:
                return  # without a terminal, a pause is printed only when it begins and when it ends
            columns.append("paused")
        elif item.smooth_loss is not None:
            columns += self._figures(item.update, item.smooth_loss)
        self._show(item.update, "  ".join(columns))

    def _figures(self, update: int, smooth_loss: float) -> list[str]:
        """Return the time left, the smooth loss, the validation loss and the speed as text.

        Leave out a figure that is not known, or for which there is no space.
        """
        T, B = self._config.seq_length, self._config.batch_size
        bits = decimals(bits_per_character(smooth_loss, T), 2)
        figures = {"smooth": f"smooth loss {decimals(smooth_loss, 2)} ({bits} bits/{self._one})"}
        if (left := self._pace.seconds_left(self._updates - update)) is not None:
            figures["left"] = f"{duration(left)} left"
        if self._judged is not None:
            bits = decimals(bits_per_character(self._judged), 3)
            figures["validation"] = f"validation {decimals(self._judged, 3)} ({bits} bits)"
        if (rate := self._pace.updates_per_second) is not None:
            figures["speed"] = f"{rate * T * B:,.0f} {self._one}s/s"
        space = self._space - len(f"{self._updates:,} / {self._end}")
        # If the figures do not fit, remove them in the order of this list until the rest fits. The
        # validation loss is more useful than the smooth loss, so the smooth loss is removed first if the
        # validation loss is known.
        order = ["speed", "smooth"] if self._judged is None else ["smooth", "speed"]
        for name in [*order, "validation", "left"]:
            if sum(len(figure) + 2 for figure in figures.values()) > space:
                figures.pop(name, None)
        return [
            figures[name] for name in ("left", "smooth", "validation", "speed") if name in figures
        ]

    def _show(self, update: int, figures: str) -> None:
        """Show `figures` as the progress line of the terminal; without a terminal, print a new line.

        `update` sets the length of the bar.
        """
        if self._bar is None:
            say(figures)
        else:
            self._bar.update(self._task, completed=update, figures=figures, refresh=True)

    def _line(self, sentence: str) -> None:
        """Print a message on a line that stays on the screen, above the progress line."""
        if self._bar is None:
            say(sentence)
        else:
            line = harmless(for_command_line(sentence))
            self._bar.console.print(f"charloom: {line}", markup=False, highlight=False)


def make_bar() -> "Bar":
    """Return a progress line for the terminal, with a bar if there is space.

    Only a call of its method `update` with `refresh=True` draws the line again.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    figures = TextColumn("{task.fields[figures]}", markup=False)
    bar = BarColumn(bar_width=min(30, console.width - FIGURES_WIDTH))
    columns = (bar, figures) if console.width >= FIGURES_WIDTH + 10 else (figures,)
    return Progress(*columns, console=console, auto_refresh=False, transient=True)
