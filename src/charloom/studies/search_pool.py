"""Runs the worker processes of a search on this machine. Each of them asks Optuna for its trials."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, Final

from charloom.errors import StudyError
from charloom.formatting import shortened
from charloom.studies.optuna_trials import OptunaTrials
from charloom.studies.planned_search import PlannedSearch
from charloom.studies.results import FAILED, RunResult
from charloom.studies.search_process import STORAGE_LOST
from charloom.studies.study_files import StudyFiles
from charloom.studies.trial_owners import owner_of
from charloom.studies.trial_storage import ANSWERS_AGAIN
from charloom.studies.worker_pool import ENDED, INTERRUPTION_SECONDS, MOST_USELESS, Worker

PROGRAM: Final = "charloom.studies.search_process"


@dataclass(frozen=True)
class SearchAnswer:
    """What a worker process of a search says.

    Attributes:
        message: a message for the user; None if a trial has ended.
        finished: the number of trials on all machines that have finished.
        pruned: the number of trials that were pruned.
        failed: the number of trials that failed.
    """

    message: str | None = None
    finished: int = 0
    pruned: int = 0
    failed: int = 0


class SearchPool:
    """Runs the trials of a search in several worker processes.

    Args:
        files: the study directory.
        search: the search.
        trials: its trials in Optuna's storage.
        workers: number of processes.
    """

    def __init__(
        self, files: StudyFiles, search: PlannedSearch, trials: OptunaTrials, workers: int
    ) -> None:
        self._files, self._search, self._trials = files, search, trials
        self._events: Queue[tuple[int, Any]] = Queue()
        self._workers: dict[int, Worker] = {}
        self._wanted, self._started = workers, 0
        self._useless = 0  # processes in a row that did nothing
        self._without = set[int]()  # workers that wait for the storage

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        return len(self._workers)

    def train(self, halt: Callable[[], str | None]) -> Generator[SearchAnswer]:
        """Run trials until there are enough, and yield what the workers say.

        If `halt` returns a reason, the workers give up their trials and end, and the iterator ends. A process that ends
        unexpectedly is replaced, and its trial has failed.
        """
        try:
            for _ in range(self._wanted):
                self._start()
            interrupted = False
            while self._workers:
                if halt() is not None and not interrupted:
                    interrupted = True
                    for worker in self._workers.values():
                        worker.interrupt()
                with suppress(Empty):
                    number, answer = self._events.get(timeout=INTERRUPTION_SECONDS)
                    if answer is None:
                        yield from self._ended(number, interrupted)
                    elif answer.message is not None:
                        yield from self._heard(number, answer)
                    else:
                        self._workers[number].done = True
                        yield answer
        finally:
            for worker in self._workers.values():
                worker.kill()

    def _start(self) -> None:
        """Start a worker process."""
        worker = Worker(self._files, self._started, self._events, PROGRAM, SearchAnswer)
        self._workers[self._started] = worker
        self._started += 1

    def _heard(self, number: int, answer: SearchAnswer) -> Iterator[SearchAnswer]:
        """Pass on the message of the first worker that waits for the storage, and of the last one that found it again."""
        before = bool(self._without)
        if answer.message == ANSWERS_AGAIN:
            self._without.discard(number)
        else:
            self._without.add(number)
        if before != bool(self._without):
            yield answer

    def _ended(self, number: int, interrupted: bool) -> Iterator[SearchAnswer]:
        """Act on the end of a process: replace it if it ended too early."""
        worker = self._workers.pop(number)
        self._without.discard(number)
        code = worker.code
        worker.kill()
        if code == 0 or interrupted:
            return
        if code == STORAGE_LOST:
            raise StudyError(worker.last_words())
        self._useless = 0 if worker.done else self._useless + 1
        if self._useless >= MOST_USELESS:
            raise StudyError(
                f"{self._useless} worker processes ended before they had done a trial. The last one wrote: "
                f"{shortened(worker.last_words())}"
            )
        if self._trials.fail(owner_of(os.getpid(), worker.name), self._lost) is not None:
            counts = self._trials.counts()
            yield SearchAnswer(None, counts.finished, counts.pruned, counts.failed)
        self._start()

    def _lost(self, number: int, drawn: dict[str, Any]) -> RunResult:
        """Return the result of a trial whose process ended unexpectedly."""
        run = self._search.run(number, drawn)
        return RunResult(
            run.key,
            FAILED,
            reason=ENDED,
            search=self._search.name,
            trial=number,
            settings=run.settings,
        )
