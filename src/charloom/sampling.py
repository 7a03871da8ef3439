"""Sampling: a model writes text after a prompt, piece by piece. This module reads no files.

The text depends only on the model, the prompt, the sampler, the seed and the text's number among
texts with the same seed. The division into pieces does not change the text.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Never, Self

import numpy as np
from numpy.typing import NDArray

from charloom.config import SEED_LIMIT, require_number, require_string, require_whole
from charloom.engines import Engine, Sampler
from charloom.engines.base import Ids
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.model import (
    DEFAULT_START,
    Learner,
    Start,
    State,
    beginning,
    require_start,
    start_id,
    zero_state,
)
from charloom.random import uniforms
from charloom.scoring import tokens_of_a_call
from charloom.text.unknown_policy import REFUSE, UnknownPolicy
from charloom.text.vocabulary import Decoder, Unknowns

# Number of symbols of the first piece of a text; small, so that users immediately see some text.
FIRST_PIECE: Final = 16
Ended = Literal["length", "stop", "item"]
LARGEST_PIECE: Final = 4_096
# Largest number of symbols of the prompt per call of the engine, so that Ctrl-C works quickly.
CHUNK: Final = 4_096

DEFAULT_SAMPLER: Final = Sampler()


def require_stops(stop: Sequence[str]) -> tuple[str, ...]:
    """Return the stop strings as a tuple. `stop` is one string or a list of strings.

    Raises:
        ConfigError: a stop string is empty or not a str.
    """
    if not isinstance(stop, str | Sequence):
        raise ConfigError(
            f"{argument('stop')} is {shortened(stop)}; it must be a str or a list of str."
        )
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    for text in stops:
        if not isinstance(text, str) or not text:
            raise ConfigError(
                f"{argument('stop')} is {shortened(text)}; it must be a string of at least one character."
            )
    return stops


def require_sampler(sampler: Sampler) -> Sampler:
    """Return the sampler with its values converted to Python numbers.

    Raises:
        ConfigError: a value is out of its range.
    """
    return Sampler(
        # At a temperature of 1e6, all characters are already equally likely, so no higher temperature
        # is needed.
        temperature=require_number("temperature", sampler.temperature, least=0.0, most=1e6),
        top_k=require_whole("top_k", sampler.top_k, least=0),
        top_p=require_number("top_p", sampler.top_p, above=0.0, most=1.0),
        min_p=require_number("min_p", sampler.min_p, least=0.0, most=1.0),
        # A repetition penalty from 1e-3 to 1e6 cannot make a finite logit infinite.
        repetition_penalty=require_number(
            "repetition_penalty", sampler.repetition_penalty, least=1e-3, below=1e6
        ),
        repetition_window=require_whole("repetition_window", sampler.repetition_window, least=1),
    )


@dataclass(frozen=True)
class SampleOptions:
    """The options of a sampled text. Together with the model and the prompt, they determine the text.

    Attributes:
        length: largest number of characters to sample, or of bytes for a byte model.
        seed: seed of the text.
        sampler: how each character is sampled.
        stop: one stop string or several; stored as a tuple. The text ends before the first stop
            string that it would contain.
        policy: what to do with a character of the prompt that is not in the vocabulary.
        start: "text" begins in the state that the model has from its training text; "zero" begins in the
            zero state.

    Raises:
        ConfigError: a value is out of its range.
    """

    length: int = 200
    seed: int = 0
    sampler: Sampler = DEFAULT_SAMPLER
    stop: Sequence[str] = ()
    policy: UnknownPolicy = REFUSE
    start: Start = DEFAULT_START

    def __post_init__(self) -> None:
        checked = {
            "length": require_whole("length", self.length, least=1),
            "seed": require_whole("seed", self.seed, least=0, below=SEED_LIMIT),
            "sampler": require_sampler(self.sampler),
            "stop": require_stops(self.stop),
            "start": require_start(self.start),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


DEFAULT_OPTIONS: Final = SampleOptions()


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a sampled text, and the ids of its symbols, shape (symbols,)."""

    text: str
    ids: Ids


