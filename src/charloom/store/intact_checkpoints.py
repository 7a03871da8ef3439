"""Remembers which checkpoints are intact, so that a server need not read all their bytes for every request."""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

Stamps = tuple[tuple[str, int, int, int], ...]
KEPT: Final = 10_000  # checkpoints that are remembered


class IntactCheckpoints:
    """The checkpoints whose bytes were found intact, with the stamps of their files at that time.

    Threads may share one object.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps: OrderedDict[Path, Stamps] = OrderedDict()

    def add(self, directory: Path, stamps: Stamps) -> None:
        """Remember that a checkpoint is intact. `stamps` were taken before its bytes were read."""
        if not stamps:
            return
        with self._lock:
            self._stamps[directory] = stamps
            self._stamps.move_to_end(directory)
            while len(self._stamps) > KEPT:
                self._stamps.popitem(last=False)

    def has(self, directory: Path, stamps: Stamps) -> bool:
        """Return True if a checkpoint was intact and none of its files has changed since then."""
        with self._lock:
            return bool(stamps) and self._stamps.get(directory) == stamps


def stamps_in(directory: Path) -> Stamps:
    """Return the name, time in nanoseconds, size and inode of each file; () if they cannot be read."""
    try:
        with os.scandir(directory) as files:
            # A link has the stamp of the link itself: a checkpoint must not have links.
            found = [(file.name, file.stat(follow_symlinks=False)) for file in files]
    except OSError:
        return ()
    return tuple(sorted((name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in found))
