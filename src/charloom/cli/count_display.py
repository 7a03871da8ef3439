"""Shows how many parts of a long task are done: one line that is updated, or a line every few seconds."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from charloom.cli.terminal import LINE_SECONDS, say

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class CountDisplay:
    """Shows how many parts of a task are done.

    A terminal shows one line that is updated. Without a terminal, a line is printed every few seconds.

    Args:
        clock: function that returns the time in seconds.

    Attributes:
        beginning: the line before the first part is done.
    """

    beginning = "starting"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._next = self._started + LINE_SECONDS
        self._bar = made_bar() if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.beginning, total=None)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, line: str, done: int, total: int, now: float, last: str = "") -> None:
        """Show a line.

        Args:
            line: what to show.
            done: number of parts that are done.
            total: number of all parts.
            now: the time of the clock.
            last: what a terminal shows after the line; without a terminal, it is left out.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{line}{last}")
        elif now >= self._next and done < total:
            self._next = now + LINE_SECONDS
            say(line)

    def say_above(self, message: str) -> None:
        """Show a message above the line of a terminal."""
        if self._bar is None:
            say(message)
        else:
            self._bar.console.print(f"charloom: {message}", markup=False, highlight=False)


def made_bar() -> "Bar":
    """Return the line for a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=20), TextColumn("charloom: {task.description}", markup=False))
    return Progress(*columns, console=Console(stderr=True), transient=True)