class Writing(Iterator[str]):
    """An iterator over the pieces of the text that a model samples after a prompt.

    The prompt is not part of the text. `charloom.model.beginning` returns the state in which the network
    starts, and the ids that it reads before it writes: the prompt, and the id of a line feed before it.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes and samples.
        prompt: the text that the network reads first.
        options: how the text is sampled.
        number: number of the text, from 0; texts with the same seed and different numbers differ.
        piece_seconds: largest processor time per piece in seconds, approximately. It changes how
            the text is divided into pieces, but not the text.

    Attributes:
        ended: why the text ended: "length" if it reached `options.length`, "stop" if a stop string
            ended it, "item" if the model ended the item; None as long as the text has not ended.
        unknowns: the characters of the prompt that were skipped or replaced.

    Raises:
        ConfigError: `number` is out of its range; `prompt` is not a str; or unknown symbols of the
            prompt must be replaced, and the replacement is not exactly one symbol of
            the vocabulary.
        UnknownCharacterError: the prompt has a character that is not in the vocabulary.
    """

    def __init__(
        self,
        learner: Learner,
        engine: Engine,
        prompt: str = "",
        options: SampleOptions = DEFAULT_OPTIONS,
        *,
        number: int = 0,
        piece_seconds: float = math.inf,
    ) -> None:
        number = require_whole("number", number, least=0)
        prompt = require_string("prompt", prompt)
        encoded = learner.vocabulary.encode_with(prompt, options.policy)
        self.ended: Ended | None = None
        self.unknowns: Unknowns = encoded.unknown
        read, state = beginning(learner, encoded.ids, options.start)
        self._start = learner, engine, read, state
        self._patience = piece_seconds
        self._pieces = self._write(learner, engine, read, state, options, number)

    def __iter__(self) -> Self:
        return self

    def __reduce__(self) -> Never:
        """Raise TypeError: like a generator, this object cannot be pickled or copied."""
        raise TypeError(
            "a text that is being sampled cannot be pickled or copied; pickle the model and call "
            "stream again with the same seed"
        )

    def __next__(self) -> str:
        while not (piece := next(self._pieces)).text:
            pass
        return piece.text

    def step(self) -> Piece | None:
        """Do one step of the work and return the next piece; None if the text has ended.

        The piece is empty if this step only read a part of the prompt. It is also empty as long as
        all characters that were not returned yet could be the beginning of a stop string.
        """
        return next(self._pieces, None)

    def nats_of(self, ids: Ids) -> float:
        """Return -ln of the probability that the model gives to what it wrote, at temperature 1, in nats.

        The end of an item counts, if the model ended the item.

        Args:
            ids: the ids of the whole text, which are those of all its pieces, shape (symbols,).
        """
        learner, engine, read, state = self._start
        if self.ended == "item":
            ids = np.concatenate([ids, start_id(learner)])
        return nats_of_written(learner, engine, read, state, ids)

    def _write(
        self,
        learner: Learner,
        engine: Engine,
        read: Ids,
        before: State | None,
        options: SampleOptions,
        number: int,
    ) -> Iterator[Piece]:
        """Read the ids `read`, then sample the text and yield it in pieces.

        While the network reads the prompt, the pieces are empty. If a piece took at most half of
        `piece_seconds`, the next piece is longer. If a piece took more than `piece_seconds`, the
        next piece is shorter. The end of the sampled text is kept back as long as it could be the
        beginning of a stop string. `number` is the text's number among texts with the same seed.
        `before` is the state before `read`; None for the zero state.
        """
        length, sampler = options.length, options.sampler
        drawn = UnreturnedText(learner.vocabulary.decoder(), read[:0])
        reading = read_all_but_last(learner, engine, read, before)
        while (state := next(reading)) is None:
            yield drawn.take(0)
        # The engine gets only the last `recent` ids: those that the repetition penalty takes into
        # account, or one id without a penalty. So the cost per character does not grow with the text.
        recent = sampler.repetition_window if sampler.repetition_penalty != 1 else 1
        written, size = 0, FIRST_PIECE
        while written < length:
            count = min(size, length - written)
            numbers = uniforms(options.seed, "sample", count, first=written, stream=number)
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
            inside, item_ended = before_boundary(ids, learner.vocabulary.boundary)
            # A byte model may have sampled only the first bytes of a UTF-8 character. The character is
            # added to drawn.text when it is complete.
            drawn.add(inside)
            end = first_stop(drawn.text, options.stop)
            if end is not None:
                self.ended = "stop"
                yield drawn.take(end)
                return
            if item_ended:
                self.ended = "item"
                yield drawn.take(len(drawn.text))
                return
            yield drawn.take(
                len(drawn.text)
                - (possible_stop_length(drawn.text, options.stop) if written < length else 0)
            )
        self.ended = "length"


