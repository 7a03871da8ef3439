"""Finds the loss of a run's best checkpoint in the run's records, without keeping the records in memory.

This module reads no file: the caller passes the records and the update of the best checkpoint.
"""

import math
from typing import Any


class BestLoss:
    """Keeps only the losses that can be the loss of the run's best checkpoint.

    The best checkpoint has the lowest validation loss, or the lowest smooth loss (the smoothed training loss)
    in a run without a validation part. So the loss of a record is kept only if no earlier record has a lower
    loss of this kind. Losses from before the best checkpoint on disk are dropped.
    """

    def __init__(self) -> None:
        # the lowest validation loss so far; the lowest smooth loss if no record has a validation loss
        self._lowest = math.inf
        self._judged = False
        # the losses that are kept, in nats per character, by update
        self._nats: dict[int, float] = {}

    def add(self, record: dict[str, Any], best: int | None) -> None:
        """Add the next record of the run.

        `best` is the update of the best checkpoint on disk; None if there is no best checkpoint. The loss of a
        record whose update is lower than `best` is not kept.
        """
        nats = record.get("validation_nats")
        if nats is not None and not self._judged:
            # This run has a validation part, so the smooth losses before this record do not count.
            self._judged, self._lowest, self._nats = True, math.inf, {}
        elif nats is None and self._judged:
            return
        loss = record["smooth_loss"] if nats is None else nats
        # Keep equal losses too: the journal rounds, so the later of two equal losses may have been the lower one.
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
