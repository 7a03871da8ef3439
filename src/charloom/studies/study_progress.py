"""How far a study is, and how long the rest takes."""

from dataclasses import dataclass
from typing import Final

FEW_RUNS: Final = 5  # fewer say little about the speed, because the processes have just started


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Attributes:
        runs: number of planned runs.
        finished: number of runs that finished.
        failed: number of runs that failed.
        done_now: number of runs that ended since the work began.
        seconds: seconds since the work began.
        pruned: number of trials of a search that were pruned.
        message: a message for the user, such as that the storage of a search does not answer; usually None.
    """

    runs: int
    finished: int
    failed: int
    done_now: int
    seconds: float
    pruned: int = 0
    message: str | None = None

    @property
    def left(self) -> int:
        """The number of runs that have no result yet."""
        return self.runs - self.finished - self.failed - self.pruned

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes; None before a few runs are done."""
        few = self.done_now < FEW_RUNS
        return None if few else self.seconds / self.done_now * self.left
