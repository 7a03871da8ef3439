"""Computes what the n-grams of a model add to its logits, character by character.

See spec/mathematics.md: N-grams. An engine adds this itself; this module is for callers that compute
logits from hidden states. It reads no files.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.model import Learner, zero_state
from charloom.model.mixture_parts import ngrams_alone

Array = NDArray[Any]


def ngram_weights(learner: Learner, h: Array) -> Array:
    """Return the weight w of the n-grams in the prediction after each step, shape (N,).

    Args:
        learner: a model with n-grams.
        h: the output of the last layer after each step, shape (N, H).
    """
    parameters = learner.parameters
    return np.asarray(h @ parameters["ngram.weight"][0] + parameters["ngram.bias"][0])


class NGramReader:
    """Reads a text in parts, from its beginning on, and returns the logits that the n-grams add.

    Args:
        learner: a model with n-grams; it is not changed.
        engine: the engine that looks up the n-grams.
    """

    def __init__(self, learner: Learner, engine: Engine) -> None:
        self._learner = learner
        self._engine = engine
        # The logits of this model are the logarithms of the n-grams' probabilities. It has one hidden
        # unit, so a step takes some microseconds.
        self._alone = ngrams_alone(learner)
        self._state = zero_state(self._alone.config)

    def read(self, ids: Ids, h: Array) -> Array:
        """Read the next ids of the text, and return w l after each of them, shape (N, K).

        Args:
            ids: ids of the text, shape (N,), N at least 1.
            h: the output of the last layer after each of the ids, shape (N, H).
        """
        rows = []
        for n in range(len(ids)):
            row, self._state = self._engine.step(self._alone, ids[n : n + 1], self._state)
            rows.append(row[0])
        return np.asarray(ngram_weights(self._learner, h)[:, np.newaxis] * np.stack(rows))
