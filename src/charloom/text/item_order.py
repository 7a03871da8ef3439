"""Puts the items of a collection in a random order, also if they do not fit into memory.

The order is that of one random word for each item (spec/mathematics.md: Items). Too many items for the memory are
first distributed over temporary files by the highest bits of their words; each file is then sorted in memory.
This module knows ids and boundaries, and no texts.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.random import words

SORTED_TOKENS: Final = 1 << 24  # largest number of tokens that are sorted in memory, unless all fit
MOST_FILES: Final = 64
GATHERED: Final = 1 << 20  # tokens in a block of the result; an index of 8 bytes is made for each


@dataclass(frozen=True)
class RandomOrder:
    """A random order of items.

    Attributes:
        seed: seed of the random words.
        update: 0 for the order in which a collection is laid out; e + 1 for that of epoch e.
        boundary: the id with which each item begins.
    """

    seed: int
    update: int
    boundary: int

    def apply(
        self, batches: Iterable[NDArray[Any]], tokens: int, folder: Path | None
    ) -> Iterator[NDArray[Any]]:
        """Yield the items of `batches` in this order, in blocks of whole items.

        Args:
            batches: arrays of ids; each begins with a boundary and has whole items.
            tokens: the number of all ids.
            folder: where temporary files may be made; None sorts all items in memory.
        """
        files = 1
        while folder is not None and files < MOST_FILES and files * SORTED_TOKENS < tokens:
            files *= 2
        if files == 1 or folder is None:
            yield from self._sorted(*self._joined(batches))
            return
        with ExitStack() as stack:
            buckets = [_Bucket(stack, folder) for _ in range(files)]
            shift = np.uint64(64 - (files.bit_length() - 1))
            for ids, keys in self._with_words(batches):
                distribute(ids, keys, (keys >> shift).astype(np.intp), buckets, self.boundary)
            for bucket in buckets:
                yield from self._sorted(*bucket.contents())

    def _with_words(
        self, batches: Iterable[NDArray[Any]]
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.uint64]]]:
        """Yield each batch with the words of its items."""
        first = 0
        for ids in batches:
            count = int(np.count_nonzero(ids == self.boundary))
            yield ids, words(self.seed, "items", count, first=first, update=self.update)
            first += count

    def _joined(self, batches: Iterable[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.uint64]]:
        """Return the ids of all batches, and the words of all items."""
        ids, keys = [], []
        for batch, found in self._with_words(batches):
            ids.append(batch)
            keys.append(found)
        return np.concatenate(ids), np.concatenate(keys)

    def _sorted(self, ids: NDArray[Any], keys: NDArray[np.uint64]) -> Iterator[NDArray[Any]]:
        """Yield the items of `ids` by rising `keys`, in blocks."""
        if len(keys):
            order = np.argsort(keys, kind="stable")
            yield from gathered(ids, np.flatnonzero(ids == self.boundary), order)


class _Bucket:
    """Temporary files with some items and their words, in the order in which they came."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ids, self._keys = (stack.enter_context(_temporary(folder)) for _ in range(2))
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)

    def add(self, ids: NDArray[Any], keys: NDArray[np.uint64]) -> None:
        """Add items and their words."""
        self._dtype = ids.dtype
        self._ids.write(np.ascontiguousarray(ids).data)
        self._keys.write(np.ascontiguousarray(keys).data)

    def contents(self) -> tuple[NDArray[Any], NDArray[np.uint64]]:
        """Return all items and their words."""
        self._ids.seek(0)
        self._keys.seek(0)
        ids = np.frombuffer(self._ids.read(), dtype=self._dtype)
        return ids, np.frombuffer(self._keys.read(), dtype=np.uint64)


def _temporary(folder: Path) -> IO[bytes]:
    """Return an empty file in `folder` that is deleted when it is closed."""
    file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    return file


def distribute(
    ids: NDArray[Any],
    keys: NDArray[np.uint64],
    numbers: NDArray[np.intp],
    buckets: list[_Bucket],
    boundary: int,
) -> None:
    """Add the items of a batch to the buckets with their `numbers`, one for each item."""
    starts = np.flatnonzero(ids == boundary)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=len(buckets)))
    for bucket, first, end in zip(buckets, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        chosen = order[first:end]
        for block in gathered(ids, starts, chosen) if len(chosen) else ():
            bucket.add(block, np.empty(0, np.uint64))
        bucket.add(ids[:0], keys[chosen])


def gathered(
    ids: NDArray[Any], starts: NDArray[np.int64], order: NDArray[np.intp]
) -> Iterator[NDArray[Any]]:
    """Yield items in the given order, in blocks of whole items with about `GATHERED` ids.

    Args:
        ids: the ids of all items.
        starts: where each item begins, shape (items,); it ends where the next one begins.
        order: the numbers of the items to yield.
    """
    sizes = np.diff(starts, append=len(ids))[order]
    ends = np.cumsum(sizes)
    first = 0
    while first < len(order):
        before = int(ends[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + GATHERED, side="right")))
        begins, some = starts[order[first:end]], sizes[first:end]
        if end == first + 1:
            yield ids[begins[0] : begins[0] + some[0]]
        else:
            # The index of an id is that of its item's first id, and its place in the item.
            shift = begins - (ends[first:end] - some - before)
            yield ids[np.arange(int(ends[end - 1]) - before) + np.repeat(shift, some)]
        first = end
