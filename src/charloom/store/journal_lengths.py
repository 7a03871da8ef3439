"""Determines how much of a run's journals belongs to a checkpoint, even if lines were lost.

A checkpoint stores the lengths of the journals in bytes. The learner does not depend on the journals, so
training can continue with shorter ones; an event then records what is left. This module does not change
anything on the disk.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError
from charloom.formatting import counted, shortened
from charloom.messages import command
from charloom.store.atomic_files import open_plain
from charloom.store.checkpoint import Checkpoint, is_count, verified_state
from charloom.store.journal_tail import kept_length, last_lines
from charloom.store.json_format import parse_object
from charloom.store.run_directory import METRICS, SAMPLES, checkpoint_path, saved_updates

RECORDS_LOST: Final = "records_lost"
WHAT: Final = {METRICS: "records", SAMPLES: "samples"}
MOST_SECONDS: Final = 1e10


def kept_lengths(
    path: Path, checkpoint: Checkpoint, events: list[dict[str, Any]], allow_less: bool
) -> tuple[dict[str, int], list[str]]:
    """Return how many bytes of each journal to keep, and a sentence for each journal that lost lines.

    Args:
        path: the run directory.
        checkpoint: the checkpoint to continue from.
        events: the run's events.
        allow_less: True to continue with the whole lines that are left.

    Raises:
        DamagedError: a journal lost lines or was changed, and `allow_less` is False.
        ReadError: the disk failed while reading.
    """
    update = checkpoint.learner.update
    recorded = lengths_told(events, update)
    lengths, lost = dict(checkpoint.lengths), []
    for name in WHAT:
        try:
            require_lines(path / name, lengths[name], update)
        except DamagedError as error:
            if name in recorded and has_lines(path / name, recorded[name], update):
                lengths[name] = recorded[name]
                continue
            if not allow_less:
                raise DamagedError(
                    f"{error.message} Put it back as it was, or, to continue from the checkpoint of "
                    f"update {update:,} with the {WHAT[name]} that are left, use "
                    f"{command('resume', path, allow_older=True)}."
                ) from None
            lengths[name], last = what_is_left(path / name, update)
            after = "" if last is None else f"after update {last:,} and "
            lost.append(
                f"{error.message} The {WHAT[name]} {after}up to update {update:,} are lost."
            )
    return lengths, lost


@dataclass(frozen=True)
class SavedLengths:
    """The lengths of a run's journals when the checkpoint of `update` was saved.

    Attributes:
        update: the update of the checkpoint.
        lengths: bytes of each journal by its name. If training resumed from the checkpoint with
            shorter journals, their lengths at that time.
    """

    update: int
    lengths: Mapping[str, int]

    def missing(self, path: Path, size: int | None, last: int | None) -> str | None:
        """Return a sentence about the lines that a journal has lost since then; None if none.

        Args:
            path: the journal.
            size: its size in bytes; None if the file does not exist.
            last: the update of its last readable line; None if it has none.
        """
        wanted = self.lengths.get(path.name, 0)
        if (size or 0) >= wanted:
            return None
        what = WHAT[path.name]
        after = f"all its {what}" if last is None else f"its {what} after update {last:,}"
        has = "is missing" if size is None else f"is damaged: it has {counted(size, 'byte')}"
        return (
            f"{path} {has}, and had {counted(wanted, 'byte')} when update {self.update:,} was saved; "
            f"{after} are lost."
        )


def saved_lengths(
    run: Path, latest: int | None, events: Sequence[Mapping[str, Any]]
) -> SavedLengths | None:
    """Return the minimum lengths of a run's journals; None if no checkpoint has them.

    This reads only state.json of the checkpoints.

    Args:
        run: the run directory.
        latest: the update that the pointer `latest` names; None if it names none.
        events: the run's events in order.

    Raises:
        ReadError: the disk failed while reading.
    """
    for update in reversed(saved_updates(run)):
        if latest is not None and update > latest:
            continue  # the checkpoint of an interrupted save
        with suppress(DamagedError):
            state = verified_state(checkpoint_path(run, update)) or {}
            lengths = state.get("lengths")
            if isinstance(lengths, dict) and all(is_count(lengths.get(name)) for name in WHAT):
                return SavedLengths(update, {**lengths, **lengths_told(events, update)})
    return None


def lengths_told(events: Sequence[Mapping[str, Any]], update: int) -> dict[str, int]:
    """Return the journals' lengths in the last `records_lost` event of the checkpoint of `update`.

    Returns an empty dict if training never continued from it with shorter journals.
    """
    for event in reversed(events):
        found = event.get("update")
        if is_count(found) and found < update:
            break  # earlier events are older than the checkpoint
        lengths = event.get("lengths")
        if event.get("event") == RECORDS_LOST and found == update and isinstance(lengths, dict):
            return {name: lengths[name] for name in WHAT if is_count(lengths.get(name))}
    return {}


def require_lines(path: Path, length: int, update: int) -> None:
    """Raise unless the first `length` bytes of a journal end with a whole line from up to `update`.

    Only that line is read.

    Raises:
        DamagedError: they do not.
        ReadError: the disk failed while reading.
    """
    for line in islice(last_lines(path, kept_length(path, length)), 1):
        belongs(parse_object(line, f"the last line of {path}"), path, update)


def has_lines(path: Path, length: int, update: int) -> bool:
    """Return True if `require_lines` accepts the journal."""
    try:
        require_lines(path, length, update)
    except DamagedError:
        return False
    return True


def belongs(line: dict[str, Any], path: Path, update: int) -> int:
    """Return the line's update number; raise DamagedError if it is later than `update`."""
    found, seconds = line.get("update"), line.get("seconds")
    if not is_count(found) or found > update:
        raise DamagedError(
            f"{path} is damaged: the line that should be the last one up to update {update:,} has the "
            f"update {shortened(found)}."
        )
    if path.name == METRICS and (type(seconds) is not float or not 0 <= seconds < MOST_SECONDS):
        raise DamagedError(f"{path} is damaged: its last record has seconds {shortened(seconds)}.")
    return found


def what_is_left(path: Path, update: int) -> tuple[int, int | None]:
    """Return the length of a damaged journal's usable part in bytes, and its last line's update.

    The usable part ends with the last valid line from up to `update`. Without such a line the result is
    (0, None). Lines are read one by one and not kept in memory.

    Raises:
        ReadError: the disk failed while reading.
    """
    length, last, place = 0, None, 0
    with open_plain(path) as file:
        for line in file or ():
            if not line.endswith(b"\n"):
                break
            place += len(line)
            try:
                value = parse_object(line, str(path))
                if is_count(value.get("update")) and value["update"] > update:
                    break  # all following lines are later too
                last = belongs(value, path, update)
            except DamagedError:
                continue
            length = place
    return length, last


def last_seconds(path: Path, length: int) -> float:
    """Return the field `seconds` of the last record in the first `length` bytes; 0 without a record.

    Raises:
        DamagedError: the last line is not a JSON object.
        ReadError: the disk failed while reading.
    """
    for line in islice(last_lines(path, length), 1):
        return float(parse_object(line, f"the last line of {path}")["seconds"])
    return 0.0
