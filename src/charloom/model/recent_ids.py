"""The ids that each stream read last, which the contexts of n-grams and the pairs of characters need."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.model import Learner, State
from charloom.model.learner import RECENT, required_pairs

Array = NDArray[Any]


def recent_ids_after(x: Array, state: State) -> Array:
    """Return the ids that each stream read last after each step, int32 of shape (T, B, D), the latest last.

    Args:
        x: the ids that the network reads, shape (T, B).
        state: the state before them, with D recent ids of each stream.
    """
    recent = state[RECENT][0]
    ids = _with_recent(x, state)
    return np.array([ids[t + 1 : t + 1 + recent.shape[1]].T for t in range(len(x))])


def recent_after(x: Array, state: State) -> State:
    """Return the recent ids after reading x, as a part of a state; an empty dict if the state has none.

    The arguments are those of `recent_ids_after`.
    """
    return {RECENT: recent_ids_after(x, state)[-1:]} if RECENT in state else {}


def pair_rows_of(learner: Learner, x: Array, state: State) -> Array | None:
    """Return the row of `pairs.weight` for each character and the one before it, shape (T, B).

    It is -1 for a pair without a row. The result is None if the learner has no pairs.

    Args:
        learner: its pairs are used.
        x: the ids that the network reads, shape (T, B).
        state: the state before them.
    """
    pairs = required_pairs(learner)
    if pairs is None:
        return None
    previous = _with_recent(x, state)[-len(x) - 1 : -1]
    return pairs.rows(previous, x)


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
