"""Divides a text into a training, a validation and a test part, and the training part into windows.

A window that starts at index e of the text reads x = text[e : e+T] and predicts y = text[e+1 :
e+T+1]. The next window of the same stream starts at e+T. An epoch has P windows in each of B
streams (spec/mathematics.md: Windows). This module computes indices only; it does not hold the
text.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.errors import TextError
from charloom.formatting import counted
from charloom.messages import arguments
from charloom.text.all_ids import AllIds
from charloom.text.item_ids import ItemIds

Part = Literal["train", "validation", "test"]
HELD_OUT: Final[tuple[Part, ...]] = ("validation", "test")
# The start and the end (exclusive) of a segment in the text. The first character of a segment is read but
# not predicted.
Segment = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The windows of one epoch: P windows of T steps in each of B streams.

    Attributes:
        length: number of characters in the whole text, N.
        seq_length: number of steps of a window, T.
        streams: number of streams, B.
        per_epoch: number of windows per stream and epoch, P; also the number of updates per epoch.
        spacing: number of characters from the start of one stream to the start of the next.
        remainder: number of characters at the end of the training part that do not fill a window in
            every stream; 0 with the split "streams". If there are several streams, each stream
            starts `remainder` characters later in every second epoch. So two successive epochs
            together predict every character of the training part except the first.
        parts: the segments of each part of the text. A part that is too short is not in the dict.
    """

    length: int
    seq_length: int
    streams: int
    per_epoch: int
    spacing: int
    remainder: int
    parts: dict[Part, tuple[Segment, ...]]

    @classmethod
    def of(cls, config: Config, length: int, otherwise: str | None = None) -> "Windows":
        """Return the windows and parts of a text of `length` characters.

        Args:
            config: settings of the training run.
            length: the length of the text in characters.
            otherwise: advice that the error about a too short text gives after "Give a longer text,
                or". With None, the error names settings for which the text is long enough.

        Raises:
            TextError: the training part has less than one window per stream, or another part has no
                character to predict.
        """
        windows = cls._divided(config, length)
        windows._require_parts(config, otherwise)
        return windows

    @classmethod
    def _divided(cls, config: Config, length: int) -> "Windows":
        """Return the windows and parts of a text of `length` characters, even if it is too short."""
        T, B = config.seq_length, config.batch_size
        if config.has_items:
            return cls._of_items(config, length)
        by_stream = config.split == "streams"
        # The bounds of the training, validation and test part are counted in windows of each stream if
        # the text is divided by streams, else in characters of the text.
        total = max(length - 1, 0) // (B * T) if by_stream else length
        train = _share(total, 1 - (config.validation + config.test))
        validation = _share(total, 1 - config.test)
        bounds: tuple[tuple[Part, int, int], ...] = (
            ("train", 0, train),
            ("validation", train, validation),
            ("test", validation, total),
        )
        if by_stream:
            per_epoch, spacing, remainder = train, total * T, 0
            parts: dict[Part, tuple[Segment, ...]] = {
                part: tuple((s * spacing + a * T, s * spacing + b * T + 1) for s in range(B))
                for part, a, b in bounds
                if b > a
            }
        else:
            per_epoch = max(train - 1, 0) // (B * T)
            spacing, remainder = per_epoch * T, max(train - 1, 0) - per_epoch * T * B
            parts = {part: ((a, b),) for part, a, b in bounds if b > a + 1}
        return cls(length, T, B, per_epoch, spacing, remainder, parts)

    @classmethod
    def _of_items(cls, config: Config, length: int) -> "Windows":
        """Return the windows of a collection of `length` ids. Its parts are divided at any id, not at an item."""
        T, B, last = config.seq_length, config.batch_size, max(length - 1, 0)
        train = _share(last, 1 - (config.validation + config.test))
        validation = _share(last, 1 - config.test)
        per_epoch = max(1, train // (B * T))
        bounds: tuple[tuple[Part, int, int], ...] = (
            ("train", 0, train),
            ("validation", train, validation),
            ("test", validation, last),
        )
        parts: dict[Part, tuple[Segment, ...]] = {
            part: ((a, b + 1),) for part, a, b in bounds if part == "train" or getattr(config, part)
        }
        return cls(length, T, B, per_epoch, train // B, 0, parts)

    def _short_part(self, config: Config) -> Part | None:
        """Return "train", "validation" or "test": the first part of the text that is too short.

        Return None if each part that `config` asks for is long enough.
        """
        if not self.per_epoch:
            return "train"
        wanted = (part for part in HELD_OUT if getattr(config, part))
        return next((part for part in wanted if part not in self.parts), None)

    def _require_parts(self, config: Config, otherwise: str | None) -> None:
        """Raise TextError if the text is too short to be divided as `config` says.

        `otherwise` is the advice after "Give a longer text, or"; None names settings that fit.
        """
        part = self._short_part(config)
        if part is None:
            return
        B, T, held_out = self.streams, self.seq_length, config.validation + config.test
        if part == "train":
            streams = f" in each of {B:,} streams" if B > 1 else ""
            problem = f"a window of {T:,} steps{streams} needs at least {B * T + 1:,}"
            problem += (
                f" in the training part, without the {held_out:.0%} held out" if held_out else ""
            )
        else:
            problem = f"{getattr(config, part):g} of it is too little for the {part} part"
        if otherwise is None and (changes := _changes_that_fit(config, self.length)):
            otherwise = f"use {arguments(**changes)}, which fits this one"
        way = f", or {otherwise}" if otherwise else ""
        raise TextError(
            f"the text has {counted(self.length, 'character')}; {problem}. Give a longer text{way}."
        )

    def starts(self, epoch: int) -> NDArray[np.int64]:
        """Return the index in the text at which each stream starts in epoch `epoch`, shape (B,)."""
        return self._starts[epoch % 2].copy()

    @cached_property
    def _starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The starts in every even and in every odd epoch."""
        even = self.spacing * np.arange(self.streams, dtype=np.int64)
        return even, even + (self.remainder if self.streams > 1 else 0)

    def left_in_epoch(self, position: int) -> int:
        """Return how many windows are left in the epoch, including the window at `position`.

        `position` is the number of characters that each stream has read in the epoch.
        """
        return self.per_epoch - position // self.seq_length

    def ends_epoch(self, position: int) -> bool:
        """Return True if no window is left in the epoch after `position` characters of each stream."""
        return position >= self.epoch_length

    @cached_property
    def epoch_length(self) -> int:
        """The number of characters that each stream reads in an epoch."""
        return self.per_epoch * self.seq_length


def windows_of(config: Config, ids: AllIds, otherwise: str | None = None) -> Windows:
    """Return the windows and parts of a text. The parts of a collection have whole items.

    The number of windows depends only on the number of ids, so `Windows.of` returns the same windows; but of a
    collection it does not know the parts.

    Args:
        config: settings of the training run.
        ids: the whole text.
        otherwise: as for `Windows.of`.

    Raises:
        TextError: the text is too short, or a collection has fewer items than parts.
        ConfigError: the items were laid out with another seed.
    """
    windows = Windows.of(config, len(ids), otherwise)
    if not isinstance(ids, ItemIds):
        return windows
    return dataclasses.replace(windows, parts=item_parts(config, ids))


def item_parts(config: Config, ids: ItemIds) -> dict[Part, tuple[Segment, ...]]:
    """Return the segments of the parts of a collection. Each begins and ends with a boundary.

    The boundary between two parts belongs to both.
    """
    train, validation = map(ids.start, ids.bounds(config))
    parts: dict[Part, tuple[Segment, ...]] = {"train": ((0, train + 1),)}
    if config.validation:
        parts["validation"] = ((train, validation + 1),)
    if config.test:
        parts["test"] = ((validation, len(ids)),)
    return parts


def _share(whole: int, share: float) -> int:
    """Return `whole * share` rounded down.

    1e-6 is added to the product, because the float `share` may be slightly below the user's number.
    """
    return int(whole * share + 1e-6)


def _changes_that_fit(config: Config, length: int) -> dict[str, int]:
    """Return changes to `config`, by name of the setting, so that `length` characters are enough.

    Try fewer streams first, then a shorter sequence length, then no validation and test part.
    Return an empty dict if none of these changes is enough.
    """
    T, B = config.seq_length, config.batch_size
    sizes = [*((T, b) for b in _halves(B)), *((t, 1) for t in _halves(T))]
    nothing: dict[str, int] = {name: 0 for name in HELD_OUT if getattr(config, name)}
    for parts in [{}, nothing] if nothing else [{}]:
        for t, b in sizes:
            asked = {"seq_length": t, "batch_size": b, **parts}
            tried = config.replace(**asked)
            if Windows._divided(tried, length)._short_part(tried) is None:
                return {name: v for name, v in asked.items() if v != getattr(config, name)}
    return {}


def _halves(number: int) -> Iterator[int]:
    """Yield the number, its half rounded down, the half of that, and so on down to 1."""
    while number:
        yield number
        number //= 2
