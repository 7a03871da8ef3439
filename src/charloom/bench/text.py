"""The text that every contestant reads: the built-in one, with as many characters as asked for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.text import Corpus, Vocabulary


def bench_text(vocabulary_size: int) -> NDArray[np.uint8]:
    """The built-in text as ids 0 … K-1: its K-1 commonest characters, the others as one."""
    ids = Corpus.open(["python-docs"]).ids
    places = np.argsort(np.argsort(-np.bincount(ids), kind="stable"), kind="stable")
    return np.asarray(np.minimum(places[ids], vocabulary_size - 1), dtype=np.uint8)


def bench_vocabulary(vocabulary_size: int) -> Vocabulary:
    """K characters, whichever: only their number matters."""
    return Vocabulary(chr(0x100 + k) for k in range(vocabulary_size))


def windows_of(
    tokens: NDArray[np.uint8], T: int, B: int = 1
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Windows x and y of shape (T, B), one after another in B streams, round and round."""
    spacing = (len(tokens) - 1) // (B * T) * T
    x, y = (
        np.ascontiguousarray(tokens[first : first + spacing * B].reshape(B, spacing).T)
        for first in (0, 1)
    )
    while True:
        for e in range(0, spacing, T):
            yield x[e : e + T], y[e : e + T]
