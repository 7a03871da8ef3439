"""Removes runs: first a plan, which can be shown to the user, then the removal.

An interruption leaves either the whole run or nothing that looks like a run: the directory is first renamed
to a hidden name, which is atomic, and then deleted. Links are deleted and not followed.
"""

import os
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charloom.errors import RunInUseError, WriteError
from charloom.formatting import shortened
from charloom.run_file_names import (
    CHECKPOINTS,
    CONFIG,
    CONTROL,
    DAMAGED_EVENTS,
    EVENTS,
    GRADCHECK,
    LEARNING_RATES,
    LEARNING_RATES_PNG,
    LEARNING_RATES_SVG,
    LOCK,
    LOSS_PNG,
    LOSS_SVG,
    METRICS,
    PASSAGE,
    REPORT,
    SAMPLES,
    STATUS,
    TEXT,
)
from charloom.store.atomic_files import reading, sync_directory, writing
from charloom.store.directory_contents import DirectoryContents, contents_of
from charloom.store.run_inspection import RunHead
from charloom.store.run_lock import hold_lock_of_whole_run
from charloom.store.whole_run import require_no_inner_run, require_whole_run
from charloom.temporary_names import REMOVED, TEMPORARY

# The names of the files and directories that charloom writes into a run directory.
OUR_NAMES: Final = frozenset({
    CHECKPOINTS, CONFIG, CONTROL, DAMAGED_EVENTS, EVENTS, GRADCHECK, LEARNING_RATES, LEARNING_RATES_PNG,
    LEARNING_RATES_SVG, LOCK, LOSS_PNG, LOSS_SVG, METRICS, PASSAGE, REPORT, SAMPLES, STATUS, TEXT,
})  # fmt: skip
# A directory that another process deletes too is tried this many times.
DELETIONS: Final = 10
REMOVED_NAME: Final = re.compile(re.escape(REMOVED) + "[0-9a-f]{16}")


@dataclass(frozen=True)
class RunRemoval:
    """A run that can be removed, as it was when the removal was planned.

    Attributes:
        head: the contents of the small files of the run.
        contents: the number and the size of all its files.
        others: the sorted names of files and directories in the run directory that charloom did not write.
            They are removed too.
    """

    head: RunHead
    contents: DirectoryContents
    others: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.head.path


def plan_removal(path: Path) -> RunRemoval:
    """Return what the removal of a run would remove. Change nothing.

    Raises:
        NotAModelError: the path is a link or not certainly a run, or another run is in the run directory.
        RunInUseError: another process trains the run.
        NewerFormatError: a later version of charloom wrote the run.
        ReadError: a part of the run cannot be read.
        WriteError: a directory of the run cannot be written, so the run could be removed only in part.
    """
    head = require_whole_run(path)
    contents = contents_of(path)
    require_removable(path, contents)
    return RunRemoval(head, contents, other_names(path))


def require_removable(path: Path, contents: DirectoryContents) -> None:
    """Raise an error if a run directory with these contents cannot be removed as a whole.

    Raises:
        NotAModelError: another run is in the run directory.
        ReadError: the disk failed while reading.
        WriteError: a directory of the run cannot be written.
    """
    require_no_inner_run(path, contents)
    for directory in contents.directories:
        if not os.access(directory, os.W_OK | os.X_OK):
            raise WriteError(
                f"{shortened(path)} cannot be removed: you may not write in {shortened(directory)}. Change its "
                f"permissions first."
            )


def other_names(path: Path) -> tuple[str, ...]:
    """Return the sorted names of the files and directories in a run directory that charloom did not write."""
    with reading(path):
        names = sorted(entry.name for entry in path.iterdir())
    return tuple(name for name in names if name not in OUR_NAMES and not name.startswith(TEMPORARY))


def remove_run(removal: RunRemoval) -> None:
    """Remove a run. Also delete what interrupted removals left in the same folder.

    Raises:
        RunInUseError: another process trains the run. Or since the removal was planned, a file that shows the
            training was changed, or a file or directory that charloom did not write came into the run directory.
        NotAModelError: the run directory was replaced by something else, or another run is now in it.
        ReadError: the disk failed while reading.
        WriteError: the directory cannot be renamed, and the run is unchanged; or the directory was renamed
            to a hidden name and could not be deleted completely. Then the next removal deletes the rest.
    """
    path = removal.path
    remove_leftovers(path.parent)
    require_whole_run(path)
    with hold_lock_of_whole_run(path) as lock:
        require_as_planned(removal)
        hidden = path.with_name(REMOVED + secrets.token_hex(8))
        with writing(path):
            if os.name == "nt" and lock is not None:
                lock.release()  # Windows renames no directory with an open file, so also no trained run
            hide(path, hidden)
        problem = delete_hidden(hidden)
    if problem is not None:
        raise WriteError(
            f"{shortened(path)} is removed, but a part of it remains in {shortened(hidden)}: {problem}. The next "
            f"removal of a run in the same folder tries to delete it again."
        )


def hide(path: Path, hidden: Path) -> None:
    """Rename a run directory to its hidden name, and flush the new name to the disk.

    Without the flush, a power cut could leave the old name with only a part of the files. So the directory gets
    its old name again if the flush fails.

    Raises:
        OSError: the directory cannot be renamed, or the name cannot be flushed.
    """
    path.rename(hidden)
    try:
        sync_directory(path.parent)
    except OSError:
        with suppress(OSError):
            hidden.rename(path)
        raise


def require_as_planned(removal: RunRemoval) -> None:
    """Raise RunInUseError if the run contains work that it did not contain when the removal was planned.

    Raises:
        NotAModelError: another run is now in the run directory.
    """
    path = removal.path
    require_removable(path, contents_of(path))
    added = sorted(set(other_names(path)) - set(removal.others))
    if changed := removal.head.changed_files() + added:
        raise RunInUseError(
            f"{shortened(path)} is not removed: since the removal was planned, another process changed or added "
            f"{', '.join(map(shortened, changed))}. Look at the run again."
        )


def remove_leftovers(folder: Path) -> None:
    """Delete what interrupted removals left in a folder. What cannot be deleted stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        leftovers = [entry for entry in entries if REMOVED_NAME.fullmatch(entry.name)]
        for entry in leftovers:
            if entry.is_dir(follow_symlinks=False):
                delete_hidden(Path(entry.path))


def delete_hidden(directory: Path) -> str | None:
    """Delete a renamed run directory. Return why a part of it could not be deleted; None if nothing is left.

    Another process that cleans up the folder may be deleting the same directory.
    """
    if directory.is_symlink():
        return "it is a link"  # the link was put in the place of the run after the run was checked
    with suppress(OSError):
        (directory / CONFIG).unlink()  # first, so that the rest does not look like a run
    shutil.rmtree(directory, ignore_errors=True)
    for _ in range(DELETIONS):
        if not os.path.lexists(directory):
            break
        try:
            shutil.rmtree(directory)  # again, for the reason
        except FileNotFoundError:
            continue  # the other process has just deleted a part
        except OSError as error:
            return error.strerror or str(error)
    return None
