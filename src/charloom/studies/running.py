"""The function `study` of the Python interface: runs a study, and returns its results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from charloom.api.text_arguments import as_path
from charloom.config import require_whole
from charloom.cpu_limits import processors
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.studies.one_study import Study, begin_study, open_study
from charloom.studies.study_progress import StudyProgress
from charloom.studies.summary import StudySummary, summarize
from charloom.training.stop_signals import Halt


def study(
    spec: str | Path | Mapping[str, Any],
    directory: str | Path | None = None,
    *,
    workers: int | None = None,
    change: bool = False,
    retry: bool = False,
    on: Any = None,
    progress: Callable[[StudyProgress], object] = lambda _: None,
) -> StudySummary:
    """Train the runs of a study, each on one core, and return their results.

    A study that was interrupted continues: runs that have a result are not trained again. Each run has the same
    bits as `charloom.train` with its settings and threads=1.

    Args:
        spec: the path of a specification in TOML, the same contents as a dict, or the directory of a study
            that exists. docs/guides/study.md explains the specification. Lists in a dict may also be tuples, ranges or
            NumPy arrays.
        directory: the directory of the study; by default studies/NAME, after the name of the file, or for a dict
            after its text and the settings that it varies, such as studies/book-hidden_size.
        workers: number of processes; by default one for each processor.
        change: give a study that exists the specification `spec`; runs that both have keep their results.
        retry: train the failed runs once more.
        on: the address of a Dask scheduler, such as "tcp://10.0.0.1:8786", or a cluster or client of Dask; by default
            the study runs on this machine.
        progress: called at the beginning, and each time that some runs are done.

    Ctrl-C lets long runs save a checkpoint, and then raises KeyboardInterrupt.

    Raises:
        ConfigError: the specification is not valid, or the settings of a run are not; or `spec` is the directory of a
            study, and another `directory` or `change` is given.
        MissingPartError: the study is a search or runs on Dask, and the package for it is not installed.
        TextError: a text is missing, empty or too short.
        StudyError: the directory holds a study with another specification, or the worker processes fail.
        NotAModelError: `spec` is a directory without a study.
        WriteError: a file cannot be written.
    """
    found = prepare(spec, directory, change)
    count = processors() if workers is None else require_whole("workers", workers, least=1)
    with Halt() as halt:
        for step in found.train(count, halt, retry, on=on):
            progress(step)
    halt.raise_received()
    return summarize(found)


def prepare(
    spec: str | Path | Mapping[str, Any], directory: str | Path | None = None, change: bool = False
) -> Study:
    """Return the study of `study`, which also describes the arguments, without training."""
    place = None if directory is None else as_path(directory, "directory")
    if isinstance(spec, Mapping):
        return begin_study(spec, place, change)
    path = as_path(spec, "spec")
    if not path.is_dir():
        return begin_study(path, place, change)
    found = open_study(path)
    if change or (place is not None and place.absolute() != path.absolute()):
        raise ConfigError(
            f"{shortened(path)} is a study that exists, so it has a directory and a specification already. To change it or "
            f"to begin another study, give the path of a specification instead."
        )
    return found
