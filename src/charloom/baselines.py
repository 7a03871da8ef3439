"""Measures how well n-grams and compressors predict the same text, to compare a model with.

Each learns from the part that the model was trained on, and is judged on the part that the model
is judged on (spec/mathematics.md: Baselines). Knows nothing of files, and of networks only that they have a
vocabulary.
"""

import lzma
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.engines.base import Ids
from charloom.errors import TextError
from charloom.text import Vocabulary

GZIP: Final = 16  # added to the window's bits: the format of gzip, as zlib has it
ORDERS: Final = 8
LIMIT: Final = 4_000_000  # characters of either part: memory and seconds grow with them

# Discounts of counts 1, 2 and more where too few n-grams are rare to estimate them.
USUAL_DISCOUNTS: Final = (0.5, 1.0, 1.5)

# Bytes that a compressor is given at once: some hundredths of a second, after which Ctrl-C is heard.
GIVEN: Final = 1 << 14


class Compressor(Protocol):
    """What compresses bytes that come one after another."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


COMPRESSORS: Final[dict[str, Callable[[], Compressor]]] = {
    "xz": lambda: lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
    "gzip": lambda: zlib.compressobj(9, wbits=zlib.MAX_WBITS | GZIP),
}


@dataclass(frozen=True)
class Compressed:
    """What a compressor makes of the judged characters, in bits per character.

    Attributes:
        bits: after the training part and the first character of each segment: how much longer they
            make that, compressed.
        alone: compressed on its own.
    """

    bits: float
    alone: float


@dataclass(frozen=True)
class Baselines:
    """What others make of the same part of a text.

    Attributes:
        learnt: characters that they learnt from.
        judged: characters that they were judged on: all of each segment but its first, as a
            model's `Evaluation.characters`.
        ngrams: bits per character of the n-gram of each order, from 1 up.
        compressors: by name.
    """

    learnt: int
    judged: int
    ngrams: dict[int, float]
    compressors: dict[str, Compressed]

    @property
    def best_order(self) -> int:
        """The order of the n-gram with the fewest bits."""
        return min(self.ngrams, key=lambda order: self.ngrams[order])


def measure_baselines(
    training: Sequence[Ids], judged: Sequence[Ids], vocabulary: Vocabulary
) -> Baselines:
    """Bits per character of n-grams and compressors.

    Args:
        training: the segments to learn from, ids of shape (characters,) each; of a longer text
            than `LIMIT` its last characters.
        judged: the segments to be judged on; of a longer text its first `LIMIT` characters.
        vocabulary: theirs.

    Raises:
        TextError: nothing to learn from, or nothing to predict.
    """
    known, asked = last_of(training, LIMIT), first_of(judged, LIMIT)
    first, predicted = [s[:1] for s in asked], [s[1:] for s in asked]
    count = sum(map(len, predicted))
    if not sum(map(len, known)) or not count:
        raise TextError(
            "baselines need a text to learn from, and at least two characters to be judged on."
        )
    nats = ngram_nats(known, asked, len(vocabulary)).mean(axis=1) / math.log(2)
    # What nobody predicts is given to compressors, too: they are judged on the same characters.
    before = b"".join(vocabulary.to_bytes(segment) for segment in (*known, *first))
    after = b"".join(vocabulary.to_bytes(segment) for segment in predicted)
    return Baselines(
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
    """How many bytes a compressor makes of some data, which it is given little by little."""
    parts = (data[start : start + GIVEN] for start in range(0, len(data), GIVEN))
    return sum(len(compressor.compress(part)) for part in parts) + len(compressor.flush())


def ngram_nats(
    training: Sequence[Ids], judged: Sequence[Ids], size: int, orders: int = ORDERS
) -> NDArray[np.float64]:
    """Nats of each judged character but the first of its segment, shape (orders, characters).

    Row n-1 is the n-gram with interpolated, modified Kneser-Ney smoothing (Chen and Goodman 1998):
    its own order counts occurrences, the orders below count different predecessors, and below the
    lowest all `size` characters are alike. No context reaches out of its segment.
    """
    segments = [*training, *judged]
    ids = np.concatenate(segments).astype(np.int64)
    place = np.concatenate([np.arange(len(segment)) for segment in segments])
    learnt = np.arange(len(ids)) < sum(map(len, training))
    at = np.flatnonzero(~learnt & (place > 0))  # what is to be predicted

    # grams[t] numbers the n-gram that ends at t, as if the text were a ring: what spans two
    # segments is numbered too, and neither counted nor used.
    grams = np.zeros(len(ids), dtype=np.int64)
    contexts = np.zeros(1, dtype=np.int64)  # of each (n-1)-gram: the number of its beginning
    below = previous = np.full(len(at), 1 / size)
    nats = np.empty((orders, len(at)))
    for n in range(1, orders + 1):
        shorter, shorter_contexts, earlier = grams, contexts, previous
        previous = np.roll(grams, 1)[at]  # the context of each prediction: the n-1 before it
        keys, first, grams = np.unique(
            np.roll(shorter, 1) * size + ids, return_index=True, return_inverse=True
        )
        contexts = keys // size
        counts = np.bincount(grams[learnt & (place >= n - 1)], minlength=len(keys))
        if n > 1:
            suffixes = shorter[first[counts > 0]]  # of each n-gram that was seen: all but its first
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
    """Probabilities of one order: discounted counts, and what is spared to the order below.

    Args:
        counts: of each n-gram; `contexts`: the number of its context.
        gram: the n-gram of each prediction; `context`: its context.
        within: whether it lies in one segment.
        below: the probabilities of the order below.
    """
    spared = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    kept = counts - spared
    total = np.bincount(contexts, weights=counts, minlength=int(context.max()) + 1)[context]
    spare = np.bincount(contexts, weights=spared, minlength=int(context.max()) + 1)[context]
    known = within & (total > 0)
    return np.where(known, (kept[gram] + spare * below) / np.where(known, total, 1), below)


def discounts(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """What is taken from counts of 1, of 2 and of more (Chen and Goodman 1998, equation 26)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (n1 and n2 and n3 and n4):
        return USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    sound = all(0 <= d <= count for count, d in enumerate(estimated, start=1))
    return estimated if sound else USUAL_DISCOUNTS


def first_of(segments: Sequence[Ids], limit: int) -> list[Ids]:
    """The first `limit` characters of segments."""
    taken = []
    for segment in segments:
        taken.append(segment[:limit])
        limit -= len(taken[-1])
    return taken


def last_of(segments: Sequence[Ids], limit: int) -> list[Ids]:
    """The last `limit` characters of segments."""
    return [part[::-1] for part in first_of([part[::-1] for part in segments[::-1]], limit)][::-1]
