"""The tokens that are read in one epoch of a collection: the items of its training part, in a new random order.

The tokens form a circle. Each stream begins at a boundary and reads on around the circle (spec/mathematics.md:
Items). An epoch depends only on the collection, the seed and the epoch's number, so a resumed run reads the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.text import id_cache
from charloom.text.epoch_columns import columns_of_epoch, places_of_epoch
from charloom.text.id_file import IdFile
from charloom.text.item_ids import ItemIds
from charloom.text.item_order import RandomOrder
from charloom.text.windows import Windows


@dataclass(frozen=True, eq=False)
class EpochItems:
    """The tokens of an epoch.

    Attributes:
        tokens: the circle, shape (C,); in memory with as many more tokens from its beginning as the streams read
            after its end. For a large collection, an `IdFile` with the circle only.
        size: the number of tokens of the circle, C.
        starts: the index at which each stream begins, shape (B,).
        seed: seed of the order.
        epoch: number of completed epochs.
    """

    tokens: NDArray[Any] | IdFile
    size: int
    starts: NDArray[np.int64]
    seed: int
    epoch: int
    # The columns that were computed last, and what they were computed for.
    _columns: dict[str, tuple[object, NDArray[np.uint8]]] = field(default_factory=dict, repr=False)

    def read(self, position: int, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return an array with the tokens that a call of an engine needs, and where the streams start in it.

        Args:
            position: number of tokens that each stream has read in the epoch.
            count: number of tokens that each stream needs from there on.

        Returns:
            The tokens, and the index of each stream's first token of the epoch, shape (B,); it may be negative.
        """
        if not isinstance(self.tokens, IdFile):
            return self.tokens, self.starts
        return self.read_around(self.tokens, position, count)

    def columns(
        self, ids: ItemIds, counted: int, parts: int, position: int, count: int
    ) -> NDArray[np.uint8]:
        """Return the column of the n-grams that predicts each token which `read` returns.

        Args:
            ids: the collection.
            counted: the number of ids that were counted; 0 if none was.
            parts: the number of parts into which they are divided.
            position: as for `read`.
            count: as for `read`.
        """
        made_for, columns = self._columns.get("last", (None, None))
        if columns is None or made_for != (counted, parts):
            places = places_of_epoch(ids, self.seed, self.epoch, ids.first_at(self.size))
            columns = columns_of_epoch(places, counted, parts)
            if not isinstance(self.tokens, IdFile):
                columns = np.resize(columns, len(self.tokens))
            self._columns["last"] = (counted, parts), columns
        if not isinstance(self.tokens, IdFile):
            return columns
        return self.read_around(columns, position, count)[0]

    def read_around(
        self, values: NDArray[Any] | IdFile, position: int, count: int
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a part of the circle for each stream in one array, and where the streams start in it, as `read` does."""
        rows = [self._row(values, int(start) + position, count) for start in self.starts]
        places = count * np.arange(len(rows), dtype=np.int64) - position
        return np.concatenate(rows), places

    def _row(self, values: NDArray[Any] | IdFile, start: int, count: int) -> NDArray[Any]:
        """Return `count` values from an index on, around the circle."""
        parts, left = [], count
        while left:
            start %= self.size
            part = values[start : min(start + left, self.size)]
            parts.append(part)
            start, left = start + len(part), left - len(part)
        return np.concatenate(parts)


# The epoch of each collection that was read last: training reads the same epoch in many calls.
_LAST: Final[WeakKeyDictionary[ItemIds, tuple[object, EpochItems]]] = WeakKeyDictionary()


def tokens_of_epoch(ids: ItemIds, config: Config, windows: Windows, epoch: int) -> EpochItems:
    """Return the tokens of an epoch of a training run.

    Args:
        ids: the collection.
        config: its seed draws the order.
        windows: the windows of the collection, with its parts.
        epoch: number of completed epochs.

    Raises:
        TextError: another program changed the file with the ids, or it cannot be read.
    """
    ((_, end),) = windows.parts["train"]
    key = (config.seed, epoch, end, windows.streams, windows.epoch_length)
    found, last = _LAST.get(ids, (None, None))
    if last is None or found != key:
        _LAST.pop(ids, None)  # frees its memory first
        last = _shuffled(ids, config.seed, epoch, end - 1, windows)
        _LAST[ids] = key, last
    return last


def _shuffled(ids: ItemIds, seed: int, epoch: int, size: int, windows: Windows) -> EpochItems:
    """Return the tokens of an epoch; `size` is the number of tokens of the circle."""
    streams = _Streams(size, windows.streams, ids.boundary)
    order, batches = RandomOrder(seed, epoch + 1, ids.boundary), ids.batches(0, size)
    if isinstance(ids.ids, IdFile):
        blocks = streams.watched(order.apply(batches, size, id_cache.folder() / "ids"))
        stored = id_cache.temporary_ids(size, ids.dtype, blocks)
        return EpochItems(stored, size, streams.starts, seed, epoch)
    circle = np.concatenate(list(streams.watched(order.apply(batches, size, None))))
    needed = int(streams.starts.max()) + windows.epoch_length + 1
    tokens = np.resize(circle, max(size, needed))
    tokens.flags.writeable = False
    return EpochItems(tokens, size, streams.starts, seed, epoch)


class _Streams:
    """Finds where each stream begins: at the first boundary at or after its share of the circle."""

    def __init__(self, size: int, streams: int, boundary: int) -> None:
        self._wanted = size // streams * np.arange(streams, dtype=np.int64)
        self._boundary = boundary
        self.starts = np.zeros(
            streams, dtype=np.int64
        )  # after the last boundary, the circle begins again

    def watched(self, blocks: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield all blocks of the circle, and find the starts in them."""
        found, first = 0, 0
        for block in blocks:
            places = first + np.flatnonzero(block == self._boundary)
            at = np.searchsorted(places, self._wanted[found:])
            ready = int(np.count_nonzero(at < len(places)))
            self.starts[found : found + ready] = places[at[:ready]]
            found, first = found + ready, first + len(block)
            yield block
