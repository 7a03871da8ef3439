"""The torch engine's gradients and updates are those of the reference engine, from the reference's own state."""

from functools import lru_cache
from itertools import product

import numpy as np
import pytest

from compared_engines import TORCH as INSTALLED

if not INSTALLED:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

from charloom.cell_table import CELL_NAMES
from charloom.config import OPTIMIZERS, Config
from charloom.engines import Plan, open_engine
from charloom.engines.torch import layers as torch_layers
from charloom.model import Learner, copy_learner, new_learner
from charloom.text import Vocabulary
from engine_comparison import distance, in_dtype

REFERENCE, TORCH = open_engine("reference"), open_engine("torch", 1, "cpu")
K, T = 7, 4
PLAN_RATES = np.full(2, 0.01)


def network(cell: str, layers: int, batch_size: int, optimizer: str, dropout: float) -> Learner:
    """Return a small network whose parameters and states are not near zero, after two updates of the reference."""
    config = Config(
        cell=cell, layers=layers, batch_size=batch_size, optimizer=optimizer, dropout=dropout,
        hidden_size=5, seq_length=T, init="uniform", dtype="float64", weight_decay=0.01, clip=0.5,
        clip_by="norm", averaging=0.2,
    )  # fmt: skip
    learner = new_learner(config, Vocabulary("abcdefg"))
    REFERENCE.train(learner, text(learner), plan(learner, PLAN_RATES))
    return learner


def text(learner: Learner) -> np.ndarray:
    return np.random.default_rng(3).integers(0, K, 400).astype(np.uint8)


def plan(learner: Learner, rates: np.ndarray) -> Plan:
    return Plan(rates, np.arange(learner.config.batch_size, dtype=np.int64) * 11)


def window(learner: Learner) -> np.ndarray:
    return np.random.default_rng(4).integers(0, K, (2, T, learner.config.batch_size))


def farthest(ours, theirs) -> float:
    return max(distance(ours[name], theirs[name]) for name in theirs)


def gradients_apart(learner: Learner, truth) -> float:
    """Return how far torch's loss, gradients and next state are from those of the float64 reference."""
    ours = TORCH.loss_and_gradients(learner, *window(learner), 3)
    losses = abs(ours[0] - truth[0]) / truth[0]
    return max(losses, farthest(ours[1], truth[1]), farthest(ours[2], truth[2]))


def update_apart(learner: Learner, truth: Learner) -> float:
    """Return how far torch's next update, its slots and state are from those of `truth`, which the reference updated."""
    ours = copy_learner(learner)
    TORCH.train(ours, text(ours), plan(ours, PLAN_RATES[:1]))
    assert (ours.update, ours.position) == (truth.update, truth.position)
    slots = [farthest(ours.slots[slot], truth.slots[slot]) for slot in truth.slots]
    steps = [
        np.abs(ours.parameters[name] - truth.parameters[name]).max() for name in truth.parameters
    ]
    return max(*slots, *steps, farthest(ours.state, truth.state))


@lru_cache(1)
def with_truths(*sizes) -> tuple:
    """Return a network, the reference's gradients of a window, and the network after the reference's next update."""
    learner = network(*sizes)
    gradients = REFERENCE.loss_and_gradients(learner, *window(learner), 3)
    updated = copy_learner(learner)
    REFERENCE.train(updated, text(updated), plan(updated, PLAN_RATES[:1]))
    return learner, gradients, updated


# (dtype, largest distance of a gradient, largest distance of an update)
LIMITS = [("float64", 1e-10, 1e-9), ("float32", 1e-5, 1e-5)]


@pytest.mark.parametrize(("layers", "batch_size"), list(product((1, 2, 3), (1, 7, 32))))
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_each_gradient_and_update_is_the_references(cell, layers, batch_size):
    for optimizer, dropout in product(OPTIMIZERS, (0.0, 0.3)):
        learner, gradients, updated = with_truths(cell, layers, batch_size, optimizer, dropout)
        for dtype, gradient_limit, update_limit in LIMITS:
            ours = with_slots(learner, dtype)
            assert gradients_apart(ours, gradients) <= gradient_limit, (optimizer, dropout, dtype)
            apart = update_apart(ours, updated)
            assert apart <= update_limit, (optimizer, dropout, dtype)


def with_slots(learner: Learner, dtype: str) -> Learner:
    """Return a copy of a learner in a dtype, with its slots."""
    copied = in_dtype(learner, dtype)
    copied.slots = {
        slot: {name: array.astype(dtype) for name, array in arrays.items()}
        for slot, arrays in learner.slots.items()
    }
    return copied


def gates_in_another_order(honest):
    """Return a layer that takes the gates of an LSTM in the order f, i, g, o."""

    def planted(cell, weights, x, carried, pieces):
        def swapped(array):
            i, f, *rest = array.chunk(4)
            return torch_layers.torch.cat([f, i, *rest])

        return honest(
            cell, {name: swapped(array) for name, array in weights.items()}, x, carried, pieces
        )

    return planted


def second_bias_outside_the_reset_gate(honest):
    """Return a layer that adds d of a GRU to b, so that the reset gate does not act on it."""

    def planted(cell, weights, x, carried, pieces):
        b, d = weights["b"].clone(), weights["d"]
        b[-len(d) :] += d
        return honest(cell, {**weights, "b": b, "d": d * 0}, x, carried, pieces)

    return planted


@pytest.mark.parametrize(
    ("cell", "plant"),
    [("lstm", gates_in_another_order), ("gru", second_bias_outside_the_reset_gate)],
)
def test_a_planted_error_in_a_cell_is_caught(cell, plant, monkeypatch):
    learner, gradients, updated = with_truths(cell, 2, 7, "sgd", 0.0)
    for array in learner.parameters.values():
        array += 0.01  # so that d is not 0
    gradients = REFERENCE.loss_and_gradients(learner, *window(learner), 3)
    assert gradients_apart(learner, gradients) <= 1e-10
    honest = torch_layers.layer_over_window
    monkeypatch.setattr("charloom.engines.torch.layer_stack.layer_over_window", plant(honest))
    assert gradients_apart(learner, gradients) > 1e-3
    assert update_apart(learner, updated) > 1e-4
    with_truths.cache_clear()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_planted_error_in_a_rule_is_caught(optimizer, monkeypatch):
    learner, _, updated = with_truths("rnn", 1, 7, optimizer, 0.0)
    assert update_apart(learner, updated) <= 1e-9
    from charloom.engines.torch import update_rules

    honest = update_rules.rate_rows
    monkeypatch.setattr(
        "charloom.engines.torch.torch_network.rate_rows",
        lambda config, rates, first: honest(config, rates * 1.0001, first),
    )
    assert update_apart(learner, updated) > 1e-9
