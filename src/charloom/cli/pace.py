"""Estimates how fast a training is and how long it still takes, from its messages; it reads no
clock.

It counts from the first update of this training. What a resumed run did before, gradient checks,
pauses and the report are no part of it.
"""

from charloom.training import Item, Progress, Record


class Pace:
    """Measures a training while it is told item by item."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None  # update and time of the last progress
        self._paused = False  # at the last progress
        self._interrupted = False  # since then: by a judgement, a sample or a save
        self._learnt, self._learning_seconds = 0, 0.0  # updates between which nothing else was done
        self._done, self._seconds = 0, 0.0  # all updates, with what was done between them

    def take(self, item: Item, now: float) -> None:
        """Take an item that came at `now`, in seconds of any clock."""
        if isinstance(item, Progress):
            self._measure(item, now)
        elif not isinstance(item, Record) or item.validation_nats is not None:
            self._interrupted = True

    @property
    def updates_per_second(self) -> float | None:
        """Updates in a second of learning alone; None as long as nothing was measured."""
        return self._learnt / self._learning_seconds if self._learning_seconds > 0 else None

    def seconds_left(self, updates: int) -> float | None:
        """How long so many updates take, with judgements, samples and saves; None as long as nothing
        was measured."""
        return updates * self._seconds / self._done if self._done else None

    def _measure(self, item: Progress, now: float) -> None:
        """Count the updates since the last progress, unless there was a pause or a way back."""
        if item.update == 0:
            return  # nothing was learnt yet
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
