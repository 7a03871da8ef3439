"""Reads the end of a file of JSON lines without the rest: a journal may have millions of lines.

It knows nothing of what the lines mean.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from charloom.errors import DamagedError
from charloom.store.files import open_plain

BLOCK: Final = 1 << 16  # bytes that are read together, at first


def kept_length(path: Path, keep: int | None) -> int:
    """Return how many bytes of a file are the lines to keep; a missing file has none.

    Args:
        keep: so many, which must be there and end with a whole line; None keeps every whole line.

    Raises:
        DamagedError: so many bytes are not there, or do not end with a whole line.
        ReadError: the disk refused.
    """
    with open_plain(path) as file:
        size = 0 if file is None else size_of(file)
        if keep is None:
            return 0 if file is None else end_of_lines(file, size)
        if keep == 0 or (file is not None and keep <= size and byte_at(file, keep - 1) == b"\n"):
            return keep
    if file is None:
        raise DamagedError(
            f"{path} is missing; it had {keep:,} bytes when the checkpoint was saved."
        )
    raise DamagedError(
        f"{path} has {size:,} bytes, and the checkpoint was saved when it had {keep:,}, ending with a "
        f"whole line."
    )


def last_lines(path: Path, length: int | None = None) -> Iterator[bytes]:
    """The lines of a file, the last one first, each with its line feed; a missing file has none.

    Args:
        length: the bytes that are looked at, which end with a whole line; None takes every whole line.

    Raises:
        ReadError: the disk refused.
    """
    with open_plain(path) as file:
        if file is None:
            return
        place = end_of_lines(file, size_of(file)) if length is None else length
        if not place:
            return
        place -= 1  # the last line's feed
        rest = b""
        while place:
            # As much again as is held, so that a line of any length is put together in linear time.
            start = max(0, place - max(BLOCK, len(rest)))
            rest, *lines = (block_at(file, start, place) + rest).split(b"\n")
            place = start
            yield from (line + b"\n" for line in reversed(lines))
        yield rest + b"\n"


def end_of_lines(file: BinaryIO, size: int) -> int:
    """The bytes of a file up to its last line feed, that one included."""
    while size:
        start = max(0, size - BLOCK)
        if (found := block_at(file, start, size).rfind(b"\n")) >= 0:
            return start + found + 1
        size = start
    return 0


def size_of(file: BinaryIO) -> int:
    """The bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def byte_at(file: BinaryIO, place: int) -> bytes:
    """One byte of a file."""
    return block_at(file, place, place + 1)


def block_at(file: BinaryIO, start: int, end: int) -> bytes:
    """The bytes of a file from a place to before another one."""
    file.seek(start)
    return file.read(end - start)
