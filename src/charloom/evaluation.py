"""Evaluation: how well a model predicts a text, or a part of it, per character. Knows no files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import SEED_LIMIT, require_whole
from charloom.engines import Engine
from charloom.errors import DivergedError, TextError
from charloom.model import Learner
from charloom.random import uniforms
from charloom.scoring import score_segments
from charloom.spelling import number_of, one_of
from charloom.text.id_file import AllIds
from charloom.text.windows import Segment

BLOCK: Final = 1_000  # predicted characters that are drawn together: neighbours are not independent
FEWEST_BLOCKS: Final = 10  # from which an interval is told
RESAMPLES: Final = 1_000
TAILS: Final = (0.025, 0.975)


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a text.

    Attributes:
        split: which part of the text: train, validation, test or all.
        characters: predicted characters: all of each segment but its first.
        nats: cross-entropy per predicted character, natural logarithm.
        bits: the same in bits.
        interval: the 95 % bootstrap interval of the bits; None for a text of fewer than ten blocks
            of 1,000 characters.
        perplexity: e to the nats: among how many characters it hesitates.
        text: the name of the text; empty where nobody told it.
        own: whether it is the text that the model was trained on.
        tokens: what is predicted, characters or bytes.
        length: of the whole text.
        segments: the stretches of it that were read, each from a character to before another.
    """

    split: str
    characters: int
    nats: float
    bits: float
    interval: tuple[float, float] | None
    perplexity: float
    text: str = ""
    own: bool = False
    tokens: str = "characters"
    length: int = 0
    segments: tuple[Segment, ...] = ()

    @property
    def part(self) -> str:
        """Which part of the text it is, in words."""
        if self.split == "all":
            return "all of it, what the model was trained on too" if self.own else "all of it"
        if len(self.segments) != 1:
            return f"{self.split}: a part of each of {len(self.segments)} streams"
        ((start, end),) = self.segments
        return f"{self.split}: {self.tokens} {start + 1:,} to {end:,} of {self.length:,}"

    def __str__(self) -> str:
        whose = " (the model's own text)" if self.own else ""
        text = f"{self.text or 'a text'}{whose}, {self.part}"
        within = ""
        if self.interval is not None:
            within = ", 95 % between {:.4f} and {:.4f}".format(*self.interval)
        one = one_of(self.tokens)
        return (
            f"{text}: {self.nats:.4f} nats or {self.bits:.4f} bits per {one}{within}; "
            f"{self.characters:,} {self.tokens} predicted, perplexity {self.perplexity:.3f}"
        )


def evaluate(
    learner: Learner,
    engine: Engine,
    ids: AllIds,
    segments: Sequence[Segment] | None = None,
    *,
    split: str = "all",
    streams: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Read a text from the zero state to its end, and measure the surprise (spec/mathematics.md: Evaluation).

    Args:
        learner: the model; not changed.
        engine: what computes.
        ids: the text in the model's vocabulary, shape (characters,).
        segments: the stretches that are judged, each from the zero state; by default all of it.
        split: what they are called.
        streams: in how many pieces one segment is read side by side; 1 is exact; None lets its
            length decide.
        seed: decides the bootstrap interval.

    Raises:
        TextError: there is nothing to predict: no segment has two characters.
        ConfigError: streams or seed out of its range.
        DivergedError: the model gives no finite number.
    """
    if streams is not None:
        streams = require_whole("streams", streams, least=1)
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    segments = segments or [(0, len(ids))]
    longest = max(end - start for start, end in segments)
    if longest < 2:
        raise TextError(
            f"the text has {number_of(longest, one_of(learner.config.tokens))}; judging needs two at "
            f"least: one to begin with and one to predict. Give a longer text."
        )
    nats = score_segments(engine, learner, ids, segments, streams)
    mean = float(nats.mean())
    if not math.isfinite(mean):
        raise DivergedError("the model gives no finite loss: it has diverged; use an earlier one.")
    # Beyond 709 nats the exponential leaves float64.
    perplexity = math.exp(mean) if mean < 709 else math.inf
    bits = mean / math.log(2)
    return Evaluation(split, len(nats), mean, bits, bits_interval(nats, seed), perplexity)


def bits_interval(nats: NDArray[np.float64], seed: int) -> tuple[float, float] | None:
    """The 95 % interval of the mean in bits, from means over blocks drawn with replacement."""
    starts = np.arange(0, len(nats), BLOCK)
    if len(starts) < FEWEST_BLOCKS:
        return None
    sums = np.add.reduceat(nats, starts)
    sizes = np.diff(starts, append=len(nats))
    means = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        numbers = uniforms(seed, "bootstrap", len(starts), time=n)
        drawn = (numbers * len(starts)).astype(np.int64)
        means[n] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, TAILS) / math.log(2)
    return float(low), float(high)
