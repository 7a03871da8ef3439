"""Surprise: what each character of a text cost a model that read all before it. Knows no files."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import DivergedError, TextError
from charloom.model import Learner
from charloom.scoring import score_segments
from charloom.text.vocabulary import Unknowns


@dataclass(frozen=True, eq=False)
class Surprise:
    """The surprise of each character of a text.

    Attributes:
        characters: the text, one string for each character that the model read. Of a model of
            bytes, bytes that are no UTF-8 show as U+FFFD.
        nats: -ln of the probability of each, given all before it, shape (characters,); NaN for the
            first, which nothing predicts. A character of several bytes costs their sum.
        unknowns: the characters of the text that were skipped or replaced.
    """

    characters: tuple[str, ...]
    nats: NDArray[np.float64]
    unknowns: Unknowns

    @property
    def bits(self) -> NDArray[np.float64]:
        """The same in bits."""
        return self.nats / math.log(2)

    @property
    def mean_bits(self) -> float:
        """Bits per predicted character."""
        return float(np.nanmean(self.bits))


def surprise(
    learner: Learner, engine: Engine, text: str, unknown: str = "refuse", replacement: str = ""
) -> Surprise:
    """Read a text from the zero state to its end, exactly, in one stream.

    Args:
        learner: the model; not changed.
        engine: what computes.
        text: two characters or more.
        unknown: what to do with a character that the model never read: refuse, skip or replace.
        replacement: the character that stands for unknown ones then.

    Raises:
        TextError: fewer than two characters: there is nothing to predict.
        UnknownCharacterError: the text has a character that the model never read.
        ConfigError: no such treatment of unknown characters.
        DivergedError: the model gives no finite number.
    """
    encoded = learner.vocabulary.encode_with(text, unknown, replacement)
    ids = encoded.ids
    if len(ids) < 2:
        raise TextError(
            f"the text has {len(ids):,} of the characters that it needs, two at least: one to begin "
            f"with, one to predict. Name a file, or give --text."
        )
    nats = score_segments(engine, learner, ids, [(0, len(ids))], streams=1)
    if not np.isfinite(nats).all():
        raise DivergedError("the model gives no finite loss: it has diverged; use an earlier one.")
    characters, sums = by_character(learner, ids, np.concatenate([[math.nan], nats]))
    if len(characters) < 2:
        raise TextError("the text is one character; to predict a character it needs two.")
    return Surprise(characters, sums, encoded.unknown)


def by_character(
    learner: Learner, ids: Ids, nats: NDArray[np.float64]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The characters that ids complete one after another, and the nats of each."""
    if learner.vocabulary.tokens == "characters":
        return tuple(learner.vocabulary.decode(ids)), nats
    decoder = learner.vocabulary.decoder()
    characters, ends = [], []
    for n, last in enumerate(ids.tolist(), start=1):
        if completed := decoder.decode([last], final=n == len(ids)):
            characters.append(completed)
            ends.append(n)
    return tuple(characters), np.add.reduceat(nats, [0, *ends[:-1]])
