"""Measures how surprised a model is by each character of a text, and which characters it expected.

This module reads no files.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.colour_steps import SURPRISE, css_colour, scale, surprise_step
from charloom.config import require_string
from charloom.cooperative import Slices, run_all_slices
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import DivergedError, TextError
from charloom.formatting import number_of, one_of
from charloom.model import Learner, State, zero_state
from charloom.ngram_logits import NGramReader
from charloom.notebook_html import MOST_CHARACTERS, card, colour_legend, coloured_text, sentence
from charloom.scoring import tokens_of_a_call, tokens_of_a_product
from charloom.text.unknown_policy import REFUSE, UnknownPolicy
from charloom.text.vocabulary import Unknowns

BLOCK: Final = 1_024  # largest number of ids per call of the engine, to limit the memory


@dataclass(frozen=True, eq=False)
class Surprise:
    """How surprised a model is by each character of a text. A notebook shows the text coloured by it.

    Attributes:
        characters: the text, one string per character that the model read. For a byte model, bytes
            that are not UTF-8 are shown as U+FFFD.
        nats: -ln of the probability of each character given the text before it, shape
            (characters,). NaN for the first character of a stream, which is not predicted. For a byte model,
            the number for a character is the sum over its bytes.
        unknowns: the characters of the text that were skipped or replaced.
        end_nats: -ln of the probability that the item ends after its last character. None if the model learned a
            stream, whose texts have no end.
    """

    characters: tuple[str, ...]
    nats: NDArray[np.float64]
    unknowns: Unknowns
    end_nats: float | None = None

    @property
    def bits(self) -> NDArray[np.float64]:
        """Return the surprise in bits, shape (characters,)."""
        return self.nats / math.log(2)

    @property
    def predicted(self) -> int:
        """The number of characters that were predicted; the end of an item counts as one."""
        return int(np.isfinite(self.nats).sum()) + (self.end_nats is not None)

    @property
    def total_nats(self) -> float:
        """-ln of the probability of all predicted characters together."""
        return float(np.nansum(self.nats)) + (self.end_nats or 0.0)

    @property
    def mean_bits(self) -> float:
        """Return the mean surprise in bits per predicted character."""
        return self.total_nats / self.predicted / math.log(2)

    def _repr_html_(self) -> str:
        """Return the text coloured by the surprise of each character, as HTML for a notebook."""
        steps = map(surprise_step, self.bits[:MOST_CHARACTERS].tolist())
        colours = [css_colour(step, SURPRISE) for step in steps]
        legend = colour_legend("1 bit or less", scale(SURPRISE), "12 bits or more")
        title = f"{self.mean_bits:.4f} bits per character; {self.predicted:,} predicted"
        unknown = sentence(f"{self.unknowns.sentence}.") if self.unknowns.total else ""
        return card(title, unknown, coloured_text(self.characters, colours, legend))


def surprise(
    learner: Learner, engine: Engine, text: str, policy: UnknownPolicy = REFUSE
) -> Surprise:
    """Return how surprised a model is by each character of a text.

    The model reads the text from the zero state, in one stream. A model of a collection reads the text as an item:
    it also predicts the first character and the end.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the predictions.
        text: the text, at least two characters; an item may have one.
        policy: what to do with a character that is not in the vocabulary.

    Raises:
        TextError: the text has fewer than two characters, so there is nothing to predict.
        UnknownCharacterError: the text has a character that is not in the vocabulary.
        ConfigError: `text` is not a str; or `policy` replaces unknown symbols, and its replacement is
            not exactly one symbol of the vocabulary.
        DivergedError: the loss is not finite.
    """
    return run_all_slices(surprise_in_slices(learner, engine, text, policy))


def surprise_in_slices(
    learner: Learner, engine: Engine, text: str, policy: UnknownPolicy = REFUSE
) -> Slices[Surprise]:
    """Do the work of `surprise`, but yield after each part of the work and return the result at the end.

    The arguments are those of `surprise`.
    """
    vocabulary = learner.vocabulary
    encoded = vocabulary.encode_with(require_string("text", text), policy)
    ids, edge = encoded.ids, np.empty(0, encoded.ids.dtype)
    if vocabulary.boundary is not None:
        edge = np.array([vocabulary.boundary], ids.dtype)
    if len(ids) + len(edge) < 2:
        raise too_short(len(ids), text, learner.config.tokens)
    read = np.concatenate([edge, ids, edge])
    nats = yield from nats_of_ids_in_slices(learner, engine, read)
    characters, ends = vocabulary.completed(ids)
    if len(characters) + len(edge) < 2:
        raise TextError(
            "the text has one character, but scoring needs at least two: the first to start with and "
            "one to predict. Give a longer text."
        )
    within = nats[len(edge) : len(edge) + len(ids)]
    sums = np.add.reduceat(within, [0, *ends[:-1].tolist()])
    return Surprise(characters, sums, encoded.unknown, float(nats[-1]) if len(edge) else None)


def too_short(known: int, text: str, tokens: str) -> TextError:
    """Return the error that a text has too few symbols that the model knows to be scored."""
    has = f"has {number_of(known, one_of(tokens))} that the model knows"
    return TextError(
        f"the text {has if text else 'is empty'}, but "
        f"scoring needs at least two: the first to start with and one to predict. Give a longer text."
    )


def nats_of_ids_in_slices(
    learner: Learner, engine: Engine, ids: Ids
) -> Slices[NDArray[np.float64]]:
    """Return -ln of the probability of each id of one stream given those before it, read from the zero state.

    Yields after each part of the work.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the predictions.
        ids: shape (N,), at least one.

    Returns:
        Shape (N,), in nats. The first id is not predicted, so its number is NaN.

    Raises:
        DivergedError: the loss is not finite.
    """
    size, parts = tokens_of_a_call(learner, most=BLOCK), [np.array([math.nan])]
    state = zero_state(learner.config)
    for start in range(0, len(ids) - 1, size):
        tokens = np.ascontiguousarray(ids[start : start + size + 1, np.newaxis])
        found, state = engine.score(learner, tokens, state)
        parts.append(found[:, 0])
        yield
    nats = np.concatenate(parts)
    if not np.isfinite(nats[1:]).all():
        raise DivergedError(
            "the model's loss is not finite: the model diverged; use an earlier checkpoint."
        )
    return nats


@dataclass(frozen=True, eq=False)
class Predictions:
    """How well a model predicted each character that it read, and what it expects after each.

    Attributes:
        characters: the characters that the model read, one string per character.
        nats: -ln of the probability of each character given the text before it, shape
            (characters,). NaN for the first character of the text, which is not predicted. For a byte
            model, the number for a character is the sum over its bytes.
        likely: for each character, the likeliest symbols after it as pairs (symbol, probability),
            the likeliest first. A byte model's bytes are written as `byte_name` returns them.
    """

    characters: tuple[str, ...]
    nats: NDArray[np.float64]
    likely: tuple[tuple[tuple[str, float], ...], ...]


class Reader:
    """Reads a text piece by piece and returns the model's predictions.

    The probabilities are those of the model at temperature 1.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the states.
        count: how many of the likeliest symbols to return after each character.
        state: the state before the text, in arrays of one stream; None for the zero state.
    """

    def __init__(
        self, learner: Learner, engine: Engine, count: int = 5, state: State | None = None
    ) -> None:
        self._learner = learner
        self._engine = engine
        self._count = min(count, len(learner.vocabulary))
        self._step = tokens_of_a_product(learner, most=BLOCK)
        self._state = zero_state(learner.config) if state is None else state
        self._ngrams = NGramReader(learner, engine) if learner.ngrams else None
        self._next: NDArray[np.float64] | None = None
        symbols = learner.vocabulary.characters
        of_bytes = learner.vocabulary.tokens == "bytes"
        self._names = [byte_name(symbol) if of_bytes else symbol for symbol in symbols]

    def read(self, ids: Ids) -> Predictions:
        """Read the next ids of the text, and return the model's predictions for their characters.

        `ids` has shape (N,); N may be 0. If the model reads bytes, the last id must be the last
        byte of a character.

        Raises:
            DivergedError: the logits are not finite.
        """
        return run_all_slices(self.read_in_slices(ids))

    def read_in_slices(self, ids: Ids) -> Slices[Predictions]:
        """Do the work of `read`, but yield after each part of the work and return the result at the end."""
        parts = []
        for start in range(0, len(ids), self._step):
            parts.append(self._read(ids[start : start + self._step]))
            yield
        if not parts:
            return Predictions((), np.empty(0), ())
        nats, best, p = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        characters, ends = self._learner.vocabulary.completed(ids)
        likely = tuple(
            tuple((self._names[k], q) for k, q in zip(row, qs, strict=True))
            for row, qs in zip(best[ends - 1].tolist(), p[ends - 1].tolist(), strict=True)
        )
        return Predictions(characters, np.add.reduceat(nats, [0, *ends[:-1]]), likely)

    def _read(self, ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Read N ids in one call of the engine, and return three arrays.

        The first array has -ln of the probability of each id, shape (N,). The second has the
        likeliest next ids after each id, the likeliest first. The third has their probabilities.
        The second and the third have shape (N, count), where `count` is an argument of the
        constructor.
        """
        parameters = self._learner.parameters
        tokens = np.ascontiguousarray(ids)
        states, self._state = self._engine.activations(self._learner, tokens, self._state)
        h = states["h"][:, -1]
        logits = (h @ parameters["V"].T + parameters["c"]).astype(np.float64)
        if self._ngrams is not None:
            logits += self._ngrams.read(tokens, h)
        if not np.isfinite(logits).all():
            raise DivergedError(
                "the model's logits are not finite: the model diverged; use an earlier checkpoint."
            )
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        nats = np.full(len(ids), math.nan)
        nats[1:] = -logits[np.arange(len(ids) - 1), ids[1:]]
        if self._next is not None:
            nats[0] = -self._next[ids[0]]
        self._next = logits[-1]
        best = np.argsort(-logits, axis=1, kind="stable")[:, : self._count]
        return nats, best, np.exp(np.take_along_axis(logits, best, axis=1))


def byte_name(byte: str) -> str:
    """Return printable ASCII and newlines as they are, and any other byte as a code such as \\xe2."""
    return (
        byte if byte.isascii() and (byte.isprintable() or byte == "\n") else f"\\x{ord(byte):02x}"
    )
