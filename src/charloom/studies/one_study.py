"""A study: opens or creates its directory, trains its runs, and tells how far they are."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.api.text_arguments import open_text
from charloom.canonical_form import canonical_json
from charloom.errors import DamagedError, StudyError
from charloom.formatting import counted, listing, shortened
from charloom.messages import argument
from charloom.studies.dask_pool import DaskPool
from charloom.studies.plain_values import plain_section
from charloom.studies.plan import PlannedRun, plan_runs
from charloom.studies.planned_search import plan_search
from charloom.studies.results import FAILED, FINISHED, RunResult
from charloom.studies.search_training import search_runs, train_search
from charloom.studies.spec import StudySpec, parse_spec, read_spec
from charloom.studies.study_files import StudyFiles, StudyHeader, StudyText
from charloom.studies.study_progress import StudyProgress
from charloom.studies.study_texts import unchanged_text
from charloom.studies.worker_counts import WorkerCount
from charloom.studies.worker_pool import WorkerPool
from charloom.text import Corpus

HaltCheck = Callable[[], str | None]
STUDIES: Final = Path("studies")  # the folder of new studies
NAME_LENGTH: Final = 60  # largest number of characters in the name of a directory


class Study:
    """A study directory that exists.

    Args:
        files: the files of its directory.
        known: its header and its plan, if the caller has just read or written them, and its texts.

    Attributes:
        path: the directory.
        header: what the study is about.
        plan: its runs. Those of a search are the trials that have ended, and the runs that repeat the best of them.
        trials_left: the number of trials of a search that have not ended.

    Raises:
        NotAModelError: the directory holds no study.
        DamagedError: a file of the study is damaged.
    """

    def __init__(
        self, files: StudyFiles, known: tuple[StudyHeader, list[PlannedRun]] | None = None
    ) -> None:
        self.path = files.path
        self.files = files
        self.header: StudyHeader = self.files.header() if known is None else known[0]
        self.trials_left = 0
        self._texts_read = known is not None
        self.plan: list[PlannedRun] = (
            self._planned() if known is None or self.header.search is not None else known[1]
        )

    def _planned(self) -> list[PlannedRun]:
        """Return the runs that the study has by now."""
        if self.header.search is None:
            return self.files.plan()
        runs, trials = search_runs(self.files, self.header.search)
        self.trials_left = max(0, self.header.search.spec.trials - trials)
        return runs

    def require_plan(self) -> None:
        """Raise StudyError if the study is a search, whose runs are not known before it ends."""
        if self.header.search is not None:
            raise StudyError(
                "a search cannot be divided into parts or sent to a Dask cluster, because each trial depends on earlier "
                "ones. To use several machines, run the same command on each of them, with a database as search.storage."
            )

    def require_texts(self, numbers: Collection[int]) -> None:
        """Raise StudyError if one of the texts with these indices has changed since the study was planned.

        Do not read them again if the study has just been planned; a worker process compares them in any case.
        """
        if self._texts_read:
            return
        for number in sorted(numbers):
            if unchanged_text(self.header, number) is None:
                raise StudyError(changed_text_message([self.header.texts[number]]))

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
            retry: whether to train the failed runs once more.
            numbers: train only the runs with these numbers, and count only them; None means all.
            on: the address of a Dask scheduler, or a cluster or client of Dask; None trains on this machine.

        Raises:
            StudyError: the study is a search, and `numbers` or `on` is given.
        """
        if self.header.search is None:
            yield from self._train_plan(workers, halt, retry, numbers, on)
            return
        if numbers is not None or on is not None:
            self.require_plan()
        try:
            yield from train_search(self.files, self.header, workers, halt, retry)
        finally:
            self.plan = self._planned()

    def _train_plan(
        self,
        workers: int,
        halt: HaltCheck,
        retry: bool,
        numbers: Collection[int] | None,
        on: Any,
    ) -> Iterator[StudyProgress]:
        """Train the runs of a study that is not a search, as `train` does."""
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
        self.require_texts({run.text for run in todo})
        pool: WorkerPool | DaskPool
        if on is None:
            pool = WorkerPool(self.files, max(1, min(workers, len(todo))))
        else:
            pool = DaskPool(self.files, self.header, on)
        with (
            WorkerCount(self.path, lambda: pool.workers) as count,
            closing(pool.train(todo, count.beating(halt))) as batches,
        ):
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
    return Study(StudyFiles(path))


def begin_study(
    spec: Path | Mapping[str, Any], directory: Path | None = None, change: bool = False
) -> Study:
    """Create a study from its specification, or open the one that has the same specification.

    Args:
        spec: the path of a TOML file, or its contents as a dict.
        directory: the directory of the study; None means studies/NAME, after the name of the file, or for a dict
            after its text and the settings that it varies.
        change: whether a study with another specification gets the new one. Runs that both specifications have keep
            their results. The results of other runs stay in the journals, and are used again if a later
            specification has them.

    Raises:
        ConfigError: the specification is not valid.
        StudyError: the directory holds a study with another specification, and `change` is False; or the change
            wants weights or directories of runs that have finished without them.
        TextError: a text is missing, empty or too short.
    """
    parsed, data = parsed_spec(spec)
    path = directory or (
        usual_directory(spec) if isinstance(spec, Path) else STUDIES / name_of(parsed)
    )
    files = StudyFiles(path)
    header, runs = planned(parsed)
    before = study_before(files, data, change)
    if before is not None and not change:
        if before.header.search is not None or header.search is not None:
            require_same_search(before, header)
        elif before.header != header or before.plan != runs:
            require_same_texts(before.header, header)
            raise StudyError(
                f"{shortened(path)} holds a study with another specification: {change_of(before, runs)}. Give "
                f"{argument('change', True)} to change the study, or another directory to begin a new one."
            )
        elif files.spec_bytes() == data:
            return Study(files, (header, before.plan))
    elif before is not None:
        require_kept_files(before, header, runs)
    files.write(data, header, runs)
    return Study(files, (header, runs))


