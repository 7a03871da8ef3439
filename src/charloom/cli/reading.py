"""Says how far the reading of a long journal is, and what a report left out."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from charloom.cli.terminal import say

PATIENCE_SECONDS: Final = 2.0  # so long nobody asks what it does
LINE_SECONDS: Final = 5.0
MEGABYTE: Final = 1e6


class ReadingProgress:
    """Says how far the reading of a file is, once it takes longer than two seconds.

    Call it with the file, the bytes that were read, and the bytes that it has; first when it begins.

    Args:
        clock: tells the time in seconds.
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
    """Say what a report had to leave out; a marked sentence."""
    say(f"the report leaves out what is damaged or missing: {damage}")
