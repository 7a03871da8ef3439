"""Trains the runs of a study on the workers of a Dask cluster, which may be on many machines.

The texts are sent to the workers, and the results come back to this process, which writes them. So the workers need
no access to the study's directory, except for runs that have a directory and for weights.
"""

import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from charloom.cpu_limits import keep_numpy_to_one_thread
from charloom.errors import MissingPartError, StudyError
from charloom.formatting import counted, shortened
from charloom.messages import argument, pip_command
from charloom.store.journal import Journal
from charloom.studies.batches import AHEAD, BatchDone, batch_size
from charloom.studies.plan import PlannedRun
from charloom.studies.result_journal import remove_if_empty
from charloom.studies.results import FAILED, FINISHED, RunResult
from charloom.studies.run_trainer import RunTrainer
from charloom.studies.study_files import StudyFiles, StudyHeader
from charloom.studies.study_texts import changed_message, unchanged_text
from charloom.text import Corpus

if TYPE_CHECKING:
    from distributed import Client, Future

RESULT_SECONDS: Final = 20  # how long a worker may take to send its results
CONNECT_SECONDS: Final = 20
POLL_SECONDS: Final = 0.02  # time between two looks for finished batches
ASK_SECONDS: Final = 1.0  # time between two questions of a worker whether the study was interrupted
SAVING_SECONDS: Final = (
    30.0  # after an interruption, the running batches have at most this long to end
)
ENDED: Final = (
    "finished",
    "error",
    "cancelled",
    "lost",
)  # states of a future that is not computed any more
LOST: Final = "several workers ended while they trained it; is their memory full?"

Lines = list[dict[str, Any]]


class HaltedStudy:
    """Says on a worker whether the study was interrupted. It asks the scheduler about once a second.

    Args:
        name: the name of the event that is set at the end of the study.
    """

    def __init__(self, name: str) -> None:
        from distributed import Event, get_client

        self._event, self._halted = Event(name, client=get_client()), False
        self._asked = (
            -ASK_SECONDS
        )  # ask at the beginning, too: the batch may have waited until the end

    def __call__(self) -> str | None:
        """Return a reason to interrupt a run, or None."""
        if not self._halted and time.monotonic() - self._asked >= ASK_SECONDS:
            try:
                self._halted = self._event.is_set()
            except OSError:  # the scheduler has ended
                self._halted = True
            self._asked = time.monotonic()
        return "the study was interrupted" if self._halted else None


def train_batch(
    files: StudyFiles,
    header: StudyHeader,
    corpora: Mapping[int, Corpus],
    runs: list[PlannedRun],
    halted: str,
) -> tuple[Lines, float]:
    """Train runs on a worker until the event named `halted` is set.

    Returns:
        The lines of their results, and the seconds that this took.
    """
    keep_numpy_to_one_thread()
    trainer, halt = RunTrainer(files, header, corpora), HaltedStudy(halted)
    results = []
    for run in runs:
        result = trainer.train(run, halt) if halt() is None else None
        if result is not None:
            results.append(result)
    return [result.to_dict() for result in results], sum(result.seconds for result in results)


