"""Holds what a sandbox gives to a submission: its files, what is hidden from it, and its limits.

The settings are plain data. This module knows no processes and no operating system.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

MEGABYTE: Final = 1_000_000


class CopiedFile(NamedTuple):
    """A file that the sandbox copies into its working directory.

    Attributes:
        source: the path of the user's file.
        target: the path of the copy, relative to the working directory.
    """

    source: str
    target: str


@dataclass(frozen=True)
class SandboxSettings:
    """What a sandbox gives to a submission.

    Attributes:
        files: the files that are copied into the working directory.
        from_copies: whether the code is loaded from its copy. If False, it is loaded from where it
            is, and the copies are only there to be read and changed.
        hidden: directories whose contents the submission cannot see, where the system allows it.
        memory: largest number of bytes of memory of all processes together.
        written: largest number of bytes of all files in the sandbox together.
        open_files: largest number of open files of a process.
        processes: largest number of processes that the code may start.
    """

    files: tuple[CopiedFile, ...] = ()
    from_copies: bool = False
    hidden: tuple[str, ...] = ()
    memory: int = 2_000 * MEGABYTE
    written: int = 128 * MEGABYTE
    open_files: int = 256
    processes: int = 32


# The settings of the submission that this thread judges; None for code that the user checks alone.
CURRENT: Final[ContextVar[SandboxSettings | None]] = ContextVar("CURRENT", default=None)
# How the last submission that this thread judged was separated from the system: a kind of
# `guard.py`; "" if it is not known.
SEPARATION: Final[ContextVar[str]] = ContextVar("SEPARATION", default="")

# The limit for code that the user checks alone. It is larger, because a library for GPUs reserves much memory.
OWN_MEMORY: Final = 8_000 * MEGABYTE
# Only so many bytes and files are copied beside a function that is checked alone.
MOST_COPIED_BYTES: Final = 32 * MEGABYTE
MOST_COPIED_FILES: Final = 500
MOST_COPIED_FOLDERS: Final = 200
# Directories that are never copied: caches, and environments with their packages.
SKIPPED: Final = ("__pycache__", "node_modules", "site-packages", "__MACOSX")


def settings_for(file: Path) -> SandboxSettings:
    """Return the settings of the current submission, or those for a user's own `file`.

    The latter copies the small files beside `file`, so that the code can open them by relative paths.
    """
    given = CURRENT.get()
    return given or SandboxSettings(files=tuple(files_beside(file.parent)), memory=OWN_MEMORY)


def files_beside(folder: Path) -> list[CopiedFile]:
    """Return the plain files in `folder` and below, the smallest first, up to the limits of this module.

    Hidden files, links, caches and environments are left out.
    """
    found: list[tuple[int, Path]] = []
    folders, seen = [folder], 0
    while folders and seen < MOST_COPIED_FOLDERS:
        here, seen = folders.pop(0), seen + 1
        try:
            entries = sorted(here.iterdir())
        except OSError:
            continue
        for entry in entries[: 10 * MOST_COPIED_FILES]:
            if entry.name.startswith(".") or entry.is_symlink() or entry.name in SKIPPED:
                continue
            if entry.is_dir() and not (entry / "pyvenv.cfg").exists():
                folders.append(entry)
            elif entry.is_file():
                found.append((entry.stat().st_size, entry))
    chosen, total = [], 0
    for size, path in sorted(found)[:MOST_COPIED_FILES]:
        total += size
        if total > MOST_COPIED_BYTES:
            break
        chosen.append(CopiedFile(str(path), str(path.relative_to(folder))))
    return chosen
