"""Shows the items in a row of ids as text, one after another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.text.collection import Collection
from charloom.text.vocabulary import Vocabulary


def text_of_items(collection: Collection, vocabulary: Vocabulary, ids: NDArray[Any]) -> str:
    """Return the items in `ids` as text, with a newline or the collection's separator between two items.

    A boundary at the beginning or at the end begins no other item.
    """
    assert vocabulary.boundary is not None
    ends = np.flatnonzero(ids == vocabulary.boundary)
    items = [vocabulary.decode(part[part != vocabulary.boundary]) for part in np.split(ids, ends)]
    if items and not items[-1]:
        items.pop()
    if items and len(ids) and ids[0] == vocabulary.boundary:
        items.pop(0)
    return collection.between.join(items)
