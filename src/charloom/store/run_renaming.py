"""Renames a run within its folder. Nothing is replaced. After an interruption, the run has its old or its new name."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from charloom.errors import ConfigError, RunExistsError
from charloom.formatting import shortened
from charloom.store.atomic_files import sync_directory, writing
from charloom.store.directory_contents import contents_of
from charloom.store.run_lock import hold_lock_of_whole_run
from charloom.store.run_removal import remove_leftovers
from charloom.store.whole_run import require_no_inner_run, require_whole_run
from charloom.text.sources import LONGEST_NAME


def rename_run(path: Path, name: str) -> Path:
    """Rename a run directory, which stays in the same folder. Return its new path.

    Raises:
        ConfigError: `name` is not a name for a run.
        RunExistsError: a file or a directory with this name exists.
        NotAModelError: the path is a link or not certainly a run, or another run is in the run directory.
        RunInUseError: another process trains the run.
        NewerFormatError: a later version of charloom wrote the run.
        ReadError: the disk failed while reading.
        WriteError: the directory cannot be renamed.
    """
    require_renamable(path)
    target = path.with_name(require_name(name))
    remove_leftovers(path.parent)
    with hold_lock_of_whole_run(path) as lock, writing(target):
        require_no_inner_run(path, contents_of(path))
        try:
            if os.name == "nt":
                if lock is not None:
                    lock.release()  # Windows renames no directory with an open file, so also no trained run
                path.rename(target)  # Windows does not replace a directory
            else:
                replace_new_directory(path, target)
        except FileExistsError:
            raise RunExistsError(
                f"{shortened(target)} exists already; give another name."
            ) from None
        sync_directory(path.parent)
    return target


def require_renamable(path: Path) -> None:
    """Raise an error if a run directory cannot be renamed, as `rename_run` does."""
    require_whole_run(path)
    require_no_inner_run(path, contents_of(path))


def require_name(name: object) -> str:
    """Return `name`; raise ConfigError if it cannot be the new name of a run.

    It must be the name of a directory, and not a path. It must not begin with a dot, because lists skip such
    names, or with a hyphen, because commands would take it for an option. It must have no character that
    cannot be printed, and at most LONGEST_NAME bytes in UTF-8.
    """
    if isinstance(name, str) and not name.strip():
        raise ConfigError("the new name is empty; give the name of a directory.")
    possible = (
        isinstance(name, str)
        and name[0] not in ".-"
        and name.isprintable()
        and not {"/", "\\"} & set(name)
    )
    if not possible:
        raise ConfigError(
            f"the new name is {shortened(name)}; it must be the name of a directory without / and \\, must not "
            f"begin with . or -, and every character must be printable."
        )
    if (size := len(str(name).encode())) > LONGEST_NAME:
        raise ConfigError(
            f"the new name is too long: it has {size} bytes, and at most {LONGEST_NAME} are possible; "
            f"give a shorter name."
        )
    return str(name)


def replace_new_directory(path: Path, target: Path) -> None:
    """Rename a directory to `target`, which must not exist.

    A rename would replace an empty directory that another process has just made. So the empty directory is
    made here, which fails if `target` exists. If this process is killed before the rename, the empty directory
    stays.

    Raises:
        FileExistsError: `target` exists, or another process has just put something into it.
        OSError: the directory cannot be renamed.
    """
    target.mkdir()
    try:
        path.rename(target)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
            raise FileExistsError(errno.EEXIST, error.strerror, str(target)) from error
        with suppress(OSError):  # if the rename succeeded, `target` is not empty and stays
            target.rmdir()
        raise
