"""Evaluation: how well a model predicts a text, per character. Knows nothing of files."""

import math
from dataclasses import dataclass
from typing import Final

from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import DivergedError, TextError
from charloom.model import Learner, zero_state

CHUNK: Final = 65_536  # characters per call of the engine, so that Ctrl-C is heard


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a text.

    Attributes:
        characters: predicted characters: all of the text but the first.
        nats: cross-entropy per predicted character, natural logarithm.
        bits: the same in bits.
        perplexity: e to the nats: among how many characters it hesitates.
    """

    characters: int
    nats: float
    bits: float
    perplexity: float


def evaluate(learner: Learner, engine: Engine, ids: Ids) -> Evaluation:
    """Read a text from the zero state to its end, and measure the surprise.

    Args:
        learner: the model; not changed.
        engine: what computes.
        ids: the text in the model's vocabulary, shape (characters,).

    Raises:
        TextError: fewer than two characters: there is nothing to predict.
        DivergedError: the model gives no finite number.
    """
    if len(ids) < 2:
        raise TextError(f"the text is {len(ids)} long; to predict a character it needs two.")
    state = zero_state(learner.config)
    total = 0.0
    for start in range(0, len(ids) - 1, CHUNK):
        nats, state = engine.score(learner, ids[start : start + CHUNK + 1], state)
        total += float(nats.sum())
    mean = total / (len(ids) - 1)
    if not math.isfinite(mean):
        raise DivergedError("the model gives no finite loss: it has diverged; use an earlier one.")
    # Beyond 709 nats the exponential leaves float64.
    perplexity = math.exp(mean) if mean < 709 else math.inf
    return Evaluation(len(ids) - 1, mean, mean / math.log(2), perplexity)
