"""The ids that each stream read last, which the contexts of n-grams and the pairs of characters need.

A stream that begins an item forgets the ids before its boundary (spec/mathematics.md: Items).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.model import Learner, State
from charloom.model.input_pairs import NO_ROW
from charloom.model.item_resets import item_beginnings
from charloom.model.learner import NO_ID, RECENT, required_pairs

Array = NDArray[Any]


def recent_ids_after(x: Array, state: State, boundary: int | None) -> Array:
    """Return the ids that each stream read last after each step, int32 of shape (T, B, D), the latest last.

    Args:
        x: the ids that the network reads, shape (T, B).
        state: the state before them, with D recent ids of each stream.
        boundary: the id at which items begin; None without one. The ids before the last boundary are NO_ID.
    """
    recent = state[RECENT][0]
    ids = _with_recent(x, state)
    found = np.array([ids[t + 1 : t + 1 + recent.shape[1]].T for t in range(len(x))])
    if boundary is not None:
        # Count the boundaries from each id to the last one; an id before a boundary has one more than it has itself.
        begins = found == boundary
        later = np.cumsum(begins[..., ::-1], axis=-1)[..., ::-1] - begins
        found[later > 0] = NO_ID
    return found


def recent_after(x: Array, state: State, boundary: int | None) -> State:
    """Return the recent ids after reading x, as a part of a state; an empty dict if the state has none.

    The arguments are those of `recent_ids_after`.
    """
    return {RECENT: recent_ids_after(x, state, boundary)[-1:]} if RECENT in state else {}


def pair_rows_of(learner: Learner, x: Array, state: State) -> Array | None:
    """Return the row of `pairs.weight` for each character and the one before it, shape (T, B).

    It is -1 for a pair without a row, and for the boundary of items, which has no character before it. The result is
    None if the learner has no pairs.

    Args:
        learner: its pairs are used.
        x: the ids that the network reads, shape (T, B).
        state: the state before them.
    """
    pairs = required_pairs(learner)
    if pairs is None:
        return None
    previous = _with_recent(x, state)[-len(x) - 1 : -1]
    rows = pairs.rows(previous, x)
    begins = item_beginnings(learner, x)
    return rows if begins is None else np.where(begins, NO_ROW, rows)


def read_rows(learner: Learner, x: Array) -> Array:
    """Return the rows of `pairs.weight` that a learner reads in a window x, ascending, each once.

    `x` are the ids that the learner reads next, shape (T, B).
    """
    rows = pair_rows_of(learner, x, learner.state)
    found = np.unique(np.zeros(0, np.int32) if rows is None else rows)
    return np.asarray(found[found >= 0])


def _with_recent(x: Array, state: State) -> Array:
    """Return the recent ids of each stream, then the ids x, int32 of shape (D + T, B)."""
    return np.concatenate([state[RECENT][0].T, x.astype(np.int32)])
