"""The reference engine against three truths: single numbers, the complex step, and PyTorch."""

import json

import numpy as np
import pytest

import oracle
from charloom.config import Config
from charloom.engines import Plan, Sampler
from charloom.engines.reference import ReferenceEngine, losses, network
from charloom.engines.reference.cells import GruCell, LstmCell, RnnCell, read, sigmoid
from charloom.errors import EngineError
from charloom.model import copy_learner, new_learner, optimizers
from charloom.random import dropout_mask
from charloom.text import Vocabulary
from golden import make_torch_gradients as script

CELLS = ["rnn", "lstm", "gru"]

# float64 against float64: two orders of summation over at most a few thousand terms.
CLOSE = 1e-12


def relative_error(actual, expected):
    """Norm of the difference over the norm of the truth; 0 where both are zero."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    distance, size = np.linalg.norm(actual - expected), np.linalg.norm(expected)
    return distance / size if size else distance


def assert_same(actual, expected, tolerance=CLOSE):
    """Each named array on its own."""
    assert set(actual) == set(expected)
    for name, array in actual.items():
        assert np.shape(array) == np.shape(expected[name]), name
        error = relative_error(array, expected[name])
        assert error <= tolerance, f"{name}: norm-relative error {error:.2e}"


def make_learner(hidden_size=5, seq_length=3, characters=7, sigma=0.5, **settings):
    """A float64 learner with weights large enough to matter, biases and state that are not zero."""
    config = Config(
        hidden_size=hidden_size, seq_length=seq_length, sigma=sigma, dtype="float64", **settings
    )
    learner = new_learner(config, Vocabulary(chr(ord("a") + k) for k in range(characters)))
    draw = np.random.default_rng(1)
    for parameter in learner.parameters.values():
        if parameter.ndim == 1:
            parameter += draw.normal(0, 0.3, parameter.shape)
    learner.state = {
        name: np.tanh(draw.normal(0, 1, array.shape)) for name, array in learner.state.items()
    }
    return learner


def make_ids(learner, *shape):
    """Random ids of the vocabulary's type."""
    K = len(learner.vocabulary)
    ids = np.random.default_rng(2).integers(0, K, shape)
    return ids.astype(learner.vocabulary.id_dtype)


def make_window(learner):
    """Ids x and y (T, B)."""
    shape = learner.config.seq_length, learner.config.batch_size
    return make_ids(learner, *shape), make_ids(learner, *shape)[::-1]


def as_lists(arrays):
    """Named arrays as the oracle and the golden script want them."""
    return {name: array.tolist() for name, array in arrays.items()}


def plan(updates, learning_rate=0.1, starts=(0,)):
    """A plan of equal learning rates."""
    return Plan(np.full(updates, learning_rate), np.array(starts))


def true_masks(learner, update):
    """The dropout masks (T, L, B, H) of an update, one by one from their definition."""
    c = learner.config
    return np.array([
        [[dropout_mask(c.seed, update, layer, s, t, c.hidden_size, c.dropout)
          for s in range(c.batch_size)] for layer in range(c.layers)]
        for t in range(c.seq_length)
    ])  # fmt: skip


# Single numbers


@pytest.mark.parametrize("cell", CELLS)
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
    """Losses of the reference engine over several epochs, the caller's part done by hand."""
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
    """What one update of SGD subtracts from each parameter, beside its exact gradient."""
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


# The complex step

SIZES = [  # B, T, H, K
    (1, 1, 1, 2),
    (1, 25, 20, 30),
    (7, 5, 4, 6),
    (32, 3, 1, 2),
    (32, 4, 6, 5),
]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(("streams", "T", "H", "K"), SIZES)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
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
        steps = losses(many, x, y, learner.state, masks).imag / 1e-20
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
            steps.append(losses(p, x, y, learner.state).imag / 1e-20)
        assert relative_error(gradient.flat[entries], steps) <= 1e-12, name


@pytest.mark.parametrize("cell", CELLS)
def test_many_perturbed_networks_run_as_one(cell):
    learner = make_learner(cell=cell, layers=2, batch_size=2)
    x, y = make_window(learner)
    changed = make_learner(cell=cell, layers=2, batch_size=2, seed=5).parameters
    pairs = {name: np.stack([p, changed[name]]) for name, p in learner.parameters.items()}
    together = losses(pairs, x, y, learner.state)
    alone = [losses(p, x, y, learner.state) for p in (learner.parameters, changed)]
    np.testing.assert_allclose(together, alone, rtol=1e-14)


