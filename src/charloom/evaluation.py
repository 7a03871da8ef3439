"""Evaluation: computes how well a model predicts a text or a part of it. It reads no files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import SEED_LIMIT, require_number, require_whole
from charloom.dynamic_scoring import dynamic_nats
from charloom.engines import Engine
from charloom.errors import DivergedError, TextError
from charloom.formatting import count, number_of, one_of
from charloom.model import Learner
from charloom.notebook_html import card, figures
from charloom.random import uniforms
from charloom.scoring import score_segments
from charloom.text.all_ids import AllIds
from charloom.text.item_ids import ItemIds
from charloom.text.windows import Segment

# Characters in a block. The bootstrap draws blocks, because neighbouring characters are not
# independent.
BLOCK: Final = 1_000
FEWEST_BLOCKS: Final = 10  # with fewer blocks, no interval is computed
MOST_GROUPS: Final = 5_000  # of items that are resampled
RESAMPLES: Final = 1_000
TAILS: Final = (0.025, 0.975)


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a model on a text. A notebook shows it as a table.

    Attributes:
        split: the part of the text: train, validation, test or all.
        characters: number of predicted characters: all characters of each segment except its first.
        nats: cross-entropy per predicted character in nats.
        bits: cross-entropy per predicted character in bits.
        interval: lower and upper end of the 95 % bootstrap interval of `bits`; None if there are
            9,000 predicted characters or fewer.
        perplexity: exp(nats). The model is as uncertain as if it chose among this many equally
            likely characters. Infinite for 709 nats or more.
        text: name of the text; empty if it is not known.
        own: True if the model was trained on this text.
        tokens: unit of prediction, characters or bytes.
        length: length of the whole text in tokens.
        segments: the segments that were read, as pairs (start, end).
        dynamic_rate: the learning rate of a model that continued to learn while it read; None if it did not.
        items: for a collection, the number of items that were predicted, each with its end; otherwise None.
        items_in_all: for a collection, the number of its items; otherwise None.
        nats_per_item: cross-entropy per item in nats; None for a stream. The 95 % interval `interval` is then over items.
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
    dynamic_rate: float | None = None
    items: int | None = None
    items_in_all: int | None = None
    nats_per_item: float | None = None

    @property
    def part(self) -> str:
        """Return in words which part of the text was evaluated."""
        if self.split == "all":
            return "all of it, including the training part" if self.own else "all of it"
        if self.items is not None:
            return f"{self.split}: {self.items:,} of {self.items_in_all:,} items"
        if len(self.segments) != 1:
            return f"{self.split}: a part of each of {len(self.segments):,} streams"
        ((start, end),) = self.segments
        return f"{self.split}: {self.tokens} {start + 1:,} to {end:,} of {self.length:,}"

    def __str__(self) -> str:
        whose = " (the model's own text)" if self.own else ""
        text = f"{self.text or 'a text'}{whose}, {self.part}"
        within = self._interval_phrase
        if self.dynamic_rate is not None:
            within += ", if the model continues to learn while it reads"
        one = one_of(self.tokens)
        return (
            f"{text}: {self.nats:.4f} nats or {self.bits:.4f} bits per {one}{within}; "
            f"{self.characters:,} {self.tokens} predicted, perplexity {self.perplexity:.3f}"
        )

    def _repr_html_(self) -> str:
        """Return the result as a table, as HTML for a notebook."""
        one = one_of(self.tokens)
        rows = {
            "text": f"{self.text or 'a text'}{' (the text of the model)' if self.own else ''}",
            "part": self.part,
            f"{self.tokens} predicted": count(self.characters),
            f"nats per {one}": f"{self.nats:.4f}",
            f"bits per {one}": f"{self.bits:.4f}{self._interval_phrase}",
            "perplexity": f"{self.perplexity:.3f}",
        }
        if self.nats_per_item is not None:
            rows["nats per item"] = f"{self.nats_per_item:.4f}"
        if self.dynamic_rate is not None:
            rows["learning rate"] = f"{self.dynamic_rate:g}; the model learned while it read"
        return card("Evaluation", figures(rows.items()))

    @property
    def _interval_phrase(self) -> str:
        """The interval as a phrase; "" if there is none."""
        return (
            ""
            if self.interval is None
            else ", 95 % between {:.4f} and {:.4f}".format(*self.interval)
        )


def evaluate(
    learner: Learner,
    engine: Engine,
    ids: AllIds,
    segments: Sequence[Segment] | None = None,
    *,
    split: str = "all",
    streams: int | None = None,
    dynamic_rate: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Return a model's cross-entropy on a text (spec/mathematics.md: Evaluation).

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the predictions.
        ids: the text in the model's vocabulary, shape (characters,).
        segments: the segments to evaluate; by default the whole text. If there are several, each is
            read from the zero state. A single segment is divided into pieces.
        split: the name of the part of the text that `segments` make up, such as "validation".
        streams: the number of pieces into which a single segment is divided, which are read in
            parallel. With 1, the result is exact. None chooses the number by the segment's length.
        dynamic_rate: the learning rate with which a copy of the model continues to learn while it
            reads (spec/mathematics.md: Dynamic evaluation); `streams` is then ignored. With None, the
            model does not learn.
        seed: seed of the bootstrap interval.

    Returns:
        The result. Its fields `text`, `own`, `tokens`, `length` and `segments` have their defaults;
        the caller must set them.

    Raises:
        TextError: no segment has two characters, so there is nothing to predict.
        ConfigError: `streams`, `dynamic_rate` or `seed` is out of its range.
        DivergedError: the loss is not finite.
    """
    if streams is not None:
        streams = require_whole("streams", streams, least=1)
    if dynamic_rate is not None:
        dynamic_rate = require_number("dynamic_rate", dynamic_rate, above=0.0, below=1e6)
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    segments = segments or [(0, len(ids))]
    longest = max(end - start for start, end in segments)
    if longest < 2:
        raise TextError(
            f"the text has {number_of(longest, one_of(learner.config.tokens))}; an evaluation needs at "
            f"least two: the first to start with and one to predict. Give a longer text."
        )
    if dynamic_rate is None:
        nats = score_segments(engine, learner, ids, segments, streams)
    else:
        nats = dynamic_nats(engine, learner, ids, segments, dynamic_rate)
    mean = float(nats.mean())
    if not math.isfinite(mean):
        raise DivergedError(
            "the model's loss is not finite: the model diverged; use an earlier checkpoint."
        )
    # Above 709 nats the exponential overflows float64.
    perplexity = math.exp(mean) if mean < 709 else math.inf
    bits = mean / math.log(2)
    found = Evaluation(split, len(nats), mean, bits, None, perplexity, dynamic_rate=dynamic_rate)
    if isinstance(ids, ItemIds):
        sizes = item_sizes(ids, segments)
        return replace(
            found,
            interval=interval_over_items(nats, sizes, seed),
            items=len(sizes),
            items_in_all=ids.items,
            nats_per_item=float(nats.sum()) / len(sizes),
        )
    return replace(found, interval=bits_interval(nats, seed))


