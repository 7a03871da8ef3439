"""The optimizers make the same steps as those of PyTorch, installed and stored."""

import json

import numpy as np
import pytest

from charloom.config import Config
from charloom.engines import Plan, native_problem, open_engine
from charloom.model import new_learner, optimizers
from charloom.text import Vocabulary
from golden import make_torch_gradients as script

RULES = ("sgd", "rmsprop", "adam", "adamw")


def own_steps(name, weight_decay):
    """Return the parameter after each of six updates by charloom."""
    config = Config(optimizer=name, weight_decay=weight_decay, dtype="float64")
    parameter = np.array([script.number(1, i) for i in range(4)])
    slots = {slot: np.zeros(4) for slot in optimizers.SLOTS[name]}
    found = []
    for update, gradient in enumerate(script.gradients_to_step_by(), start=1):
        optimizers.step(config, parameter, np.array(gradient), slots, 0.05, update)
        found.append(parameter.copy())
    return np.array(found)


def golden_steps(name, weight_decay):
    """Return the stored parameter after each of six updates by PyTorch."""
    golden = json.loads(script.GOLDEN.read_text(encoding="utf-8"))
    return golden["optimizers"][name][str(weight_decay)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", RULES)
def test_each_optimizer_makes_the_stored_steps_of_pytorch(name, weight_decay):
    found, truth = own_steps(name, weight_decay), golden_steps(name, weight_decay)
    np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", RULES)
def test_each_optimizer_makes_the_same_steps_as_the_installed_pytorch(name, weight_decay):
    pytest.importorskip("torch", reason="PyTorch is not installed: its golden values must do")
    truth = script.torch_steps(name, weight_decay)
    np.testing.assert_allclose(own_steps(name, weight_decay), truth, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("rule", "name"),
    [("adam", "adam"), ("rmsprop", "rmsprop"), ("sgd", "sgd")],
)
def test_a_step_that_is_too_long_by_a_millionth_is_caught(rule, name, monkeypatch):
    honest = getattr(optimizers, rule)

    def longer(parameter, gradient, memory, learning_rate, *settings):
        honest(parameter, gradient, memory, learning_rate * (1 + 1e-6), *settings)

    monkeypatch.setattr(optimizers, rule, longer)
    with pytest.raises(AssertionError):
        test_each_optimizer_makes_the_stored_steps_of_pytorch(name, 0.0)


def test_weight_decay_is_coupled_in_adam_and_decoupled_in_adamw():
    assert not np.allclose(own_steps("adam", 0.1), own_steps("adamw", 0.1), rtol=1e-3)
    np.testing.assert_array_equal(own_steps("adam", 0.0), own_steps("adamw", 0.0))


def test_clipping_by_value_keeps_a_nan():
    clipped = optimizers.clip_by_value(np.array([-9.0, 0.5, np.nan, 9.0]), 1.0)
    np.testing.assert_array_equal(clipped, [-1.0, 0.5, np.nan, 1.0])


@pytest.mark.parametrize(("norm", "factor"), [(0.0, 1.0), (1.9, 1.0), (8.0, 2.0 / 8.000001)])
def test_clipping_by_norm_scales_all_gradients_by_one_factor_of_at_most_1(norm, factor):
    assert optimizers.norm_factor(norm, 2.0) == factor


def decayed(weight_decay_on, shape, optimizer="adamw"):
    """Return a parameter of ones of a shape after an update with a gradient of zeros and weight decay."""
    config = Config(
        optimizer=optimizer, weight_decay=0.5, weight_decay_on=weight_decay_on, dtype="float64"
    )
    parameter = np.ones(shape)
    slots = {slot: np.zeros(shape) for slot in optimizers.SLOTS[optimizer]}
    optimizers.step(config, parameter, np.zeros(shape), slots, 0.1, 1)
    return parameter


def test_weight_decay_can_leave_out_the_biases():
    assert (decayed("all", (3,)) == decayed("all", (3, 1))[:, 0]).all()
    assert (decayed("weights", (3, 1)) == 0.95).all()
    for optimizer in optimizers.SLOTS:
        assert (decayed("all", (3,), optimizer) < 1).all()
        assert (decayed("weights", (3, 1), optimizer) < 1).all()
        assert (decayed("weights", (3,), optimizer) == 1).all()


@pytest.mark.skipif(bool(native_problem()), reason="the native engine is not built")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_native_engine_leaves_out_every_bias(cell, threads):
    """Without a gradient, weight decay alone changes the parameters: the learning rate times the decay is 1."""
    settings = {
        "weight_decay_on": "weights",
        "weight_decay": 2.0,
        "optimizer": "sgd",
        "momentum": 0.0,
    }
    config = Config(
        cell=cell, layers=2, hidden_size=5, batch_size=2, seq_length=3, ngram_order=2, clip=1e-30,
        clip_by="norm", **settings,
    )  # fmt: skip
    learner = new_learner(config, Vocabulary("abcdefgh"))
    for array in learner.parameters.values():
        array[...] = 1
    ids = np.arange(40, dtype=np.uint8) % 8
    engine = open_engine("native", threads)
    learner.ngrams = engine.count_ngrams(config, 8, ids, np.array([[0, 40]]))
    engine.train(learner, ids, Plan(np.array([0.5]), np.array([0, 20])))
    left = {name: float(abs(array).max()) for name, array in learner.parameters.items()}
    assert left == {name: float(array.ndim == 1) for name, array in learner.parameters.items()}
