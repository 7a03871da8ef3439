"""Models that write well, and models that write badly from a state in which they can begin."""

import dataclasses
from unittest.mock import patch

import numpy as np

from charloom.engines import open_engine
from charloom.model import StartLosses, new_learner
from charloom.text import Corpus
from charloom.training import learn, loop
from small_runs import TEXT

CORPUS = Corpus.from_text(TEXT.replace("; ", ";\n") * 3, "cat")
HEALTHY = StartLosses(1.5, 1.6, 1.9, 1.9)
BAD_ZERO = StartLosses(1.5, 1.6, 1.9, 8.25)  # bad from the zero state without a prompt
BAD_TEXT = StartLosses(1.5, 2.5, 1.6, 1.6)


def trained(config, engine="reference"):
    """Return a learner that was trained to its end, without a planted fault."""
    learner = new_learner(config, CORPUS.vocabulary)
    for _ in learn(learner, CORPUS.ids, open_engine(engine)):
        pass
    return learner


def with_a_second_regime(learner):
    """Return the plain network with one more unit, which makes it write garbage from the zero state.

    The unit stays at 1 if it begins there, as in the returned learner's state. Then the network predicts as
    before. From 0 it goes to -1 and stays there, and all probability is on the vocabulary's last character.
    """
    parameters = dict(learner.parameters)
    H, K = learner.config.hidden_size, len(learner.vocabulary)
    grown = np.zeros((H + 1, H + 1), np.float32)
    grown[:H, :H], grown[H, H] = parameters["layers.0.W"], 30
    wrong = np.where(np.arange(K) == K - 1, -10, 0).astype(np.float32)
    parameters["layers.0.W"] = grown
    parameters["layers.0.U"] = np.vstack([parameters["layers.0.U"], np.zeros((1, K), np.float32)])
    parameters["layers.0.b"] = np.append(parameters["layers.0.b"], np.float32(-0.1))
    parameters["V"] = np.column_stack([parameters["V"], wrong])
    parameters["c"] = parameters["c"] - wrong
    h = np.concatenate([learner.state["h"], np.ones((1, 1, 1), np.float32)], axis=2)
    config = dataclasses.replace(learner.config, hidden_size=H + 1)
    return dataclasses.replace(learner, config=config, parameters=parameters, state={"h": h})


def measured_as(losses):
    """Let training measure these losses from each start."""

    def measure(*_):
        yield
        return losses

    return patch.object(loop, "measure_starts", measure)
