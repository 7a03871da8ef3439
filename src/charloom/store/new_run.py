"""Checks that a path is free before a run is created there.

This module does not change anything on the disk.
"""

from pathlib import Path
from typing import Final

from charloom.errors import RunExistsError
from charloom.messages import argument, command
from charloom.run_file_names import (
    CHECKPOINTS,
    CONFIG,
    CONTROL,
    EVENTS,
    GRADCHECK,
    LATEST,
    LEARNING_RATES,
    LOCK,
    METRICS,
    SAMPLES,
    STATUS,
    TEXT,
)
from charloom.store.atomic_files import file_above, reading
from charloom.store.control_files import read_status
from charloom.store.damage import Damage, attempt
from charloom.store.lost_checkpoints import trained_update
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.run_checkpoints import read_pointer
from charloom.store.run_directory import is_run
from charloom.store.run_lock import unless_in_use
from charloom.store.run_settings import read_settings
from charloom.temporary_names import TEMPORARY

# The names of files that the interrupted creation of a run may have left. BEFORE_CONFIG: no config.json
# was written before the interruption. BEFORE_TRAINING: config.json was written, but no update was done.
BEFORE_CONFIG: Final = frozenset({LOCK, TEXT, CHECKPOINTS})
BEFORE_TRAINING: Final = BEFORE_CONFIG | {
    CONFIG, METRICS, SAMPLES, EVENTS, GRADCHECK, LEARNING_RATES, STATUS, CONTROL
}  # fmt: skip
FIRST_CHECKPOINT: Final = "0"


def require_free(path: Path) -> None:
    """Raise an error if a new run cannot be created at a path.

    Raises:
        RunExistsError: the path is a file, or a directory with a run or with other files; or a file is
            where a parent directory of the path should be.
        NewerFormatError: a later version of charloom wrote a run at the path.
        RunInUseError: another process is creating a run at the path.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        refuse_file_above(path)
        refuse_newer_run(path)
        with unless_in_use(path):
            refuse_existing(path)


def refuse_existing(path: Path) -> None:
    """Raise RunExistsError if `path` is a file, or a directory with a run or with other files.

    A directory that is empty, or that an interrupted creation of a run left, is accepted.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise RunExistsError(
            f"{path} is a file; give {argument('run')} a directory that does not exist yet."
        )
    if is_run(path) and attempt(lambda: read_pointer(path, LATEST)) is not None:
        raise RunExistsError(
            f"{path} already contains a run: continue it with {command('resume', path)}, "
            f"or give another {argument('run')}."
        )
    learned = trained_update(path, read_status(path)) if is_run(path) else 0
    if learned:
        raise RunExistsError(
            f"{path} contains the records of a run up to update {learned:,}, but its checkpoints are "
            f"missing; give another {argument('run')}."
        )
    if not is_interrupted_creation(path):
        raise RunExistsError(
            f"{path} exists and contains other files; give {argument('run')} a directory that does not "
            f"exist yet."
        )


def refuse_file_above(path: Path) -> None:
    """Raise RunExistsError if a file is where a parent directory of `path` should be."""
    above = file_above(path)
    if above is not None:
        raise RunExistsError(
            f"{argument('run')} is {path}, but {above} is a file, not a directory; give "
            f"{argument('run')} a place in a directory."
        )


def is_interrupted_creation(path: Path) -> bool:
    """Return True if a directory is empty or has only files that an interrupted creation of a run left.

    If charloom did not write the config.json in the directory, the result is False.
    """
    names, folder = lasting_names(path), path / CHECKPOINTS
    saved: set[str] = set()
    if CHECKPOINTS in names:
        if folder.is_symlink() or not folder.is_dir():
            return False
        saved = lasting_names(folder)
    if CONFIG in names:
        expected = names <= BEFORE_TRAINING and saved <= {FIRST_CHECKPOINT}
        return expected and not isinstance(attempt(lambda: read_settings(path)), Damage)
    return names <= BEFORE_CONFIG and not saved and (LOCK in names or TEXT not in names)


def lasting_names(path: Path) -> set[str]:
    """Return the names of the files and directories in a directory, except temporary ones."""
    return {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)}
