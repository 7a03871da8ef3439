"""Says how much of a run's journals belongs to a checkpoint, even where lines were lost.

A checkpoint counts the bytes that the journals had. No number of a learner comes from them, so training
can go on though they are shorter now; an event then tells how much is left. Nothing here changes
anything on the disk.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError
from charloom.messages import command
from charloom.spelling import counted, shortened
from charloom.store.canonical import parse_object
from charloom.store.checkpoint import Checkpoint, is_count, verified_state
from charloom.store.files import open_plain
from charloom.store.layout import METRICS, SAMPLES, checkpoint_path, saved_updates
from charloom.store.tail import kept_length, last_lines

RECORDS_LOST: Final = "records_lost"
WHAT: Final = {METRICS: "records", SAMPLES: "samples"}
MOST_SECONDS: Final = 1e10


def kept_lengths(
    path: Path, checkpoint: Checkpoint, events: list[dict[str, Any]], allow_less: bool
) -> tuple[dict[str, int], list[str]]:
    """The bytes of each journal to go on with, and a sentence for each that lost something.

    Args:
        path: the run directory.
        allow_less: whether to go on with the whole lines that are left.

    Raises:
        DamagedError: a journal is not what it was, and less is not allowed.
        ReadError: the disk refused.
    """
    update, told = checkpoint.learner.update, lengths_told(events, checkpoint.learner.update)
    lengths, lost = dict(checkpoint.lengths), []
    for name in WHAT:
        try:
            require_lines(path / name, lengths[name], update)
        except DamagedError as error:
            if name in told and has_lines(path / name, told[name], update):
                lengths[name] = told[name]
                continue
            if not allow_less:
                raise DamagedError(
                    f"{error.message} Put it back as it was, or, to go on from the checkpoint of "
                    f"update {update:,} with what is left of the {WHAT[name]}, "
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
    """How many bytes each journal of a run had, by its name, when the checkpoint of `update` was saved;
    where training resumed from it with less, what was left."""

    update: int
    lengths: Mapping[str, int]

    def missing(self, path: Path, size: int | None, last: int | None) -> str | None:
        """Say which lines a journal has lost since then; None where it has lost none.

        Args:
            path: the journal.
            size: its bytes; None where there is no such file.
            last: the update of the last of its lines that can be read; None where there is none.
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
    """How long the journals of a run must be at least; None where no checkpoint tells.

    Of the checkpoints only `state.json` is read.

    Args:
        run: the run directory.
        latest: the update that the pointer `latest` names; None where it names none.
        events: those of the run, in their order.

    Raises:
        ReadError: the disk refused.
    """
    for update in reversed(saved_updates(run)):
        if latest is not None and update > latest:
            continue  # an interrupted save left it
        with suppress(DamagedError):
            state = verified_state(checkpoint_path(run, update)) or {}
            lengths = state.get("lengths")
            if isinstance(lengths, dict) and all(is_count(lengths.get(name)) for name in WHAT):
                return SavedLengths(update, {**lengths, **lengths_told(events, update)})
    return None


def lengths_told(events: Sequence[Mapping[str, Any]], update: int) -> dict[str, int]:
    """What the last events tell of how much was left when training went on from a checkpoint."""
    for event in reversed(events):
        found = event.get("update")
        if is_count(found) and found < update:
            break  # the checkpoint was saved after what was before
        lengths = event.get("lengths")
        if event.get("event") == RECORDS_LOST and found == update and isinstance(lengths, dict):
            return {name: lengths[name] for name in WHAT if is_count(lengths.get(name))}
    return {}


def require_lines(path: Path, length: int, update: int) -> None:
    """Refuse a journal whose first so many bytes do not end with a whole line that can have been written
    up to an update. Only that line is read.

    Raises:
        DamagedError: so it is.
        ReadError: the disk refused.
    """
    for line in islice(last_lines(path, kept_length(path, length)), 1):
        belongs(parse_object(line, f"the last line of {path}"), path, update)


def has_lines(path: Path, length: int, update: int) -> bool:
    """Whether a journal is as `require_lines` wants it."""
    try:
        require_lines(path, length, update)
    except DamagedError:
        return False
    return True


def belongs(line: dict[str, Any], path: Path, update: int) -> int:
    """The update of a line that can have been written up to an update.

    Raises:
        DamagedError: it cannot.
    """
    found, seconds = line.get("update"), line.get("seconds")
    if not is_count(found) or found > update:
        raise DamagedError(
            f"{path} is damaged: where the last line up to update {update:,} should be, one has the "
            f"update {shortened(found)}."
        )
    if path.name == METRICS and (type(seconds) is not float or not 0 <= seconds < MOST_SECONDS):
        raise DamagedError(f"{path} is damaged: its last record has seconds {shortened(seconds)}.")
    return found


def what_is_left(path: Path, update: int) -> tuple[int, int | None]:
    """The bytes of a damaged journal up to the last sound line that belongs to a checkpoint, and the
    update of that line; None where there is none. Every line is read, and none is kept.

    Raises:
        ReadError: the disk refused.
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
                    break  # whatever follows came later still
                last = belongs(value, path, update)
            except DamagedError:
                continue
            length = place
    return length, last


def last_seconds(path: Path, length: int) -> float:
    """The seconds of the last record in the first so many bytes; 0 where there is none.

    Raises:
        DamagedError: it is no record.
        ReadError: the disk refused.
    """
    for line in islice(last_lines(path, length), 1):
        return float(parse_object(line, f"the last line of {path}")["seconds"])
    return 0.0
