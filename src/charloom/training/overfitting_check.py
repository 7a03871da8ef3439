"""Detects overfitting: the validation loss rises and stays high, while the training loss falls further.

The check needs only the records of a run (spec/formats.md: Records).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

# A validation loss is high if it is greater than the lowest validation loss by at least this fraction.
RISE: Final = 0.05
# The training loss must have fallen by this fraction since the record with the lowest validation loss.
FALL: Final = 0.05
# A run overfits only after this many high validation losses in a row: a single high loss may be noise.
CONSECUTIVE_EVALUATIONS: Final = 3


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
    """Takes the records of a run one after another, and checks whether they show overfitting."""

    def __init__(self) -> None:
        self._best: _Evaluation | None = None
        self._last_nats = 0.0
        # Number of high validation losses in a row at the end of the records so far.
        self._high = 0
        # Number of evaluations in a row, at the end of the records so far, in which the validation loss is high
        # although the training loss has fallen by FALL.
        self._high_after_fall = 0
        self._shown = False

    def add(self, update: int, train_nats: float, validation_nats: float | None) -> None:
        """Add the next record of the run to the check.

        Args:
            update: the update of the record.
            train_nats: the training loss in nats per character.
            validation_nats: the validation loss in nats per character; None if it was not computed.
        """
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
        # Overfitting that was shown once stays shown until there is a new lowest validation loss, because
        # the training loss may rise again, for example after a higher learning rate.
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

    The best record is the record with the lowest validation loss. A validation loss is high if it is at least
    5 % above the validation loss of the best record. A run overfitted if two conditions hold:
    1. The last three validation losses are high.
    2. In three successive evaluations after the best record, the validation loss was high although the
       training loss was at least 5 % below the training loss of the best record.
    If both losses only rise, the cause is not overfitting.

    Args:
        records: the records of a run as in metrics.jsonl, in the order of their updates.
    """
    check = OverfittingCheck()
    for record in records:
        check.add(record["update"], record["train_nats"], record.get("validation_nats"))
    return check.result()
