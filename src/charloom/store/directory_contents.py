"""Measures a directory: its files, their size in bytes, and its subdirectories. Links are not followed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charloom.store.atomic_files import reading


@dataclass(frozen=True)
class DirectoryContents:
    """What a directory contains.

    Attributes:
        files: number of files and links in the directory and its subdirectories.
        bytes: the sum of their sizes; a link counts with its own size.
        directories: the directory itself and all its subdirectories.
    """

    files: int
    bytes: int
    directories: tuple[Path, ...]


def contents_of(path: Path) -> DirectoryContents:
    """Return what a directory contains. Files that another process removes meanwhile are not counted.

    Raises:
        ReadError: a subdirectory cannot be read.
    """
    with reading(path):
        directories = list(_directories(path))
        sizes = [size for directory in directories for size in _sizes(directory)]
    return DirectoryContents(len(sizes), sum(sizes), tuple(directories))


def _directories(path: Path) -> Iterator[Path]:
    """Yield a directory and all its subdirectories."""
    yield path
    for entry in _entries(path):
        if entry.is_dir(follow_symlinks=False):
            yield from _directories(Path(entry.path))


def _sizes(directory: Path) -> Iterator[int]:
    """Yield the size in bytes of each file and link in a directory, without its subdirectories."""
    for entry in _entries(directory):
        if not entry.is_dir(follow_symlinks=False):
            try:
                yield entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a directory; an empty list if the directory no longer exists."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
