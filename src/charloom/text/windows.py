"""How a text is divided: what is held out, and how the rest is cut into windows for B streams.

A window at e reads x = text[e : e+T] and predicts y = text[e+1 : e+T+1]. A stream's next window
starts at e+T; its epoch ends after P windows (spec/mathematics.md: Windows). It does not hold the text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.errors import TextError
from charloom.messages import arguments

Part = Literal["train", "validation", "test"]
HELD_OUT: Final[tuple[Part, ...]] = ("validation", "test")
Segment = tuple[int, int]  # from a character to before another; its first is read, not predicted


@dataclass(frozen=True)
class Windows:
    """The windows of one epoch: P in each of B streams of T steps.

    Attributes:
        length: characters of the whole text, N.
        seq_length: T.
        streams: B.
        per_epoch: P, windows of a stream and so updates in one epoch.
        spacing: characters from one stream's start to the next one's.
        remainder: characters of the training text that an epoch does not predict, but for the
            first; where there are several streams, odd epochs start so many characters later, so
            that every character is predicted in one epoch of two at least.
        parts: the segments of each part of the text.
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
        """The division of a text of so many characters.

        Args:
            config: of the training.
            length: of the text, in characters.
            otherwise: what to do with a shorter text, as a marked message that goes on after "Give a
                longer text, or"; by default to take settings with which it can be learnt.

        Raises:
            TextError: a part is too short for its share or for one window of each stream.
        """
        windows = cls._divided(config, length)
        windows._require_parts(config, otherwise)
        return windows

    @classmethod
    def _divided(cls, config: Config, length: int) -> "Windows":
        """The same, where a part may be too short to be there."""
        T, B = config.seq_length, config.batch_size
        held_out = config.validation + config.test
        if config.split == "streams":
            whole = max(length - 1, 0) // (B * T)  # windows of a stream, training or not
            train = _share(whole, 1 - held_out)
            validation = _share(whole, 1 - config.test)
            spacing, remainder = whole * T, 0
            shares: tuple[tuple[Part, int, int], ...] = (
                ("train", 0, train),
                ("validation", train, validation),
                ("test", validation, whole),
            )  # windows of each stream, from one to before another
            parts: dict[Part, tuple[Segment, ...]] = {
                part: tuple((s * spacing + a * T, s * spacing + b * T + 1) for s in range(B))
                for part, a, b in shares
                if b > a
            }
        else:
            end = _share(length, 1 - held_out)
            middle = _share(length, 1 - config.test)
            train = max(end - 1, 0) // (B * T)
            spacing, remainder = train * T, max(end - 1, 0) - train * T * B
            pieces: tuple[tuple[Part, int, int], ...] = (
                ("train", 0, end),
                ("validation", end, middle),
                ("test", middle, length),
            )
            parts = {part: ((a, b),) for part, a, b in pieces if b > a + 1}
        return cls(length, T, B, train, spacing, remainder, parts)

    def _is_whole(self, config: Config) -> bool:
        """Whether there is a window in each stream and every part that is wanted."""
        wanted = [part for part in HELD_OUT if getattr(config, part)]
        return self.per_epoch > 0 and all(part in self.parts for part in wanted)

    def _require_parts(self, config: Config, otherwise: str | None) -> None:
        """Refuse a text that is too short for its division."""
        if self._is_whole(config):
            return
        B, T, held_out = self.streams, self.seq_length, config.validation + config.test
        if not self.per_epoch:
            streams = f" in each of {B} streams" if B > 1 else ""
            problem = f"a window of {T} steps{streams} needs at least {B * T + 1:,}"
            problem += f", beside what is held out ({held_out:.0%})" if held_out else ""
        else:
            part = next(p for p in HELD_OUT if getattr(config, p) and p not in self.parts)
            problem = f"{part} {getattr(config, part):g} of it is too little to predict anything"
        if otherwise is None and (changes := _changes_that_fit(config, self.length)):
            otherwise = f"take {arguments(**changes)}, which fits this one"
        way = f", or {otherwise}" if otherwise else ""
        raise TextError(
            f"the text has {self.length:,} characters; {problem}. Give a longer text{way}."
        )

    def starts(self, epoch: int) -> NDArray[np.int64]:
        """Where each stream's first window of an epoch starts, shape (B,)."""
        late = self.remainder if self.streams > 1 and epoch % 2 else 0
        return late + self.spacing * np.arange(self.streams, dtype=np.int64)

    def place(self, epoch: int, position: int) -> int:
        """Where in the text stream 0 stands, at `position` after so many completed epochs."""
        current = epoch - 1 if self.ends_epoch(position) else epoch  # an end is left by the next
        return int(self.starts(current)[0]) + position

    def left_in_epoch(self, position: int) -> int:
        """Windows from `position` in a stream to the epoch's end, that at `position` included."""
        return self.per_epoch - position // self.seq_length

    def ends_epoch(self, position: int) -> bool:
        """Whether no further window starts at `position` in a stream."""
        return position >= self.per_epoch * self.seq_length


def _share(whole: int, share: float) -> int:
    """So much of a whole, rounded down, though not for the rounding of the share itself."""
    return int(whole * share + 1e-6)


def _changes_that_fit(config: Config, length: int) -> dict[str, int]:
    """Settings with which a text of so many characters can be divided: fewer streams, then shorter
    windows, then nothing held out. Empty where there are none."""
    T, B = config.seq_length, config.batch_size
    sizes = [*((T, b) for b in _halves(B)), *((t, 1) for t in _halves(T))]
    nothing: dict[str, int] = {part: 0 for part in HELD_OUT if getattr(config, part)}
    for parts in [{}, nothing] if nothing and not config.patience else [{}]:
        for t, b in sizes:
            asked = {"seq_length": t, "batch_size": b, **parts}
            tried = config.replace(**asked)
            if Windows._divided(tried, length)._is_whole(tried):
                return {name: v for name, v in asked.items() if v != getattr(config, name)}
    return {}


def _halves(number: int) -> Iterator[int]:
    """The number, its half, and so on down to 1."""
    while number:
        yield number
        number //= 2
