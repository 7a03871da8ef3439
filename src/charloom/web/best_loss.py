"""Finds the validation loss of a run's best checkpoint in the run's records, without keeping the records in memory.

This module reads no file: the caller passes the records and the update of the best checkpoint.
"""

import math
from typing import Any


class BestLoss:
    """Keeps only the validation losses that can be that of the run's best checkpoint.

    The best checkpoint has the lowest validation loss. So a loss is kept only if no earlier one is lower. Losses from
    before the best checkpoint on disk are dropped.
    """

    def __init__(self) -> None:
        self._lowest = math.inf
        # the losses that are kept, in nats per character, by update
        self._nats: dict[int, float] = {}

    def add(self, record: dict[str, Any], best: int | None) -> None:
        """Add the next record of the run.

        `best` is the update of the best checkpoint on disk; None if there is no best checkpoint. The loss of a
        record whose update is lower than `best` is not kept.
        """
        nats = record.get("validation_nats")
        # Keep equal losses too: the journal rounds, so the later of two equal losses may have been the lower one.
        if nats is not None and nats <= self._lowest:
            self._lowest = nats
            if best is None or record["update"] >= best:
                self._nats[record["update"]] = nats

    def of(self, best: int | None) -> float | None:
        """Return the validation loss of the best checkpoint in nats per character.

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
