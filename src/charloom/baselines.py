"""Measures how well n-gram models and compressors predict a text, for a comparison with a model.

These baselines learn from the model's training part, and are evaluated on the same part of the text
as the model (spec/mathematics.md: Baselines). This module reads no files. Of the model, it needs
only the vocabulary.
"""

import lzma
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.engines.base import Ids
from charloom.errors import TextError
from charloom.formatting import one_of
from charloom.notebook_html import card, sentence, table
from charloom.text import Vocabulary

GZIP: Final = 16  # zlib writes the gzip format when 16 is added to the window bits
ORDERS: Final = 8
# The largest number of characters of the training part, and of the evaluated part, that the
# baselines use. It limits the memory and the time.
LIMIT: Final = 4_000_000

# The discounts for n-grams that occur once, twice and more often. They are used if the text has too
# few rare n-grams to estimate the discounts.
USUAL_DISCOUNTS: Final = (0.5, 1.0, 1.5)

# Bytes per call of a compressor. A call takes only a few hundredths of a second, so that Ctrl-C
# works quickly.
GIVEN: Final = 1 << 14


class Compressor(Protocol):
    """A compressor that accepts its data in several calls."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


COMPRESSORS: Final[dict[str, Callable[[], Compressor]]] = {
    "xz": lambda: lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
    "gzip": lambda: zlib.compressobj(9, wbits=zlib.MAX_WBITS | GZIP),
}


@dataclass(frozen=True)
class Compressed:
    """A compressor's result on the evaluated characters, in bits per character.

    Attributes:
        bits: compressed size of the training part followed by the evaluated characters, minus the
            compressed size of the training part. The first character of each segment is not
            evaluated; it is added to the training part.
        alone: compressed size of the evaluated characters without the training part.
    """

    bits: float
    alone: float


@dataclass(frozen=True)
class Baselines:
    """The results of all baselines on one part of a text. A notebook shows them as a table.

    Attributes:
        learnt: number of characters that the baselines learned from.
        judged: number of evaluated characters: all characters of each segment except its first, as
            in a model's `Evaluation.characters`.
        ngrams: bits per character of the n-gram model of each order; the keys are the orders, from
            1.
        compressors: the result of each compressor, by its name.
        tokens: the units that are counted and predicted: characters or bytes. For bytes, all figures are those
            of bytes.
    """

    learnt: int
    judged: int
    ngrams: dict[int, float]
    compressors: dict[str, Compressed]
    tokens: str = field(default="characters", repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data, without `tokens`."""
        fields = asdict(self)
        del fields["tokens"]
        return fields

    @property
    def best_order(self) -> int:
        """Return the order of the n-gram model with the fewest bits per character."""
        return min(self.ngrams, key=lambda order: self.ngrams[order])

    def _repr_html_(self) -> str:
        """Return the bits per character or byte as a table, the lowest in bold, as HTML for a notebook."""
        rows = [(f"n-grams of order {order}", bits) for order, bits in self.ngrams.items()]
        for name, result in self.compressors.items():
            rows += [
                (f"{name} after the training part", result.bits),
                (f"{name} alone", result.alone),
            ]
        best = min(range(len(rows)), key=lambda n: rows[n][1])
        read = f"They learned from {self.learnt:,} {self.tokens} and predicted {self.judged:,}."
        headings = ["method", f"bits per {one_of(self.tokens)}"]
        cells = [(name, f"{bits:.4f}") for name, bits in rows]
        return card("Baselines", sentence(read), table(headings, cells, bold=[best]))


def measure_baselines(
    training: Sequence[Ids], judged: Sequence[Ids], vocabulary: Vocabulary
) -> Baselines:
    """Return the bits per character of all n-gram models and compressors.

    Args:
        training: the ids of each segment to learn from, shape (characters,). Of all segments
            together, only the last `LIMIT` characters are used.
        judged: the ids of each segment to evaluate on. Of all segments together, only the first
            `LIMIT` characters are used.
        vocabulary: the vocabulary of all segments.

    Raises:
        TextError: `training` has no character, or no segment of `judged` has two characters.
    """
    known, asked = last_of(training, LIMIT), first_of(judged, LIMIT)
    first, predicted = [s[:1] for s in asked], [s[1:] for s in asked]
    count = sum(map(len, predicted))
    if not sum(map(len, known)) or not count:
        raise TextError(
            "baselines need a text to learn from and at least two characters to evaluate; give a "
            "longer text."
        )
    nats = ngram_nats(known, asked, len(vocabulary)).mean(axis=1) / math.log(2)
    # No baseline predicts the first character of a segment, so the compressors read these characters
    # together with the training part.
    before = b"".join(vocabulary.to_bytes(segment) for segment in (*known, *first))
    after = b"".join(vocabulary.to_bytes(segment) for segment in predicted)
    return Baselines(
        tokens=vocabulary.tokens,
        learnt=sum(map(len, known)),
        judged=count,
        ngrams={order: float(bits) for order, bits in enumerate(nats, start=1)},
        compressors={
            name: Compressed(
                bits=8 * (compressed(make(), before + after) - compressed(make(), before)) / count,
                alone=8 * compressed(make(), after) / count,
            )
            for name, make in COMPRESSORS.items()
        },
    )


