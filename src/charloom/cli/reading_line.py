"""Shows how much of a long text has been read, and how long the rest may take.

Nothing is shown for a text that is read within seconds. This module does not know how texts are read.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from charloom.cli.terminal import LINE_SECONDS, say
from charloom.formatting import duration
from charloom.messages import READING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

FIRST_SECONDS: Final = 2.0  # a terminal shows nothing about texts that are read in this time


@contextmanager
def reading_display(size: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of reading `size` bytes during the `with` block.

    Gives a function to call with the size of each block that was read. A terminal shows one line, which
    is removed at the end. Otherwise a line is printed every few seconds, and one at the end.
    """
    line = ReadingLine(size)
    try:
        yield line
        line.say_end()
    finally:
        line.close()


class ReadingLine:
    """The progress of reading a text. Call it with the size of each block that was read.

    Args:
        size: number of bytes that will be read.
        clock: function that returns the time in seconds.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._read, self._clock = size, 0, clock
        self._started = clock()
        self._on_terminal = sys.stderr.isatty()
        self._next = self._started + (FIRST_SECONDS if self._on_terminal else LINE_SECONDS)
        self._printed = False
        self._bar: Bar | None = None

    def __call__(self, size: int) -> None:
        """Count `size` bytes that were read. Show the progress if it is time."""
        self._read = min(self._read + size, self._size)
        now = self._clock()
        if now < self._next:
            return
        left = (now - self._started) * (self._size / self._read - 1)
        share = int(100 * self._read / self._size)
        figures = f"{READING}: {share} %, about {duration(left)} left"
        if self._on_terminal:
            self._draw(figures, now)
        else:
            self._next, self._printed = now + LINE_SECONDS, True
            say(figures)

    def _draw(self, figures: str, now: float) -> None:
        """Show `figures` in the line of the terminal."""
        from charloom.cli.progress import DRAW_SECONDS, make_bar

        if self._bar is None:
            self._bar = make_bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=self._size, figures="")
        self._next = now + DRAW_SECONDS
        self._bar.update(
            self._task, completed=self._read, figures=f"charloom: {figures}", refresh=True
        )

    def say_end(self) -> None:
        """Print that the text was read, if lines about its progress were printed."""
        if self._printed:
            say(f"the text was read in {duration(self._clock() - self._started)}.")

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._bar is not None:
            self._bar.stop()
