"""The order in which the windows of an epoch are read: in sequence, chunk by chunk, or at random positions.

See spec/mathematics.md: Windows. An order is a function of the seed and of the window's number, so a resumed run
reads the same windows. This module computes indices only; it does not hold the text.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.errors import TextError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.random import uniforms, words
from charloom.text.windows import Windows

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class WindowOrder:
    """The order of the windows of a training run.

    Attributes:
        windows: the windows of an epoch.
        order: "sequential", "chunks" or "random", as in the setting.
        chunks: number of chunks of each stream if `order` is "chunks".
        seed: seed of the random numbers.
    """

    windows: Windows
    order: str
    chunks: int
    seed: int

    @classmethod
    def of(cls, config: Config, windows: Windows) -> "WindowOrder":
        """Return the order that `config` sets.

        Raises:
            TextError: a stream has fewer windows than it should have chunks.
        """
        if config.order == "chunks" and config.chunks > windows.per_epoch:
            raise TextError(
                f"{argument('chunks')} is {config.chunks:,}, but the text has only "
                f"{counted(windows.per_epoch, 'window')} of {counted(windows.seq_length, 'step')} in each stream. "
                f"Give {windows.per_epoch:,} chunks or fewer, or a longer text."
            )
        return cls(windows, config.order, config.chunks, config.seed)

    @cached_property
    def one_after_another(self) -> bool:
        """True if each window of an epoch follows the one before it in its stream."""
        return self.order == "sequential"

    def starts(self, epoch: int, first: int, count: int) -> Indices:
        """Return the index in the text at which each window begins, shape (count, B).

        Args:
            epoch: number of completed epochs.
            first: number of the first window in the epoch, from 0.
            count: number of windows of each stream. All of them must be in this epoch.
        """
        if self.order == "random":
            return self._random_starts(epoch, first, count)
        numbers = np.arange(first, first + count, dtype=np.int64)
        if self.order == "chunks":
            numbers = self._in_text(epoch, numbers)
        return numbers[:, np.newaxis] * self.windows.seq_length + self.windows.starts(epoch)

    def resets(self, epoch: int, first: int, count: int) -> NDArray[np.bool_]:
        """Return for each window whether the states are set to zero before it, shape (count,).

        The arguments are those of `starts`.
        """
        if self.order == "random":
            return np.ones(count, np.bool_)
        numbers = np.arange(first, first + count, dtype=np.int64)
        begins = [0] if self.order == "sequential" else self._visits(epoch)[0]
        return np.isin(numbers, begins)

    def place(self, epoch: int, position: int) -> int:
        """Return the index in the text of the character that stream 0 reads next.

        This is the character after the last window, also if the next window begins elsewhere.

        Args:
            epoch: number of completed epochs.
            position: number of characters that stream 0 has read in the epoch.
        """
        T = self.windows.seq_length
        if position == 0:
            return int(self.starts(epoch, 0, 1)[0, 0])
        # After the last window of an epoch, `epoch` already counts this epoch as completed, but
        # `position` still counts from the start of this epoch.
        current = epoch - 1 if self.windows.ends_epoch(position) else epoch
        return int(self.starts(current, position // T - 1, 1)[0, 0]) + T

    def _random_starts(self, epoch: int, first: int, count: int) -> Indices:
        """Return where random windows begin, shape (count, B). Each lies in the training part of its stream."""
        segments = self.windows.parts["train"]
        starts = np.empty((count, self.windows.streams), np.int64)
        for s in range(self.windows.streams):
            start, end = segments[s % len(segments)]
            numbers = uniforms(self.seed, "order", count, first=first, update=epoch, stream=s)
            starts[:, s] = start + np.floor(numbers * (end - start - self.windows.seq_length))
        return starts

    def _visits(self, epoch: int) -> tuple[Indices, Indices]:
        """Return the chunks of an epoch in the order of reading, as `chunk_visits` does."""
        return chunk_visits(self.seed, epoch, self.chunks, self.windows.per_epoch)

    def _in_text(self, epoch: int, numbers: Indices) -> Indices:
        """Return which windows of a stream are read as the windows `numbers` of an epoch."""
        read_at, begins = self._visits(epoch)
        visit = np.searchsorted(read_at, numbers, side="right") - 1
        return begins[visit] + numbers - read_at[visit]


@lru_cache(maxsize=4)
def chunk_visits(seed: int, epoch: int, chunks: int, windows: int) -> tuple[Indices, Indices]:
    """Return the chunks of an epoch in the order of reading: two arrays of shape (chunks,).

    The first has the number of the window in the epoch with which each chunk begins, ascending. The second has
    the number of this window in its stream.

    Args:
        seed: seed of the random numbers.
        epoch: number of completed epochs.
        chunks: number of chunks of each stream.
        windows: number of windows of each stream, at least `chunks`.
    """
    bounds = np.arange(chunks + 1, dtype=np.int64) * windows // chunks
    visited = np.argsort(words(seed, "order", chunks, update=epoch), kind="stable")
    ends = np.cumsum(np.diff(bounds)[visited])
    read_at = np.concatenate([[0], ends[:-1]])
    begins = bounds[visited]
    for array in (read_at, begins):
        array.flags.writeable = False
    return read_at, begins
