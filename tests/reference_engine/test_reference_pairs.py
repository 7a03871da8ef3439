"""The reference engine's inputs for pairs of characters: the oracle, the complex step, PyTorch and planted errors."""

import math

import numpy as np
import pytest

import ngram_oracle
import oracle
from charloom.cell_table import CELL_NAMES
from charloom.engines import Sampler
from charloom.engines.reference import ReferenceEngine, cells, losses, network
from charloom.engines.reference.ngram_counts import log_probabilities
from charloom.model import copy_learner, hidden_arrays, optimizers, recent_ids
from charloom.model.input_pairs import PAIRS
from charloom.model.learner import RECENT
from charloom.model.ngrams import PARTS
from charloom.model.recent_ids import pair_rows_of
from golden import make_torch_gradients as script
from reference_networks import (
    as_lists,
    assert_same,
    make_learner,
    plan,
    relative_error,
    repeated_ids,
)
from test_reference_gradients import true_masks

SEGMENTS = [(0, 150), (150, 400)]  # as in make_learner
NETWORKS = [  # layers, streams, dropout, order, pairs
    (1, 1, 0.0, 0, 3),
    (1, 2, 0.3, 0, 9),
    (2, 2, 0.3, 1, 9),
    (2, 3, 0.0, 4, 1000),
]
EACH_NETWORK = pytest.mark.parametrize(("layers", "streams", "dropout", "order", "pairs"), NETWORKS)


def learner_with(hidden_size, seq_length, characters, **settings):
    """Return a learner with pairs. Its first stream begins, so its first character has no pair."""
    learner = make_learner(hidden_size, seq_length, characters, seed=5, **settings)
    learner.state[RECENT][0, 0] = -1
    return learner


def window_of(learner):
    """Return x, y and the columns of a window of the text with the pairs, each (T, B)."""
    T, B = learner.config.seq_length, learner.config.batch_size
    text = repeated_ids(learner, 400)
    places = np.arange(T)[:, np.newaxis] + 140 + 31 * np.arange(B)
    columns = learner.ngrams.columns(places + 1) if learner.ngrams else None
    return text[places], text[places + 1], columns


def rows_of(learner, x):
    """Return the row of each pair of characters in a window, nested lists (T, B), pair by pair."""
    row_of = {tuple(pair): row for row, pair in enumerate(learner.pairs.ids.tolist())}
    before = [learner.state[RECENT][0, :, -1].tolist(), *x.tolist()]
    return [
        [row_of.get(pair, -1) if -1 not in pair else -1 for pair in zip(*steps, strict=True)]
        for steps in zip(before, x.tolist(), strict=False)
    ]


def compare_with_the_oracle(cell, layers, streams, dropout, order, pairs):
    learner = learner_with(
        3, 6, 4, cell=cell, layers=layers, batch_size=streams, dropout=dropout, ngram_order=order,
        input_pairs=pairs,
    )  # fmt: skip
    x, y, columns = window_of(learner)
    rows = rows_of(learner, x)
    assert any(row >= 0 for step in rows for row in step)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(learner, x, y, 9, columns)
    hidden = {name: array for name, array in as_lists(learner.state).items() if name != RECENT}
    logs = None
    if order:
        counts = ngram_oracle.Counts(repeated_ids(learner, 400).tolist(), SEGMENTS, 4, order, PARTS)
        recent = learner.state[RECENT][0, :, 1 if order == 1 else 0 :]
        logs, _ = counts.window_logs(x.tolist(), recent.tolist(), columns.tolist())
    true_loss, true_gradients, true_state = oracle.loss_and_gradients(
        cell, as_lists(learner.parameters), x.tolist(), y.tolist(), hidden,
        true_masks(learner, 9).tolist(), logs, rows,
    )  # fmt: skip
    assert loss == pytest.approx(true_loss, rel=1e-12)
    assert_same(gradients, true_gradients)
    recent = np.concatenate([learner.state[RECENT][0].T, x])[-max(order - 1, 1) :].T
    assert_same(state, {**true_state, RECENT: recent[np.newaxis]})
    assert state[RECENT].dtype == np.int32