def test_the_sigmoid_is_analytic_exact_in_its_tails_and_never_overflows():
    a = np.array([-1e5, -800.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1e5])
    with np.errstate(over="raise", invalid="raise"):
        values, stepped = sigmoid(a), sigmoid(a + 1e-20j)
    e = np.exp(-np.abs(a))
    np.testing.assert_allclose(values, np.where(a < 0, e, 1) / (1 + e), rtol=1e-15)
    np.testing.assert_allclose(stepped.imag / 1e-20, e / (1 + e) ** 2, rtol=1e-14)
    assert sigmoid(a.astype(np.float32)).dtype == np.float32


# PyTorch


def learner_from(cell, values):
    """A learner with given parameters and start state."""
    K, H = np.shape(values["parameters"]["V"])
    layers, streams, _ = np.shape(values["state"]["h"])
    learner = make_learner(H, len(values["x"]), K, cell=cell, layers=layers, batch_size=streams)
    assert set(learner.parameters) == set(values["parameters"])
    for name, parameter in learner.parameters.items():
        parameter[...] = values["parameters"][name]
    learner.state = {name: np.array(array) for name, array in values["state"].items()}
    return learner


def assert_agrees_with(truth, cell, values):
    """The reference engine on the values against what PyTorch found for them."""
    learner = learner_from(cell, values)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(
        learner, np.array(values["x"], np.uint8), np.array(values["y"], np.uint8)
    )
    assert loss == pytest.approx(truth["loss"], rel=1e-13)
    assert_same(gradients, truth["gradients"])
    assert_same(state, truth["state"])


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_that_pytorch_once_gave(cell):
    golden = json.loads(script.GOLDEN.read_text(encoding="utf-8"))
    assert_agrees_with(golden["networks"][cell], cell, script.inputs(cell))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "streams"), [(1, 1), (2, 7), (3, 32)])
def test_gradients_are_those_that_pytorch_gives_now(cell, layers, streams):
    """Importing PyTorch takes the seconds."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its golden values must do")
    learner = make_learner(
        50, 12, 40, 0.2, cell=cell, layers=layers, batch_size=streams, init="orthogonal"
    )
    x, y = make_window(learner)
    values = {"parameters": as_lists(learner.parameters), "state": as_lists(learner.state)}
    values |= {"x": x.tolist(), "y": y.tolist()}
    assert_agrees_with(script.torch_gradients(cell, values), cell, values)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_fifty_updates_follow_pytorch(cell, optimizer):
    """Of the mean loss, clipped by norm; at a small step, where dynamics are not chaotic."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    learner = make_learner(
        8, 6, 9, cell=cell, layers=2, batch_size=3, init="uniform", optimizer=optimizer,
        reduction="mean", clip=0.2, clip_by="norm", weight_decay=0.01,
    )  # fmt: skip
    ids, starts = make_ids(learner, 3 * 310), np.array([0, 310, 620])
    rate = 0.002
    theirs = script.TorchNetwork(cell, as_lists(learner.parameters))
    tensors = theirs.trained()
    descent = script.torch_optimizer(optimizer, tensors, learning_rate=rate, weight_decay=0.01)
    state, their_losses, their_norms = learner.state, [], []
    for e in range(0, 300, 6):
        window = np.array([ids[start + e : start + e + 7] for start in starts]).T.astype(np.int64)
        loss, state = theirs.loss(window[:-1], window[1:], state)
        state = {name: tensor.detach() for name, tensor in state.items()}
        descent.zero_grad()
        (loss / 6).backward()
        their_norms.append(torch.nn.utils.clip_grad_norm_(tensors, 0.2).item())
        descent.step()
        their_losses.append(loss.item())
    trace = ReferenceEngine().train(learner, ids, plan(50, rate, starts))
    assert max(their_norms) > 0.2
    np.testing.assert_allclose(trace.losses, their_losses, rtol=1e-10)
    np.testing.assert_allclose(trace.gradient_norms, their_norms, rtol=1e-9)
    assert_same(learner.parameters, theirs.collect(lambda tensor: tensor.detach()), 1e-10)
    assert_same(learner.state, as_lists(state), 1e-9)


# Planted errors


