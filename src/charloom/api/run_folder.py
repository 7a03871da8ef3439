"""Lists, removes and renames runs, for users of Python."""

import time
from pathlib import Path
from typing import Final

from charloom.api.python_warnings import warn_user
from charloom.api.run_rows import HEADS, LEFT, row_of
from charloom.api.text_arguments import as_path
from charloom.formatting import count, counted
from charloom.formatting import table as text_table
from charloom.messages import for_python, quoted
from charloom.notebook_html import card, sentence, table
from charloom.run_file_names import RUNS
from charloom.store import RunSummary, list_runs, plan_removal
from charloom.store import remove_run as remove_planned
from charloom.store import rename_run as rename_in_folder

MOST_PROBLEMS: Final = 10  # that a notebook shows
MOST_ROWS: Final = 20  # that a terminal shows


class RunTable(list[RunSummary]):
    """The runs in a folder. A terminal and a notebook show them as a table."""

    def __repr__(self) -> str:
        """Return the number of runs, and lines with a row for each of the first MOST_ROWS runs."""
        now = time.time()
        rows = [row_of(run, quoted(run.path), now) for run in self[:MOST_ROWS]]
        more = len(self) - len(rows)
        return "\n".join(
            [
                counted(len(self), "run"),
                *(text_table(HEADS, rows, LEFT) if rows else ()),
                *([f"… and {count(more)} more"] if more else ()),
            ]
        )

    def _repr_html_(self) -> str:
        """Return a table with a row for each run, and the problems of their files, as HTML for a notebook."""
        now = time.time()
        rows = [row_of(run, str(run.path), now) for run in self]
        problems = [sentence(for_python(problem)) for run in self for problem in run.problems]
        shown = table(HEADS, rows) if rows else ""
        return card(counted(len(self), "run"), shown, *problems[:MOST_PROBLEMS])


def runs(folder: str | Path = RUNS) -> list[RunSummary]:
    """Return the runs in a folder and its subfolders, down to three levels; the latest first.

    A terminal and a notebook show them as a table. For each run, the checkpoints `latest` and `best` are checked, and
    the records are read. The default folder need not exist. A folder that cannot be read gives a warning.

    Args:
        folder: the folder that holds the runs, or a run.

    Raises:
        NotAModelError: `folder` does not exist or is a file.
        ReadError: the system refuses to say whether `folder` exists.
        ConfigError: `folder` is not a valid path.
    """
    path = as_path(folder, "folder")
    found = list_runs(None if path == RUNS else path)
    for message in found.unread:
        warn_user(message)
    return RunTable(found.runs)


def remove_run(run: str | Path) -> None:
    """Delete a run directory with all that is in it. This does not ask, and cannot be undone.

    Links in the directory are deleted and not followed. An interruption leaves either the whole run or nothing
    that looks like a run.

    Raises:
        NotAModelError: `run` is a link or not certainly a run, or another run is in the run directory.
        RunInUseError: another process trains the run, or changed it meanwhile.
        NewerFormatError: a later version of charloom wrote the run.
        ReadError: a part of the run cannot be read.
        WriteError: the run cannot be removed, or not completely; the message says which.
    """
    remove_planned(plan_removal(as_path(run, "run")))


def rename_run(run: str | Path, name: str) -> Path:
    """Rename a run directory, which stays in the same folder. Return its new path.

    Args:
        run: the run directory.
        name: its new name, without a path.

    Raises:
        ConfigError: `name` is not a name for a run.
        RunExistsError: a file or a directory with this name exists.
        NotAModelError: `run` is a link or not certainly a run, or another run is in the run directory.
        RunInUseError: another process trains the run.
        NewerFormatError: a later version of charloom wrote the run.
        ReadError: the disk failed while reading.
        WriteError: the directory cannot be renamed.
    """
    return rename_in_folder(as_path(run, "run"), name)
