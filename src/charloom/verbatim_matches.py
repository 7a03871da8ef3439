"""Finds how long the stretches are that some texts have verbatim in common with another text.

All texts are arrays of ids. This module knows neither models nor files.

Stretches are compared by hashes of 64 bits. The searched text is hashed block by block, so a text of any length needs
memory for one block only. Two different stretches have the same hash with a probability of about 5e-20.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.text.all_ids import AllIds
from charloom.text.windows import Segment

LONGEST: Final = 1_024  # longer stretches are not measured
BLOCK: Final = 1 << 20  # ids of the searched text that are hashed at a time
FILTER_BITS: Final = 22  # bits of a hash that the first, quick test looks at
BASE: Final = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64

Ids = NDArray[Any]
Lengths = NDArray[np.int64]
Hashes = NDArray[np.uint64]
# Is called after each pass over the searched text with the number of passes so far.
Report = Callable[[int], None]


def no_report(_passes: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, eq=False)
class SearchedText:
    """A text in which stretches are searched.

    Attributes:
        ids: the ids of the whole text.
        segments: the segments of it that are searched, as pairs (start, end).
        symbols: the number of different ids, K.
    """

    ids: AllIds
    segments: Sequence[Segment]
    symbols: int

    @cached_property
    def values(self) -> Hashes:
        """A fixed random number of 64 bits for each id."""
        generator = np.random.Generator(np.random.PCG64(0))
        return generator.integers(0, 1 << 64, self.symbols, dtype=np.uint64)

    def blocks(self, length: int) -> list[Segment]:
        """Return segments that together contain each stretch of `length` ids of the searched segments once."""
        return [
            (start, min(start + BLOCK + length - 1, end))
            for first, end in self.segments
            for start in range(first, end - length + 1, BLOCK)
        ]


@dataclass(frozen=True, eq=False)
class Stretches:
    """The hashes of all stretches of an array of ids.

    The hash of the ids a, b, c is v(a) + v(b) BASE + v(c) BASE² modulo 2^64, where v are the values.

    Attributes:
        sums: the hashes of the first 0, 1, 2, … ids.
    """

    sums: Hashes

    @classmethod
    def of(cls, ids: Ids, values: Hashes) -> "Stretches":
        """Return the hashes of the stretches of `ids`, shape (M,). `values` has a number for each id."""
        sums = np.zeros(len(ids) + 1, np.uint64)
        np.cumsum(values[ids] * powers(BASE, len(ids)), out=sums[1:])
        return cls(sums)

    def of_length(self, length: int, places: NDArray[np.int64] | None = None) -> Hashes:
        """Return the hashes of the stretches of `length` ids that begin at `places`, or at every place."""
        inverse = powers(pow(BASE, -1, 1 << 64), len(self.sums))
        if places is None:
            hashes = self.sums[length:] - self.sums[: len(self.sums) - length]
            return hashes * inverse[: len(hashes)]
        return (self.sums[places + length] - self.sums[places]) * inverse[places]


_POWERS: dict[int, Hashes] = {}


def powers(base: int, count: int) -> Hashes:
    """Return base^0, base^1, … modulo 2^64, `count` numbers."""
    known = _POWERS.get(base)
    if known is None or len(known) < count:
        known = np.full(max(count, BLOCK + LONGEST), base, np.uint64)
        known[0] = 1
        known = _POWERS[base] = np.cumprod(known)
    return known[:count]


def longest_matches(
    texts: Sequence[Ids], searched: SearchedText, report: Report = no_report
) -> list[Lengths]:
    """Return the length of the longest stretch from each place of each text that the searched text contains.

    A stretch lies within one text and within one segment, and has at most `LONGEST` ids.

    Args:
        texts: ids, each of shape (M,).
        searched: the text in which the stretches are searched.
        report: called after each pass over the searched text.

    Returns:
        For each text an array of shape (M,): the length of the stretch that begins at each place; 0 if the searched
        text does not have this id.
    """
    stretches = [Stretches.of(text, searched.values) for text in texts]
    lengths = [np.zeros(len(text), np.int64) for text in texts]
    passes, step = 0, LONGEST
    # Find the bits of all lengths, the highest bit first. A place keeps a longer length if this stretch occurs.
    while step:
        for length in np.unique(np.concatenate([*lengths, [0]])).tolist():
            longer = length + step
            places = [
                np.flatnonzero(found[: max(0, len(found) - longer + 1)] == length)
                for found in lengths
            ]
            if longer > LONGEST or not any(map(len, places)):
                continue
            hashes = [
                each.of_length(longer, at) for each, at in zip(stretches, places, strict=True)
            ]
            known = occurring(np.unique(np.concatenate(hashes)), searched, longer)
            for found, at, each in zip(lengths, places, hashes, strict=True):
                found[at[np.isin(each, known)]] = longer
            passes += 1
            report(passes)
        step //= 2
    return lengths


def occurring(hashes: Hashes, searched: SearchedText, length: int) -> Hashes:
    """Return those of `hashes`, which are sorted, that a stretch of `length` ids of the searched text has."""
    shift = np.uint64(64 - FILTER_BITS)
    may_occur = np.zeros(1 << FILTER_BITS, bool)
    may_occur[hashes >> shift] = True
    occurs = np.zeros(len(hashes), bool)
    for start, end in searched.blocks(length):
        found = Stretches.of(searched.ids[start:end], searched.values).of_length(length)
        found = found[may_occur[found >> shift]]
        at = np.searchsorted(hashes, found)
        at[at == len(hashes)] = 0
        occurs[at[hashes[at] == found]] = True
    return hashes[occurs]


def place_of(stretch: Ids, searched: SearchedText) -> int | None:
    """Return the index in the whole text at which a stretch of ids occurs first; None if it does not occur."""
    length = len(stretch)
    wanted = Stretches.of(stretch, searched.values).of_length(length)[0]
    for start, end in searched.blocks(length):
        ids = searched.ids[start:end]
        found = Stretches.of(ids, searched.values).of_length(length)
        for place in np.flatnonzero(found == wanted).tolist():
            if np.array_equal(ids[place : place + length], stretch):
                return int(start + place)
    return None
