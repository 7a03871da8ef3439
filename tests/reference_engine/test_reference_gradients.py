"""The reference engine's gradients and updates equal those of single numbers and of the complex step."""

import numpy as np
import pytest

import oracle
from charloom.cell_table import CELL_NAMES
from charloom.engines.reference import ReferenceEngine, losses
from charloom.engines.reference.cells import sigmoid
from charloom.model import copy_learner
from charloom.random import dropout_mask
from reference_networks import (
    as_lists,
    assert_same,
    make_ids,
    make_learner,
    make_window,
    plan,
    relative_error,
)


def true_masks(learner, update):
    """Return the dropout masks (T, L, B, H) of an update, computed one by one from their definition."""
    c = learner.config
    return np.array([
        [[dropout_mask(c.seed, update, layer, s, t, c.hidden_size, c.dropout)
          for s in range(c.batch_size)] for layer in range(c.layers)]
        for t in range(c.seq_length)
    ])  # fmt: skip


# Single numbers


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(
    ("layers", "streams", "dropout"), [(1, 1, 0.0), (1, 3, 0.3), (2, 2, 0.0), (3, 2, 0.3)]
)
def test_loss_gradients_and_state_are_those_of_the_single_numbers(cell, layers, streams, dropout):
    learner = make_learner(
        3, 4, 5, cell=cell, layers=layers, batch_size=streams, dropout=dropout, seed=5
    )
    x, y = make_window(learner)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(learner, x, y, 9)
    true_loss, true_gradients, true_state = oracle.loss_and_gradients(
        cell, as_lists(learner.parameters), x.tolist(), y.tolist(), as_lists(learner.state),
        true_masks(learner, 9).tolist(),
    )  # fmt: skip
    assert loss == pytest.approx(true_loss, rel=1e-14)
    assert_same(gradients, true_gradients)
    assert_same(state, true_state)


def test_dropout_is_left_out_where_no_update_is_named():
    learner = make_learner(cell="gru", layers=2, dropout=0.5)
    x, y = make_window(learner)
    without = copy_learner(learner)
    without.config = learner.config.replace(dropout=0.0)
    engine = ReferenceEngine()
    loss, _, _ = engine.loss_and_gradients(learner, x, y)
    assert loss == engine.loss_and_gradients(without, x, y, 1)[0]
    assert loss != engine.loss_and_gradients(learner, x, y, 1)[0]
    assert engine.train(learner, np.append(x[:, 0], y[-1]), plan(1)).losses[0] != loss


def trajectory(learner, ids, updates, learning_rate):
    """Return the reference engine's losses over several epochs, with the caller's part done by hand."""
    engine, T, found = ReferenceEngine(), learner.config.seq_length, []
    for _ in range(updates):
        found += engine.train(learner, ids, plan(1, learning_rate)).losses.tolist()
        if learner.position > len(ids) - T - 1:
            learner.position = 0
            learner.state["h"][...] = 0
    return found


def test_twenty_updates_over_two_epochs_follow_the_single_numbers():
    learner = make_learner(hidden_size=4)
    learner.state["h"][...] = 0
    ids = make_ids(learner, 36)
    p, m, h, true_losses, _ = oracle.train(
        as_lists(learner.parameters), ids.tolist(), 20, T=3, learning_rate=0.1
    )
    assert trajectory(learner, ids, 20, 0.1) == pytest.approx(true_losses, rel=1e-11)
    assert_same(learner.parameters, p, 1e-11)
    assert_same(learner.slots["accumulator"], m, 1e-11)
    np.testing.assert_allclose(learner.state["h"][0, 0], h, rtol=1e-10)
    assert learner.update == 20


def one_update(**settings):
    """Return what one update of SGD subtracts from each parameter, and the exact gradient of each."""
    learner = make_learner(
        4, cell="lstm", layers=2, batch_size=2, optimizer="sgd", dropout=0.3, **settings
    )
    ids, starts = make_ids(learner, 30), np.array([3, 11])
    learner.position, learner.update = 6, 4
    window = np.array([[start + 6 + t for start in starts] for t in range(4)])
    engine = ReferenceEngine()
    _, exact, _ = engine.loss_and_gradients(learner, ids[window[:-1]], ids[window[1:]], 5)
    before = copy_learner(learner)
    trace = engine.train(learner, ids, plan(1, 1.0, starts))
    moved = {name: before.parameters[name] - p for name, p in learner.parameters.items()}
    return exact, moved, trace


