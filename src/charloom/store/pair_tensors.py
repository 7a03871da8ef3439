"""Turns the pairs of characters of a model into a tensor of its file, and back (spec/formats.md: Model files).

Files may be untrusted: the ids are checked before they are used.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import DamagedError
from charloom.model.input_pairs import NO_PAIR, InputPairs, codes_of
from charloom.store.ngram_tensors import Layout
from charloom.store.tensor_reader import Arrays

PAIR_IDS: Final = "pairs/ids"  # the name of the tensor in a model file


def tensors_of_pairs(pairs: InputPairs) -> Arrays:
    """Return the tensor that holds the pairs, by name."""
    return {PAIR_IDS: pairs.ids}


def pair_layout(rows: int) -> Layout:
    """Return the shape and the dtype of the tensor of `rows` pairs, by name."""
    return {PAIR_IDS: ((rows, 2), np.dtype(np.int32))}


def parse_pairs(arrays: Mapping[str, NDArray[Any]], K: int, label: str) -> InputPairs:
    """Return the pairs in the tensor of an untrusted file.

    Args:
        arrays: the arrays of the file by name. The shape and the dtype are those of `pair_layout`.
        K: the number of characters in the vocabulary.
        label: the name of the file in messages.

    Raises:
        DamagedError: the tensor does not hold pairs of K characters.
    """
    ids = arrays[PAIR_IDS]
    problem = problem_of(ids, K)
    if problem:
        raise DamagedError(f"{label} is damaged: {problem}.")
    return InputPairs(ids, K)


def problem_of(ids: NDArray[np.int32], K: int) -> str | None:
    """Return why these ids, shape (R, 2), are not pairs of K characters; None if they are."""
    empty = (ids == NO_PAIR).all(axis=1)
    if (empty[:-1] > empty[1:]).any():
        return "a row without a pair of characters comes before one with a pair"
    used = ids[~empty]
    if used.min(initial=0) < 0 or used.max(initial=0) >= K:
        return "its pairs of characters have ids that are not in the vocabulary"
    if len(np.unique(codes_of(used[:, 0], used[:, 1], K))) < len(used):
        return "it has a pair of characters twice"
    return None