def nats_of_written(
    learner: Learner,
    engine: Engine,
    read: Ids,
    before: State | None,
    written: Ids,
) -> float:
    """Return -ln of the probability that a model gives to what it wrote, at temperature 1, in nats.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the probabilities.
        read: the ids that the network read before it wrote, shape (R,), R at least 1.
        before: the state before `read`; None for the zero state.
        written: the ids that it wrote, shape (N,); with the boundary, if it ended an item.
    """
    ids, nats = np.concatenate([read, written]), 0.0
    state = zero_state(learner.config) if before is None else before
    size = tokens_of_a_call(learner, most=CHUNK)
    for start in range(0, len(ids) - 1, size):
        found, state = engine.score(learner, ids[start : start + size + 1, np.newaxis], state)
        nats += float(found[max(0, len(read) - 1 - start) :].sum())
    return nats


def before_boundary(ids: Ids, boundary: int | None) -> tuple[Ids, bool]:
    """Return the ids before the first boundary of items, and True if there is one."""
    if boundary is None:
        return ids, False
    found = np.flatnonzero(ids == boundary)
    return (ids[: found[0]], True) if len(found) else (ids, False)


@dataclass
class UnreturnedText:
    """The sampled characters that were not yet returned to the caller: the end of a sampled text.

    Attributes:
        decoder: decoder for the ids of the whole sampled text.
        ids: the ids of `text`, and then those of an incomplete UTF-8 character.
        text: the complete characters that were not yet returned to the caller.
        ends: for each character of `text`, the number of ids from the beginning of the whole
            sampled text to the end of the character.
        returned: number of ids of the sampled text that were returned to the caller.
    """

    decoder: Decoder
    ids: Ids
    text: str = ""
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    returned: int = 0

    def add(self, ids: Ids) -> None:
        """Add the next sampled ids at the end."""
        text, ends = self.decoder.decode_with_ends(ids)
        self.text, self.ends = self.text + text, np.concatenate([self.ends, ends])
        self.ids = np.concatenate([self.ids, ids])

    def take(self, characters: int) -> Piece:
        """Remove the first `characters` characters of the attribute `text`, and return them with their ids."""
        count = int(self.ends[characters - 1]) - self.returned if characters else 0
        piece = Piece(self.text[:characters], self.ids[:count])
        self.text, self.ends = self.text[characters:], self.ends[characters:]
        self.ids, self.returned = self.ids[count:], self.returned + count
        return piece


def read_all_but_last(
    learner: Learner, engine: Engine, ids: Ids, before: State | None
) -> Iterator[State | None]:
    """Read all ids except the last one, and then yield the state after the ids that were read.

    Reads the ids in parts, in a single stream, and yields None between two parts. `before` is the state
    before the first id; None for the zero state.
    """
    state = zero_state(learner.config) if before is None else before
    size = tokens_of_a_call(learner, most=CHUNK)
    for start in range(0, len(ids) - 1, size):
        if start:
            yield None
        tokens = ids[start : start + size + 1, np.newaxis]
        _, state = engine.score(learner, tokens, state)
    yield state


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Return the index in `text` at which a stop string begins; None if it contains no stop string.

    If `text` contains several stop strings, the result is for the stop string that ends first. If
    several end with the same character, the result is for the longest of them.
    """
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def possible_stop_length(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end of `text` could be the beginning of a stop string.

    For the stop string "end" and the text "the e", the result is 1.
    """
    longest = max((len(stop) - 1 for stop in stops), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-count:]) for stop in stops):
            return count
    return 0
