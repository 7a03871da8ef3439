"""Ids in a file that other programs may change: they are read in pieces, and each read is checked.

The file is not mapped. Where a mapped file is cut off, reading it kills the process (SIGBUS), and
where it is overwritten, wrong ids are learnt unnoticed. It knows nothing of texts.
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

HEADER: Final = 4096  # bytes before the ids
BLOCK: Final = 1 << 20  # bytes that are looked at together
POSITION: Final = threading.Lock()  # of every open file, on systems without pread


class IdFile:
    """The ids of a file that was whole when it was opened; see `open_ids`.

    A slice of it is an array in memory. After each read the length and the times of the file are
    compared with those that it had when its checksum was right; where they differ, the checksum is
    computed again.

    Attributes:
        path: of the file.
        dtype: of the ids, in the processor's own byte order.

    Raises:
        TextError: on reading, another program changed the file, or it cannot be read.
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
            raise ValueError("ids in a file are read one after another; wanted a step of 1.")
        size = max(stop - start, 0)
        (ids,) = self.stretches(np.array([start]), np.array([start + size]), size)
        return ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All ids; `copy` is always made."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[NDArray[Any]]]:
        """How it is pickled and copied: as an array of all ids."""
        return np.asarray, (self[:],)

    def stretches(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int
    ) -> NDArray[Any]:
        """Stretches of ids, shape (len(starts), count), each from a start on.

        Args:
            starts: where each begins.
            ends: before which it ends; one that ends early goes on with its last id.
            count: how many ids of each.
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
        """Whether header, length and checksum are right; each byte is read."""
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
        self._stamp = stamp  # of before: what changed meanwhile is noticed by the next read
        return True

    def _read(self, first: int, size: int) -> NDArray[Any]:
        """So many ids from one on, in the file's byte order."""
        width = self._stored.itemsize
        data = self._bytes(HEADER + first * width, size * width)
        if len(data) < size * width:
            raise self._changed()
        return np.frombuffer(data, dtype=self._stored)

    def _bytes(self, offset: int, size: int) -> bytes:
        """So many bytes; fewer where the file ends."""
        parts, end = [], offset + size
        try:
            while offset < end and (data := read_at(self._descriptor, end - offset, offset)):
                parts.append(data)
                offset += len(data)
        except OSError as error:
            raise TextError(f"{str(self.path)!r} cannot be read: {error.strerror}.") from None
        return b"".join(parts)

    def _stamp_now(self) -> tuple[int, int, int]:
        """What changes when the file does: its bytes, and its times in nanoseconds."""
        now = os.fstat(self._descriptor)
        return now.st_size, now.st_mtime_ns, now.st_ctime_ns

    def _changed(self) -> TextError:
        """The error for a file that is not any more what it was."""
        return TextError(
            f"{str(self.path)!r} holds the ids of the text, and another program changed it while "
            f"charloom read it. Start or resume again: the ids are then made again. If it keeps "
            f"happening, let CHARLOOM_CACHE name a folder that no other program writes to."
        )


# The ids of a text, in memory or in a file.
AllIds = NDArray[Any] | IdFile


def open_ids(path: Path, about: str, count: int, dtype: np.dtype[Any]) -> IdFile | None:
    """The ids in a file, or None where it is missing or not as it was written.

    Args:
        path: of the file.
        about: what its header says before the checksum.
        count: how many ids there are.
        dtype: theirs, in the file's byte order.
    """
    try:
        ids = IdFile(path, about, count, dtype)
        return ids if ids.is_whole() else None
    except (OSError, TextError):
        return None


def header(about: str, checksum: int) -> bytes:
    """What stands before the ids."""
    return f"{about}{checksum:08x}\n".encode("ascii").ljust(HEADER)


def side_by_side(
    ids: AllIds, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int
) -> NDArray[Any]:
    """Stretches of ids beside one another, shape (count, len(starts)); arguments as
    `IdFile.stretches`."""
    if isinstance(ids, IdFile):
        return np.ascontiguousarray(ids.stretches(starts, ends, count).T)
    steps = np.arange(count)[:, np.newaxis]
    taken: NDArray[Any] = ids[np.minimum(starts + steps, ends - 1)]
    return np.ascontiguousarray(taken)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Bytes of a file from an offset on, at least one unless the file ends there."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with POSITION:  # Windows, where processes share no open file
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)
