"""Prints how far a long file has been read, and what a report leaves out."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from charloom.cli.terminal import LINE_SECONDS, say

PATIENCE_SECONDS: Final = 2.0  # seconds of reading before the first line is printed
MEGABYTE: Final = 1e6


class ReadingProgress:
    """Prints how far a file has been read, if reading takes longer than two seconds.

    Call an object of this class with the path, the number of bytes read and the size in bytes. The first
    call must be made when reading starts.

    Args:
        clock: function that returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._path: Path | None = None
        self._next = 0.0

    def __call__(self, path: Path, done: int, size: int) -> None:
        now = self._clock()
        if path != self._path:
            self._path, self._next = path, now + PATIENCE_SECONDS
        if now < self._next:
            return
        self._next = now + LINE_SECONDS
        share = min(done / max(size, 1), 1.0)
        say(f"reading {path}: {share:.0%} of {size / MEGABYTE:,.0f} MB")


def say_left_out(damage: str) -> None:
    """Print that a report leaves out a damaged or missing file; `damage` is a message about that file."""
    say(f"the report leaves out a damaged or missing part: {damage}")
