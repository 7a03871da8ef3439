"""Summarizes a run for a list: its state, network, updates, best loss, size and age.

The summary writes nothing, and another process may be training the run.
"""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charloom.config import Config
from charloom.errors import CharloomError, NewerFormatError, ReadError, UnregisteredCellError
from charloom.formatting import bits_per_character
from charloom.run_file_names import CONFIG, LOCK, METRICS, SAMPLES
from charloom.store.atomic_files import reading
from charloom.store.control_files import AT_WORK, OVER
from charloom.store.directory_contents import contents_of
from charloom.store.journal_lines import is_record, is_sample
from charloom.store.journal_objects import sound_objects
from charloom.store.run_inspection import RunInspection, inspect_run
from charloom.store.run_lock import is_fresh, is_trained
from charloom.store.training_loss import TrainingLoss

# States that status.json does not have.
STARTING: Final = "starting"
DAMAGED_RUN: Final = "damaged"
NEWER_RUN: Final = "newer"
UNREADABLE_RUN: Final = "unreadable"


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a list of runs shows about a run. A value that is not known is None.

    Attributes:
        path: the run directory.
        state: "training", "paused", "finished", "interrupted", "stopped" or "failed", as in status.json;
            "interrupted" also if the process that trained the run was killed; "starting" if a process
            creates the run; "damaged" if config.json cannot be read; "newer" if a later version of charloom
            wrote the run; "unreadable" if the disk or the system refuses to read it, or if its cell is not
            registered.
        reason: why the run ended, or a problem that does not end training, as in status.json.
        problems: sentences about files of the run that are damaged or cannot be read. The run may still be
            usable.
        config: the settings of the run.
        update: number of updates done so far.
        updates: number of updates of the whole run.
        best_nats: the validation loss of the best checkpoint in nats per character (or byte). In a run without a
            validation part, it is the training loss of the run (`TrainingLoss`).
        bytes: the size of all files of the run in bytes.
        changed: when the run last changed, in Unix time in seconds.
    """

    path: Path
    state: str
    reason: str | None = None
    problems: tuple[str, ...] = ()
    config: Config | None = None
    update: int | None = None
    updates: int | None = None
    best_nats: float | None = None
    bytes: int | None = None
    changed: float | None = None

    @property
    def best_bits(self) -> float | None:
        """`best_nats` in bits per character (or byte)."""
        return None if self.best_nats is None else bits_per_character(self.best_nats)

    @property
    def best_on(self) -> str | None:
        """What `best_nats` was computed on: "validation" or "training"."""
        if self.config is None or self.best_nats is None:
            return None
        return "validation" if self.config.validation else "training"

    @property
    def network(self) -> str | None:
        """The cell, layers and hidden units, such as "lstm 2x256"."""
        config = self.config
        return None if config is None else f"{config.cell} {config.layers}x{config.hidden_size}"


def summarize_run(path: Path) -> RunSummary:
    """Return the summary of a run. Damage is described in its `problems` and raises no error.

    The checkpoints `latest` and `best` are read and checked, and the records and samples are read.
    """
    size, changed = size_of_run(path), changed_of_file(path / CONFIG)
    try:
        return summary_of(inspect_run(path), size, changed)
    except CharloomError as error:
        states: dict[type, str] = {
            NewerFormatError: NEWER_RUN,
            ReadError: UNREADABLE_RUN,
            UnregisteredCellError: UNREADABLE_RUN,
        }
        state = states.get(type(error), DAMAGED_RUN)
        problems = (error.message,)
        return RunSummary(path=path, state=state, problems=problems, bytes=size, changed=changed)


def summary_of(inspection: RunInspection, size: int | None, changed: float | None) -> RunSummary:
    """Return the summary of an inspected run.

    Args:
        inspection: the inspection of the run.
        size: the size of all files of the run in bytes; None if it is not known.
        changed: when config.json was last written, in Unix time; None if it is not known.

    Raises:
        ReadError: the disk failed while reading the records or the samples.
    """
    status, settings = inspection.status, inspection.found_settings
    damage = list(inspection.damage)
    best_nats = loss_of_best(inspection, damage)
    times = [changed, None if status is None else status.heartbeat]
    state = state_of(inspection)
    if settings is None:
        state = DAMAGED_RUN
        damage.insert(0, inspection.problems[CONFIG].message)
    return RunSummary(
        path=inspection.path,
        state=state,
        reason=None if status is None else status.reason,
        problems=tuple(dict.fromkeys(damage)),
        config=None if settings is None else settings.config,
        update=inspection.latest if status is None else status.update,
        updates=updates_of(inspection),
        best_nats=best_nats,
        bytes=size,
        changed=max((time for time in times if time is not None), default=None),
    )


def state_of(inspection: RunInspection) -> str:
    """Return the state of a run (`RunSummary.state`) from its status, its events and its lock."""
    path, status = inspection.path, inspection.status
    if is_trained(path) or (status is not None and is_fresh(status) and not can_lock(path)):
        return status.state if status is not None and status.state in AT_WORK else STARTING
    if status is not None:
        return "interrupted" if status.state in AT_WORK else status.state
    last = inspection.events[-1]["event"] if inspection.events else None
    return last if last in OVER else "interrupted"


def can_lock(path: Path) -> bool:
    """Return True if this process may use the lock file of a run, which shows whether it is trained."""
    return os.access(path / LOCK, os.W_OK)


def updates_of(inspection: RunInspection) -> int | None:
    """Return the number of updates of the whole run; None if the settings and the status are damaged."""
    if inspection.status is not None:
        return inspection.status.updates
    return None if inspection.found_settings is None else inspection.updates


def loss_of_best(inspection: RunInspection, damage: list[str]) -> float | None:
    """Return the loss of a run in nats per character, from its records.

    This is the validation loss of the best checkpoint, or the training loss of a run without a validation part.
    Return None if the run has no validation loss of a best checkpoint, or no record. Messages about damaged and lost records and samples
    are added to `damage`.

    Raises:
        ReadError: the disk failed while reading.
    """
    path, messages, best, training = inspection.path, list[str](), None, TrainingLoss()
    if inspection.latest is None and not (path / METRICS).exists():
        return None  # the run is being created
    for record in sound_objects(path / METRICS, is_record, messages, saved=inspection.lengths):
        if record["update"] == inspection.best:
            best = record.get("validation_nats")
        fields = (record[name] for name in ("update", "epoch", "characters", "train_nats"))
        training.add(*fields)
    deque(sound_objects(path / SAMPLES, is_sample, messages, saved=inspection.lengths), maxlen=0)
    damage += messages
    settings = inspection.found_settings
    return best if settings is None or settings.config.validation else training.nats


def size_of_run(path: Path) -> int | None:
    """Return the size of all files of a run in bytes; None if a part of it cannot be read."""
    try:
        return contents_of(path).bytes
    except ReadError:
        return None


def changed_of_file(path: Path) -> float | None:
    """Return when a file was last changed, in Unix time; None if this cannot be read."""
    try:
        with reading(path):
            return path.stat().st_mtime
    except ReadError:
        return None
