"""Runs the worker processes of a study on this machine, and gives them the runs in small batches."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from queue import Empty, Queue
from typing import Any, Final, NamedTuple

from charloom.cpu_limits import ONE_THREAD
from charloom.errors import StudyError
from charloom.formatting import shortened
from charloom.store.atomic_files import read_file
from charloom.store.journal import Journal, whole_lines
from charloom.studies.batches import AHEAD, BatchDone, batch_size
from charloom.studies.plan import PlannedRun
from charloom.studies.result_journal import remove_if_empty
from charloom.studies.results import FAILED, FINISHED, RunResult
from charloom.studies.study_files import StudyFiles

# Python's option -P: the process imports no modules from the current directory.
COMMAND: Final = (sys.executable, "-P", "-m")
INTERRUPTION_SECONDS: Final = 0.2  # how often an interruption is noticed
MOST_USELESS: Final = 6  # processes in a row that may end before they have done a run
ENDED: Final = "the process that trained it ended unexpectedly; is the memory full?"


class Stop(NamedTuple):
    """A worker process cannot continue, and neither could another one. `stop` says why."""

    stop: str


class Worker:
    """A worker process, and a thread that reads its answers.

    Args:
        files: the study directory.
        number: the number of the worker.
        events: receives the worker's number with each answer, and with None when the process has ended.
        program: the module that the process runs.
        answer: makes an answer from the fields of a line that the process writes.
    """

    def __init__(
        self,
        files: StudyFiles,
        number: int,
        events: "Queue[tuple[int, Any]]",
        program: str = "charloom.studies.worker_process",
        answer: Callable[..., Any] = BatchDone,
    ) -> None:
        self.number, self.journal = number, files.new_journal(number)
        self.name = uuid.uuid4().hex  # which no other worker has, on any machine
        self.batches: deque[list[PlannedRun]] = deque()
        self.done = False  # whether it has done a batch
        self._events, self._answer = events, answer
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*COMMAND, program, str(files.path), str(self.journal), str(os.getpid()), self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in a terminal goes only to this process
            env={**os.environ, **ONE_THREAD},
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def give(self, batch: list[PlannedRun]) -> None:
        """Send the numbers and keys of runs to the process."""
        self.batches.append(batch)
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(" ".join(f"{run.number} {run.key}" for run in batch) + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Let the process end after its last batch."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.close()

    def interrupt(self) -> None:
        """Ask the process to save and to end."""
        self._process.terminate()
        self.close()

    def kill(self) -> None:
        """End the process immediately, and wait for it."""
        self._process.kill()
        self.close()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        with self._errors:
            self._errors.seek(0)
            self._last_lines = self._errors.read()
        remove_if_empty(self.journal)

    @property
    def code(self) -> int:
        """The exit code of the process, after it has ended; negative if a signal ended it."""
        return self._process.wait()

    def last_words(self) -> str:
        """Return the last line that the process wrote to its standard error. Call it when the process has ended."""
        lines = self._last_lines.decode("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it gave no reason")

    def leftovers(self) -> tuple[BatchDone, list[PlannedRun]]:
        """Return what the process did of its last batches, and the runs that it did not do, after it has ended."""
        if not self.batches:  # reading a long journal takes time
            return BatchDone(0, 0, 0.0), []
        states = {}
        for line in whole_lines(read_file(self.journal) or b""):
            with suppress(ValueError, KeyError):
                result = json.loads(line)
                states[result["key"]] = result["state"]
        given = [run for batch in self.batches for run in batch]
        done = Counter(states[run.key] for run in given if run.key in states)
        left = [run for run in given if run.key not in states]
        return BatchDone(done[FINISHED], done[FAILED], 0.0), left

    def culprit(self, left: list[PlannedRun]) -> PlannedRun | None:
        """Return the run during which the process ended, if this is known, because it had the run alone.

        Args:
            left: the second part of `leftovers`.
        """
        alone = [batch[0] for batch in self.batches if len(batch) == 1]
        return left[0] if left and left[0] in alone else None

    def _read(self) -> None:
        """Put each answer of the process into the queue of events."""
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            for line in self._process.stdout:
                fields = fields_of(line)
                if fields is not None:
                    made = Stop(**fields) if "stop" in fields else self._answer(**fields)
                    self._events.put((self.number, made))
        self._process.wait()
        self._events.put((self.number, None))


def fields_of(line: str) -> dict[str, Any] | None:
    """Return the JSON object in a line; None if the line has none, because a library printed it."""
    with suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else None
    return None


class WorkerPool:
    """Trains runs in several worker processes.

    Args:
        files: the study directory.
        workers: number of processes.
    """

    def __init__(self, files: StudyFiles, workers: int) -> None:
        self._files = files
        self._events: Queue[tuple[int, BatchDone | Stop | None]] = Queue()
        self._workers = {n: Worker(files, n, self._events) for n in range(workers)}
        self._waiting: deque[PlannedRun] = deque()
        self._seconds = 0.0  # of a run, measured
        self._started = workers
        self._useless = 0  # processes in a row that did nothing
        self._any_done = False  # whether a process has ever done a run
        # The keys of runs that a process had when it ended. Results are written several at once, so they are trained
        # one by one to see which of them ends a process.
        self._alone: set[str] = set()
        self._blamed: set[str] = set()  # the keys of runs during which a process has ended

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        return len(self._workers)

    def train(
        self, runs: Sequence[PlannedRun], halt: Callable[[], str | None]
    ) -> Generator[BatchDone]:
        """Train runs, and yield each time that a worker has trained a batch.

        If `halt` returns a reason, the workers save and end, and the iterator ends.
        """
        self._waiting.extend(runs)
        try:
            for worker in self._workers.values():
                self._feed(worker)
            while self._workers:
                if halt() is not None:
                    break
                with suppress(Empty):
                    yield from self._take(*self._events.get(timeout=INTERRUPTION_SECONDS))
            if self._workers:
                yield from self._interrupt()
        finally:
            for worker in self._workers.values():
                worker.kill()

    def _take(self, number: int, done: BatchDone | Stop | None) -> Iterator[BatchDone]:
        """Act on an event of a worker: give it more runs, or replace it if it ended too early.

        Raises:
            StudyError: a worker cannot continue, or several ended before they had done a run.
        """
        if isinstance(done, Stop):
            raise StudyError(done.stop)
        worker = self._workers[number]
        if done is not None:
            batch = worker.batches.popleft()
            worker.done, self._useless, self._any_done = True, 0, True
            self._seconds = done.busy / len(batch)
            yield done
            self._feed(worker)
            return
        del self._workers[number]
        worker.kill()
        last, left = worker.leftovers()
        if last.finished or last.failed:
            worker.done = True
            yield last
        if left:
            self._require_some_success(worker)
        culprit = worker.culprit(left)
        if culprit is not None and culprit.key in self._blamed:
            left.remove(culprit)
            yield self._give_up(culprit)
            self._useless = 0 if self._any_done else self._useless
        elif culprit is not None:
            self._blamed.add(culprit.key)
        self._alone.update(run.key for run in left)
        self._waiting.extendleft(reversed(left))
        if self._waiting:
            self._workers[self._started] = Worker(self._files, self._started, self._events)
            self._feed(self._workers[self._started])
            self._started += 1

    def _require_some_success(self, worker: Worker) -> None:
        """Raise StudyError if several processes in a row ended before they had done a single run."""
        self._any_done |= worker.done
        self._useless = 0 if worker.done else self._useless + 1
        if self._useless >= MOST_USELESS:
            raise StudyError(
                f"{self._useless} worker processes ended before they had done a run. The last one wrote: "
                f"{shortened(worker.last_words())}"
            )

    def _give_up(self, run: PlannedRun) -> BatchDone:
        """Store that a run failed, because its process has ended twice."""
        with Journal(self._files.new_journal(self._started)) as journal:
            journal.append(RunResult(run.key, FAILED, reason=ENDED).to_dict())
            journal.sync()
        self._started += 1
        return BatchDone(0, 1, 0.0)

    def _feed(self, worker: Worker) -> None:
        """Give a worker batches until it has enough; let it end if no run is left."""
        while self._waiting and len(worker.batches) < AHEAD:
            size = batch_size(self._seconds, len(self._waiting), len(self._workers))
            size = 1 if self._waiting[0].key in self._alone else size
            worker.give([self._waiting.popleft() for _ in range(size)])
        if not self._waiting and not worker.batches:
            worker.close()

    def _interrupt(self) -> Iterator[BatchDone]:
        """Let the workers save and end, and yield the batches that are done by then."""
        for worker in self._workers.values():
            worker.interrupt()
        while self._workers:
            number, done = self._events.get()
            if done is None:
                self._workers.pop(number).kill()
            elif isinstance(done, BatchDone):
                yield done
