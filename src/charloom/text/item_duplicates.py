"""Counts the items of the held-out parts of a collection that also occur in its training part.

Two items count as equal if they have the same hash of 64 bits, so different items are confused with a probability of
about one in 10^18 for each pair. Only the hashes of the held-out items are in memory.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.random import words
from charloom.text.item_ids import ItemIds

HASHES: Final = 1  # stream of the purpose "items" whose words multiply the ids of an item


class Duplicates(NamedTuple):
    """How many held-out items also occur in the training part.

    Attributes:
        held_out: the number of items of the validation and the test part.
        repeated: how many of them also occur in the training part.
    """

    held_out: int
    repeated: int


def duplicates_across_parts(config: Config, ids: ItemIds) -> Duplicates:
    """Return how many held-out items of a collection also occur in its training part.

    Raises:
        TextError: there are fewer items than parts, or the ids cannot be read.
        ConfigError: the items were laid out with another seed.
    """
    train = ids.start(ids.bounds(config)[0])
    found = list(hashes(ids, train, len(ids) - 1))
    if not found:
        return Duplicates(0, 0)
    held_out = np.concatenate(found)
    different, which = np.unique(held_out, return_inverse=True)
    seen = np.zeros(len(different), dtype=np.bool_)
    for block in hashes(ids, 0, train):
        place = np.minimum(np.searchsorted(different, block), len(different) - 1)
        seen[place[different[place] == block]] = True
    return Duplicates(len(held_out), int(seen[which].sum()))


class KnownItems:
    """The items of a collection, to find out whether another text is one of them. Only their hashes are in memory.

    Args:
        ids: the collection.

    Raises:
        TextError: the ids cannot be read.
    """

    def __init__(self, ids: ItemIds) -> None:
        self._boundary = np.array([ids.boundary], dtype=ids.dtype)
        self._hashes = np.unique(np.concatenate(list(hashes(ids, 0, len(ids) - 1))))

    def __contains__(self, item: NDArray[Any]) -> bool:
        """Return True if the collection has the item with these ids, which have no boundary."""
        batch = np.concatenate([self._boundary, item])
        start, size = np.zeros(1, np.int64), np.array([len(batch)])
        factors = words(0, "items", len(batch), stream=HASHES)
        found = products(batch, start, size, factors).sum(dtype=np.uint64)
        place = np.searchsorted(self._hashes, found)
        return bool(place < len(self._hashes) and self._hashes[place] == found)


def hashes(ids: ItemIds, start: int, end: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the hashes of the items between two boundaries, in blocks.

    The hash of an item is the sum of its ids plus one, each times the random word of its place in the item, modulo
    2^64.
    """
    factors: NDArray[np.uint64] = words(0, "items", 1 << 10, stream=HASHES)
    for batch in ids.batches(start, end):
        starts = np.flatnonzero(batch == ids.boundary)
        sizes = np.diff(starts, append=len(batch))
        if sizes.max() > len(factors):
            factors = words(0, "items", int(sizes.max()), stream=HASHES)
        yield np.add.reduceat(products(batch, starts, sizes, factors), starts)


def products(
    batch: NDArray[Any],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    factors: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Return each id of a batch plus one, times the factor of its place in its item."""
    places = np.arange(len(batch)) - np.repeat(starts, sizes)
    found: NDArray[np.uint64] = (batch.astype(np.uint64) + np.uint64(1)) * factors[places]
    return found
