"""Determines how many bytes of a run's journals belong to a checkpoint, even if lines were lost.

The journals here are metrics.jsonl, with the records, and samples.jsonl. A checkpoint stores their lengths
in bytes. The learner does not depend on the journals, so training can continue with shorter journals; an
event then records their lengths. This module does not change anything on the disk.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from charloom.errors import DamagedError
from charloom.formatting import counted, shortened
from charloom.model.schedule import Schedule
from charloom.run_file_names import METRICS, SAMPLES
from charloom.store.atomic_files import open_plain
from charloom.store.checkpoint import Checkpoint
from charloom.store.journal_tail import lines_from_end, require_whole_lines
from charloom.store.json_format import parse_object
from charloom.store.json_numbers import is_count
from charloom.store.lost_lines import LostLines
from charloom.store.run_checkpoints import RunCheckpoints

RECORDS_LOST: Final = "records_lost"
JOURNAL_CONTENTS: Final = {METRICS: "records", SAMPLES: "samples"}
MOST_SECONDS: Final = 1e10


@dataclass(frozen=True)
class JournalEnd:
    """How much of a journal belongs to a checkpoint, and what is lost.

    Attributes:
        length: how many bytes of the journal to keep.
        seconds: the field `seconds` of the last record that is kept; 0 if no record is kept.
        lost: a sentence saying what is wrong with the journal; None if no line is lost.
        places: a phrase that says where lines are lost, such as "before update 20"; empty if no line is
            lost, or if it is not known where.
    """

    length: int
    seconds: float
    lost: str | None = None
    places: str = ""


def journal_end(
    path: Path, checkpoint: Checkpoint, events: Sequence[Mapping[str, Any]], due: int
) -> JournalEnd:
    """Return how much of the journal at `path` belongs to a checkpoint. The file is opened once.

    Args:
        path: the journal, metrics.jsonl or samples.jsonl.
        checkpoint: the checkpoint to continue from.
        events: the run's events.
        due: the update of the last line that the journal must have according to the run's schedule, up
            to the update of the checkpoint.

    Raises:
        DamagedError: the path is not a plain file.
        ReadError: the disk failed while reading.
    """
    update, saved = checkpoint.learner.update, checkpoint.lengths[path.name]
    with open_plain(path) as file:
        try:
            return end_at(file, path, saved, update)
        except DamagedError as error:
            recorded = recorded_lengths(events, update).get(path.name)
            if recorded is not None:
                with suppress(DamagedError):
                    return end_at(file, path, recorded, update)
            return usable_part(file, path, update, due, error.message)


@dataclass(frozen=True)
class SavedLengths:
    """The lengths of a run's journals when the checkpoint of `update` was saved.

    Attributes:
        update: the update of the checkpoint.
        lengths: length in bytes of each journal, by file name. If lines were lost, and training was then
            resumed from this checkpoint, these are the lengths without the lost lines.
        due: the update of the last line that each journal must have according to the run's schedule, up
            to `update`, by file name; empty if the run's settings are not known.
    """

    update: int
    lengths: Mapping[str, int]
    due: Mapping[str, int]

    def missing(self, path: Path, size: int | None, lines: LostLines) -> str | None:
        """Return a sentence about the lines that a journal has lost.

        A journal has lost lines if it is shorter than its length in the attribute `lengths`. Returns None if
        no line is lost.

        Args:
            path: the journal.
            size: the journal's present size in bytes; None if the file does not exist.
            lines: the result of reading all whole lines of the journal.
        """
        wanted = self.lengths.get(path.name, 0)
        if (size or 0) >= wanted:
            return None
        contents = JOURNAL_CONTENTS[path.name]
        places = lines.places(self.due.get(path.name), self.update)
        lost = f"its {contents} {places}" if places else f"some of its {contents}"
        if lines.last is None:
            lost = f"all its {contents}"
        has = "is missing" if size is None else f"is damaged: it has {counted(size, 'byte')}"
        return (
            f"{path} {has}, and had {counted(wanted, 'byte')} when update {self.update:,} was saved; "
            f"{lost} are lost."
        )


def saved_lengths(
    checkpoints: RunCheckpoints,
    latest: int | None,
    events: Sequence[Mapping[str, Any]],
    schedule: Schedule | None,
) -> SavedLengths | None:
    """Return the lengths that a run's journals had when the newest checkpoint was saved.

    A checkpoint is skipped if it is newer than `latest` or its state.json is damaged. Only MANIFEST and
    state.json are read. Returns None if no checkpoint is left.

    Args:
        checkpoints: the run's checkpoints.
        latest: the update that the pointer `latest` names; None if the pointer is missing or damaged.
        events: the run's events in order. If lines were lost, and training was then resumed from the
            checkpoint, an event has the lengths without the lost lines; these are returned.
        schedule: the run's schedule, for the attribute `due` of the result; None if it is not known.

    Raises:
        ReadError: the disk failed while reading.
    """
    for update in reversed(checkpoints.updates):
        if latest is not None and update > latest:
            continue  # the save of this checkpoint was interrupted
        with suppress(DamagedError):
            state = checkpoints.header(update).fields() or {}
            lengths = state.get("lengths")
            if isinstance(lengths, dict) and all(
                is_count(lengths.get(name)) for name in JOURNAL_CONTENTS
            ):
                due = {} if schedule is None else last_due(schedule, update)
                return SavedLengths(update, {**lengths, **recorded_lengths(events, update)}, due)
    return None


def last_due(schedule: Schedule, update: int) -> dict[str, int]:
    """Return the update of the last line that each journal must have, by file name.

    The schedule decides which updates have a line. Only updates up to `update` are considered.
    """
    return {METRICS: schedule.last_record(update), SAMPLES: schedule.last_sample(update)}


def recorded_lengths(events: Sequence[Mapping[str, Any]], update: int) -> dict[str, int]:
    """Return the lengths in bytes that the journals had after lines were lost, by file name.

    If lines are lost, training that resumes from a checkpoint writes an event `records_lost` with the
    checkpoint's update and the lengths of the journals without the lost lines. The last of these events
    with the update `update` is used. Returns an empty dict if there is none.
    """
    for event in reversed(events):
        found = event.get("update")
        if is_count(found) and found < update:
            break  # this event and all earlier events are older than the checkpoint
        lengths = event.get("lengths")
        if event.get("event") == RECORDS_LOST and found == update and isinstance(lengths, dict):
            return {name: lengths[name] for name in JOURNAL_CONTENTS if is_count(lengths.get(name))}
    return {}


def end_at(file: BinaryIO | None, path: Path, length: int, update: int) -> JournalEnd:
    """Return a `JournalEnd` that keeps the first `length` bytes of a journal.

    These bytes must end with a whole line. Only this line is read. Its update must be at most `update`.

    Args:
        file: the open journal; None if it does not exist.
        path: the path of the journal.
        length: the number of bytes to keep.
        update: the update of the checkpoint to continue from.

    Raises:
        DamagedError: the journal has fewer bytes, or they do not end with a whole and valid line.
        ReadError: the disk failed while reading.
    """
    require_whole_lines(file, path, length)
    seconds = 0.0
    if file is not None:
        for line in islice(lines_from_end(file, length), 1):
            value = parse_object(line, f"the last line of {path}")
            update_of_line(value, path, update)
            seconds = seconds_of(value, path)
    return JournalEnd(length, seconds)


def update_of_line(line: dict[str, Any], path: Path, update: int) -> int:
    """Return the update number in a line of the journal at `path`.

    Raises:
        DamagedError: the line's update is not a number or is later than `update`, or the line is a record
            whose field `seconds` is not valid.
    """
    found, seconds = line.get("update"), line.get("seconds")
    if not is_count(found) or found > update:
        raise DamagedError(
            f"{path} is damaged: the line that was the last when update {update:,} was saved has the "
            f"update number {shortened(found)}; this number must be a whole number of at most {update:,}."
        )
    if path.name == METRICS and (type(seconds) is not float or not 0 <= seconds < MOST_SECONDS):
        raise DamagedError(
            f"{path} is damaged: its last record has the training time {shortened(seconds)}; it must be a number of seconds."
        )
    return found


def usable_part(file: BinaryIO | None, path: Path, update: int, due: int, lost: str) -> JournalEnd:
    """Return a `JournalEnd` that keeps a damaged journal up to its last usable line.

    A line is usable if it is valid and its update is at most `update`. Lines are read one by one, so they
    are never all in memory.

    Args:
        file: the open journal; None if it does not exist.
        path: the path of the journal.
        update: the update of the checkpoint to continue from.
        due: the update of the last line that the journal must have according to the run's schedule, up
            to `update`.
        lost: a sentence that says why the journal is damaged.

    Raises:
        ReadError: the disk failed while reading.
    """
    length, seconds, place, lines = 0, 0.0, 0, LostLines()
    if file is not None:
        file.seek(0)
    for line in file or ():
        if not line.endswith(b"\n"):
            break
        place += len(line)
        try:
            value = parse_object(line, str(path))
            if is_count(value.get("update")) and value["update"] > update:
                break  # this line and all lines after it are later than the checkpoint
            lines.add(update_of_line(value, path, update))
        except DamagedError:
            lines.add(None)
            continue
        length, seconds = place, seconds_of(value, path)
    return JournalEnd(length, seconds, lost, lines.places(due, update))


def seconds_of(line: Mapping[str, Any], path: Path) -> float:
    """Return the field `seconds` of a line of the journal at `path`; 0 if the journal is samples.jsonl.

    `update_of_line` must have accepted the line, so that its field `seconds` is valid.
    """
    return float(line["seconds"]) if path.name == METRICS else 0.0
