"""Estimates the speed of a training run and the time left, from its events and their times.

It uses only updates of this process, and leaves out the time of gradient checks, pauses and the report.
"""

from charloom.training.events import Progress, Record, TrainingEvent


class SpeedEstimate:
    """Measures the speed of a training run. Pass every event of the run to `take`."""

    def __init__(self) -> None:
        # The update and the time of the last Progress event
        self._last: tuple[int, float] | None = None
        # True if the run was paused at the last Progress event
        self._paused = False
        # True if other work than training, such as saving a checkpoint, was done after the last Progress event
        self._interrupted = False
        # For the speed: the number of measured updates, and how many seconds they took. Updates between
        # two Progress events are not measured if a checkpoint, for example, was saved between these events.
        self._learnt, self._learning_seconds = 0, 0.0
        # For the time left: the number of all updates, and how many seconds they took, including the time
        # for saving checkpoints, for example.
        self._done, self._seconds = 0, 0.0

    def take(self, item: TrainingEvent, now: float) -> None:
        """Take an event that arrived at the time `now`, in seconds of any clock."""
        if isinstance(item, Progress):
            self._measure(item, now)
        elif not isinstance(item, Record) or item.validation_nats is not None:
            self._interrupted = True

    @property
    def updates_per_second(self) -> float | None:
        """The number of updates per second, without the time of interruptions such as saving a checkpoint.

        None before the first measurement.
        """
        return self._learnt / self._learning_seconds if self._learning_seconds > 0 else None

    def seconds_left(self, updates: int) -> float | None:
        """Return how many seconds the next `updates` updates will take, with interruptions such as saving.

        Return None before the first measurement.
        """
        return updates * self._seconds / self._done if self._done else None

    def _measure(self, item: Progress, now: float) -> None:
        """Add the updates and the seconds since the last event of type Progress.

        Add nothing if the run was paused, or went back to an earlier update.
        """
        if item.update == 0:
            return  # at update 0, training has not started
        before, self._last = self._last, (item.update, now)
        paused, self._paused = self._paused, item.state == "paused"
        interrupted, self._interrupted = self._interrupted, False
        if before is None or paused or self._paused or item.update <= before[0]:
            return
        updates, seconds = item.update - before[0], now - before[1]
        self._done, self._seconds = self._done + updates, self._seconds + seconds
        if not interrupted:
            self._learnt, self._learning_seconds = (
                self._learnt + updates,
                self._learning_seconds + seconds,
            )
