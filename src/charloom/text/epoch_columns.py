"""The columns of the n-grams that predict the tokens of an epoch of a collection.

A token is predicted without the counts of its own part of the counted text (spec/mathematics.md: N-grams). In that
text, each item has a boundary of its own at both ends (`ItemIds.with_both_boundaries`).
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.random import words
from charloom.text.item_ids import ItemIds

TOKENS: Final = 1 << 20  # tokens whose places are computed at a time


def places_of_epoch(ids: ItemIds, seed: int, epoch: int, items: int) -> Iterator[NDArray[np.int64]]:
    """Yield, in blocks, the index in the counted text of each token of an epoch, from the second token on.

    The first token of the circle is a boundary; it comes last, because it ends the last item.

    Args:
        ids: the collection.
        seed: seed of the order of the epoch.
        epoch: number of completed epochs.
        items: the number of items of the training part.
    """
    starts = ids.starts[: items + 1].astype(np.int64)
    order = np.argsort(words(seed, "items", items, update=epoch + 1), kind="stable")
    sizes = np.diff(starts)[order]
    begins = starts[order] + order  # there is one more boundary for each item before
    ends = np.cumsum(sizes)
    first = 0
    while first < items:
        before = int(ends[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + TOKENS, side="right")))
        some = sizes[first:end]
        shift = begins[first:end] - (ends[first:end] - some - before)
        yield np.arange(1, int(ends[end - 1]) - before + 1) + np.repeat(shift, some)
        first = end


def columns_of_epoch(places: Iterator[NDArray[np.int64]], counted: int, parts: int) -> NDArray[Any]:
    """Return the column that predicts each token of the circle, uint8 of shape (C,), that of its first token first.

    Args:
        places: the result of `places_of_epoch`.
        counted: the number of ids that were counted; 0 if none was.
        parts: the number of parts into which they are divided.
    """
    columns = [
        np.where(place < counted, 1 + place * parts // max(counted, 1), 0).astype(np.uint8)
        for place in places
    ]
    return np.roll(np.concatenate(columns), 1)
