"""Estimates the speed of a training run and the time left, from its events and their times.

Only updates of this process count. Gradient checks, pauses and the report do not count.
"""

from charloom.training import Progress, Record, TrainingEvent


class SpeedEstimate:
    """Measures a training run; it must get every event of the run."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None  # update and time of the last progress
        self._paused = False  # state of the last progress
        self._interrupted = (
            False  # whether training was interrupted, as by a save, since the last progress
        )
        self._learnt, self._learning_seconds = 0, 0.0  # updates without any interruption
        self._done, self._seconds = 0, 0.0  # all updates, including interruptions

    def take(self, item: TrainingEvent, now: float) -> None:
        """Take an event that came at time `now`, in seconds of any clock."""
        if isinstance(item, Progress):
            self._measure(item, now)
        elif not isinstance(item, Record) or item.validation_nats is not None:
            self._interrupted = True

    @property
    def updates_per_second(self) -> float | None:
        """The number of updates per second, without interruptions; None before the first measurement."""
        return self._learnt / self._learning_seconds if self._learning_seconds > 0 else None

    def seconds_left(self, updates: int) -> float | None:
        """Return how long `updates` updates take, including interruptions.

        Return None before the first measurement.
        """
        return updates * self._seconds / self._done if self._done else None

    def _measure(self, item: Progress, now: float) -> None:
        """Count the updates since the last progress, unless the run was paused or went back."""
        if item.update == 0:
            return  # training has not started
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