def forget_the_future(honest):
    """BPTT that hands no gradient to the step before."""

    def backward(cell, x, prev, cache, d, gradients):
        dx, d_prev = honest(cell, x, prev, cache, d, gradients)
        return dx, {name: np.zeros_like(array) for name, array in d_prev.items()}

    return backward


def forget_the_layer_below(honest):
    """A gradient that stops at the layer."""

    def backward(cell, x, prev, cache, d, gradients):
        dx, d_prev = honest(cell, x, prev, cache, d, gradients)
        return np.zeros_like(dx), d_prev

    return backward


def scale_one_gradient(honest):
    """dW too large by 0.1 %."""

    def backward(cell, x, prev, cache, d, gradients):
        before = gradients.W.copy()
        result = honest(cell, x, prev, cache, d, gradients)
        gradients.W[...] += 0.001 * (gradients.W - before)
        return result

    return backward


def forget_the_cell(honest):
    """An LSTM whose cell carries no gradient back in time."""

    def backward(cell, x, prev, cache, d, gradients):
        dx, d_prev = honest(cell, x, prev, cache, d, gradients)
        return dx, {**d_prev, "cell": np.zeros_like(d_prev["cell"])}

    return backward


def forget_d(honest):
    """A GRU whose bias d has no gradient."""

    def backward(cell, x, prev, cache, d, gradients):
        result = honest(cell, x, prev, cache, d, gradients)
        gradients.d[...] = 0
        return result

    return backward


KINDS = {"rnn": RnnCell, "lstm": LstmCell, "gru": GruCell}
EVERYWHERE = [forget_the_future, forget_the_layer_below, scale_one_gradient]


@pytest.mark.parametrize(
    ("cell", "planted"),
    [(cell, planted) for cell in CELLS for planted in EVERYWHERE]
    + [("lstm", forget_the_cell), ("gru", forget_d)],
)
def test_a_planted_error_in_the_gradient_is_caught(cell, planted, monkeypatch):
    kind = KINDS[cell]
    monkeypatch.setattr(kind, "backward", planted(kind.backward))
    with pytest.raises(AssertionError, match=r"layers\.0\..: norm-relative error"):
        test_loss_gradients_and_state_are_those_of_the_single_numbers(cell, 2, 2, 0.0)
    with pytest.raises(AssertionError, match=r"layers\.0\..: norm-relative error"):
        test_gradients_are_those_that_pytorch_once_gave(cell)
    with pytest.raises(AssertionError, match=r"layers\.0\.."):
        test_gradients_are_those_of_the_complex_step(cell, 2, 7, 5, 4, 6, 0.0)


def swapped(array):
    """The LSTM's gates in another order: f, i, g, o."""
    i, f, g, o = np.split(array, 4)
    return np.concatenate([f, i, g, o])


class SwappedLstm(LstmCell):
    """An LSTM that takes its input gate for its forget gate: consistent, and not PyTorch's."""

    def forward(self, x, prev):
        return LstmCell(*map(swapped, (self.U, self.W, self.b))).forward(x, prev)

    def backward(self, x, prev, cache, d, gradients):
        sums = LstmCell(*map(np.zeros_like, (self.U, self.W, self.b)))
        own = LstmCell(*map(swapped, (self.U, self.W, self.b)))
        result = own.backward(x, prev, cache, d, sums)
        for name in ("U", "W", "b"):
            getattr(gradients, name)[...] += swapped(getattr(sums, name))
        return result


class EarlyReset(GruCell):
    """A GRU as first published: the reset gate acts on h, before the product, and there is no d."""

    def forward(self, x, prev):
        _, (r, z, n, held) = super().forward(x, prev)
        rows = slice(2 * n.shape[-1], None)
        reset = (r * prev["h"]) @ self.W[rows].T
        n = np.tanh(read(self.U[rows], x) + self.b[rows] + reset)
        return {"h": (1 - z) * n + z * prev["h"]}, (r, z, n, held)


@pytest.mark.parametrize(
    ("cell", "gates", "planted"), [("lstm", 4, SwappedLstm), ("gru", 3, EarlyReset)]
)
def test_another_convention_is_caught(cell, gates, planted, monkeypatch):
    monkeypatch.setitem(network.CELLS, gates, planted)
    with pytest.raises(AssertionError):
        test_loss_gradients_and_state_are_those_of_the_single_numbers(cell, 1, 1, 0.0)
    with pytest.raises(AssertionError):
        test_gradients_are_those_that_pytorch_once_gave(cell)