def item_sizes(ids: ItemIds, segments: Sequence[Segment]) -> NDArray[np.int64]:
    """Return how many ids of each item are predicted in segments that begin and end with the boundary, shape (items,)."""
    found = []
    for start, end in segments:
        first, last = ids.first_at(start), ids.first_at(end - 1)
        found.append(np.diff(ids.starts[first : last + 1].astype(np.int64)))
    return np.concatenate(found)


def interval_over_items(
    nats: NDArray[np.float64], sizes: NDArray[np.int64], seed: int
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the mean bits per predicted id, from resamples of whole items.

    More than 5,000 items are resampled in 5,000 groups of neighbours, which are in random order. Return None for
    fewer than ten items.

    Args:
        nats: the nats of each predicted id, item after item.
        sizes: how many of them each item has.
        seed: seed of the resamples.
    """
    groups = min(len(sizes), MOST_GROUPS)
    firsts = np.arange(groups) * len(sizes) // groups
    ends = np.cumsum(sizes)
    starts = ends[firsts] - sizes[firsts]
    sums = np.add.reduceat(nats, starts)
    return interval_of_groups(sums, np.diff(starts, append=len(nats)), seed)


def bits_interval(nats: NDArray[np.float64], seed: int) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the mean bits per character: its lower and its upper end.

    `nats` has the nats of each character. They are cut into n blocks of 1,000. Each resample draws
    n blocks with replacement. Return None if n is less than ten.
    """
    return interval_of_blocks(block_sums(nats), len(nats), seed)


def why_no_interval(characters: int, tokens: str) -> str:
    """Return a sentence without its full stop that says why there is no interval; "" if there are enough characters.

    Args:
        characters: number of characters that were predicted or judged.
        tokens: "characters" or "bytes".
    """
    least = BLOCK * (FEWEST_BLOCKS - 1)
    if characters > least:
        return ""
    return f"there is no 95 % interval, because it needs more than {least:,} {tokens}, and there are {characters:,}"


def block_sums(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the nats of each block of 1,000 characters; the last block may be shorter."""
    return np.add.reduceat(nats, np.arange(0, len(nats), BLOCK))


def interval_of_blocks(
    sums: NDArray[np.float64], characters: int, seed: int
) -> tuple[float, float] | None:
    """Return the interval of `bits_interval` from the result of `block_sums`.

    If `sums` has the differences between two models on the same characters, the result is the interval of the
    difference of their bits per character. It is much narrower than the intervals of the two, because both find the
    same blocks difficult.

    Args:
        sums: the sum of the nats of each block.
        characters: number of characters of all blocks.
        seed: seed of the resamples.
    """
    sizes = np.full(len(sums), BLOCK)
    sizes[-1] = characters - BLOCK * (len(sums) - 1)
    return interval_of_groups(sums, sizes, seed)


def interval_of_groups(
    sums: NDArray[np.float64], sizes: NDArray[np.int64], seed: int
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the bits per character from resamples of groups of characters.

    Return None for fewer than ten groups. `sums` has the sum of the nats of each group, and `sizes` its number of
    characters.
    """
    if len(sums) < FEWEST_BLOCKS:
        return None
    means = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        numbers = uniforms(seed, "bootstrap", len(sums), time=n)
        drawn = (numbers * len(sums)).astype(np.int64)
        means[n] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, TAILS) / math.log(2)
    return float(low), float(high)
