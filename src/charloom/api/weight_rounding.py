"""Chooses the type of the weights in an exported file: the smaller one if it hardly changes the loss."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from charloom.api.evaluation_text import TextChoice, TrainedModel, choose_part
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import StoreError, TextError
from charloom.export_html import WeightType, browser_model
from charloom.model import Learner
from charloom.sampling import SampleOptions, Writing
from charloom.scoring import score_segments

# Weights in float16 are used if they change the loss by less than this number of bits per character.
MOST_CHANGE: Final = 0.001
# The loss is measured on at most this many characters. It takes a second or two for a small network.
MEASURED: Final = 20_000
# Without its text, a model is measured on a text of this length that it writes itself.
WRITTEN: Final = 4_096


@dataclass(frozen=True)
class RoundedWeights:
    """The type of the weights in a file, and by how much it changes the loss.

    Attributes:
        weights: "float16" or "float32".
        change: the loss with weights in float16 minus that of the model, in bits per character. None if it
            was not measured.
    """

    weights: WeightType
    change: float | None = None


def choose_weights(model: TrainedModel, exported: Learner, engine: Engine) -> RoundedWeights:
    """Return float16 if the loss of `exported` changes by less than 0.001 bits per character, else float32.

    Args:
        model: the model of the user, whose text is read: its validation part, or else its training part. If
            the text is not known, a text that the model writes.
        exported: the model in the file.
        engine: the engine that computes.
    """
    texts = texts_to_measure(model, exported, engine)
    before, after = (
        mean_bits(learner, engine, texts)
        for learner in (exported, browser_model(exported, "float16"))
    )
    small = abs(after - before) < MOST_CHANGE  # False if a loss is not finite
    return RoundedWeights("float16" if small else "float32", after - before)


def texts_to_measure(model: TrainedModel, exported: Learner, engine: Engine) -> list[Ids]:
    """Return the ids of the segments of text on which the loss is measured; each has at least two."""
    try:
        segments = choose_part(model, TextChoice()).first(MEASURED)
    except (TextError, StoreError):
        segments = []
    segments = [ids for ids in segments if len(ids) > 1]
    return segments or [written_by(exported, engine)]


def written_by(learner: Learner, engine: Engine) -> Ids:
    """Return the ids of a text that a model writes."""
    writing = Writing(learner, engine, options=SampleOptions(length=WRITTEN))
    return np.concatenate([piece.ids for piece in iter(writing.step, None)])


def mean_bits(learner: Learner, engine: Engine, texts: list[Ids]) -> float:
    """Return the mean loss of a model on texts in bits per character. Each text is read from the zero state."""
    nats = [score_segments(engine, learner, ids, [(0, len(ids))]) for ids in texts]
    return float(np.concatenate(nats).mean()) / math.log(2)