@EACH_NETWORK
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_loss_gradients_and_state_are_those_of_the_oracle(
    cell, layers, streams, dropout, order, pairs
):
    compare_with_the_oracle(cell, layers, streams, dropout, order, pairs)


def complex_step(learner, name, x, y, columns, masks):
    """Return the derivative of the loss with respect to each entry of a parameter."""
    p = {name: array.astype(np.complex128) for name, array in learner.parameters.items()}
    size = p[name].size
    perturbed = np.tile(p[name].ravel(), (size, 1)) + 1e-20j * np.eye(size)
    many = {**p, name: perturbed.reshape(-1, *p[name].shape)}
    log_q = log_probabilities(learner, x, learner.state, columns)
    rows = pair_rows_of(learner, x, learner.state)
    steps = losses(many, learner.config.cell, x, y, learner.state, masks, log_q, rows)
    return steps.imag.reshape(p[name].shape) / 1e-20


def compare_with_the_complex_step(cell, layers, streams, dropout, order, pairs):
    learner = learner_with(
        5, 6, 4, cell=cell, layers=layers, batch_size=streams, dropout=dropout, ngram_order=order,
        input_pairs=pairs,
    )  # fmt: skip
    x, y, columns = window_of(learner)
    _, gradients, _ = ReferenceEngine().loss_and_gradients(learner, x, y, 3, columns)
    masks = true_masks(learner, 3)
    assert_same(
        gradients,
        {name: complex_step(learner, name, x, y, columns, masks) for name in gradients},
    )


@EACH_NETWORK
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_are_those_of_the_complex_step(cell, layers, streams, dropout, order, pairs):
    compare_with_the_complex_step(cell, layers, streams, dropout, order, pairs)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("layers", "streams"), [(1, 1), (2, 7)])
