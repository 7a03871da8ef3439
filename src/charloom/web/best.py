"""Finds the loss of a run's best checkpoint among its records, in memory that does not grow with
them.

It knows no file: whoever reads the records says which checkpoint is the best one.
"""

import math
from typing import Any


class BestLoss:
    """Keeps the losses that the best checkpoint can have: those of records that were the best when they came.

    The best checkpoint is saved later than its record, and only a later one ever replaces it.
    """

    def __init__(self) -> None:
        self._lowest = math.inf  # of what the best checkpoint is chosen by
        self._judged = False
        self._nats: dict[int, float] = {}  # per character, by update

    def add(self, record: dict[str, Any], best: int | None) -> None:
        """Take the next record; `best` is the update of the best checkpoint that is saved now."""
        nats = record.get("validation_nats")
        if nats is not None and not self._judged:
            # What is chosen by the smooth loss until now was never the best on the validation part.
            self._judged, self._lowest, self._nats = True, math.inf, {}
        elif nats is None and self._judged:
            return
        loss = record["smooth_loss"] if nats is None else nats
        if loss <= self._lowest:  # equal ones may differ in digits that no journal has
            self._lowest = loss
            if best is None or record["update"] >= best:
                self._nats[record["update"]] = record["train_nats"] if nats is None else nats

    def of(self, best: int | None) -> float | None:
        """Nats per character of the best checkpoint; None where no record has them."""
        if best is None:
            return None
        self._nats = {update: nats for update, nats in self._nats.items() if update >= best}
        return self._nats.get(best)

    def __len__(self) -> int:
        """How many losses are kept."""
        return len(self._nats)
