"""The batches in which the runs of a study are given to workers, and what a worker says about a batch."""

from dataclasses import dataclass
from typing import Final

BATCH_SECONDS: Final = 0.5  # wanted duration of a batch
MOST_IN_BATCH: Final = 256
AHEAD: Final = 2  # batches that a worker has at a time, so that it never waits


@dataclass(frozen=True)
class BatchDone:
    """A worker has trained a batch of runs.

    Attributes:
        finished: number of runs that finished.
        failed: number of runs that failed.
        busy: seconds that the worker trained.
    """

    finished: int
    failed: int
    busy: float


def batch_size(seconds: float, waiting: int, workers: int) -> int:
    """Return the number of runs in the next batch: fewer at the end, so that all workers end together.

    Args:
        seconds: how long a run takes; 0 if this is not known yet.
        waiting: number of runs that no worker has.
        workers: number of workers.
    """
    share = waiting // (2 * AHEAD * max(1, workers))
    wanted = BATCH_SECONDS / seconds if seconds else 1
    return max(1, min(int(wanted), share, MOST_IN_BATCH))
