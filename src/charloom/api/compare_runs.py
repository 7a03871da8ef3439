"""Finds the runs that a user wants to compare, and compares them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from charloom.api.compared_run import read_compared_run
from charloom.api.comparison_intervals import Waiting, evaluate_runs, no_waiting
from charloom.api.model import run_around
from charloom.api.python_warnings import warn_user
from charloom.api.run_comparison import RunComparison
from charloom.api.text_arguments import as_path
from charloom.errors import ConfigError, NotAModelError
from charloom.formatting import shortened
from charloom.store.intact_checkpoints import IntactCheckpoints
from charloom.store.run_directory import is_run
from charloom.store.run_list import run_paths


def compare(*runs: str | Path, intervals: bool = True) -> RunComparison:
    """Compare runs: the settings that differ, the bits per character with intervals, and the seconds.

    A terminal and a notebook show the result as a table; its method `save_picture` draws all curves into one picture.
    Runs may be unfinished, damaged, or of different texts: the notes of the result say so.

    Args:
        runs: at least two run directories, or a folder that holds runs.
        intervals: evaluate the model of each run on its whole validation part, for the 95 % interval of its bits
            and of the difference to the best run. Without, nothing is evaluated, and the bits are those that the
            runs recorded.

    Raises:
        ConfigError: there are fewer than two runs, or a path is not valid.
        NotAModelError: a path is neither a run nor a folder that holds runs.
        ReadError: the system refuses to say whether a path exists.
    """
    unread: list[str] = []
    paths = paths_to_compare([as_path(run, "runs") for run in runs], unread)
    for message in unread:
        warn_user(message)
    return comparison_of(paths, intervals)


def comparison_of(
    paths: Sequence[Path],
    intervals: bool,
    waiting: Waiting = no_waiting,
    known: IntactCheckpoints | None = None,
) -> RunComparison:
    """Return the comparison of the runs at `paths`.

    Args:
        paths: the run directories.
        intervals: evaluate the model of each run on its validation part.
        waiting: shows a sentence while a model is evaluated.
        known: checkpoints that are known to be intact and not checked again; None checks all.
    """
    runs = [read_compared_run(path, known) for path in paths]
    if not intervals:
        problems = {
            n: run.start_problem for n, run in enumerate(runs) if run.start_problem and run.judged
        }
        return RunComparison(runs, [None] * len(runs), problems)
    return RunComparison(runs, *evaluate_runs(runs, waiting))


def paths_to_compare(given: Iterable[Path], unread: list[str]) -> list[Path]:
    """Return the run directories that `given` name, each once, with those in folders.

    Args:
        given: run directories, and folders that hold runs.
        unread: a list to which a sentence about each folder that cannot be read is added.

    Raises:
        ConfigError: there are fewer than two runs.
        NotAModelError: a path is neither a run nor a folder that holds runs.
        ReadError: the system refuses to say whether a path exists.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for run in runs_at(path, unread):
            found.setdefault(run.resolve(), run)
    if len(found) < 2:
        only = "" if not found else f" There is only {shortened(next(iter(found.values())))}."
        raise ConfigError(
            f"a comparison needs at least two runs; give run directories, or a folder that holds runs.{only}"
        )
    return list(found.values())


def runs_at(path: Path, unread: list[str]) -> Iterator[Path]:
    """Yield the run at a path, or the runs in the folder at it; raise NotAModelError if there is none."""
    found = [path] if is_run(path) else []
    if not found and path.is_dir():
        found = list(run_paths(path, unread))
    if not found and (run := run_around(path)) is not None:
        raise NotAModelError(
            f"{shortened(path)} is a checkpoint of the run {shortened(run)}; a comparison reads whole runs. To compare "
            f"checkpoints, evaluate each of them."
        )
    if not found:
        problem = "is not a run, and holds none" if path.exists() else "does not exist"
        raise NotAModelError(
            f"{shortened(path)} {problem}; give a run directory, or a folder that holds runs."
        )
    yield from found
