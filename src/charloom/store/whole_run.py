"""Checks that a directory is a run that may be renamed or removed as a whole.

A wrong answer costs the user's files, so these checks are stricter than those for reading a run.
"""

from pathlib import Path

from charloom.errors import NotAModelError, RunInUseError
from charloom.formatting import shortened
from charloom.run_file_names import CONFIG
from charloom.store.atomic_files import reading
from charloom.store.directory_contents import DirectoryContents
from charloom.store.run_directory import is_run
from charloom.store.run_inspection import RunHead, inspect_head
from charloom.store.run_lock import is_trained, stop_first


def require_whole_run(path: Path) -> RunHead:
    """Return the contents of the small files of a run that may be renamed or removed.

    Raises:
        NotAModelError: the path does not exist, is a link, does not end with a name, or is not certainly a run.
        RunInUseError: another process trains the run.
        NewerFormatError: a later version of charloom wrote the run.
        ReadError: the disk failed while reading.
    """
    if path.name in ("", ".."):
        raise NotAModelError(
            f"{shortened(path)} does not end with the name of a run; give the run's directory by its name."
        )
    with reading(path):
        if path.is_symlink():
            raise NotAModelError(
                f"{shortened(path)} is a link; links are not followed. Give the directory to which it leads."
            )
        exists = path.exists()
    if not exists:
        raise NotAModelError(f"{shortened(path)} does not exist; give the directory of a run.")
    if not is_run(path):
        raise NotAModelError(
            f"{shortened(path)} is not a run directory: it has no {CONFIG} of a run."
        )
    head = inspect_head(path)
    require_certain(head)
    if is_trained(path):
        raise RunInUseError(stop_first(path))
    return head


def require_no_inner_run(path: Path, contents: DirectoryContents) -> None:
    """Raise NotAModelError if another run is in a run directory with these contents.

    A process may train the inner run. Its files would be removed, or its path would change.
    """
    for directory in contents.directories:
        if directory != path and is_run(directory):
            raise NotAModelError(
                f"{shortened(path)} contains another run, {shortened(directory)}; move or remove that run first."
            )


def require_certain(head: RunHead) -> None:
    """Raise NotAModelError if a directory with a file config.json may not be a run.

    Other programs have files with this name. If config.json has no settings of a run, perhaps because it is
    damaged, the directory must have a status or a checkpoint of a run.
    """
    if head.found_settings is None and head.status is None and not head.checkpoints.updates:
        raise NotAModelError(
            f"{shortened(head.path)} may not be a run: its {CONFIG} has no settings of a run, and it has "
            f"neither a status nor a checkpoint."
        )
