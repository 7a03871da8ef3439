"""A file of JSON lines that grows by whole lines and never loses one to a full disk.

Lines wait in memory until `flush`. It knows nothing of what the lines mean.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from charloom.errors import DamagedError, WriteError
from charloom.store.canonical import canonical_json, parse_object
from charloom.store.files import open_plain, read_file, write_all, writing
from charloom.store.tail import kept_length

# Called with a file, the bytes of it that were read, and the bytes that it had at first.
Watch = Callable[[Path, int, int], None]
WATCHED_LINES: Final = 4_096  # between two calls


def unwatched(path: Path, done: int, size: int) -> None:
    """Ignore how far a reading is."""


class Journal:
    """A writer of JSON lines.

    Args:
        path: the file; it is made where it is missing.
        keep: bytes to keep of it, the rest is cut off, as `kept_length` has found them; None keeps every
            whole line.

    Attributes:
        length: bytes of all lines, those in memory included.

    Raises:
        DamagedError: the file is shorter than `keep`.
        ReadError: the disk refused a read.
        WriteError: the disk refused.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self.path = path
        length = kept_length(path, None) if keep is None else keep
        with writing(path):
            # Appending, so that what another process saw is only ever followed by more.
            self._file = path.open("ab", buffering=0)
            if os.fstat(self._file.fileno()).st_size < length:
                self._file.close()
                raise DamagedError(f"{path} became shorter than {length} bytes a moment ago.")
            self._file.truncate(length)
        self._written = length
        self._waiting = bytearray()
        self._unsynced = bytearray()  # written, and not yet known to be on the disk
        self._torn = False

    @property
    def length(self) -> int:
        return self._written + len(self._waiting)

    @property
    def in_place(self) -> bool:
        """Whether the file that is written still has its name.

        Raises:
            WriteError: the disk does not tell.
        """
        with writing(self.path):
            try:
                return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
            except (FileNotFoundError, NotADirectoryError):
                return False

    def append(self, value: Any) -> None:
        """Add a line with the canonical JSON of a value."""
        self.append_line(canonical_json(value))

    def append_line(self, line: bytes) -> None:
        """Add a line whose JSON is already spelt out."""
        self._waiting += line
        self._waiting += b"\n"

    def flush(self) -> None:
        """Write the waiting lines.

        Raises:
            WriteError: the disk refused; the lines go on waiting, and the next flush first cuts
                off what of them was written.
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
        """Take back all lines beyond so many bytes, which were brought to the disk before.

        Raises:
            WriteError: the disk refused.
        """
        self._waiting.clear()
        self._unsynced.clear()
        with writing(self.path):
            self._file.truncate(length)
        self._written, self._torn = length, False

    def sync(self) -> None:
        """Write the waiting lines and wait until they would survive a power cut.

        Raises:
            WriteError: the disk refused; the lines since the last sync wait again.
        """
        self.flush()
        try:
            with writing(self.path):
                os.fsync(self._file.fileno())
        except WriteError:
            # The system may now take for written what never reached the disk, and the next fsync
            # would say that all is well: the lines are written anew.
            self._waiting[:0] = self._unsynced
            self._written -= len(self._unsynced)
            self._torn = True
            raise
        finally:
            self._unsynced.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file; lines that still wait are lost."""
        self._file.close()


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file's bytes that are whole, without their line feeds."""
    return data.split(b"\n")[:-1]


def sound_lines(path: Path) -> tuple[list[tuple[bytes, dict[str, Any]]], list[bytes]]:
    """The lines of a file that are JSON objects, each as bytes and as what it says; and those that are
    none. What follows the last newline is neither.

    Raises:
        ReadError: the disk refused.
    """
    sound, broken = [], []
    for line in whole_lines(read_file(path) or b""):
        try:
            sound.append((line + b"\n", parse_object(line, str(path))))
        except DamagedError:
            broken.append(line + b"\n")
    return sound, broken


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file, of which another process may be writing the last.

    A missing file has no lines; what follows the last newline is not read.

    Raises:
        DamagedError: a whole line that is no JSON object; the text gives its number.
    """
    lines = whole_lines(read_file(path) or b"")
    return [parse_object(line, f"line {n} of {path}") for n, line in enumerate(lines, 1)]


def each_line(path: Path, watch: Watch = unwatched) -> Iterator[dict[str, Any] | None]:
    """Yield what each whole line of a JSON lines file says, or None for one that is no JSON object.

    Only one line at a time is in memory. A missing file has no lines; what follows the last newline is
    not read.

    Args:
        watch: called now and then with how far the reading is.

    Raises:
        DamagedError: it is no plain file.
        ReadError: the disk refused.
    """
    with open_plain(path) as file:
        if file is None:
            return
        done, size, what = 0, os.fstat(file.fileno()).st_size, str(path)
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                return
            if number % WATCHED_LINES == 0:
                watch(path, done, size)
            done += len(line)
            try:
                value: dict[str, Any] | None = parse_object(line, what)
            except DamagedError:
                value = None
            yield value
