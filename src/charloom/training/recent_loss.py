"""Computes the mean loss of a run's last updates, and the weight that the first loss still has in the smooth loss.

The smooth loss begins with the loss of the first update, that of a network that knows nothing (spec/mathematics.md:
Smooth loss). In a short run it is therefore far above the losses of the last updates. This module reads no file: the
caller passes the records.
"""

from collections import deque
from typing import Final, NamedTuple

from charloom.formatting import bits_per_character, counted, decimals

MOST_AVERAGED: Final = 10_000  # over which the mean is taken at most
# The smooth loss is explained while the first value has at least this weight in it.
LEAST_WEIGHT: Final = 0.01


class RecentMean(NamedTuple):
    """The number of the last updates, and the mean of their losses in nats per character."""

    updates: int
    nats: float


class RecentLoss:
    """The mean loss of the last updates of a run: about as many as the smooth loss remembers, and at most half of them.

    Args:
        smoothing: the setting of the smooth loss.
        update: the update after which the records begin.
    """

    def __init__(self, smoothing: float, update: int = 0) -> None:
        self._smoothing, self._update = smoothing, update
        self._most = max(1, min(round(1 / (1 - smoothing)), MOST_AVERAGED))
        self._records: deque[RecentMean] = deque()
        self._kept = 0  # updates in `_records`

    def add(self, update: int, train_nats: float) -> None:
        """Add the next record of the run: its update, and its mean training loss in nats per character."""
        updates = max(1, update - self._update)
        self._update = update
        self._records.append(RecentMean(updates, train_nats))
        self._kept += updates
        while self._kept - self._records[0].updates >= self._most:
            self._kept -= self._records.popleft().updates

    @property
    def mean(self) -> RecentMean | None:
        """The mean of the last updates, at least those of the last record; None without a record."""
        if not self._records:
            return None
        most = min(self._most, self._update // 2)
        updates, total = 0, 0.0
        for record in reversed(self._records):
            if updates and updates + record.updates > most:
                break
            updates, total = updates + record.updates, total + record.updates * record.nats
        return RecentMean(updates, total / updates)

    @property
    def first_weight(self) -> float:
        """The weight that the loss of the first update has in the smooth loss now."""
        return self._smoothing ** max(0, self._update - 1)

    def sentence(self, one: str, with_mean: bool = True) -> str | None:
        """Return a sentence with both figures; None if the first loss has hardly any weight in the smooth loss.

        Args:
            one: the unit of prediction: character or byte.
            with_mean: False leaves out the mean, if the mean of a complete epoch stands beside the sentence.
        """
        mean = self.mean
        if mean is None or self.first_weight < LEAST_WEIGHT:
            return None
        weight = f"The first loss still has a weight of {self.first_weight:.0%} in the smooth loss"
        if not with_mean:
            return f"{weight}, which is therefore higher than the losses of the last updates."
        bits = decimals(bits_per_character(mean.nats), 3)
        return (
            f"{weight}. The mean loss of the last "
            f"{counted(mean.updates, 'update')} is {bits} bits per {one}."
        )
