"""Remembers which checkpoints are intact, so that a server need not read them for every request."""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

Stamps = tuple[tuple[str, int, int, int], ...]
KEPT: Final = 10_000  # largest number of checkpoints that are remembered


class IntactCheckpoints:
    """Remembers the checkpoints that were found intact, with the stamps of their files at that time.

    The stamp of a file is its name, time of change, size and inode. Several threads may use the same object.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps: OrderedDict[Path, Stamps] = OrderedDict()

    def add(self, directory: Path, stamps: Stamps) -> None:
        """Remember that a checkpoint is intact. Does nothing if `stamps` is empty.

        Args:
            directory: the checkpoint directory.
            stamps: the result of `stamps_in` for the directory, from before the files were read.
        """
        if not stamps:
            return
        with self._lock:
            self._stamps[directory] = stamps
            self._stamps.move_to_end(directory)
            while len(self._stamps) > KEPT:
                self._stamps.popitem(last=False)

    def has(self, directory: Path, stamps: Stamps) -> bool:
        """Return True if the checkpoint in `directory` is known to be intact.

        A checkpoint is known to be intact if it was added, and none of its files has changed since.

        Args:
            directory: the checkpoint directory.
            stamps: the present result of `stamps_in` for this directory.
        """
        with self._lock:
            return bool(stamps) and self._stamps.get(directory) == stamps


def stamps_in(directory: Path) -> Stamps:
    """Return the stamps of the files in a directory, sorted by name; () if it cannot be read.

    A stamp is the file's name, time of the last change in nanoseconds, size in bytes and inode.
    """
    try:
        with os.scandir(directory) as files:
            # Stamp a link and not the file that it leads to, because a checkpoint must not have links.
            found = [(file.name, file.stat(follow_symlinks=False)) for file in files]
    except OSError:
        return ()
    return tuple(sorted((name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in found))
