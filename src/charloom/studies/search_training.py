"""Runs a search: its trials, and then the best settings once more with the other seeds.

The trials are in Optuna's storage and in the journals of the study, which have more about each of them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from charloom.errors import MissingPartError
from charloom.messages import pip_command
from charloom.store.journal import Journal
from charloom.studies.plan import PlannedRun
from charloom.studies.planned_search import PlannedSearch
from charloom.studies.results import FAILED, FINISHED, PRUNED, RunResult
from charloom.studies.study_files import StudyFiles, StudyHeader
from charloom.studies.study_progress import StudyProgress
from charloom.studies.worker_counts import WorkerCount
from charloom.studies.worker_pool import WorkerPool

if TYPE_CHECKING:
    from charloom.studies.optuna_trials import OptunaTrials, TrialCounts

HaltCheck = Callable[[], str | None]

OPENING_SECONDS: Final = (
    15.0  # how long a storage may not answer at the start, which may be a mistake in its URL
)


def search_runs(files: StudyFiles, search: PlannedSearch) -> tuple[list[PlannedRun], int]:
    """Return the runs of a search, and the number of trials that have ended.

    The runs are these trials, and the runs that repeat the best ones. Trials with equal settings are one run, which has
    the number of the first one.
    """
    found: dict[str, PlannedRun] = {}
    results = [one for one in files.each_result() if one.search == search.name]
    for result in sorted(results, key=lambda one: one.trial or 0):
        run = PlannedRun(result.trial or 0, result.key, 0, result.settings or {})
        found.setdefault(result.key, run)
    for run in files.plan():
        found.setdefault(run.key, run)
    return list(found.values()), len({one.trial for one in results})


def train_search(
    files: StudyFiles, header: StudyHeader, workers: int, halt: HaltCheck, retry: bool
) -> Iterator[StudyProgress]:
    """Run the trials of a search that are left, then the runs that repeat the best ones, and yield the progress.

    Args:
        files: the study directory.
        header: the contents of its study.json.
        workers: number of worker processes.
        halt: returns a reason to interrupt the search, or None.
        retry: whether to train the repeated runs that failed once more.

    Raises:
        MissingPartError: Optuna, or the package for the database, is not installed.
        StudyError: the storage does not answer, or the worker processes fail.
    """
    search = header.search
    assert search is not None
    require_optuna()
    from charloom.studies.trial_storage import SearchInterrupted

    progress = known_progress(files, search)
    yield progress
    try:
        for progress in train_trials(files, search, workers, halt):
            yield progress
    except SearchInterrupted:
        return
    if halt() is None:
        yield from repeat_best(files, search, workers, halt, retry, progress)


def known_progress(files: StudyFiles, search: PlannedSearch) -> StudyProgress:
    """Return the progress of a search that the journals show, before the storage has answered."""
    found = {one.trial: one.state for one in files.each_result() if one.search == search.name}
    states = list(found.values())
    finished, failed, pruned = (states.count(state) for state in (FINISHED, FAILED, PRUNED))
    runs = max(search.spec.trials, len(states)) + search.repeats
    return StudyProgress(runs, finished, failed, 0, 0.0, pruned)


def require_optuna() -> None:
    """Raise MissingPartError if the packages of the extra search are not installed."""
    try:
        import optuna  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise MissingPartError(
            f"a search needs Optuna. To install it, {pip_command('search')}."
        ) from None


def train_trials(
    files: StudyFiles, search: PlannedSearch, workers: int, halt: HaltCheck
) -> Iterator[StudyProgress]:
    """Run the trials that are left, and yield the progress. Then the journals have every trial of the storage."""
    from charloom.studies.optuna_trials import OptunaTrials, TrialCounts
    from charloom.studies.search_pool import SearchPool
    from charloom.studies.trial_owners import is_given_up
    from charloom.studies.trial_storage import Patience

    steps = (search.interval, search.updates)
    opening = Patience(halt=halt, limit=OPENING_SECONDS)
    trials = OptunaTrials(search.spec, search.name, files.path, steps, Patience(halt=halt), opening)
    trials.give_up(lambda one: is_given_up(one["owner"], one["beat"]))
    began, before = time.monotonic(), trials.counts()

    def progress(counts: "TrialCounts", message: str | None = None) -> StudyProgress:
        done, seconds = counts.ended - before.ended, time.monotonic() - began
        runs = max(search.spec.trials, counts.ended) + search.repeats
        return StudyProgress(
            runs, counts.finished, counts.failed, done, seconds, counts.pruned, message
        )

    counts = before
    yield progress(counts)
    left = search.spec.trials - counts.ended
    if left > 0:
        pool = SearchPool(files, search, trials, max(1, min(workers, left)))
        with (
            WorkerCount(files.path, lambda: pool.workers) as count,
            closing(pool.train(count.beating(halt))) as answers,
        ):
            for answer in answers:
                now = TrialCounts(answer.finished, answer.pruned, answer.failed)
                counts = now if now.ended >= counts.ended else counts
                yield progress(counts, answer.message)
    add_missing(files, search, trials)
    yield progress(trials.counts())


def add_missing(files: StudyFiles, search: PlannedSearch, trials: "OptunaTrials") -> None:
    """Append the results that the storage has and the journals lack: those of other machines, or of a killed process."""
    known = {one.trial for one in files.each_result() if one.search == search.name}
    missing = [one for one in trials.results() if one.trial not in known]
    if missing:
        with Journal(files.new_journal(0)) as journal:
            for result in missing:
                journal.append(result.to_dict())
            journal.sync()


def repeated_runs(files: StudyFiles, search: PlannedSearch) -> list[PlannedRun]:
    """Return the runs of the best settings with all seeds but the first one, whose runs are trials."""
    ended = [one for one in files.each_result() if one.search == search.name]
    results = [one for one in ended if one.state == FINISHED and one.bits is not None]
    # Trials have the numbers below this one, also those that did not finish and those that are left.
    trials = max([search.spec.trials, *((one.trial or 0) + 1 for one in ended)])
    best = {one.key: one for one in sorted(results, key=rank, reverse=True)}
    chosen = sorted(best.values(), key=rank)[: search.spec.repeat]
    names = [name for name, _ in search.spec.draws]
    found: list[PlannedRun] = []
    for result in chosen:
        drawn = {name: (result.settings or {})[name] for name in names}
        for seed in search.seeds[1:]:
            found.append(search.run(trials + len(found), drawn, seed))
    return found


def rank(result: RunResult) -> tuple[float, int]:
    """Return the key that sorts the results of trials: the fewest bits first, and of equal ones the first trial."""
    return result.bits or 0.0, result.trial or 0


def repeat_best(
    files: StudyFiles,
    search: PlannedSearch,
    workers: int,
    halt: HaltCheck,
    retry: bool,
    so_far: StudyProgress,
) -> Iterator[StudyProgress]:
    """Train the runs that repeat the best settings, and yield the progress of the whole search."""
    runs = repeated_runs(files, search)
    if runs != files.plan():
        files.write_plan(runs)
    known = files.results()
    ended = [known[run.key].state for run in runs if run.key in known]
    failed = 0 if retry else ended.count(FAILED)
    todo = [
        run for run in runs if run.key not in known or (retry and known[run.key].state == FAILED)
    ]
    progress = replace(
        so_far,
        runs=so_far.runs - search.repeats + len(runs),
        finished=so_far.finished + ended.count(FINISHED),
        failed=so_far.failed + failed,
    )
    yield progress
    if not todo:
        return
    began = time.monotonic() - progress.seconds
    pool = WorkerPool(files, max(1, min(workers, len(todo))))
    with (
        WorkerCount(files.path, lambda: pool.workers) as count,
        closing(pool.train(todo, count.beating(halt))) as batches,
    ):
        for batch in batches:
            progress = replace(
                progress,
                finished=progress.finished + batch.finished,
                failed=progress.failed + batch.failed,
                done_now=progress.done_now + batch.finished + batch.failed,
                seconds=time.monotonic() - began,
            )
            yield progress
