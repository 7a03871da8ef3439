"""Lists the runs in a folder, as `charloom runs` shows them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charloom.errors import NotAModelError, ReadError
from charloom.formatting import shortened
from charloom.run_file_names import RUNS, RUNS_DEPTH
from charloom.store.atomic_files import reading
from charloom.store.run_directory import is_run
from charloom.store.run_summary import RunSummary, summarize_run


@dataclass(frozen=True)
class RunList:
    """The runs in a folder.

    Attributes:
        runs: the summaries of the runs, the latest first.
        unread: sentences about folders that could not be read.
    """

    runs: tuple[RunSummary, ...]
    unread: tuple[str, ...]


def list_runs(folder: Path | None = None) -> RunList:
    """Return the runs in a folder and its subfolders, down to three levels. Names that begin with a dot are skipped.

    Args:
        folder: the folder. If it is itself a run, the result has only this run. None means the default folder; if
            that does not exist, the result is empty.

    Raises:
        NotAModelError: `folder` does not exist or is a file.
        ReadError: the system refuses to say whether `folder` exists.
    """
    by_default, folder = folder is None, folder or RUNS
    with reading(folder):
        if by_default and not folder.exists():
            return RunList((), ())
        found = folder.is_dir()
    if not found:
        problem = "is a file" if os.path.lexists(folder) else "does not exist"
        raise NotAModelError(
            f"{shortened(folder)} {problem}; give the folder that holds your runs."
        )
    unread = list[str]()
    runs = map(summarize_run, run_paths(folder, unread))
    return RunList(tuple(sorted(runs, key=latest_first)), tuple(unread))


def latest_first(run: RunSummary) -> tuple[float, str]:
    """Return the key by which runs are sorted: by their last change, and equal ones by name.

    Runs whose last change is not known come last.
    """
    return -(run.changed or 0.0), str(run.path)


def run_paths(folder: Path, unread: list[str], depth: int = RUNS_DEPTH + 1) -> Iterator[Path]:
    """Yield the paths of the runs in a folder, sorted by name; the folder itself if it is a run.

    Args:
        folder: the folder to search.
        unread: a list to which a sentence about each folder that cannot be read is added.
        depth: how many levels are searched, including `folder` itself.
    """
    try:
        if is_run(folder):
            yield folder
            return
        names = subfolders(folder) if depth > 1 else []
    except ReadError as error:
        unread.append(error.message)
        return
    for name in names:
        yield from run_paths(folder / name, unread, depth - 1)


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in a folder, also behind links, without names with a dot in front.

    Raises:
        ReadError: the folder cannot be read.
    """
    with reading(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    return sorted(name for name in names if may_be_folder(folder / name))


def may_be_folder(path: Path) -> bool:
    """Return True if a path is a folder, or if the system refuses to say whether it is one.

    Such a path is then searched, which reports why it cannot be read.
    """
    try:
        return path.is_dir()
    except PermissionError:
        return True