@pytest.mark.parametrize("late", [{"update": 1}, {"stream": 1}, {"time": 1}, {"layer": 1}])
def test_a_mask_of_another_place_is_caught(late, monkeypatch):
    def elsewhere(seed, update, layer, stream, time, units, dropout):
        at = {"update": update, "layer": layer, "stream": stream, "time": time}
        at |= {name: at[name] + by for name, by in late.items()}
        return dropout_mask(seed, **at, units=units, dropout=dropout)

    monkeypatch.setattr(network, "dropout_mask", elsewhere)
    with pytest.raises(AssertionError):
        test_loss_gradients_and_state_are_those_of_the_single_numbers("gru", 3, 2, 0.3)
    with pytest.raises(AssertionError):
        test_gradients_are_those_of_the_complex_step("rnn", 2, 7, 5, 4, 6, 0.4)


def test_a_dropped_carry_is_caught(monkeypatch):
    honest = ReferenceEngine.train

    def drop_the_carry(engine, learner, tokens, plan):
        learner.state["h"][...] = 0
        return honest(engine, learner, tokens, plan)

    monkeypatch.setattr(ReferenceEngine, "train", drop_the_carry)
    with pytest.raises(AssertionError):
        test_twenty_updates_over_two_epochs_follow_the_single_numbers()


def test_an_epsilon_outside_the_root_is_caught(monkeypatch):
    def outside(parameter, gradient, accumulator, learning_rate, epsilon):
        accumulator += gradient * gradient
        parameter -= learning_rate * gradient / (np.sqrt(accumulator) + epsilon)

    monkeypatch.setattr(optimizers, "adagrad", outside)
    with pytest.raises(AssertionError):
        test_twenty_updates_over_two_epochs_follow_the_single_numbers()


# The contract


def snapshot(learner):
    """All that a learner holds, as bytes and numbers."""
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    arrays = [*learner.parameters.values(), *slots, *learner.state.values()]
    counters = {name: value for name, value in vars(learner).items() if not hasattr(value, "items")}
    return [array.tobytes() for array in arrays], counters


@pytest.mark.parametrize("cell", CELLS)
def test_only_train_changes_the_learner(cell):
    learner = make_learner(seq_length=6, cell=cell, layers=2, optimizer="adam", dropout=0.2)
    engine, ids = ReferenceEngine(), make_ids(learner, 7)
    before = snapshot(learner)
    engine.loss_and_gradients(learner, ids[:-1, None], ids[1:, None], 1)
    engine.score(learner, ids[:, None], learner.state)
    engine.step(learner, ids[:1], learner.state)
    engine.activations(learner, ids, learner.state)
    engine.generate(learner, ids[:1], Sampler(), np.linspace(0, 0.99, 9), learner.state)
    assert snapshot(learner) == before
    engine.train(learner, ids, plan(1))
    assert snapshot(learner) != before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("cell", "clip_by"), [("rnn", "value"), ("lstm", "norm")])
def test_a_non_finite_update_is_not_applied(bad, cell, clip_by):
    learner = make_learner(cell=cell, clip_by=clip_by)
    learner.parameters["V"][2, 1] = bad
    before = snapshot(learner)
    trace = ReferenceEngine().train(learner, make_ids(learner, 30), plan(5))
    assert trace.stopped == "non-finite"
    assert not np.isfinite(trace.failed_loss + trace.failed_norm)
    assert len(trace.losses) == len(trace.gradient_norms) == 0
    assert snapshot(learner) == before


def test_training_stops_at_the_update_that_is_not_finite():
    learner = make_learner()
    ids = make_ids(learner, 30)
    ids[:12], ids[12:] = 1, 6
    learner.parameters["layers.0.U"][:, 6] = np.nan
    trace = ReferenceEngine().train(learner, ids, plan(9))
    assert (trace.stopped, len(trace.losses), learner.update, learner.position) == (
        "non-finite", 4, 4, 12,
    )  # fmt: skip
    assert np.isfinite(trace.losses).all()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_trace_holds_every_loss_summed_over_the_window(reduction):
    learner = make_learner(reduction=reduction)
    ids = make_ids(learner, 7)
    loss, _, _ = ReferenceEngine().loss_and_gradients(learner, ids[:3, None], ids[1:4, None])
    trace = ReferenceEngine().train(learner, ids, plan(2))
    assert trace.stopped is None
    assert (trace.losses[0], len(trace.losses), len(trace.gradient_norms)) == (loss, 2, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "rmsprop", "adam", "adamw"])