def test_gradients_are_those_of_pytorch_with_one_more_input_for_each_pair(cell, layers, streams):
    """Takes seconds, because it imports PyTorch."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    learner = learner_with(
        20, 12, 9, sigma=0.2, cell=cell, layers=layers, batch_size=streams, init="orthogonal",
        input_pairs=12,
    )  # fmt: skip
    x, y, _ = window_of(learner)
    rows, K, R = np.array(rows_of(learner, x)), 9, 12
    P = learner.parameters[PAIRS]
    U = learner.parameters["layers.0.U"]
    values = as_lists({**learner.parameters, "layers.0.U": np.concatenate([U, P.T], axis=1)})
    del values[PAIRS]
    theirs = script.TorchNetwork(cell, values, inputs=K + R)
    inputs = np.zeros((12, streams, K + R))
    np.put_along_axis(inputs, x[..., np.newaxis].astype(int), 1, axis=-1)
    np.put_along_axis(inputs, np.where(rows < 0, 0, K + rows)[..., np.newaxis], 1, axis=-1)
    # A pair without a row wrote its 1 over the entry 0, so the characters are written again.
    inputs[..., :K] = np.eye(K)[x]
    hidden = hidden_arrays(learner.state)
    loss, state = theirs.loss(x.astype(int), y.astype(int), hidden, inputs=torch.tensor(inputs))
    loss.backward()
    truth = {name: np.array(g) for name, g in theirs.collect(lambda tensor: tensor.grad).items()}
    truth["layers.0.U"], truth[PAIRS] = truth["layers.0.U"][:, :K], truth["layers.0.U"][:, K:].T
    ours, gradients, after = ReferenceEngine().loss_and_gradients(learner, x, y)
    assert ours == pytest.approx(loss.item(), rel=1e-13)
    assert_same(gradients, truth)
    assert_same(
        hidden_arrays(after), {name: tensor.detach().numpy() for name, tensor in state.items()}
    )


# Planted errors


def without_the_input(cell, x):
    """Plant a forward pass that does not read the rows of the pairs."""
    return HONEST_READ(cell, x._replace(rows=None) if isinstance(x, cells.Characters) else x)


def with_half_a_gradient(cell, x, da, gradients):
    """Plant gradients of the rows that are half as large as they should be."""
    dx = HONEST_BACKWARD(cell, x, da, gradients)
    if isinstance(x, cells.Characters) and x.rows is not None:
        np.add.at(gradients.P, x.rows[x.rows >= 0], -da[x.rows >= 0] / 2)
    return dx


def with_repeated_rows_once(cell, x, da, gradients):
    """Plant gradients in which only one of two streams counts that read the same row."""
    before = None if gradients is None or gradients.P is None else gradients.P.copy()
    dx = HONEST_BACKWARD(cell, x, da, gradients)
    if isinstance(x, cells.Characters) and x.rows is not None:
        gradients.P[...] = before
        gradients.P[x.rows[x.rows >= 0]] += da[x.rows >= 0]
    return dx


def with_the_next_character(learner, x, state):
    """Plant rows of the pairs of each character and the one after it."""
    return learner.pairs.rows(x, np.roll(x, -1, axis=0))


def without_the_state(learner, x, state):
    """Plant rows in which the first character of a window never has a pair."""
    rows = HONEST_ROWS(learner, x, state)
    rows[0] = -1
    return rows


HONEST_READ, HONEST_BACKWARD = cells.read, cells.read_backward
HONEST_ROWS = recent_ids.pair_rows_of
PLANTS = [
    (cells, "read", without_the_input),
    (cells, "read_backward", with_half_a_gradient),
    (recent_ids, "pair_rows_of", with_the_next_character),
    (recent_ids, "pair_rows_of", without_the_state),
]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant[2].__name__)
def test_a_wrong_input_is_caught_by_the_oracle(plant, monkeypatch):
    monkeypatch.setattr(*plant)
    with pytest.raises(AssertionError):
        compare_with_the_oracle("gru", 2, 2, 0.3, 0, 16)


def test_a_row_that_two_streams_read_is_caught_if_it_counts_once(monkeypatch):
    monkeypatch.setattr(cells, "read_backward", with_repeated_rows_once)
    with pytest.raises(AssertionError, match="norm-relative error"):
        compare_with_the_complex_step("rnn", 1, 3, 0.0, 0, 16)


def test_a_wrong_gradient_is_caught_by_the_complex_step(monkeypatch):
    monkeypatch.setattr(cells, "read_backward", with_half_a_gradient)
    with pytest.raises(AssertionError, match=r"pairs\.weight: norm-relative error"):
        compare_with_the_complex_step("lstm", 1, 2, 0.0, 0, 9)


# Updates


def trained_alone(learner, text, rate, starts, updates):
    """Train a copy with the rows in single numbers, straight from the specification; return it.

    Only Adam, AdamW and SGD are known here, with clipping by norm.
    """
    learner, c = copy_learner(learner), learner.config
    T, b1, b2 = c.seq_length, c.beta1, c.beta2
    for _ in range(updates):
        places = np.arange(T)[:, np.newaxis] + learner.position + np.array(starts)
        x, y = text[places], text[places + 1]
        u = learner.update + 1
        _, gradients, state = ReferenceEngine().loss_and_gradients(learner, x, y, u)
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
        factor = min(1, c.clip / (norm + 1e-6))
        read = {row for step in rows_of(learner, x) for row in step} - {-1}
        for row in read:
            theta = learner.parameters[PAIRS][row]
            g = gradients[PAIRS][row] * factor
            if c.optimizer == "adamw":
                theta *= 1 - rate * c.weight_decay
            else:
                g = g + c.weight_decay * theta
            if c.optimizer == "sgd":
                v = learner.slots["velocity"][PAIRS][row]
                v[...] = c.momentum * v + g
                theta -= rate * v
                continue
            m, q = (learner.slots[name][PAIRS][row] for name in ("mean", "square"))
            m[...] = b1 * m + (1 - b1) * g
            q[...] = b2 * q + (1 - b2) * g * g
            theta -= rate / (1 - b1**u) * m / (np.sqrt(q) / math.sqrt(1 - b2**u) + c.epsilon)
        for name, gradient in gradients.items():
            if name != PAIRS:
                slots = {slot: arrays[name] for slot, arrays in learner.slots.items()}
                optimizers.step(c, learner.parameters[name], gradient * factor, slots, rate, u)
        learner.state, learner.position, learner.update = state, learner.position + T, u
    return learner


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_updates_change_only_the_rows_that_were_read(optimizer):
    learner = learner_with(
        4, 5, 7, batch_size=2, optimizer=optimizer, input_pairs=40, clip=0.3, clip_by="norm",
        weight_decay=0.1, cell="gru",
    )  # fmt: skip
    text = repeated_ids(learner, 400)
    wanted = trained_alone(learner, text, 0.01, (0, 200), 6)
    before = learner.parameters[PAIRS].copy()
    ReferenceEngine().train(learner, text, plan(6, 0.01, (0, 200)))
    assert_same(learner.parameters, wanted.parameters)
    for slot, arrays in learner.slots.items():
        assert_same(arrays, wanted.slots[slot])
    same = (learner.parameters[PAIRS] == before).all(axis=1)
    assert 0 < same.sum() < len(same)
    assert not any(arrays[PAIRS][same].any() for arrays in learner.slots.values())


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "rmsprop", "adam", "adamw"])
def test_a_row_that_was_not_read_keeps_its_bits(optimizer):
    learner = learner_with(
        4, 3, 7, optimizer=optimizer, input_pairs=40, weight_decay=0.1, learning_rate=0.5
    )
    for arrays in learner.slots.values():
        arrays[PAIRS][...] = 1.5
    text = repeated_ids(learner, 400)
    before, slots = learner.parameters[PAIRS].copy(), copy_learner(learner).slots
    read = {row for step in rows_of(learner, text[:3, np.newaxis]) for row in step} - {-1}
    ReferenceEngine().train(learner, text, plan(1, 0.5))
    for row in range(len(before)):
        changed = not np.array_equal(learner.parameters[PAIRS][row], before[row])
        assert changed == (row in read), row
        for slot, arrays in learner.slots.items():
            changed = not np.array_equal(arrays[PAIRS][row], slots[slot][PAIRS][row])
            assert changed == (row in read), (slot, row)


# The other methods of the engine


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_score_step_generate_and_activations_read_the_same_pairs(cell, order):
    learner = make_learner(cell=cell, ngram_order=order, input_pairs=12)
    engine, text = ReferenceEngine(), repeated_ids(learner, 60)
    nats, last = engine.score(learner, text[:, np.newaxis], learner.state)
    loss, _, after = engine.loss_and_gradients(learner, text[:-1, np.newaxis], text[1:, np.newaxis])
    assert nats.sum() == pytest.approx(loss, rel=1e-12)
    assert_same(last, after)
    state = learner.state
    for t, target in enumerate(text[1:]):
        logits, state = engine.step(learner, text[t : t + 1], state)
        assert nats[t, 0] == pytest.approx(-network.log_softmax(logits)[0, target], rel=1e-12)
    assert_same(state, last)
    ids, after = engine.generate(learner, text[:1], Sampler(0.0), np.full(20, 0.5), learner.state)
    read, state = text[:1], learner.state
    for expected in ids:
        logits, state = engine.step(learner, read, state)
        read = logits.argmax(axis=-1)
        assert read[0] == expected
    assert_same(after, state)
    values, last = engine.activations(learner, text, learner.state)
    _, state = engine.step(learner, text[:1], learner.state)
    for name, array in values.items():
        assert relative_error(array[0], state[name][:, 0]) < 1e-12
    assert last[RECENT][0, 0, -1] == text[-1]
