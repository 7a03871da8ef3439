"""Computes a run's training loss over its last updates from its records, without keeping the records in memory.

The last record of a run can cover only a few updates, so that its own mean is mostly noise. This module reads no file: the
caller passes the records.
"""


class TrainingLoss:
    """The mean training loss of a run over its last updates, in nats per character.

    It is the mean of the last record. If the last record covers fewer updates than the record before it, it is the
    mean of both.
    """

    def __init__(self) -> None:
        self._update = 0  # of the last record
        # the number of updates and the sum of their losses in nats per character: of the last record but one, and
        # of the last record
        self._earlier = self._last = (0, 0.0)

    def add(self, update: int, train_nats: float) -> None:
        """Add the next record of the run: its update, and its mean training loss in nats per character."""
        updates = max(1, update - self._update)
        self._update = update
        self._earlier, self._last = self._last, (updates, updates * train_nats)

    @property
    def nats(self) -> float | None:
        """Return the loss in nats per character; None if there is no record."""
        updates, total = self._last
        if updates < self._earlier[0]:
            updates, total = updates + self._earlier[0], total + self._earlier[1]
        return total / updates if updates else None