def compressed(compressor: Compressor, data: bytes) -> int:
    """Return the size of the compressed `data` in bytes. Passes the data to the compressor in parts."""
    parts = (data[start : start + GIVEN] for start in range(0, len(data), GIVEN))
    return sum(len(compressor.compress(part)) for part in parts) + len(compressor.flush())


def ngram_nats(
    training: Sequence[Ids], judged: Sequence[Ids], size: int, orders: int = ORDERS
) -> NDArray[np.float64]:
    """Return the nats of each predicted character by each n-gram model, shape (orders, characters).

    All characters of the `judged` segments are predicted, except the first of each segment. Row n-1
    is for the model of order n, with interpolated, modified Kneser-Ney smoothing (Chen and Goodman
    1998). A model of order n combines the n-grams of order n with those of all lower orders. The
    count of an n-gram of order n is how often it occurs. The count of a shorter n-gram is how many
    distinct characters precede it. Below order 1, all `size` characters are equally likely. A
    context never extends beyond its segment.
    """
    segments = [*training, *judged]
    ids = np.concatenate(segments).astype(np.int64)
    place = np.concatenate([np.arange(len(segment)) for segment in segments])
    learnt = np.arange(len(ids)) < sum(map(len, training))
    at = np.flatnonzero(~learnt & (place > 0))  # positions of the predicted characters

    # Each distinct n-gram has a number; grams[t] is the number of the n-gram that ends at index t.
    # An n-gram that spans two segments, or that wraps around from the end to the beginning of the
    # text, also gets a number, but it is neither counted nor used.
    grams = np.zeros(len(ids), dtype=np.int64)
    # The context of each n-gram: the number of the (n-1)-gram with which the n-gram begins.
    contexts = np.zeros(1, dtype=np.int64)
    below = previous = np.full(len(at), 1 / size)
    nats = np.empty((orders, len(at)))
    for n in range(1, orders + 1):
        shorter, shorter_contexts, earlier = grams, contexts, previous
        # The context of each predicted character: the number of the (n-1)-gram before the character.
        previous = np.roll(grams, 1)[at]
        keys, first, grams = np.unique(
            np.roll(shorter, 1) * size + ids, return_index=True, return_inverse=True
        )
        contexts = keys // size
        counts = np.bincount(grams[learnt & (place >= n - 1)], minlength=len(keys))
        if n > 1:
            # The number of the (n-1)-gram with which an n-gram ends, for each distinct n-gram of the
            # training part.
            suffixes = shorter[first[counts > 0]]
            predecessors = np.bincount(suffixes, minlength=len(shorter_contexts))
            within = place[at] >= n - 2
            below = interpolate(predecessors, shorter_contexts, shorter[at], earlier, within, below)
        within = place[at] >= n - 1
        nats[n - 1] = -np.log(interpolate(counts, contexts, grams[at], previous, within, below))
    return nats


def interpolate(
    counts: NDArray[np.int64],
    contexts: NDArray[np.int64],
    gram: NDArray[np.int64],
    context: NDArray[np.int64],
    within: NDArray[np.bool_],
    below: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the probability of each predicted character by the n-grams of one order.

    A discount is subtracted from the count of each n-gram. So the probabilities of the characters
    after a context sum up to less than 1. The rest is divided among all characters, in proportion
    to the probabilities that the next lower order gives them.

    Args:
        counts: the count of each distinct n-gram; an n-gram's number is its index here.
        contexts: the number of each distinct n-gram's context.
        gram: the number of the n-gram that ends with each predicted character.
        context: the number of the context before each predicted character.
        within: True for each predicted character whose n-gram is inside one segment.
        below: the probability that the next lower order gives each predicted character.
    """
    spared = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    kept = counts - spared
    total = np.bincount(contexts, weights=counts, minlength=int(context.max()) + 1)[context]
    spare = np.bincount(contexts, weights=spared, minlength=int(context.max()) + 1)[context]
    known = within & (total > 0)
    return np.where(known, (kept[gram] + spare * below) / np.where(known, total, 1), below)


def discounts(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the discounts for n-grams that occur once, twice and more often, in this order.

    `counts` are the counts of all n-grams of one order. Source: Chen and Goodman 1998, equation 26.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (n1 and n2 and n3 and n4):
        return USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    sound = all(0 <= d <= count for count, d in enumerate(estimated, start=1))
    return estimated if sound else USUAL_DISCOUNTS


def first_of(segments: Sequence[Ids], limit: int) -> list[Ids]:
    """Keep only the first `limit` characters of all segments together, and return the segments."""
    taken = []
    for segment in segments:
        taken.append(segment[:limit])
        limit -= len(taken[-1])
    return taken


def last_of(segments: Sequence[Ids], limit: int) -> list[Ids]:
    """Keep only the last `limit` characters of all segments together, and return the segments."""
    return [part[::-1] for part in first_of([part[::-1] for part in segments[::-1]], limit)][::-1]