@pytest.mark.parametrize(("reduction", "share"), [("sum", 1), ("mean", 1 / 3)])
def test_an_update_reads_each_streams_place_and_descends_the_reduced_loss(reduction, share):
    exact, moved, trace = one_update(clip=0.0, reduction=reduction)
    assert_same(moved, {name: share * g for name, g in exact.items()})
    norm = share * np.sqrt(sum((g**2).sum() for g in exact.values()))
    assert trace.gradient_norms[0] == pytest.approx(norm, rel=1e-13)


def test_clipping_by_value_cuts_each_entry():
    exact, moved, _ = one_update(clip=0.01)
    assert max(np.abs(g).max() for g in exact.values()) > 0.01
    assert_same(moved, {name: np.clip(g, -0.01, 0.01) for name, g in exact.items()})


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_clipping_by_norm_shrinks_the_whole_to_the_limit_and_leaves_a_small_one(reduction):
    exact, moved, trace = one_update(clip=0.1, clip_by="norm", reduction=reduction)
    assert trace.gradient_norms[0] > 0.1
    own = {name: g / (3 if reduction == "mean" else 1) for name, g in exact.items()}
    factor = 0.1 / (trace.gradient_norms[0] + 1e-6)
    assert_same(moved, {name: factor * g for name, g in own.items()})
    exact, moved, _ = one_update(clip=1e3, clip_by="norm")
    assert_same(moved, exact)


SIZES = [  # B, T, H, K
    (1, 1, 1, 2),
    (1, 25, 20, 30),
    (7, 5, 4, 6),
    (32, 3, 1, 2),
    (32, 4, 6, 5),
]


# The complex step


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(("streams", "T", "H", "K"), SIZES)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_are_those_of_the_complex_step(cell, layers, streams, T, H, K, dropout):
    learner = make_learner(
        H, T, K, cell=cell, layers=layers, batch_size=streams, dropout=dropout, init="uniform"
    )
    x, y = make_window(learner)
    _, gradients, _ = ReferenceEngine().loss_and_gradients(learner, x, y, 3)
    masks = true_masks(learner, 3)
    p = {name: array.astype(np.complex128) for name, array in learner.parameters.items()}
    for name, gradient in gradients.items():
        entries = np.random.default_rng(3).permutation(gradient.size)[:40]
        perturbed = np.tile(p[name].ravel(), (len(entries), 1))
        perturbed[np.arange(len(entries)), entries] += 1e-20j
        many = {**p, name: perturbed.reshape(-1, *gradient.shape)}
        steps = losses(many, cell, x, y, learner.state, masks).imag / 1e-20
        distance = np.linalg.norm(gradient.flat[entries] - steps)
        sizes = np.linalg.norm(gradient.flat[entries]) + np.linalg.norm(steps)
        assert distance <= 1e-12 * sizes, name


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_gradients_at_full_size_are_those_of_the_complex_step(sigma):
    learner = make_learner(hidden_size=100, seq_length=25, characters=80, sigma=sigma)
    x, y = make_window(learner)
    _, gradients, _ = ReferenceEngine().loss_and_gradients(learner, x, y)
    draw = np.random.default_rng(3)
    for name, gradient in gradients.items():
        entries = draw.choice(gradient.size, 12, replace=False)
        if name == "layers.0.U":  # most columns are zero: look at those of characters that occur
            entries = draw.choice(100, 12) * 80 + x[:12, 0]
        steps = []
        for entry in entries:
            p = {n: array.astype(np.complex128) for n, array in learner.parameters.items()}
            p[name].flat[entry] += 1e-20j
            steps.append(losses(p, "rnn", x, y, learner.state).imag / 1e-20)
        assert relative_error(gradient.flat[entries], steps) <= 1e-12, name


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_many_perturbed_networks_run_as_one(cell):
    learner = make_learner(cell=cell, layers=2, batch_size=2)
    x, y = make_window(learner)
    changed = make_learner(cell=cell, layers=2, batch_size=2, seed=5).parameters
    pairs = {name: np.stack([p, changed[name]]) for name, p in learner.parameters.items()}
    together = losses(pairs, cell, x, y, learner.state)
    alone = [losses(p, cell, x, y, learner.state) for p in (learner.parameters, changed)]
    np.testing.assert_allclose(together, alone, rtol=1e-14)


def test_the_sigmoid_is_analytic_exact_in_its_tails_and_never_overflows():
    a = np.array([-1e5, -800.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1e5])
    with np.errstate(over="raise", invalid="raise"):
        values, stepped = sigmoid(a), sigmoid(a + 1e-20j)
    e = np.exp(-np.abs(a))
    np.testing.assert_allclose(values, np.where(a < 0, e, 1) / (1 + e), rtol=1e-15)
    np.testing.assert_allclose(stepped.imag / 1e-20, e / (1 + e) ** 2, rtol=1e-14)
    assert sigmoid(a.astype(np.float32)).dtype == np.float32
