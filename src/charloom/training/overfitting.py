"""Finds overfitting: the loss on the training text still fell while the loss on held-out text rose.

It reads records and nothing else (spec/formats.md: Records).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

RISE: Final = 0.05  # of the best validation loss: what the last judgements must all be above it
JUDGEMENTS: Final = 3  # so many of them in a row: one alone may be noise


@dataclass(frozen=True)
class Overfitting:
    """How a training overfitted.

    Attributes:
        update: of the best judgement on the validation part.
        rise: nats per character by which the last judgement is above the best.
        share: the same as a share of the best.
    """

    update: int
    rise: float
    share: float


def overfitting(records: Iterable[Mapping[str, Any]]) -> Overfitting | None:
    """Whether a training overfitted, and from when on; None where nothing shows it.

    It did where each of the last three judgements is at least 5 % above the best, and the loss of
    the training text has fallen since. Where both losses rise, something else went wrong.

    Args:
        records: as in metrics.jsonl, in the order of their updates.
    """
    best: Mapping[str, Any] | None = None
    latest: deque[Mapping[str, Any]] = deque(maxlen=JUDGEMENTS)  # a run may have millions
    for record in records:
        if record.get("validation_nats") is not None:
            latest.append(record)
            if best is None or record["validation_nats"] < best["validation_nats"]:
                best = record
    if best is None:
        return None
    least, last = best["validation_nats"], latest[-1]
    # Of so few judgements that the latest are all of them, the best one is among these.
    if any(record["validation_nats"] < (1 + RISE) * least for record in latest):
        return None
    if last["train_nats"] >= best["train_nats"]:
        return None
    rise = last["validation_nats"] - least
    return Overfitting(best["update"], rise, rise / least)
