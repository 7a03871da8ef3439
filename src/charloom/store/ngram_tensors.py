"""Turns the n-grams of a model into tensors of its file, and back (spec/formats.md: Model files).

A file holds only the counts of the whole text (column 0). Files may be untrusted: no lookup in n-grams that are
read here can leave an array or run forever.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import DamagedError
from charloom.formatting import counted
from charloom.model.learner import NO_ID, RECENT
from charloom.model.ngrams import NGrams, id_types
from charloom.store.tensor_reader import Arrays

PREFIX: Final = "ngrams/"  # of the names of these tensors in a model file
NAMES: Final = ("child_counts", "child_ids", "factors", "follower_counts", "follower_ids", "shares")
MOST_NGRAMS: Final = 2**31 - 1  # contexts or entries of a file

# The shape and the dtype of each array by name.
Layout = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


def tensors_of_ngrams(ngrams: NGrams) -> Arrays:
    """Return the tensors that hold column 0 of the n-grams, by name."""
    ids, counts = id_types(ngrams.characters)
    return {
        f"{PREFIX}child_counts": np.diff(ngrams.children).astype(counts),
        f"{PREFIX}child_ids": ngrams.child_ids.astype(ids),
        f"{PREFIX}factors": ngrams.factors[0],
        f"{PREFIX}follower_counts": np.diff(ngrams.followers).astype(counts),
        f"{PREFIX}follower_ids": ngrams.follower_ids.astype(ids),
        f"{PREFIX}shares": ngrams.shares[0],
    }


def ngram_layout(arrays: Mapping[str, NDArray[Any]], characters: int) -> Layout:
    """Return the layout of the tensors of n-grams that fits the number of factors and shares in `arrays`.

    Args:
        arrays: the arrays of an untrusted file by name.
        characters: the number of characters in the vocabulary, K.
    """
    ids, counts = id_types(characters)
    contexts, entries = (
        (arrays[name].size,) if name in arrays else (0,)
        for name in (f"{PREFIX}factors", f"{PREFIX}shares")
    )
    return {
        f"{PREFIX}child_counts": (contexts, counts),
        f"{PREFIX}child_ids": (contexts, ids),
        f"{PREFIX}factors": (contexts, np.dtype(np.float32)),
        f"{PREFIX}follower_counts": (contexts, counts),
        f"{PREFIX}follower_ids": (entries, ids),
        f"{PREFIX}shares": (entries, np.dtype(np.float32)),
    }


def parse_ngrams(arrays: Mapping[str, NDArray[Any]], order: int, K: int, label: str) -> NGrams:
    """Return the n-grams in the tensors of an untrusted file, with one column.

    Args:
        arrays: the arrays of the file by name. Their shapes and dtypes are those of `ngram_layout`.
        order: the length N of the n-grams.
        K: the number of characters in the vocabulary.
        label: the name of the file in messages.

    Raises:
        DamagedError: the tensors are not n-grams of this order and of K characters.
    """
    tensors = {name: arrays[PREFIX + name] for name in NAMES}
    contexts, entries = len(tensors["factors"]), len(tensors["shares"])
    if contexts > MOST_NGRAMS or entries > MOST_NGRAMS:
        raise DamagedError(
            f"{label} is damaged: its n-grams have {counted(contexts, 'context')} and "
            f"{counted(entries, 'follower')}; at most {MOST_NGRAMS:,} of each are allowed."
        )
    children, followers = tensors["child_counts"], tensors["follower_counts"]
    # The sums must be right before offsets are computed from the counts, as these could overflow.
    if children.sum(dtype=np.uint64) != contexts - 1 or followers.sum(dtype=np.uint64) != entries:
        raise DamagedError(
            f"{label} is damaged: the counts of its n-grams do not add up to their numbers of contexts and "
            f"followers."
        )
    ngrams = NGrams(
        order,
        K,
        children=offsets_of(children, 1),
        child_ids=tensors["child_ids"].astype(np.uint32),
        followers=offsets_of(followers, 0),
        follower_ids=tensors["follower_ids"].astype(np.uint32),
        shares=tensors["shares"][np.newaxis],
        factors=tensors["factors"][np.newaxis],
    )
    problem = problem_of(ngrams)
    if problem:
        raise DamagedError(f"{label} is damaged: {problem}.")
    return ngrams


def problem_of(ngrams: NGrams) -> str | None:
    """Return why these are not n-grams; None if they are. The offsets must be inside the arrays."""
    if not is_tree(ngrams.children, ngrams.order):
        return f"the contexts of its n-grams are not a tree with at most {counted(ngrams.order, 'level')}"
    ids = (ngrams.child_ids, ngrams.follower_ids)
    if ids[0][0] != 0 or any(array.max(initial=0) >= ngrams.characters for array in ids):
        return "its n-grams have ids that are not in the vocabulary"
    if not all(map(ascend, ids, (ngrams.children, ngrams.followers))):
        return "the ids of its n-grams are not ascending"
    # A factor of 0 would make a probability 0. A NaN is not within any range.
    if not (
        within_0_and_1(ngrams.factors) and within_0_and_1(ngrams.shares) and ngrams.factors.all()
    ):
        return "the shares and factors of its n-grams are not probabilities"
    return None


def within_0_and_1(values: NDArray[np.float32]) -> bool:
    """Return True if every entry is from 0 to 1."""
    return bool(values.min(initial=0) >= 0 and values.max(initial=0) <= 1)


def require_recent_ids(state: Mapping[str, NDArray[Any]], K: int, label: str) -> None:
    """Raise DamagedError if a state of an untrusted file has recent ids of a character that does not exist.

    Args:
        state: the arrays of the state by name. Without n-grams and pairs it has no recent ids.
        K: the number of characters in the vocabulary.
        label: the name of the file in messages.
    """
    recent = state.get(RECENT)
    if recent is None or (recent.min(initial=NO_ID) >= NO_ID and recent.max(initial=NO_ID) < K):
        return
    raise DamagedError(
        f"{label} is damaged: the recent ids of its state are not in the vocabulary."
    )


def offsets_of(counts: NDArray[Any], first: int) -> NDArray[np.uint32]:
    """Return where each group begins if groups of these sizes follow one another from index `first` on.

    The result has one more entry, the end of the last group.
    """
    offsets = np.empty(len(counts) + 1, np.uint32)
    offsets[0] = 0
    np.cumsum(counts, dtype=np.uint32, out=offsets[1:])
    offsets += np.uint32(first)
    return offsets


def is_tree(children: NDArray[np.uint32], order: int) -> bool:
    """Return True if the contexts are a tree with at most `order` levels, level after level.

    The children of the contexts of one level are then all contexts of the next level. `children` has the
    first child of each context, and ends with the number of contexts.
    """
    end = 1  # of the contexts of a level; the first level is context 0
    for _ in range(order - 1):
        end = int(children[end])
    return end == len(children) - 1


def ascend(ids: NDArray[Any], offsets: NDArray[np.uint32]) -> bool:
    """Return True if the ids of each group ascend. `offsets` says where groups begin and end."""
    ascending = np.ones(len(ids) + 1, bool)
    ascending[1:-1] = ids[1:] > ids[:-1]
    ascending[offsets] = True
    return bool(ascending.all())
