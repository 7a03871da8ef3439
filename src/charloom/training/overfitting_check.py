"""Detects overfitting: the training loss still fell while the validation loss rose.

It reads only records (spec/formats.md: Records).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

RISE: Final = 0.05  # the last validation losses must exceed the best by this fraction of it
CONSECUTIVE_EVALUATIONS: Final = (
    3  # this many validation losses in a row; a single one may be noise
)


@dataclass(frozen=True)
class Overfitting:
    """When and how much a training run overfitted.

    Attributes:
        update: of the lowest validation loss.
        rise: last minus lowest validation loss, in nats per character.
        share: `rise` as a fraction of the lowest validation loss.
    """

    update: int
    rise: float
    share: float


def overfitting(records: Iterable[Mapping[str, Any]]) -> Overfitting | None:
    """Return when and how much a training run overfitted; None if the records do not show it.

    A run overfitted if each of the last three validation losses is at least 5 % above the best, and
    the training loss has fallen since then. If both losses rise, the cause is not overfitting.

    Args:
        records: as in metrics.jsonl, in the order of their updates.
    """
    best: Mapping[str, Any] | None = None
    latest: deque[Mapping[str, Any]] = deque(
        maxlen=CONSECUTIVE_EVALUATIONS
    )  # a run may have millions
    for record in records:
        if record.get("validation_nats") is not None:
            latest.append(record)
            if best is None or record["validation_nats"] < best["validation_nats"]:
                best = record
    if best is None:
        return None
    least, last = best["validation_nats"], latest[-1]
    # With three or fewer validation losses, the best one is among them, so this returns None.
    if any(record["validation_nats"] < (1 + RISE) * least for record in latest):
        return None
    if last["train_nats"] >= best["train_nats"]:
        return None
    rise = last["validation_nats"] - least
    return Overfitting(best["update"], rise, rise / least)
