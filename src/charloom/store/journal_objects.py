"""Reads the valid lines of a run's journal one by one, and says which lines are left out or lost."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from charloom.errors import DamagedError
from charloom.store.atomic_files import reading
from charloom.store.journal import ProgressCallback, each_line, ignore_progress
from charloom.store.journal_lengths import SavedLengths
from charloom.store.journal_lines import left_out
from charloom.store.journal_tail import last_lines
from charloom.store.json_format import parse_object


def sound_objects(
    path: Path,
    fits: Callable[[dict[str, Any]], bool],
    damage: list[str],
    on_progress: ProgressCallback = ignore_progress,
    saved: SavedLengths | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the valid lines of a journal as objects.

    Args:
        path: the journal.
        fits: function that returns True if an object is valid in this journal.
        damage: list to which a sentence is added at the end if lines were skipped or lost, or if the
            journal is missing.
        on_progress: called repeatedly with the progress.
        saved: the journal's minimum length; None if it is not known.

    Raises:
        ReadError: the disk failed while reading.
    """
    size, last, problem = size_of(path), None, None
    lines = broken = 0
    try:
        for line in each_line(path, on_progress):
            lines += 1
            if line is None or not fits(line):
                broken += 1
            else:
                last = line["update"]
                yield line
    except DamagedError as error:
        problem = error.message
    found = problem or damage_of(path, size, lines, broken, last, saved)
    if found:
        damage.append(found)


def damage_of(
    path: Path,
    size: int | None,
    lines: int,
    broken: int,
    last: int | None,
    saved: SavedLengths | None,
) -> str | None:
    """Return a message about the lines of a journal that were left out or lost; None if there are none.

    Args:
        path: the journal.
        size: its size in bytes; None if it does not exist.
        lines: the number of its whole lines.
        broken: how many of them are not valid in this journal.
        last: the update of the last valid line; None without one.
        saved: the journal's minimum length; None if it is not known.
    """
    lost = saved and saved.missing(path, size, last)
    if lost:
        return f"{lost} Besides, {left_out(broken, lines)}." if broken else lost
    if size is None:
        return f"{path} is missing."
    return f"{path} is damaged: {left_out(broken, lines)}." if broken else None


def last_update(path: Path, fits: Callable[[dict[str, Any]], bool]) -> int | None:
    """Return the update of the last valid line of a journal; None without one.

    Raises:
        ReadError: the disk failed while reading.
    """
    with suppress(DamagedError):  # the path is not a plain file
        for line in last_lines(path):
            with suppress(DamagedError):
                value = parse_object(line, str(path))
                if fits(value):
                    return int(value["update"])
    return None


def size_of(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it does not exist.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