def study_before(files: StudyFiles, spec: bytes, change: bool) -> Study | None:
    """Return the study that a directory holds; None if it must be written.

    A damaged plan is written again if the specification is the same: results belong to their text and settings, and
    not to the plan.

    Args:
        files: the files of the directory.
        spec: the bytes of the specification that the user gave.
        change: whether the study gets another specification.

    Raises:
        DamagedError: the plan is damaged, and the specification is another one.
    """
    if not files.exists:
        return None
    try:
        return Study(files)
    except DamagedError:
        if change or files.spec_bytes() != spec:
            raise
        return None


def usual_directory(spec: Path) -> Path:
    """Return the directory of the study with the specification `spec`, a file or the directory of a study itself."""
    return spec if spec.is_dir() else STUDIES / spec.stem


def require_kept_files(before: Study, header: StudyHeader, runs: list[PlannedRun]) -> None:
    """Raise StudyError if a changed study wants weights or directories that its finished runs do not have.

    Args:
        before: the study before the change.
        header: the new header.
        runs: the new plan.
    """
    finished = {key for key, one in before.results().items() if one.state == FINISHED}
    had = {run.key for run in before.plan if run.directory}
    lacking = [
        run
        for run in runs
        if run.key in finished
        and run.key not in had
        and (run.directory or (header.weights and not before.header.weights))
    ]
    if lacking:
        what = "run directory" if lacking[0].directory else "weights"
        raise StudyError(
            f"{counted(len(lacking), 'run')} of {shortened(before.path)} finished without {what}, and a change does not "
            f"train them again. Leave the section keep as it was, or begin a new study in another directory."
        )


def require_same_texts(before: StudyHeader, header: StudyHeader) -> None:
    """Raise StudyError if a text of a study has the same paths as before, but another content."""
    old = {text.paths: text.fingerprint for text in before.texts}
    changed = [
        text for text in header.texts if old.get(text.paths, text.fingerprint) != text.fingerprint
    ]
    if changed:
        raise StudyError(
            f"{changed_text_message(changed)} To give the study the new text, use {argument('change', True)}."
        )


def changed_text_message(texts: Sequence[StudyText]) -> str:
    """Return sentences that say which texts have changed."""
    names = listing([text.name for text in texts])
    return (
        f"the study was planned with another content of {names}; results of different texts cannot be compared. Restore "
        f"the text, or begin a new study in another directory."
    )


def require_same_search(before: Study, header: StudyHeader) -> None:
    """Raise StudyError if the header of a search has changed; the order of the settings that it draws does not count."""
    if without_order(before.header) == without_order(header):
        return
    same = (
        before.header.search is not None
        and header.search is not None
        and before.header.search.name == header.search.name
    )
    what = "keeps its trials" if same else "would begin without trials"
    raise StudyError(
        f"{shortened(before.path)} holds a study with another specification; the new one {what}. Give "
        f"{argument('change', True)} to change the study, or another directory to begin a new one."
    )


def without_order(header: StudyHeader) -> bytes:
    """Return the bytes of study.json, with the varied settings in alphabetical order, as study.json has the draws."""
    return canonical_json({**header.to_dict(), "varied": sorted(header.varied)})


def parsed_spec(spec: Path | Mapping[str, Any]) -> tuple[StudySpec, bytes]:
    """Return a specification, and the bytes that study.toml gets."""
    if isinstance(spec, Mapping):
        values = plain_section(spec)
        return parse_spec(values, Path()), b"# " + canonical_json(values) + b"\n"
    return read_spec(spec)


def planned(spec: StudySpec) -> tuple[StudyHeader, list[PlannedRun]]:
    """Return the header and the plan of a study, after reading its texts."""
    tokens = dict(spec.settings).get("tokens", "characters")
    corpora: list[Corpus] = [open_text(list(paths), tokens=tokens) for paths in spec.texts]
    texts = tuple(
        StudyText.of(corpus, paths) for corpus, paths in zip(corpora, spec.texts, strict=True)
    )
    search = plan_search(spec, corpora[0])
    runs = plan_runs(spec, corpora) if search is None else []
    varied = tuple(spec.varied)
    return StudyHeader(spec.recipe, tokens, texts, spec.weights, varied, search), runs


def change_of(before: Study, runs: list[PlannedRun]) -> SpecChange:
    """Return how the plan `runs` differs from the plan of a study."""
    old, new = {run.key for run in before.plan}, {run.key for run in runs}
    return SpecChange(
        len(new - old), len(old - new), len(old & new), len((old - new) & set(before.results()))
    )


def name_of(spec: StudySpec) -> str:
    """Return the name of a study that has no file: its first text and the settings that it varies."""
    words = [Path(spec.texts[0][0]).stem, *spec.varied]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in "-".join(words))[:NAME_LENGTH]
