"""The engine of an installed charloom is the expected one, and computes what the reference engine computes."""

import os

import numpy as np
import pytest

from charloom.config import Config
from charloom.engines import Plan, native_problem, open_engine
from charloom.model import new_learner
from charloom.text import Vocabulary

if native_problem() is None:
    from charloom._native import instruction_sets

    SETS = instruction_sets()
else:
    SETS = []
EXPECTED = os.environ.get("CHARLOOM_EXPECTED_ENGINE", "")
SETTINGS = {
    "classic": {"cell": "rnn", "optimizer": "adagrad", "clip": 5.0},
    "lstm": {"cell": "lstm", "layers": 2, "optimizer": "adam", "batch_size": 3},
    "gru": {"cell": "gru", "optimizer": "rmsprop", "batch_size": 2},
}
LIMITS = {"float64": 1e-12, "float32": 1e-5}  # the digits of the dtype, less those that sums lose
CHARACTERS = "abcdefghijk"


def learner_of(network, dtype="float64"):
    settings = {"hidden_size": 20, "seq_length": 7, "sigma": 0.3, **SETTINGS[network]}
    return new_learner(Config(dtype=dtype, **settings), Vocabulary(CHARACTERS))


def ids_of(*shape):
    return np.random.default_rng(1).integers(0, len(CHARACTERS), shape).astype(np.uint8)


def distance(these, others):
    """Return the largest norm of a difference between two arrays, relative to the norms of both."""
    pairs = [(np.float64(these[name]), np.float64(others[name])) for name in these]
    return max(
        np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b) or 1.0) for a, b in pairs
    )


@pytest.fixture(params=SETS)
def native(request, monkeypatch):
    """Return the native engine on one of the instruction sets of this processor."""
    monkeypatch.setenv("CHARLOOM_ISA", request.param)
    return open_engine("native", threads=2)


@pytest.mark.skipif(not EXPECTED, reason="CHARLOOM_EXPECTED_ENGINE is not set")
def test_the_expected_engine_is_installed():
    assert open_engine().name == EXPECTED, native_problem()


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("network", SETTINGS)
def test_each_gradient_of_the_native_engine_is_that_of_the_reference_engine(native, network, dtype):
    learner = learner_of(network, dtype)
    x, y = ids_of(2, 7, learner.config.batch_size)
    loss, gradients, _ = native.loss_and_gradients(learner, x, y)
    expected, references, _ = open_engine("reference").loss_and_gradients(learner, x, y)
    assert loss == pytest.approx(expected, rel=LIMITS[dtype])
    assert distance(gradients, references) < LIMITS[dtype]


def test_a_planted_error_in_a_gradient_is_seen():
    learner = learner_of("lstm")
    x, y = ids_of(2, 7, 3)
    _, gradients, _ = open_engine("reference").loss_and_gradients(learner, x, y)
    assert distance(gradients, {**gradients, "V": gradients["V"] * 1.001}) > LIMITS["float32"]


@pytest.mark.parametrize("network", SETTINGS)
def test_two_threads_train_as_the_reference_engine_does(native, network):
    here, there = learner_of(network), learner_of(network)
    streams, updates = here.config.batch_size, 20
    starts = np.arange(streams) * (7 * updates + 1)
    plan, text = Plan(np.full(updates, 0.01), starts), ids_of((7 * updates + 1) * streams)
    traces = native.train(here, text, plan), open_engine("reference").train(there, text, plan)
    np.testing.assert_allclose(traces[0].losses, traces[1].losses, rtol=1e-9)
    assert distance(here.parameters, there.parameters) < 1e-9
