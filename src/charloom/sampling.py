"""Sampling: a model writes text, from a prompt, piece by piece. Knows nothing of files.

The text depends on the model, the prompt, how characters are drawn, the seed and the text's number;
how it is cut into pieces changes nothing.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Never, Self

import numpy as np
from numpy.typing import NDArray

from charloom.config import SEED_LIMIT, require_number, require_whole
from charloom.engines import Engine, Sampler
from charloom.engines.base import Ids
from charloom.errors import ConfigError
from charloom.messages import argument
from charloom.model import Learner, State, zero_state
from charloom.random import uniforms
from charloom.spelling import shortened
from charloom.steps import tokens_of_a_step
from charloom.text.vocabulary import Decoder, Unknowns

FIRST_PIECE: Final = 16  # symbols; small, so that something is seen at once
LARGEST_PIECE: Final = 4_096
CHUNK: Final = 4_096  # symbols of a prompt per call of the engine, most, so that Ctrl-C is heard

AS_IT_IS: Final = Sampler()


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a text, and the ids that it was drawn as, shape (symbols,)."""

    text: str
    ids: Ids


class Writing(Iterator[str]):
    """The text that a model writes after a prompt (which is not part of it), in pieces.

    The network starts from the zero state. Without a prompt it has just read what `opening` says.

    Args:
        learner: the model; not changed.
        engine: what computes.
        prompt: what the network reads first.
        length: characters to write at most; of a model of bytes, bytes.
        sampler: how each is drawn.
        seed: decides the text.
        number: which of the texts of this seed.
        stop: the text ends before the first of these strings that it completes.
        unknown: what to do with a character of the prompt that the model never read: refuse, skip
            or replace.
        replacement: the character that stands for unknown ones then.
        piece_seconds: how much of a processor's time a piece may take, about; by it only the
            cutting changes.

    Attributes:
        ended: why the text ended, "length" or "stop"; None until it has.
        unknowns: the characters of the prompt that were skipped or replaced.

    Raises:
        ConfigError: a value out of its range.
        UnknownCharacterError: the prompt has a character that the model never read.
    """

    def __init__(
        self,
        learner: Learner,
        engine: Engine,
        *,
        prompt: str = "",
        length: int = 200,
        sampler: Sampler = AS_IT_IS,
        seed: int = 0,
        number: int = 0,
        stop: Sequence[str] = (),
        unknown: str = "refuse",
        replacement: str = "",
        piece_seconds: float = math.inf,
    ) -> None:
        length = require_whole("length", length, least=1)
        seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
        number = require_whole("number", number, least=0)
        sampler = require_sampler(sampler)
        stops = require_stops(stop)
        encoded = learner.vocabulary.encode_with(prompt, unknown, replacement)
        self.ended: Literal["length", "stop"] | None = None
        self.unknowns: Unknowns = encoded.unknown
        read = encoded.ids if len(encoded.ids) else opening(learner)
        self._patience = piece_seconds
        self._pieces = self._write(learner, engine, read, length, sampler, seed, number, stops)

    def __iter__(self) -> Self:
        return self

    def __reduce__(self) -> Never:
        """Refuse to be pickled and copied, as every generator does."""
        raise TypeError(
            "a text that is being written cannot be pickled or copied; pickle the model, and call "
            "stream again with the same seed"
        )

    def __next__(self) -> str:
        while not (piece := next(self._pieces)).text:
            pass
        return piece.text

    def step(self) -> Piece | None:
        """The next piece, or what was done for it: one without text while the prompt is read, or
        while what was drawn may begin a stop string. None at the end."""
        return next(self._pieces, None)

    def _write(
        self,
        learner: Learner,
        engine: Engine,
        read: Ids,
        length: int,
        sampler: Sampler,
        seed: int,
        number: int,
        stops: tuple[str, ...],
    ) -> Iterator[Piece]:
        """Growing pieces; what may be the beginning of a stop string waits for the next one."""
        drawn = Drawn(learner.vocabulary.decoder(), read[:0])
        reading = after_all_but_the_last(learner, engine, read)
        while (state := next(reading)) is None:
            yield drawn.take(0)
        # All that a step depends on beside the state: the cost of one does not grow with the text.
        recent = sampler.repetition_window if sampler.repetition_penalty != 1 else 1
        written, size = 0, FIRST_PIECE
        while written < length:
            count = min(size, length - written)
            numbers = uniforms(seed, "sample", count, first=written, stream=number)
            read = read[-recent:]
            began = time.thread_time()
            ids, state = engine.generate(learner, read, sampler, numbers, state)
            read = np.concatenate([read, ids])
            written += count
            took = time.thread_time() - began
            if took > self._patience:
                size = max(size // 2, FIRST_PIECE)
            elif took <= self._patience / 2:
                size = min(2 * size, LARGEST_PIECE)
            drawn.add(ids)  # of bytes, what is no whole character at the end is left out
            end = first_stop(drawn.text, stops)
            if end is not None:
                self.ended = "stop"
                yield drawn.take(end)
                return
            yield drawn.take(
                len(drawn.text) - (waiting(drawn.text, stops) if written < length else 0)
            )
        self.ended = "length"


@dataclass
class Drawn:
    """What was drawn and not yet told: text, and the ids of it and of what no character is yet."""

    decoder: Decoder
    ids: Ids
    text: str = ""
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    told: int = 0

    def add(self, ids: Ids) -> None:
        """Add what was drawn."""
        text, ends = self.decoder.decode_with_ends(ids)
        self.text, self.ends = self.text + text, np.concatenate([self.ends, ends])
        self.ids = np.concatenate([self.ids, ids])

    def take(self, characters: int) -> Piece:
        """Take away so many characters."""
        count = int(self.ends[characters - 1]) - self.told if characters else 0
        piece = Piece(self.text[:characters], self.ids[:count])
        self.text, self.ends = self.text[characters:], self.ends[characters:]
        self.ids, self.told = self.ids[count:], self.told + count
        return piece


def after_all_but_the_last(learner: Learner, engine: Engine, ids: Ids) -> Iterator[State | None]:
    """The state of one stream that has read ids (N,) but for the last of them; before it None after
    each part that is read."""
    state = zero_state(learner.config)
    size = tokens_of_a_step(sum(p.size for p in learner.parameters.values()), CHUNK)
    for start in range(0, len(ids) - 1, size):
        if start:
            yield None
        tokens = ids[start : start + size + 1, np.newaxis]
        _, state = engine.score(learner, tokens, state)
    yield state


def opening(learner: Learner) -> Ids:
    """What a network reads that is given no prompt, shape (1,): a line feed; where it knows none, a
    space; where it knows none, the symbol that it finds likeliest before it reads anything."""
    vocabulary = learner.vocabulary
    for character in "\n ":
        if character in vocabulary:
            return vocabulary.encode(character)
    return np.array([np.argmax(learner.parameters["c"])], dtype=vocabulary.id_dtype)


def first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first stop string to be completed begins; of several that one character completes,
    the longest."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def waiting(text: str, stops: tuple[str, ...]) -> int:
    """How many of the last characters could be the beginning of a stop string."""
    longest = max((len(stop) - 1 for stop in stops), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-count:]) for stop in stops):
            return count
    return 0


def require_sampler(sampler: Sampler) -> Sampler:
    """The sampler in plain numbers.

    Raises:
        ConfigError: a value is out of its range.
    """
    of = sampler
    return Sampler(
        # From here on every character is as likely as any other.
        temperature=require_number("temperature", of.temperature, least=0.0, most=1e6),
        top_k=require_whole("top_k", of.top_k, least=0),
        top_p=require_number("top_p", of.top_p, above=0.0, most=1.0),
        min_p=require_number("min_p", of.min_p, least=0.0, most=1.0),
        # Within these no logit that is finite stops being so.
        repetition_penalty=require_number(
            "repetition_penalty", of.repetition_penalty, least=1e-3, below=1e6
        ),
        repetition_window=require_whole("repetition_window", of.repetition_window, least=1),
    )


def require_stops(stop: Sequence[str]) -> tuple[str, ...]:
    """The stop strings, none of them empty; one string alone stands for itself."""
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    for text in stops:
        if not isinstance(text, str) or not text:
            raise ConfigError(
                f"{argument('stop')} is {shortened(text)}; it must be a string of one character or more."
            )
    return stops
