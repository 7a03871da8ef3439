"""Detects overfitting: the validation loss rose and stayed high after the training loss fell further.

It reads only records (spec/formats.md: Records).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

RISE: Final = 0.05  # the last validation losses must exceed the best by this fraction of it
FALL: Final = 0.05  # the training loss must be below that at the best by this fraction of it
CONSECUTIVE_EVALUATIONS: Final = 3  # validation losses in a row; a single one may be noise


@dataclass(frozen=True)
class Overfitting:
    """When and how much a training run overfitted.

    Attributes:
        update: the update with the lowest validation loss.
        rise: the last validation loss minus the lowest one, in nats per character.
        share: `rise` as a fraction of the lowest validation loss.
    """

    update: int
    rise: float
    share: float


class OverfittingCheck:
    """Takes the records of a run one after another and remembers those that show overfitting."""

    def __init__(self) -> None:
        self._best: _Evaluation | None = None
        self._last_nats = 0.0
        self._high = 0  # the last validation losses in a row that exceed the best by RISE
        self._high_after_fall = 0  # those of them in a row whose training loss fell by FALL
        self._shown = False

    def add(self, update: int, train_nats: float, validation_nats: float | None) -> None:
        """Take the next record: its losses are in nats per character."""
        if validation_nats is None:
            return
        self._last_nats = validation_nats
        if self._best is None or validation_nats < self._best.validation_nats:
            self._best = _Evaluation(update, train_nats, validation_nats)
            self._high, self._high_after_fall, self._shown = 0, 0, False
            return
        high = validation_nats >= (1 + RISE) * self._best.validation_nats
        fallen = train_nats <= (1 - FALL) * self._best.train_nats
        self._high = self._high + 1 if high else 0
        self._high_after_fall = self._high_after_fall + 1 if high and fallen else 0
        # Later the training loss may rise again, for example after a higher learning rate.
        self._shown |= self._high_after_fall >= CONSECUTIVE_EVALUATIONS

    def result(self) -> Overfitting | None:
        """Return when and how much the run overfitted; None if the records do not show overfitting."""
        if self._best is None or not self._shown or self._high < CONSECUTIVE_EVALUATIONS:
            return None
        least = self._best.validation_nats
        rise = self._last_nats - least
        return Overfitting(self._best.update, rise, rise / least)


class _Evaluation(NamedTuple):
    update: int
    train_nats: float
    validation_nats: float


def overfitting(records: Iterable[Mapping[str, Any]]) -> Overfitting | None:
    """Return when and how much a training run overfitted; None if the records do not show overfitting.

    A run overfitted if each of the last three validation losses is at least 5 % above the best, and if,
    at three of them in a row since the best, the training loss was also at least 5 % below that at the
    best. If both losses only rise, the cause is not overfitting.

    Args:
        records: as in metrics.jsonl, in the order of their updates.
    """
    check = OverfittingCheck()
    for record in records:
        check.add(record["update"], record["train_nats"], record.get("validation_nats"))
    return check.result()
