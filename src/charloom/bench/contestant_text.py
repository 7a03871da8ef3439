"""Makes the text that every library in a benchmark reads: the built-in text with K different characters."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.text import Corpus, Vocabulary


def bench_text(vocabulary_size: int) -> NDArray[np.uint8]:
    """Return the built-in text as ids from 0 to K-1, where K is `vocabulary_size`; shape (characters,).

    Each of the K-1 most frequent characters has an id of its own. All other characters have the id
    K-1.
    """
    ids = Corpus.open(["python-docs"]).ids
    places = np.argsort(np.argsort(-np.bincount(ids), kind="stable"), kind="stable")
    return np.asarray(np.minimum(places[ids], vocabulary_size - 1), dtype=np.uint8)


def bench_vocabulary(vocabulary_size: int) -> Vocabulary:
    """Return a vocabulary of `vocabulary_size` arbitrary characters; only their number matters."""
    return Vocabulary(chr(0x100 + k) for k in range(vocabulary_size))


def streams_of(
    tokens: NDArray[np.uint8], T: int, B: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the input ids and the target ids of B streams of whole windows, each of shape (steps, B)."""
    spacing = (len(tokens) - 1) // (B * T) * T
    x, y = (
        np.ascontiguousarray(tokens[first : first + spacing * B].reshape(B, spacing).T)
        for first in (0, 1)
    )
    return x, y


def windows_of(
    tokens: NDArray[np.uint8], T: int, B: int = 1
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the input ids x and the target ids y of one window after another, each of shape (T, B).

    After the last window of the text, the first window comes again. The iterator never ends.
    """
    x, y = streams_of(tokens, T, B)
    while True:
        for e in range(0, len(x), T):
            yield x[e : e + T], y[e : e + T]
