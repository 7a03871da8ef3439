"""A study: opens or creates its directory, trains its runs, and tells how far they are."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.api.text_arguments import open_text
from charloom.canonical_form import canonical_json
from charloom.errors import StudyError
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.studies.dask_pool import DaskPool
from charloom.studies.plan import PlannedRun, plan_runs
from charloom.studies.results import FAILED, FINISHED, RunResult
from charloom.studies.spec import StudySpec, parse_spec, read_spec
from charloom.studies.study_files import StudyFiles, StudyHeader, StudyText
from charloom.studies.worker_pool import WorkerPool
from charloom.text import Corpus

FEW_RUNS: Final = 5  # fewer say little about the speed, because the processes have just started

HaltCheck = Callable[[], str | None]


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Attributes:
        runs: number of planned runs.
        finished: number of runs that finished.
        failed: number of runs that failed.
        done_now: number of runs that finished or failed since the work began.
        seconds: seconds since the work began.
    """

    runs: int
    finished: int
    failed: int
    done_now: int
    seconds: float

    @property
    def left(self) -> int:
        """The number of runs that have no result yet."""
        return self.runs - self.finished - self.failed

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes; None before a few runs are done."""
        few = self.done_now < FEW_RUNS
        return None if few else self.seconds / self.done_now * self.left


class Study:
    """A study directory that exists.

    Args:
        path: the directory.

    Attributes:
        path: the directory.
        header: what the study is about.
        plan: its runs.

    Raises:
        NotAModelError: the directory holds no study.
        DamagedError: a file of the study is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = StudyFiles(path)
        self.header: StudyHeader = self.files.header()
        self.plan: list[PlannedRun] = self.files.plan()

    def results(self) -> dict[str, RunResult]:
        """Return the result of each planned run that has one, by key."""
        found = self.files.results()
        return {run.key: found[run.key] for run in self.plan if run.key in found}

    def train(
        self,
        workers: int,
        halt: HaltCheck = lambda: None,
        retry: bool = False,
        numbers: Collection[int] | None = None,
        on: Any = None,
    ) -> Iterator[StudyProgress]:
        """Train the runs that have no result, and yield the progress first and after each batch of runs.

        Args:
            workers: number of worker processes.
            halt: returns a reason to interrupt the study, or None. The workers then save and end.
            retry: whether to train runs that failed again.
            numbers: train only the runs with these numbers, and count only them; None means all.
            on: the address of a Dask scheduler, or a cluster or client of Dask; None trains on this machine.
        """
        started = time.monotonic()
        plan = self.plan if numbers is None else [self.plan[number] for number in numbers]
        known = self.results()
        results = {run.key: known[run.key] for run in plan if run.key in known}
        finished = sum(result.state == FINISHED for result in results.values())
        failed = 0 if retry else len(results) - finished
        todo = [
            run
            for run in plan
            if run.key not in results or (retry and results[run.key].state == FAILED)
        ]
        progress = StudyProgress(len(plan), finished, failed, 0, 0.0)
        yield progress
        if not todo:
            return
        pool: WorkerPool | DaskPool
        if on is None:
            pool = WorkerPool(self.files, max(1, min(workers, len(todo))))
        else:
            pool = DaskPool(self.files, self.header, on)
        with closing(pool.train(todo, halt)) as batches:
            for batch in batches:
                progress = StudyProgress(
                    progress.runs,
                    progress.finished + batch.finished,
                    progress.failed + batch.failed,
                    progress.done_now + batch.finished + batch.failed,
                    time.monotonic() - started,
                )
                yield progress


@dataclass(frozen=True)
class SpecChange:
    """How the plan of a changed specification differs from the plan of a study.

    Attributes:
        added: number of runs that only the new plan has.
        removed: number of runs that only the old plan has.
        kept: number of runs that both plans have.
        lost: number of results that the new plan does not use.
    """

    added: int
    removed: int
    kept: int
    lost: int

    def __str__(self) -> str:
        return (
            f"{counted(self.added, 'run')} would be new, {counted(self.kept, 'run')} would stay, and "
            f"{counted(self.removed, 'run')} ({self.lost:,} of them with a result) would be left out"
        )


def open_study(path: Path) -> Study:
    """Return the study in a directory. The errors are those of `Study`."""
    return Study(path)


def begin_study(
    spec: Path | Mapping[str, Any], directory: Path | None = None, change: bool = False
) -> Study:
    """Create a study from its specification, or open the one that has the same specification.

    Args:
        spec: the path of a TOML file, or its contents as a dict.
        directory: the directory of the study; None means studies/NAME, after the name of the file.
        change: whether a study with another specification gets the new one. Runs that both specifications have keep
            their results. The results of other runs stay in the journals, and are used again if a later
            specification has them.

    Raises:
        ConfigError: the specification is not valid.
        StudyError: the directory holds a study with another specification, and `change` is False.
        TextError: a text is missing, empty or too short.
    """
    parsed, data = parsed_spec(spec)
    path = directory or default_directory(spec)
    files = StudyFiles(path)
    if files.exists and files.spec_bytes() == data:
        return Study(path)
    header, runs = planned(parsed)
    if files.exists and not change:
        before = Study(path)
        if before.header != header or before.plan != runs:
            raise StudyError(
                f"{shortened(path)} holds a study with another specification: {change_of(before, runs)}. Give "
                f"{argument('change', True)} to change the study, or another directory to begin a new one."
            )
    files.write(data, header, runs)
    return Study(path)


def parsed_spec(spec: Path | Mapping[str, Any]) -> tuple[StudySpec, bytes]:
    """Return a specification, and the bytes that study.toml gets."""
    if isinstance(spec, Mapping):
        values = dict(spec)
        return parse_spec(values, Path()), b"# " + canonical_json(values) + b"\n"
    return read_spec(spec)


def planned(spec: StudySpec) -> tuple[StudyHeader, list[PlannedRun]]:
    """Return the header and the plan of a study, after reading its texts."""
    tokens = dict(spec.settings).get("tokens", "characters")
    corpora: list[Corpus] = [open_text(list(paths), tokens=tokens) for paths in spec.texts]
    texts = tuple(
        StudyText.of(corpus, paths) for corpus, paths in zip(corpora, spec.texts, strict=True)
    )
    runs = plan_runs(spec, corpora)
    return StudyHeader(spec.recipe, tokens, texts, spec.weights, tuple(spec.varied)), runs


def change_of(before: Study, runs: list[PlannedRun]) -> SpecChange:
    """Return how the plan `runs` differs from the plan of a study."""
    old, new = {run.key for run in before.plan}, {run.key for run in runs}
    return SpecChange(
        len(new - old), len(old - new), len(old & new), len((old - new) & set(before.results()))
    )


def default_directory(spec: Path | Mapping[str, Any]) -> Path:
    """Return the directory of a study if the user gives none."""
    return Path("studies") / (spec.stem if isinstance(spec, Path) else "study")