def test_the_first_loss_is_near_that_of_guessing_and_every_array_keeps_its_type(
    dtype, cell, optimizer
):
    config = Config(
        dtype=dtype, cell=cell, layers=2, hidden_size=20, optimizer=optimizer, clip_by="norm",
        reduction="mean", weight_decay=0.01,
    )  # fmt: skip
    learner = new_learner(config, Vocabulary(chr(33 + k) for k in range(80)))
    trace = ReferenceEngine().train(learner, make_ids(learner, 51), plan(2))
    assert trace.losses[0] == pytest.approx(25 * np.log(80), abs=0.1)
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    for array in [*learner.parameters.values(), *slots, *learner.state.values()]:
        assert array.dtype == dtype


# The views agree with one another


@pytest.mark.parametrize("cell", CELLS)
def test_score_is_the_loss_in_single_characters(cell):
    learner, engine = (
        make_learner(seq_length=8, cell=cell, layers=2, batch_size=3),
        ReferenceEngine(),
    )
    ids = make_ids(learner, 9, 3)
    loss, _, last = engine.loss_and_gradients(learner, ids[:-1], ids[1:])
    nats, state = engine.score(learner, ids, learner.state)
    assert nats.shape == (8, 3)
    assert nats.sum() / 3 == pytest.approx(loss, rel=1e-13)
    assert_same(state, last)


def test_score_in_two_parts_is_score_in_one():
    learner, engine = make_learner(cell="lstm"), ReferenceEngine()
    ids = make_ids(learner, 20, 1)
    whole, _ = engine.score(learner, ids, learner.state)
    head, state = engine.score(learner, ids[:8], learner.state)
    tail, _ = engine.score(learner, ids[7:], state)
    np.testing.assert_allclose(np.concatenate([head, tail]), whole, rtol=1e-14)


