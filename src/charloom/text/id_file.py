"""Reads ids from a file that other programs may change, and checks the file at each read.

The file is not memory-mapped. If another program shortened a mapped file, reading it would kill the
process (SIGBUS). If another program overwrote it, wrong ids would go unnoticed. This module does
not depend on texts.
"""

import os
import threading
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import TextError

HEADER: Final = 4096  # number of bytes of the header, which comes before the ids
BLOCK: Final = 1 << 20  # bytes that are read at a time for the checksum
# Lock for systems without pread, where two threads must not move the read position of a file at once.
POSITION_LOCK: Final = threading.Lock()


class IdFile:
    """The ids of a text, stored in a file. `open_ids` opens the file and checks it.

    A slice of an `IdFile` is an array in memory. Each read compares the file's length and times
    with those at the last check. If they differ, the checksum is computed again.

    Attributes:
        path: the path of the file.
        dtype: the type of the ids, in the processor's byte order.

    Raises:
        TextError: a read failed, or found that another program had changed the file.
    """

    def __init__(self, path: Path, about: str, count: int, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.dtype = dtype.newbyteorder("=")
        self._about, self._count, self._stored = about, count, dtype
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        self._stamp: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: slice) -> NDArray[Any]:
        ids: NDArray[Any]
        start, stop, step = place.indices(self._count)
        if step != 1:
            raise ValueError(
                f"the step of a slice is {step}; ids in a file can only be read with step 1."
            )
        size = max(stop - start, 0)
        (ids,) = self.stretches(np.array([start]), np.array([start + size]), size)
        return ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all ids as a new array. `copy` has no effect."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[NDArray[Any]]]:
        """Make pickling and copying return an array of all ids, not another `IdFile`."""
        return np.asarray, (self[:],)

    def stretches(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int
    ) -> NDArray[Any]:
        """Return ranges of ids as rows, shape (len(starts), count).

        Args:
            starts: the index of each range's first id.
            ends: the index after each range's last id. A range with fewer than `count` ids is
                filled up with its last id.
            count: number of ids per row.

        Raises:
            TextError: another program changed the file, or it cannot be read.
        """
        rows = np.empty((len(starts), count), dtype=self.dtype)
        for row, start, end in zip(rows, starts.tolist(), ends.tolist(), strict=True):
            first = min(start, end - 1)
            size = min(count, end - first)
            if size:
                row[:size] = self._read(first, size)
                row[size:] = row[size - 1]
        if self._stamp != self._stamp_now() and not self.is_whole():
            raise self._changed()
        return rows

    def is_whole(self) -> bool:
        """Return True if the file's header, length and checksum are right. Reads the whole file."""
        stamp = self._stamp_now()
        size = self._count * self._stored.itemsize
        if stamp[0] != HEADER + size:
            return False
        checksum = 0
        for offset in range(HEADER, HEADER + size, BLOCK):
            block = self._bytes(offset, min(BLOCK, HEADER + size - offset))
            checksum = zlib.crc32(block, checksum)
        if self._bytes(0, HEADER) != header(self._about, checksum):
            return False
        # Store the file's size and times from before the check, so that the next read notices a change that
        # happens during the check.
        self._stamp = stamp
        return True

    def _read(self, first: int, size: int) -> NDArray[Any]:
        """Return `size` ids from index `first` on, in the file's byte order."""
        width = self._stored.itemsize
        data = self._bytes(HEADER + first * width, size * width)
        if len(data) < size * width:
            raise self._changed()
        return np.frombuffer(data, dtype=self._stored)

    def _bytes(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the file from `offset` on; fewer if the file ends before."""
        parts, end = [], offset + size
        try:
            while offset < end and (data := read_at(self._descriptor, end - offset, offset)):
                parts.append(data)
                offset += len(data)
        except OSError as error:
            raise TextError(f"{str(self.path)!r} cannot be read: {error.strerror}.") from None
        return b"".join(parts)

    def _stamp_now(self) -> tuple[int, int, int]:
        """Return the file's length in bytes, and its modification and status-change times in ns."""
        now = os.fstat(self._descriptor)
        return now.st_size, now.st_mtime_ns, now.st_ctime_ns

    def _changed(self) -> TextError:
        """Return the error for a file that another program changed."""
        return TextError(
            f"{str(self.path)!r} holds the ids of the text, and another program changed it while "
            f"charloom read it. Start or resume again: charloom then makes the ids again. If this "
            f"happens again, set CHARLOOM_CACHE to a folder that no other program writes to."
        )


def open_ids(path: Path, about: str, count: int, dtype: np.dtype[Any]) -> IdFile | None:
    """Return the ids in a file; None if the file is missing, damaged or unreadable.

    Args:
        path: the path of the file.
        about: the text with which the file's header must begin, before the checksum.
        count: the expected number of ids.
        dtype: the type of the ids, in the file's byte order.
    """
    try:
        ids = IdFile(path, about, count, dtype)
        return ids if ids.is_whole() else None
    except (OSError, TextError):
        return None


def header(about: str, checksum: int) -> bytes:
    """Return the header of a file of ids: `about`, the checksum, and spaces up to `HEADER` bytes."""
    return f"{about}{checksum:08x}\n".encode("ascii").ljust(HEADER)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Return up to `size` bytes of a file from `offset` on. At the end of the file, return b""."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    # Windows has no pread. On Windows, no other process shares the descriptor, so a lock is enough.
    with POSITION_LOCK:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)
