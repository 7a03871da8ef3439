"""Follows a journal: each look returns the new lines, and says when the journal began again.

A run that is resumed cuts its journals back (spec/formats.md: Journals). It knows nothing of what lines mean.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError
from charloom.store.canonical import parse_object
from charloom.web.descriptors import is_shortage

MOST_BYTES: Final = 8 * 1024 * 1024  # of one look
CHECKED: Final = 256  # bytes before the place that was read, by which a cut and regrown file shows


class Tail:
    """What is new in a file of JSON lines.

    Args:
        path: the file; it need not be there yet.
        fits: whether the object of a line is what the journal is for.

    Attributes:
        behind: whether the last look left something for the next one.
        broken: how many lines were left out so far, because they could not be read.
    """

    def __init__(self, path: Path, fits: Callable[[dict[str, Any]], bool]) -> None:
        self.path = path
        self.behind = False
        self.broken = 0
        self._fits = fits
        self._place = 0
        self._before = b""

    def look(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether the file began anew, so that lines of before count no more; and the new lines.

        A line that is no JSON object, or not what the journal is for, is left out and counted: who
        reads along is not who repairs.

        Raises:
            OSError: no file can be opened any more.
        """
        try:
            with self.path.open("rb") as file:
                fresh = self._was_cut(file.read, file.seek)
                if fresh:
                    self._place, self._before, self.broken = 0, b"", 0
                file.seek(self._place)
                data = file.read(MOST_BYTES)
        except FileNotFoundError:
            fresh, data = self._place > 0, b""
            self._place, self._before, self.broken = 0, b"", 0
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
            if value is None:
                self.broken += 1
            else:
                lines.append(value)
        return fresh, lines

    def _read(self, line: bytes) -> dict[str, Any] | None:
        """What a line says; None where it is not a line of this journal."""
        try:
            value = parse_object(line, str(self.path))
        except DamagedError:
            return None
        return value if self._fits(value) else None

    def _was_cut(self, read: Any, seek: Any) -> bool:
        """Whether what was read is no longer what stands there."""
        seek(self._place - len(self._before))
        return bool(read(len(self._before)) != self._before)