def test_step_gives_the_distribution_that_score_scores():
    learner, engine = make_learner(cell="gru", batch_size=2), ReferenceEngine()
    ids, state = make_ids(learner, 10, 2), learner.state
    nats, _ = engine.score(learner, ids, learner.state)
    for n in range(9):
        logits, state = engine.step(learner, ids[n], state)
        log_total = np.log(np.exp(logits).sum(axis=1))
        found = log_total - logits[[0, 1], ids[n + 1]]
        np.testing.assert_allclose(found, nats[n], rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_activations_are_the_states_on_the_way(cell):
    learner, engine = make_learner(cell=cell, layers=3), ReferenceEngine()
    ids, state = make_ids(learner, 10), learner.state
    values, last = engine.activations(learner, ids, learner.state)
    assert set(values) == set(last) == set(learner.state)
    for n in range(10):
        _, state = engine.step(learner, ids[n : n + 1], state)
        for name in state:
            assert values[name].shape == (10, 3, 5)
            np.testing.assert_allclose(values[name][n], state[name][:, 0], rtol=1e-14)
    assert_same(last, state, 0)


@pytest.mark.parametrize("cell", CELLS)
def test_generate_reads_what_it_wrote_and_can_go_on(cell):
    learner, engine = make_learner(cell=cell, layers=2), ReferenceEngine()
    uniforms, sampler = np.random.default_rng(4).random(12), Sampler(repetition_penalty=1.5)
    read = make_ids(learner, 4)
    whole, last = engine.generate(learner, read, sampler, uniforms, learner.state)
    head, state = engine.generate(learner, read, sampler, uniforms[:5], learner.state)
    so_far = np.concatenate([read, head])
    tail, end = engine.generate(learner, so_far, sampler, uniforms[5:], state)
    assert whole.tolist() == head.tolist() + tail.tolist()
    assert_same(end, last, 0)
    _, seen = engine.activations(learner, np.append(read[-1], whole[:-1]), learner.state)
    assert_same(last, seen)
    assert whole.dtype == learner.vocabulary.id_dtype


def test_a_diverged_model_refuses_to_write():
    learner = make_learner()
    learner.parameters["c"][0] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        ReferenceEngine().generate(
            learner, np.array([0]), Sampler(), np.array([0.5]), learner.state
        )


# Sampling

LOGITS = np.log([4.0, 1.0, 8.0, 2.0, 1.0])  # the weights of five ids


def drawn(sampler, read=(0,), logits=LOGITS):
    """How the ids share the unit interval, by drawing at 1,600 places of it; shape (5,)."""
    learner, engine = make_learner(characters=len(logits)), ReferenceEngine()
    for parameter in learner.parameters.values():
        parameter[...] = 0
    learner.parameters["c"][...] = logits
    count = 1_600
    ids = [
        int(engine.generate(learner, np.array(read), sampler, np.array([u]), learner.state)[0][0])
        for u in (np.arange(count) + 0.5) / count
    ]
    assert ids == sorted(ids)
    return np.bincount(ids, minlength=len(logits)) / count


def shares(*weights):
    """Weights as shares of their sum."""
    return pytest.approx(np.array(weights) / sum(weights), abs=1 / 1_600)


@pytest.mark.parametrize(
    ("sampler", "weights"),
    [
        (Sampler(), (4, 1, 8, 2, 1)),
        (Sampler(0.5), (16, 1, 64, 4, 1)),
        (Sampler(0.0), (0, 0, 1, 0, 0)),
        (Sampler(top_k=2), (4, 0, 8, 0, 0)),
        (Sampler(top_k=4), (4, 1, 8, 2, 0)),  # of two equal ones, the lower id
        (Sampler(top_k=9), (4, 1, 8, 2, 1)),
        (Sampler(top_p=0.5), (0, 0, 8, 0, 0)),
        (Sampler(top_p=0.51), (4, 0, 8, 0, 0)),
        (Sampler(top_p=0.9), (4, 1, 8, 2, 0)),
        (Sampler(top_p=1e-9), (0, 0, 1, 0, 0)),
        (Sampler(top_p=0.7, top_k=2), (4, 0, 8, 0, 0)),  # 0.7 of what top-k left, not of all
        (Sampler(top_p=0.6, top_k=2), (0, 0, 8, 0, 0)),
        (Sampler(min_p=0.24), (4, 0, 8, 2, 0)),
        (Sampler(0.5, min_p=0.24), (16, 0, 64, 0, 0)),  # of the weights after the temperature
        (Sampler(min_p=0.3, top_k=4, top_p=0.99), (4, 0, 8, 0, 0)),
    ],
)
def test_a_character_is_drawn_from_what_the_sampler_keeps(sampler, weights):
    assert drawn(sampler) == shares(*weights)


@pytest.mark.parametrize(
    ("read", "window", "logits"),
    [
        ([0, 2], 64, (1.0, -1.0, 2.0, 2.0)),
        ([2, 2, 2], 64, (2.0, -1.0, 2.0, 2.0)),  # once, however often it was read
        ([0, 1], 64, (1.0, -2.0, 4.0, 2.0)),
        ([0, 1, 2], 1, (2.0, -1.0, 2.0, 2.0)),
        ([0, 1], 0, (2.0, -1.0, 4.0, 2.0)),
    ],
)
def test_the_repetition_penalty_divides_positive_logits_and_multiplies_negative_ones(
    read, window, logits
):
    sampler = Sampler(repetition_penalty=2.0, repetition_window=window)
    before = np.array([2.0, -1.0, 4.0, 2.0])
    assert drawn(sampler, read, before) == shares(*np.exp(logits))


def test_temperature_zero_takes_the_likeliest_after_the_penalty_and_the_lowest_of_equals():
    equal = np.array([1.0, 3.0, 3.0, 2.0])
    assert drawn(Sampler(0.0), [0], equal).tolist() == [0, 1, 0, 0]
    penalty = Sampler(0.0, repetition_penalty=4.0)
    assert drawn(penalty, [1], equal).tolist() == [0, 0, 1, 0]


def test_a_uniform_that_rounds_up_to_the_total_takes_the_last_id_that_is_kept():
    learner, engine = make_learner(), ReferenceEngine()
    last = np.array([1 - 2.0**-53])
    kept = np.argsort(engine.step(learner, np.array([2]), learner.state)[0][0])[-3:]
    ids, _ = engine.generate(learner, np.array([2]), Sampler(top_k=3), last, learner.state)
    assert ids[0] == max(kept)
