"""Reads the valid lines of a run's journal one by one, and reports unreadable and missing lines."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from charloom.errors import DamagedError
from charloom.store.atomic_files import reading
from charloom.store.journal import ProgressCallback, each_line, ignore_progress
from charloom.store.journal_lengths import SavedLengths
from charloom.store.journal_lines import left_out
from charloom.store.lost_lines import LostLines


def sound_objects(
    path: Path,
    fits: Callable[[dict[str, Any]], bool],
    damage: list[str],
    on_progress: ProgressCallback = ignore_progress,
    saved: SavedLengths | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each valid line of a journal.

    Args:
        path: the journal.
        fits: returns True if an object is valid in this journal.
        damage: a list. After the last line, a sentence is added to it if lines were skipped or lost, or if
            the journal is missing.
        on_progress: called repeatedly with `path`, the bytes read so far and the file's size.
        saved: the lengths that the run's journals must have; None if they are not known.

    Raises:
        ReadError: the disk failed while reading.
    """
    size, lines, problem = size_of(path), LostLines(), None
    try:
        for line in each_line(path, on_progress):
            if line is None or not fits(line):
                lines.add(None)
            else:
                lines.add(line["update"])
                yield line
    except DamagedError as error:
        problem = error.message
    found = problem or damage_of(path, size, lines, saved)
    if found:
        damage.append(found)


def damage_of(
    path: Path, size: int | None, lines: LostLines, saved: SavedLengths | None
) -> str | None:
    """Return a message about the lines of a journal that cannot be read or are missing.

    Returns None if the journal exists, and all its lines are present and can be read.

    Args:
        path: the journal.
        size: the journal's size in bytes; None if the file does not exist.
        lines: the result of reading all whole lines of the journal.
        saved: the lengths that the run's journals must have at least; None if they are not known. A
            shorter journal has lost lines.
    """
    lost = saved and saved.missing(path, size, lines)
    unread = left_out(lines.broken, lines.lines) if lines.broken else ""
    if lost:
        return f"{lost} {unread}." if unread else lost
    if size is None:
        return f"{path} is missing."
    return f"{path} is damaged: {unread}." if unread else None


def lost_lines_of(path: Path, fits: Callable[[dict[str, Any]], bool]) -> LostLines:
    """Read a journal, and return which of its lines cannot be read.

    `fits` returns True if an object is valid in this journal. A path that is not a plain file counts as
    a journal without lines.

    Raises:
        ReadError: the disk failed while reading.
    """
    lines = LostLines()
    with suppress(DamagedError):
        for line in each_line(path):
            lines.add(line["update"] if line is not None and fits(line) else None)
    return lines


def size_of(path: Path) -> int | None:
    """Return the size of a file in bytes; None if the file does not exist.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
