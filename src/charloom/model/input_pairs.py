"""The pairs of characters for which a network learns an input of their own, and how they are chosen.

This module holds the ids of the pairs. Their learned inputs are the parameter `pairs.weight`
(spec/mathematics.md: Pairs).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config

PAIRS: Final = "pairs.weight"  # the parameter with the learned inputs
NO_ROW: Final = -1  # stands for the row of a pair that has none
NO_PAIR: Final = -1  # both ids of a row without a pair
BLOCK: Final = 2**18  # characters of a text whose pairs are counted at a time
# A table with a count for each possible pair has at most this many entries.
MOST_TABLE: Final = 2**22


@dataclass(frozen=True, eq=False)
class InputPairs:
    """The pair of characters of each row of `pairs.weight`.

    Attributes:
        ids: the previous and the present id of each row, int32 of shape (R, 2); read-only. The rows with a
            pair come first; each other row has -1 twice.
        characters: the number of characters in the vocabulary, K.
    """

    ids: NDArray[np.int32]
    characters: int

    def __post_init__(self) -> None:
        """Make the array read-only, because engines check it only once."""
        constant = np.ascontiguousarray(self.ids, dtype=np.int32).view()
        constant.flags.writeable = False
        object.__setattr__(self, "ids", constant)

    def __reduce__(self) -> tuple[type["InputPairs"], tuple[Any, ...]]:
        """Make pickling and copying call the constructor, so that the array of the copy is read-only too."""
        return InputPairs, (self.ids, self.characters)

    def renumbered(self, ids: NDArray[np.int64], characters: int, rows: int) -> "InputPairs":
        """Return the same pairs for a vocabulary with other ids.

        Args:
            ids: the new id of each id, shape (K,).
            characters: the number of characters in the other vocabulary.
            rows: the number of rows of the result, at least those of this object; the further rows have no pair.
        """
        pairs = no_pairs(rows, characters).ids.copy()
        pairs[: self.used] = ids[self.ids[: self.used]]
        return InputPairs(pairs, characters)

    @property
    def used(self) -> int:
        """The number of rows that have a pair."""
        return int(np.count_nonzero(self.ids[:, 0] != NO_PAIR))

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The codes of all pairs, ascending, and the row of each."""
        codes = codes_of(self.ids[: self.used, 0], self.ids[: self.used, 1], self.characters)
        rows = np.argsort(codes, kind="stable").astype(np.int32)
        return codes[rows], rows

    def rows(self, previous: NDArray[Any], present: NDArray[Any]) -> NDArray[np.int32]:
        """Return the row of each pair of characters; -1 for a pair without a row.

        Args:
            previous: the id before each character; -1 if there is none.
            present: the id of each character, in the shape of `previous`.
        """
        codes, rows = self._sorted
        if not len(codes):
            return np.full(present.shape, NO_ROW, np.int32)
        wanted = codes_of(previous, present, self.characters)
        place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(codes[place] == wanted, rows[place], NO_ROW).astype(np.int32)


def codes_of(previous: NDArray[Any], present: NDArray[Any], characters: int) -> NDArray[np.int64]:
    """Return a number for each pair of ids: K times the previous id plus the present one.

    The numbers ascend with the previous id, then with the present one. Without a previous id (-1), the
    number is below 0.
    """
    return np.asarray(previous.astype(np.int64) * characters + present)


def pair_rows(config: Config, characters: int) -> int:
    """Return R, the number of rows of `pairs.weight`: `input_pairs`, but at most K·K."""
    return min(config.input_pairs, characters * characters)


def no_pairs(rows: int, characters: int) -> InputPairs:
    """Return the pairs of an empty text: no row has one."""
    return InputPairs(np.full((rows, 2), NO_PAIR, np.int32), characters)


def most_frequent_pairs(
    read: Callable[[int, int], NDArray[Any]],
    segments: Sequence[tuple[int, int]],
    rows: int,
    characters: int,
    boundary: int | None = None,
) -> InputPairs:
    """Return the most frequent pairs of neighbouring characters in a text.

    Of two pairs that occur equally often, the one with the lower previous id comes first, then the one
    with the lower present id.

    Args:
        read: returns the ids from one index to before another. It is called for at most `BLOCK` + 1 ids.
        segments: where each counted segment begins and ends. A pair never crosses the beginning of one.
        rows: the largest number of pairs, R.
        characters: the number of characters in the vocabulary, K.
        boundary: the id that begins each item of a collection; no pair ends with it. None for a stream.
    """
    blocks = _codes_in_blocks(read, segments, characters, boundary)
    codes, counts = _counted(blocks, characters**2)
    order = np.lexsort((codes, -counts))[:rows]
    pairs = no_pairs(rows, characters).ids.copy()
    pairs[: len(order)] = np.stack(np.divmod(codes[order], characters), axis=1)
    return InputPairs(pairs, characters)


def _codes_in_blocks(
    read: Callable[[int, int], NDArray[Any]],
    segments: Sequence[tuple[int, int]],
    characters: int,
    boundary: int | None,
) -> Iterator[NDArray[np.int64]]:
    """Yield the codes of all pairs in the segments that do not end with `boundary`, for up to `BLOCK` pairs at a time."""
    for begin, end in segments:
        for start in range(begin, end - 1, BLOCK):
            ids = read(start, min(start + BLOCK + 1, end))
            codes = codes_of(ids[:-1], ids[1:], characters)
            yield codes if boundary is None else codes[ids[1:] != boundary]


def _counted(
    blocks: Iterator[NDArray[np.int64]], possible: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the codes that occur in `blocks`, ascending, and how often each occurs.

    All codes are below `possible`.
    """
    if possible <= MOST_TABLE:
        table = np.zeros(possible, np.int64)
        for block in blocks:
            table += np.bincount(block, minlength=possible)
        codes = np.flatnonzero(table)
        return codes, table[codes]
    codes, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for block in blocks:
        found, times = np.unique(block, return_counts=True)
        codes, places = np.unique(np.concatenate([codes, found]), return_inverse=True)
        counts = np.bincount(places, weights=np.concatenate([counts, times])).astype(np.int64)
    return codes, counts
