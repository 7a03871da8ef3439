"""The directory of a sandbox: the working directory with copies of the user's files, a home, a place for temporary files."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from charloom.diagnosis.sandbox_settings import CopiedFile


class Box(NamedTuple):
    """The directories of a sandbox.

    Attributes:
        work: the working directory.
        home: the home directory.
        temporary: the directory for temporary files.
    """

    work: Path
    home: Path
    temporary: Path


def box_of(folder: Path) -> Box:
    """Return the directories of the sandbox in `folder`; they need not exist yet."""
    return Box(folder / "work", folder / "home", folder / "tmp")


def fill(folder: Path, files: Iterable[CopiedFile]) -> None:
    """Make the directories of the sandbox in `folder`, and copy `files` into the working directory.

    A file that cannot be read is left out. The copies can be changed, whatever the permissions of
    the original files are.
    """
    box = box_of(folder)
    for path in box:
        path.mkdir(parents=True, exist_ok=True)
    for source, target in files:
        path = box.work / target
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)


def bytes_below(folder: Path) -> int:
    """Return the size of all files in `folder` and below."""
    total, todo = 0, [str(folder)]
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total
