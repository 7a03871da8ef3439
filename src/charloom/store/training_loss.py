"""Computes the training loss of a run from its records, without keeping the records in memory.

Every list, page, report and command shows this loss. This module reads no file: the caller passes the records.
"""


class TrainingLoss:
    """The mean training loss of a run over its last complete epoch, in nats per character.

    Before the end of the first epoch, it is the mean of the last record. A last record can cover only a few updates,
    so that its own mean is mostly noise: if it covers fewer updates than the record before it, the loss is the mean of
    both.
    """

    def __init__(self) -> None:
        self._update = 0  # of the last record
        # the number of updates and the sum of their losses in nats per character: of the last record but one, and
        # of the last record
        self._earlier = self._last = (0, 0.0)
        self._epochs = EpochMeans()

    def add(self, update: int, epoch: float, characters: int, train_nats: float) -> None:
        """Add the next record of the run; the arguments are its fields."""
        updates = max(1, update - self._update)
        self._update = update
        self._earlier, self._last = self._last, (updates, updates * train_nats)
        self._epochs.add(epoch, characters, train_nats)

    @property
    def epoch(self) -> int | None:
        """The number of the epoch over which the loss is the mean, from 1; None before the end of the first epoch."""
        return None if self._epochs.last_whole is None else self._epochs.complete

    @property
    def name(self) -> str:
        """What the loss is the mean of, such as "mean of epoch 4" or "mean of the last updates"."""
        return "mean of the last updates" if self.epoch is None else f"mean of epoch {self.epoch}"

    @property
    def nats(self) -> float | None:
        """Return the loss in nats per character; None if there is no record."""
        whole = self._epochs.last_whole
        return self._mean_of_last if whole is None else whole

    @property
    def _mean_of_last(self) -> float | None:
        updates, total = self._last
        if updates < self._earlier[0]:
            updates, total = updates + self._earlier[0], total + self._earlier[1]
        return total / updates if updates else None


class EpochMeans:
    """Computes the mean training loss of each epoch; keeps only the last two epochs."""

    def __init__(self) -> None:
        # The fields `epoch` and `characters` of the previous record
        self._epoch, self._characters = 0.0, 0
        self._sums: dict[int, tuple[float, int]] = {}

    def add(self, epoch: float, characters: int, train_nats: float) -> None:
        """Add the next record. Its `train_nats` is the mean training loss since the previous record."""
        number = self.complete
        if epoch <= number + 1:
            if number not in self._sums:
                self._sums = {n: s for n, s in self._sums.items() if n == number - 1}
            nats, before = self._sums.get(number, (0.0, 0))
            more = characters - self._characters
            self._sums[number] = (nats + train_nats * more, before + more)
        self._epoch, self._characters = epoch, characters

    @property
    def complete(self) -> int:
        """The number of complete epochs."""
        return int(self._epoch)

    @property
    def last_whole(self) -> float | None:
        """The mean training loss of the last complete epoch in nats per character; None if no epoch is complete."""
        nats, characters = self._sums.get(self.complete - 1, (0.0, 0))
        return nats / characters if characters > 0 else None
