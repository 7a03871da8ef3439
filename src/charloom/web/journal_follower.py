"""Reads the lines that were added to a journal since it was last read.

A journal is a file to which a run appends lines of JSON. When a run is resumed from a checkpoint, its journals are
truncated to their lengths at that checkpoint (spec/formats.md: Journals). This module notices the truncation. It does
not know what the lines mean.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError
from charloom.store.json_format import parse_object
from charloom.store.lost_lines import LostLines
from charloom.web.file_descriptors import is_shortage

MOST_BYTES: Final = 8 * 1024 * 1024  # largest number of bytes that one call of `new_lines` reads
# To notice that the file was truncated and has grown again, this many bytes before the read position are
# compared with the bytes that were read there.
CHECKED: Final = 256


class Tail:
    """Reads the lines that were added to a journal since the last call of `new_lines`.

    Args:
        path: the journal. The file need not exist yet.
        fits: a function that returns True if a JSON object is a valid line of this journal.

    Attributes:
        behind: whether the last call of `new_lines` stopped before the end of the file.
        lines: counts all lines that were read, and counts the invalid lines separately.
    """

    def __init__(self, path: Path, fits: Callable[[dict[str, Any]], bool]) -> None:
        self.path = path
        self.behind = False
        self.lines = LostLines()
        self._fits = fits
        self._place = 0
        self._before = b""

    def new_lines(self) -> tuple[bool, list[dict[str, Any]]]:
        """Return whether the file was truncated since the last call, and the lines added since then.

        After a truncation, the second value begins with the first line of the file, and the lines that
        earlier calls returned are no longer valid. Invalid lines are left out, and `lines` counts them. One call
        reads at most 8 MiB; the next call continues there.

        Raises:
            OSError: there is no free file descriptor.
        """
        try:
            with self.path.open("rb") as file:
                fresh = self._was_cut(file.read, file.seek)
                if fresh:
                    self._place, self._before, self.lines = 0, b"", LostLines()
                file.seek(self._place)
                data = file.read(MOST_BYTES)
        except FileNotFoundError:
            fresh, data = self._place > 0, b""
            self._place, self._before, self.lines = 0, b"", LostLines()
        except OSError as error:
            if is_shortage(error):
                raise
            return False, []
        self.behind = len(data) == MOST_BYTES
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        self._before = (self._before + whole)[-CHECKED:]
        lines = []
        for line in whole.split(b"\n")[:-1]:
            value = self._read(line)
            self.lines.add(None if value is None else value.get("update", 0))
            if value is not None:
                lines.append(value)
        return fresh, lines

    def _read(self, line: bytes) -> dict[str, Any] | None:
        """Return the JSON object in `line`; None if it is not a valid line of this journal."""
        try:
            value = parse_object(line, str(self.path))
        except DamagedError:
            return None
        return value if self._fits(value) else None

    def _was_cut(self, read: Any, seek: Any) -> bool:
        """Return True if the file was truncated since the last call of `new_lines`.

        After a truncation, the bytes just before the read position are missing or are not those that were
        read there.
        `read` and `seek` are methods of the open file.
        """
        seek(self._place - len(self._before))
        return bool(read(len(self._before)) != self._before)
