"""Decides during a training run whether its end must move, so that the run ends at a given time.

This module does not change the run, and does not read a clock during training: the caller says what time it is.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Final

from charloom.config import WHOLE_LIMIT
from charloom.model.schedule import Schedule
from charloom.training.run_costs import Costs

# The plan is compared with the real speed each time that this fraction of the remaining time has passed.
# So the comparisons come more and more often towards the end, where an error can no longer be corrected.
CHECK_SHARE: Final = 0.2
# The end moves only if the run would miss its time by more than this fraction of the requested seconds.
TOLERANCE: Final = 0.03


@dataclass(frozen=True)
class TimeLimit:
    """The time at which a command with a number of minutes must end.

    Only the process that was given the minutes has a time limit. The run directory does not store it.

    Attributes:
        seconds: the requested duration of the command in seconds.
        deadline: the time of `time.monotonic` at which the command must end.
        costs: how long the parts of the run take, measured before training.
    """

    seconds: float
    deadline: float
    costs: Costs

    def seconds_left(self) -> float:
        """Return how many seconds are left until the deadline; negative after it."""
        return self.deadline - time.monotonic()

    def later(self, seconds: float) -> "TimeLimit":
        """Return the time limit with a deadline that is `seconds` later."""
        return replace(self, deadline=self.deadline + seconds)


class EndPlanner:
    """Compares the real speed of a training run with its plan, and plans a new end if they differ.

    The clock of all times here counts the seconds of training. It stands still while the run is paused, so
    a pause moves the deadline.

    Args:
        limit: the time limit; None if the run has none. Then its end never moves.
        now: the present time of the clock.
    """

    def __init__(self, limit: TimeLimit | None, now: float) -> None:
        self._limit = limit
        self._deadline = math.inf if limit is None else now + limit.seconds_left()
        # The updates and the times of the last two comparisons. The speed is measured since the first of
        # them, because over shorter times it varies by chance. The first mark is made when training has begun:
        # before that, n-grams may be counted, which is not an update.
        self._marks: list[tuple[int, float]] = []

    def seconds_left(self, now: float) -> float:
        """Return how many seconds are left until the deadline; infinity if there is no time limit."""
        return self._deadline - now

    def tolerance(self) -> float:
        """Return by how many seconds the run may miss its deadline before its end moves."""
        return math.inf if self._limit is None else TOLERANCE * self._limit.seconds

    def new_end(self, schedule: Schedule, update: int, now: float) -> int | None:
        """Return a new update at which the run must end to keep its time limit; None if the end stays.

        Args:
            schedule: the schedule of the run with its present end.
            update: number of updates that the run has done; its records and samples are complete.
            now: the present time of the clock.
        """
        if not self._marks or update < self._marks[-1][0]:
            # Training has begun or went back to an earlier update: measure the speed from there.
            self._marks = [(update, now)]
        if self._limit is None or update == self._marks[-1][0] or not self._is_due(now):
            return None
        first, began = self._marks[0]
        planned = self._limit.costs.seconds_between(schedule, first, update)
        costs = self._limit.costs.times((now - began) / planned)
        self._marks = [self._marks[-1], (update, now)]
        left = self.seconds_left(now)
        if abs(costs.seconds(schedule, schedule.updates, update, now) - left) <= self.tolerance():
            return None
        end = min(costs.updates_within(left, schedule, update, now), WHOLE_LIMIT - 1)
        return None if end == schedule.updates else end

    def _is_due(self, now: float) -> bool:
        """Return True if the real speed must be compared with the plan now."""
        last = self._marks[-1][1]
        return now - last >= max(CHECK_SHARE * self.seconds_left(last), self.tolerance())
