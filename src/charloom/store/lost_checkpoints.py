"""Distinguishes a run whose checkpoints were lost from a run that has not saved a checkpoint yet.

The records and the status of a run show up to which update the run was trained.
"""

from contextlib import suppress
from pathlib import Path

from charloom.errors import DamagedError
from charloom.messages import argument
from charloom.run_file_names import CHECKPOINTS, LATEST, METRICS
from charloom.store.control_files import Status
from charloom.store.damage import Damage
from charloom.store.journal_tail import last_lines
from charloom.store.json_format import parse_object
from charloom.store.json_numbers import is_count
from charloom.store.run_checkpoints import RunCheckpoints


def trained_update(path: Path, status: Status | None) -> int:
    """Return the last update of a run according to its records and status; 0 if neither has an update.

    The checkpoints are not read.

    Args:
        path: the run directory.
        status: the run's status; None if it is missing or damaged.
    """
    return max(last_recorded(path), 0 if status is None else status.update)


def last_recorded(path: Path) -> int:
    """Return the update of a run's last valid record; 0 if the run has no valid record."""
    # If metrics.jsonl is not a plain file, the run has no valid record.
    with suppress(DamagedError):
        for line in last_lines(path / METRICS):
            with suppress(DamagedError):
                if is_count(found := parse_object(line, METRICS).get("update")):
                    return found
    return 0


def why_no_latest(path: Path, checkpoints: RunCheckpoints, status: Status | None) -> Damage:
    """Return a `Damage` that says why a run has no file `latest`.

    Its attribute `missing` is True if the run has not saved a checkpoint yet.

    Args:
        path: the run directory.
        checkpoints: the run's checkpoints.
        status: the run's status; None if it is missing or damaged.
    """
    if max(checkpoints.updates, default=0) > 0:
        return Damage(f"{path} is damaged: {path / CHECKPOINTS / LATEST} is missing.")
    learned = trained_update(path, status)
    if learned:
        return Damage(
            f"{path} was trained up to update {learned:,}, but its checkpoints are missing: there are none "
            f"in {path / CHECKPOINTS}. Restore them from a copy, or train again with another "
            f"{argument('run')}."
        )
    return Damage(
        f"{path} has no checkpoint yet. If it is being created, wait a moment; if its creation was "
        f"interrupted, train again with the same {argument('run')}.",
        missing=True,
    )


def intact_checkpoint(checkpoints: RunCheckpoints) -> str:
    """Return a sentence that names the newest intact checkpoint of a run; "" if no checkpoint is intact."""
    newest = checkpoints.newest_intact()
    if newest is None:
        return ""
    return f"An intact checkpoint is {checkpoints.path(newest.learner.update)}."
