"""Reads the last lines of a file without reading the rest, since a journal may have millions of lines.

This module does not know what the lines mean.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from charloom.errors import DamagedError
from charloom.formatting import counted
from charloom.store.atomic_files import open_plain

BLOCK: Final = 1 << 16  # bytes to read at a time; reads within a longer line are larger


def length_of_lines(path: Path) -> int:
    """Return how many bytes the whole lines of a file have; 0 if the file does not exist.

    Raises:
        DamagedError: the path is not a plain file.
        ReadError: the disk failed while reading.
    """
    with open_plain(path) as file:
        return 0 if file is None else end_of_lines(file)


def require_whole_lines(file: BinaryIO | None, path: Path, length: int) -> None:
    """Raise DamagedError unless the first `length` bytes of a file exist and end with a line feed.

    Args:
        file: the open file; None if it does not exist.
        path: the path of the file, for the message.
        length: the number of bytes. With 0, no error is raised.
    """
    size = 0 if file is None else size_of(file)
    if not length or (
        file is not None and length <= size and block_at(file, length - 1, length) == b"\n"
    ):
        return
    if file is None:
        raise DamagedError(
            f"{path} is missing; it had {counted(length, 'byte')} when the checkpoint was saved."
        )
    raise DamagedError(
        f"{path} was changed: it has {counted(size, 'byte')}. When the checkpoint was saved, it had "
        f"{counted(length, 'byte')}, and its last line was complete."
    )


def last_lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a file, last line first, each with its line feed.

    A missing file has no lines.

    Raises:
        DamagedError: the path is not a plain file.
        ReadError: the disk failed while reading.
    """
    with open_plain(path) as file:
        if file is not None:
            yield from lines_from_end(file, end_of_lines(file))


def lines_from_end(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield the lines in the first `length` bytes of an open file, last line first.

    These bytes must end with a line feed. Each line is yielded with its line feed.
    """
    if not length:
        return
    place = length - 1  # the offset of the line feed that ends the last line
    rest = b""
    while place:
        # Double the size of each read within a long line. Then reading the line takes linear time.
        start = max(0, place - max(BLOCK, len(rest)))
        rest, *lines = (block_at(file, start, place) + rest).split(b"\n")
        place = start
        yield from (line + b"\n" for line in reversed(lines))
    yield rest + b"\n"


def end_of_lines(file: BinaryIO) -> int:
    """Return the offset after the last line feed of an open file; 0 if there is no line feed."""
    size = size_of(file)
    while size:
        start = max(0, size - BLOCK)
        if (found := block_at(file, start, size).rfind(b"\n")) >= 0:
            return start + found + 1
        size = start
    return 0


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def block_at(file: BinaryIO, start: int, end: int) -> bytes:
    """Return the bytes of a file from the offset `start` up to, but not including, the offset `end`."""
    file.seek(start)
    return file.read(end - start)