class DaskPool:
    """Trains runs on a Dask cluster, as `WorkerPool` does on this machine.

    Args:
        files: the study directory.
        header: the contents of its study.json.
        cluster: the address of a scheduler, such as "tcp://10.0.0.1:8786", or a cluster or client of Dask.

    Attributes:
        workers: the number of workers of the cluster when it was last asked.

    Raises:
        MissingPartError: Dask is not installed.
        StudyError: the scheduler does not answer, or has no worker.
    """

    def __init__(self, files: StudyFiles, header: StudyHeader, cluster: Any) -> None:
        self._files, self._header = files, header
        self._client, self._own = connected(cluster)
        self.workers = 0
        self._waiting: deque[PlannedRun] = deque()
        self._given: dict[Future, list[PlannedRun]] = {}
        self._seconds = 0.0  # of a run, measured
        self._texts: set[int] = set()  # the indices of the texts that the runs need
        self._sent: Any = None  # a future of the texts on the workers; None if they must be sent
        self._halted = (
            f"charloom-{uuid.uuid4().hex}"  # the name of an event, set when the study ends
        )

    def train(
        self, runs: Sequence[PlannedRun], halt: Callable[[], str | None]
    ) -> Generator[BatchDone]:
        """Train runs, and yield each time that a batch of them is done.

        If `halt` returns a reason, the workers save and end their batches, and the iterator ends. If a worker ends, Dask gives its batch to another one.
        """
        self._waiting.extend(runs)
        self._texts = {run.text for run in runs}
        journal = Journal(self._files.new_journal(0))
        try:
            with journal:
                while self._waiting or self._given:
                    if halt() is not None:
                        break
                    self._feed()
                    done = [future for future in self._given if future.status in ENDED]
                    if not done:
                        time.sleep(POLL_SECONDS)
                    for future in done:
                        yield self._take(future, journal)
                yield from self._interrupt(journal)
                journal.sync()
        finally:
            remove_if_empty(journal.path)
            self._set_halted()
            self._client.cancel(list(self._given), force=True)
            if self._own:
                self._client.close()

    def _set_halted(self) -> None:
        """Tell the workers that the study ends."""
        from distributed import Event

        with suppress(OSError):  # the scheduler has ended, and the workers notice that
            Event(self._halted, client=self._client).set()

    def _interrupt(self, journal: Journal) -> Iterator[BatchDone]:
        """Let the workers save and end the batches that they train, and yield these."""
        if not self._given:
            return
        self._set_halted()
        began = time.monotonic()
        while self._given and time.monotonic() - began < SAVING_SECONDS:
            # A worker begins a batch that waits, sees that the study has ended, and returns no result.
            for future in [one for one in self._given if one.status in ENDED]:
                if future.status == "finished":
                    yield self._take(future, journal)
                else:
                    del self._given[future]
            time.sleep(POLL_SECONDS)

    def _send_texts(self) -> Any:
        """Send the texts to the workers, and return a future of the texts by index."""
        corpora = {}
        for number in self._texts:
            corpus = unchanged_text(self._header, number)
            if corpus is None:
                raise StudyError(changed_message(self._header, number))
            corpora[number] = corpus
        # Without a broadcast, a worker fetches the texts when it needs them. A broadcast never returned if a worker
        # died while it went on.
        return self._client.scatter(corpora, hash=False)

    def _feed(self) -> None:
        """Submit batches until each worker has enough. Send the texts before the first one."""
        if self._sent is None:
            self._sent = self._send_texts()
        self.workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        while self._waiting and len(self._given) < AHEAD * max(1, self.workers):
            size = batch_size(self._seconds, len(self._waiting), self.workers)
            batch = [self._waiting.popleft() for _ in range(size)]
            future = self._client.submit(
                train_batch,
                self._files,
                self._header,
                self._sent,
                batch,
                self._halted,
                pure=False,
            )
            self._given[future] = batch

    def _take(self, future: "Future", journal: Journal) -> BatchDone:
        """Write the results of a batch. If Dask gave it up, its runs have failed, or are tried one by one."""
        batch = self._given.pop(future)
        if future.status in ("cancelled", "lost"):
            return self._again(batch)
        if future.status != "finished":
            return self._give_up(batch, future, journal)
        try:
            lines, busy = future.result(timeout=RESULT_SECONDS)
        except (OSError, CancelledError):
            # The worker that had the results has ended. TimeoutError is an OSError.
            return self._again(batch)
        for line in lines:
            journal.append(line)
        journal.flush()
        self._seconds = busy / len(batch)
        finished = sum(line["state"] == FINISHED for line in lines)
        return BatchDone(finished, len(lines) - finished, busy)

    def _again(self, batch: list[PlannedRun]) -> BatchDone:
        """Train a batch again, because the workers that had the texts or the results have ended."""
        self._sent = None  # send the texts again
        self._waiting.extendleft(reversed(batch))
        return BatchDone(0, 0, 0.0)

    def _give_up(self, batch: list[PlannedRun], future: "Future", journal: Journal) -> BatchDone:
        """Try the runs of a batch that ended several workers one by one; a single run has failed."""
        if len(batch) > 1:
            for run in batch:
                self._waiting.appendleft(run)
            self._seconds = 0.0
            return BatchDone(0, 0, 0.0)
        error = future.exception()
        reason = LOST if type(error).__name__ == "KilledWorker" else f"the worker failed: {error}"
        journal.append(RunResult(batch[0].key, FAILED, reason=reason).to_dict())
        journal.flush()
        return BatchDone(0, 1, 0.0)


def connected(cluster: Any) -> tuple["Client", bool]:
    """Return a client of a Dask cluster, and whether it was made here and must be closed.

    Raises:
        MissingPartError: Dask is not installed.
        StudyError: the scheduler does not answer, or has no worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingPartError(
            f"a study on a cluster needs Dask. To install it, {pip_command('cluster')}."
        ) from None
    if isinstance(cluster, Client):
        return cluster, False
    try:
        client = Client(cluster, timeout=CONNECT_SECONDS, set_as_default=False)
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(
            f"{argument('on')} is {shortened(cluster)}, but no Dask cluster with a worker answers there within "
            f"{counted(CONNECT_SECONDS, 'second')}: {shortened(error)}."
        ) from None
    return client, True
