"""Writes and reads a journal: a file of JSON lines to which whole lines are added.

New lines stay in memory until they are written, so no line is lost if the disk is full. This module does
not know what the lines mean.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from charloom.canonical_form import canonical_json
from charloom.errors import DamagedError, WriteError
from charloom.formatting import counted
from charloom.store.atomic_files import open_plain, read_file, write_all, writing
from charloom.store.journal_tail import length_of_lines
from charloom.store.json_format import parse_object

# A function that is called with a file's path, the bytes read so far, and its size when reading began.
ProgressCallback = Callable[[Path, int, int], None]
PROGRESS_LINES: Final = 4_096  # lines between two calls of the progress callback


def ignore_progress(path: Path, done: int, size: int) -> None:
    """Do nothing. Functions that read a journal use this if the caller wants no progress reports."""


class Journal:
    """A writer that adds JSON lines to a file.

    Args:
        path: the file; it is created if it does not exist.
        keep: how many bytes at the beginning of the file to keep. The kept bytes must end with a whole
            line; the bytes after them are removed. None keeps every whole line.

    Attributes:
        length: the number of bytes of all lines, including the lines that are still in memory.

    Raises:
        DamagedError: the file is shorter than `keep`.
        ReadError: the disk failed while reading.
        WriteError: the disk failed while writing.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self.path = path
        length = length_of_lines(path) if keep is None else keep
        with writing(path):
            # Append mode never overwrites bytes that another process may have read already.
            self._file = path.open("ab", buffering=0)
            if os.fstat(self._file.fileno()).st_size < length:
                self._file.close()
                raise DamagedError(
                    f"{path} has just become shorter than {counted(length, 'byte')}: another program changed it. Try again when no other program changes the run."
                )
            self._file.truncate(length)
        self._written = length
        self._waiting = bytearray()
        self._unsynced = bytearray()  # lines that were written, but may not be on the disk yet
        self._torn = False

    @property
    def length(self) -> int:
        return self._written + len(self._waiting)

    @property
    def in_place(self) -> bool:
        """True if the file at `path` is still the file that this journal writes.

        Raises:
            WriteError: the disk failed during this check.
        """
        with writing(self.path):
            try:
                return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
            except (FileNotFoundError, NotADirectoryError):
                return False

    def append(self, value: Any) -> None:
        """Add a line with the canonical JSON of `value`. The line stays in memory."""
        self.append_line(canonical_json(value))

    def append_line(self, line: bytes) -> None:
        """Add a line, which stays in memory. `line` is JSON without a line feed at the end."""
        self._waiting += line
        self._waiting += b"\n"

    def flush(self) -> None:
        """Write the lines that are in memory to the file.

        Raises:
            WriteError: the disk failed. The lines stay in memory. The next flush first cuts off the
                bytes that this flush has written, and then writes all lines again.
        """
        if not self._waiting:
            return
        with writing(self.path):
            if self._torn:
                self._file.truncate(self._written)
            self._torn = True
            write_all(self._file.fileno(), bytes(self._waiting))
            self._torn = False
        self._written += len(self._waiting)
        self._unsynced += self._waiting
        self._waiting.clear()

    def cut(self, length: int) -> None:
        """Remove all lines after the first `length` bytes. These bytes must have been synced to the disk.

        Raises:
            WriteError: the disk failed.
        """
        self._waiting.clear()
        self._unsynced.clear()
        with writing(self.path):
            self._file.truncate(length)
        self._written, self._torn = length, False

    def sync(self) -> None:
        """Write the lines in memory and wait until they would survive a power cut.

        Raises:
            WriteError: the disk failed. No line is lost. If writing failed, the unwritten lines stay in
                memory. If flushing the file to the disk failed, all lines since the last sync are in
                memory again.
        """
        self.flush()
        try:
            with writing(self.path):
                os.fsync(self._file.fileno())
        except WriteError:
            # After a failed fsync the system may drop the data, and the next fsync would report success.
            # So the lines are written again.
            self._waiting[:0] = self._unsynced
            self._written -= len(self._unsynced)
            self._torn = True
            raise
        finally:
            self._unsynced.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file; lines that are still in memory are lost."""
        self._file.close()


def whole_lines(data: bytes) -> list[bytes]:
    """Return the lines in a file's bytes that end with a line feed, without their line feeds."""
    return data.split(b"\n")[:-1]


@dataclass(frozen=True)
class JournalLines:
    """The whole lines of a file of JSON lines, in order.

    Attributes:
        sound: the lines that are JSON objects, each with its line feed.
        objects: the JSON objects of the lines in `sound`.
        broken: the lines that are not JSON objects, each with its line feed.
        torn: True if there are bytes after the last line feed.
    """

    sound: tuple[bytes, ...]
    objects: tuple[Mapping[str, Any], ...]
    broken: tuple[bytes, ...]
    torn: bool

    @property
    def total(self) -> int:
        """The number of lines in `sound` and in `broken` together."""
        return len(self.sound) + len(self.broken)


def parse_lines(data: bytes, path: Path) -> JournalLines:
    """Return the whole lines in `data`, the bytes of the file at `path`, with their JSON objects."""
    sound, objects, broken = [], [], []
    for line in whole_lines(data):
        try:
            objects.append(parse_object(line, str(path)))
        except DamagedError:
            broken.append(line + b"\n")
        else:
            sound.append(line + b"\n")
    torn = bool(data) and not data.endswith(b"\n")
    return JournalLines(tuple(sound), tuple(objects), tuple(broken), torn)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON object of each line of a file of JSON lines.

    Another process may be writing the file. A missing file has no lines. Bytes after the last line feed
    are ignored.

    Raises:
        DamagedError: a whole line is not a JSON object; the message has the number of the line.
    """
    lines = whole_lines(read_file(path) or b"")
    return [parse_object(line, f"line {n} of {path}") for n, line in enumerate(lines, 1)]


def each_line(
    path: Path, on_progress: ProgressCallback = ignore_progress
) -> Iterator[dict[str, Any] | None]:
    """Yield the JSON object of each line of a file of JSON lines; None for a line that is not an object.

    Only one line at a time is in memory. A missing file has no lines. Bytes after the last line feed
    are ignored.

    Args:
        path: the file.
        on_progress: called every 4,096 lines with `path`, the bytes read so far and the file's size.

    Raises:
        DamagedError: the path is not a plain file.
        ReadError: the disk failed while reading.
    """
    with open_plain(path) as file:
        if file is None:
            return
        done, size, label = 0, os.fstat(file.fileno()).st_size, str(path)
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                return
            if number % PROGRESS_LINES == 0:
                on_progress(path, done, size)
            done += len(line)
            try:
                value: dict[str, Any] | None = parse_object(line, label)
            except DamagedError:
                value = None
            yield value
