"""Finds the loss of a run's best checkpoint in the run's records, without keeping the records in memory.

This module reads no file: the caller passes the records and the update of the best checkpoint.
"""

import math
from typing import Any


class BestLoss:
    """The losses at those updates that may be the update of the run's best checkpoint.

    The loss of a record is stored if no earlier record has a lower value of the loss that selects the best
    checkpoint. Losses before the present best checkpoint are dropped, because only a checkpoint of a later
    update can replace it.
    """

    def __init__(self) -> None:
        # The lowest value so far of the loss that selects the best checkpoint
        self._lowest = math.inf
        self._judged = False
        self._nats: dict[int, float] = {}  # nats per character, by update

    def add(self, record: dict[str, Any], best: int | None) -> None:
        """Add the next record of the run.

        `best` is the update of the best checkpoint on disk; None if there is none.
        """
        nats = record.get("validation_nats")
        if nats is not None and not self._judged:
            # From the first validation loss on, the smooth loss no longer selects the best checkpoint.
            self._judged, self._lowest, self._nats = True, math.inf, {}
        elif nats is None and self._judged:
            return
        loss = record["smooth_loss"] if nats is None else nats
        # Not <: losses that are equal here may differ in digits that the journal does not have.
        if loss <= self._lowest:
            self._lowest = loss
            if best is None or record["update"] >= best:
                self._nats[record["update"]] = record["train_nats"] if nats is None else nats

    def of(self, best: int | None) -> float | None:
        """Return the loss of the best checkpoint in nats per character.

        `best` is the update of this checkpoint. Return None if `best` is None, or if no record of update
        `best` was added.
        """
        if best is None:
            return None
        self._nats = {update: nats for update, nats in self._nats.items() if update >= best}
        return self._nats.get(best)

    def __len__(self) -> int:
        """Return the number of losses in memory."""
        return len(self._nats)
