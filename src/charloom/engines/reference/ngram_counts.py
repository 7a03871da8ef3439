"""N-grams: counts and smooths those of a text, and computes the probabilities that they give.

See spec/mathematics.md: N-grams.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.model import Learner, State
from charloom.model.learner import NO_ID, required_ngrams
from charloom.model.ngrams import (
    FREE_LENGTH,
    LEAST_OCCURRENCES,
    LEAST_PROBABILITY,
    MOST_BYTES,
    PARTS,
    NGrams,
    bytes_in_file,
)
from charloom.model.recent_ids import recent_ids_after

Array = NDArray[Any]
# About how many bytes of memory counting needs for each character of a text, mostly for Python's integers in
# lists. Measured: 900 for the King James Bible, 1,170 for random words, 1,430 for random bytes.
BYTES_PER_CHARACTER: Final = 1_100
USUAL_DISCOUNTS: Final = (0.0, 0.5, 1.0, 1.5)  # of a count of 0, 1, 2, and 3 or more


@dataclass
class _Text:
    """The counted text: its ids, the part of each place, and the places that are counted."""

    ids: list[int]
    parts: list[int]
    places: list[int]
    begins: set[int]  # the first place of each segment
    boundary: int | None  # the id at which items begin
    # Contexts of at least `free` characters count only if they occur at least `least` times.
    least: int = LEAST_OCCURRENCES
    free: int = FREE_LENGTH

    def before(self, place: int, length: int) -> int:
        """Return the id before the context of a place; NO_ID if the context begins its segment or an item."""
        first = place - length
        begins_item = length > 0 and self.ids[first] == self.boundary
        return NO_ID if begins_item or first in self.begins else self.ids[first - 1]

    def counts(self, places: Iterable[int], length: int, whole: bool) -> Counter[int]:
        """Count the followers of a context by id.

        The count of a follower is how often it occurs if `whole` is True. Otherwise, it is the number
        of different characters (or beginnings of a segment) before the context.
        """
        seen = {(p if whole else self.before(p, length), self.ids[p]) for p in places}
        return Counter(follower for _, follower in seen)


@dataclass
class _Tree:
    """The arrays of `NGrams` as lists; factors and shares have a row for each context and entry."""

    children: list[int] = field(default_factory=list)
    child_ids: list[int] = field(default_factory=lambda: [0])
    followers: list[int] = field(default_factory=list)
    follower_ids: list[int] = field(default_factory=list)
    factors: list[list[float]] = field(default_factory=list)
    shares: list[list[float]] = field(default_factory=list)

    def add(self, entries: Sequence[int], smoothed: Sequence[tuple[float, list[float]]]) -> None:
        """Add a context: the ids of its entries, and for each column its factor and its shares."""
        self.followers.append(len(self.follower_ids))
        self.follower_ids += entries
        self.factors.append([factor for factor, _ in smoothed])
        self.shares += [list(row) for row in zip(*(shares for _, shares in smoothed), strict=True)]


def count(
    order: int,
    characters: int,
    ids: Array,
    segments: Array,
    most_bytes: int = MOST_BYTES,
    boundary: int | None = None,
) -> NGrams:
    """Return the n-grams of the segments of a text, with a column without each part.

    If their size would be more than `most_bytes`, rare contexts are left out. No context goes back beyond the id
    `boundary`, at which items begin.
    """
    text = _Text(
        ids.tolist(),
        [at * PARTS // len(ids) for at in range(len(ids))],
        [at for first, end in segments.tolist() for at in range(first, end)],
        {first for first, _ in segments.tolist()},
        boundary,
    )
    ngrams = _counted(order, characters, text)
    if ngrams.file_size > most_bytes:
        text.least, text.free = _least_that_fits(order, characters, text, most_bytes), 1
        ngrams = _counted(order, characters, text)
    return ngrams


def _least_that_fits(order: int, characters: int, text: _Text, most_bytes: int) -> int:
    """Return how often a context must occur so that the size is at most `most_bytes`.

    The empty context always counts.
    """
    context_bytes, entry_bytes = bytes_in_file(characters)
    followers: dict[tuple[int, ...], list[int]] = {}
    for place in text.places:
        context: tuple[int, ...] = ()
        while len(context) < order and NO_ID not in context:
            followers.setdefault(context, []).append(text.ids[place])
            context = (*context, text.before(place, len(context)))

    def size(least: int) -> int:
        kept = [ids for context, ids in followers.items() if not context or len(ids) >= least]
        return sum(context_bytes + entry_bytes * len(set(ids)) for ids in kept)

    sizes = range(LEAST_OCCURRENCES, len(text.places) + 2)
    return next((least for least in sizes if size(least) <= most_bytes), sizes[-1])


def _counted(order: int, characters: int, text: _Text) -> NGrams:
    """Return the n-grams of a text in which the contexts count that `_frequent` accepts."""
    tree, level = _Tree(), [text.places]  # the places after each context of one length
    for length in range(order):
        _add_level(tree, text, level, length, whole=length + 1 == order)
        longer = [_longer_contexts(text, places, length) for places in level]
        level = []
        for contexts in longer:
            tree.children.append(len(tree.child_ids))
            if length + 1 < order:
                tree.child_ids += contexts
                level += contexts.values()
    tree.children.append(len(tree.child_ids))
    tree.followers.append(len(tree.follower_ids))
    columns = PARTS + 1
    return NGrams(
        order,
        characters,
        children=np.array(tree.children, np.uint32),
        child_ids=np.array(tree.child_ids, np.uint32),
        followers=np.array(tree.followers, np.uint32),
        follower_ids=np.array(tree.follower_ids, np.uint32),
        shares=np.array(tree.shares, np.float32).reshape(-1, columns).T.copy(),
        factors=np.array(tree.factors, np.float32).T.copy(),
        counted=len(text.ids),
    )


def _longer_contexts(text: _Text, places: Sequence[int], length: int) -> dict[int, list[int]]:
    """Return the places after each context that is one character longer, by that character's id.

    Contexts that are too rare are left out.
    """
    groups: dict[int, list[int]] = {}
    for place in places:
        groups.setdefault(text.before(place, length), []).append(place)
    return {
        before: groups[before]
        for before in sorted(groups)
        if before != NO_ID and _frequent(text, groups[before], length + 1)
    }


def _frequent(text: _Text, places: Sequence[int], length: int) -> bool:
    """Return True if a context of `length` characters occurs often enough to count."""
    return length < text.free or len(places) >= text.least


def _add_level(
    tree: _Tree, text: _Text, level: Sequence[list[int]], length: int, whole: bool
) -> None:
    """Add all contexts of one length to the tree."""
    counts = [text.counts(places, length, whole) for places in level]
    other = len(text.places) - sum(map(len, level))
    discounts = _discounts(counts, other)
    for places, all_counts in zip(level, counts, strict=True):
        entries = sorted(all_counts)
        smoothed = [_smoothed(entries, all_counts, discounts)]
        for part in range(PARTS):
            outside = [place for place in places if text.parts[place] != part]
            counts_here = _frequent(text, outside, length)
            found = text.counts(outside, length, whole) if counts_here else Counter[int]()
            smoothed.append(_smoothed(entries, found, discounts))
        tree.add(entries, smoothed)


def _discounts(counts: Iterable[Counter[int]], other: int) -> Sequence[float]:
    """Return what is subtracted from a count of 0, 1, 2, and 3 or more (Chen and Goodman 1998).

    `other` is the number of places that have no context of this length in the tree: a count of 1 each.
    """
    how_many = Counter(n for followers in counts for n in followers.values())
    how_many[1] += other
    if not all(how_many[n] for n in (1, 2, 3, 4)):
        return USUAL_DISCOUNTS
    y = how_many[1] / (how_many[1] + 2 * how_many[2])
    found = [0.0] + [n - (n + 1) * y * how_many[n + 1] / how_many[n] for n in (1, 2, 3)]
    return [d if 0 < d < n else USUAL_DISCOUNTS[n] for n, d in enumerate(found)]


def _smoothed(
    entries: Sequence[int], counts: Counter[int], discounts: Sequence[float]
) -> tuple[float, list[float]]:
    """Return the factor of a context and the shares of its entries, by the counts of one column."""
    total = sum(counts.values())
    if not total:
        return 1.0, [0.0] * len(entries)
    discount = {k: discounts[min(counts[k], 3)] for k in entries}
    freed = 0.0
    for each in discount.values():  # not by sum(), which rounds differently from Python 3.12 on
        freed += each
    return freed / total, [(counts[k] - discount[k]) / total for k in entries]


def log_probabilities(
    learner: Learner,
    x: Array,
    state: State,
    columns: Array | None = None,
    dtype: str | None = None,
) -> Array | None:
    """Return the logarithm of the n-grams' probability of each character at each step, shape (T, B, K).

    The result is None if the learner has no n-grams.

    Args:
        learner: its n-grams are used.
        x: the ids that the network reads, shape (T, B).
        state: the state before them.
        columns: the column of the n-grams for each target, shape (T, B); None for column 0.
        dtype: the dtype of the computation and of the result; None for the learner's dtype.
    """
    ngrams, dtype = required_ngrams(learner), dtype or learner.config.dtype
    if ngrams is None:
        return None
    if columns is None:
        columns = np.zeros(x.shape, np.int32)
    contexts = recent_ids_after(x, state, learner.vocabulary.boundary)
    q = np.empty((*x.shape, ngrams.characters), dtype)
    for place in np.ndindex(x.shape):
        q[place] = _probabilities(ngrams, contexts[place].tolist(), int(columns[place]), dtype)
    return np.asarray(np.log(np.maximum(q, np.asarray(LEAST_PROBABILITY, dtype))))


def _probabilities(ngrams: NGrams, context: Sequence[int], column: int, dtype: Any) -> Array:
    """Return the probability of each character after one context, shape (K,)."""
    q = np.full(ngrams.characters, 1 / ngrams.characters, dtype)
    node: int | None = 0
    for before in (*reversed(context), NO_ID):
        if node is None:
            break
        entries = slice(ngrams.followers[node], ngrams.followers[node + 1])
        q *= ngrams.factors[column, node].astype(dtype)
        q[ngrams.follower_ids[entries]] += ngrams.shares[column, entries].astype(dtype)
        node = _child(ngrams, node, before)
    return q


def _child(ngrams: NGrams, node: int, before: int) -> int | None:
    """Return the context with one more character before it; None if the tree does not have it."""
    first, end = ngrams.children[node : node + 2].tolist()
    found = np.flatnonzero(ngrams.child_ids[first:end] == before)
    return first + int(found[0]) if found.size else None
