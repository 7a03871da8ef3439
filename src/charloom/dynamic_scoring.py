"""Dynamic scoring: computes the nats of each character while the model continues to learn from the text.

See spec/mathematics.md: Dynamic evaluation. This module reads no files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import DYNAMIC_RATE, Config
from charloom.engines import Engine
from charloom.engines.base import Plan
from charloom.errors import DivergedError
from charloom.formatting import number_of
from charloom.model import Learner, zero_slots, zero_state
from charloom.text.all_ids import AllIds
from charloom.text.windows import Segment

STEPS: Final = 32  # characters that are predicted before the model learns from them


def dynamic_nats(
    engine: Engine,
    learner: Learner,
    ids: AllIds,
    segments: Sequence[Segment],
    learning_rate: float = DYNAMIC_RATE,
) -> NDArray[np.float64]:
    """Return the nats of all characters of the segments, except the first of each, in their order.

    The segments are read one after another, each from the zero state. After each window of 32
    characters, a copy of the model learns from this window.

    Args:
        engine: the engine that predicts and learns.
        learner: the model before it reads the text; it is not changed.
        ids: the whole text, shape (characters,).
        segments: pairs (start, end).
        learning_rate: the learning rate of the updates.

    Raises:
        DivergedError: the loss or the gradient of an update is not finite.
    """
    reader = _copy_that_learns(learner, learning_rate)
    plan = Plan(np.array([learning_rate]), np.zeros(1, np.int64))
    nats = []
    for segment in segments:
        reader.state = zero_state(reader.config)
        for first, end in _windows(segment):
            window = np.ascontiguousarray(ids[first:end])
            # An overflow makes the scores NaN or infinite, so a warning would add nothing.
            with np.errstate(all="ignore"):
                scores, _ = engine.score(reader, window[:, np.newaxis], reader.state)
            nats.append(scores[:, 0])
            # The model does not learn from a shorter window, because `train` reads only whole windows.
            learns = len(window) > STEPS
            reader.position = 0
            if not np.isfinite(scores).all() or (
                learns and engine.train(reader, window, plan).stopped
            ):
                raise _diverged(learning_rate, sum(map(len, nats)))
    return np.concatenate(nats)


def _windows(segment: Segment) -> Iterator[Segment]:
    """Yield the windows of a segment: each begins with the last character of the one before it."""
    start, end = segment
    for first in range(start, end - 1, STEPS):
        yield first, min(first + STEPS + 1, end)


def _copy_that_learns(learner: Learner, learning_rate: float) -> Learner:
    """Return a copy of a model with the settings for learning while it reads."""
    config = _settings(learner.config, learning_rate)
    parameters = {name: array.copy() for name, array in learner.parameters.items()}
    return replace(
        learner,
        config=config,
        parameters=parameters,
        slots=zero_slots(config, parameters),
        ngrams=None if learner.ngrams is None else learner.ngrams.whole(),
        update=0,
    )


def _settings(config: Config, learning_rate: float) -> Config:
    """Return the settings with which a model learns while it reads."""
    return config.replace(
        seq_length=STEPS,
        batch_size=1,
        dropout=0.0,
        optimizer="rmsprop",
        learning_rate=learning_rate,
        decay=0.99,
        epsilon=1e-8,
        weight_decay=0.0,
        averaging=0.0,
        clip=1.0,
        clip_by="norm",
        reduction="mean",
    )


def _diverged(learning_rate: float, characters: int) -> DivergedError:
    """Return the error about a model that diverged while it read."""
    return DivergedError(
        f"the model diverged while it learned from the text, after {number_of(characters, 'character')}, "
        f"with a learning rate of {learning_rate:g}; use a smaller one."
    )
