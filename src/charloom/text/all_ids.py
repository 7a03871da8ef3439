"""The ids of a text in any of their forms: in memory, in a file, or laid out as a collection of items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.text.id_file import IdFile
from charloom.text.item_ids import ItemIds

AllIds = NDArray[Any] | IdFile | ItemIds


def side_by_side(
    ids: AllIds, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int
) -> NDArray[Any]:
    """Return ranges of ids as columns, shape (count, len(starts)).

    Args:
        ids: an array, an `IdFile`, or the ids of a collection of items.
        starts: the index of each range's first id.
        ends: the index after each range's last id. A range with fewer than `count` ids is filled up with
            its last id.
        count: number of ids per column.

    Raises:
        TextError: another program changed the file, or it cannot be read.
    """
    if not isinstance(ids, np.ndarray):
        return np.ascontiguousarray(ids.stretches(starts, ends, count).T)
    steps = np.arange(count)[:, np.newaxis]
    taken: NDArray[Any] = ids[np.minimum(starts + steps, ends - 1)]
    return np.ascontiguousarray(taken)
