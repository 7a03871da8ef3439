"""Detects overfitting: the training loss still fell while the validation loss rose.

It reads only records (spec/formats.md: Records).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

RISE: Final = 0.05  # the last validation losses must exceed the best by this fraction of it
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
        # Only the last ones are kept: a run may have millions.
        self._latest: deque[_Evaluation] = deque(maxlen=CONSECUTIVE_EVALUATIONS)

    def add(self, update: int, train_nats: float, validation_nats: float | None) -> None:
        """Take the next record: its losses are in nats per character."""
        if validation_nats is None:
            return
        record = _Evaluation(update, train_nats, validation_nats)
        self._latest.append(record)
        if self._best is None or validation_nats < self._best.validation_nats:
            self._best = record

    def result(self) -> Overfitting | None:
        """Return when and how much the run overfitted; None if the records do not show overfitting."""
        if self._best is None:
            return None
        update, train_nats, least = self._best
        last = self._latest[-1]
        # With three or fewer validation losses, the best one is among them, so this returns None.
        if any(record.validation_nats < (1 + RISE) * least for record in self._latest):
            return None
        if last.train_nats >= train_nats:
            return None
        rise = last.validation_nats - least
        return Overfitting(update, rise, rise / least)


class _Evaluation(NamedTuple):
    update: int
    train_nats: float
    validation_nats: float


def overfitting(records: Iterable[Mapping[str, Any]]) -> Overfitting | None:
    """Return when and how much a training run overfitted; None if the records do not show overfitting.

    A run overfitted if each of the last three validation losses is at least 5 % above the best, and
    the training loss has fallen since then. If both losses rise, the cause is not overfitting.

    Args:
        records: as in metrics.jsonl, in the order of their updates.
    """
    check = OverfittingCheck()
    for record in records:
        check.add(record["update"], record["train_nats"], record.get("validation_nats"))
    return check.result()
