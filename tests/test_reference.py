"""The reference engine against three truths: scalar loops, the complex step, and PyTorch."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import oracle
from charloom.config import Config
from charloom.engines import Plan, Sampler
from charloom.engines.reference import ReferenceEngine, losses
from charloom.engines.reference import engine as engine_module
from charloom.engines.reference.cells import RnnCell
from charloom.errors import EngineError
from charloom.model import copy_learner, new_learner
from charloom.model.parameters import short_name
from charloom.text import Vocabulary

GOLDEN = Path(__file__).parent / "golden"

# float64 against float64: two orders of summation over at most a few thousand terms.
CLOSE = 1e-12


def relative_error(actual, expected):
    """Norm of the difference over the norm of the truth."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def assert_same_gradients(actual, expected, tolerance=CLOSE):
    """Each named gradient on its own."""
    assert set(map(short_name, actual)) == set(map(short_name, expected))
    truth = {short_name(name): value for name, value in expected.items()}
    for name, gradient in actual.items():
        error = relative_error(gradient, truth[short_name(name)])
        assert error <= tolerance, f"{name}: norm-relative error {error:.2e}"


def make_learner(hidden_size=5, seq_length=3, characters=7, sigma=0.5, streams=1, **settings):
    """A float64 learner with weights large enough to matter, biases and state that are not zero."""
    config = Config(
        hidden_size=hidden_size, seq_length=seq_length, sigma=sigma, dtype="float64", **settings
    )
    learner = new_learner(config, Vocabulary(chr(ord("a") + k) for k in range(characters)))
    draw = np.random.default_rng(1)
    learner.parameters["layers.0.b"] += draw.normal(0, 0.3, hidden_size)
    learner.parameters["c"] += draw.normal(0, 0.3, characters)
    learner.state = {"h": np.tanh(draw.normal(0, 1, (1, streams, hidden_size)))}
    return learner


def make_ids(learner, *shape):
    """Random ids of the vocabulary's type."""
    K = len(learner.vocabulary)
    ids = np.random.default_rng(2).integers(0, K, shape)
    return ids.astype(learner.vocabulary.id_dtype)


def as_lists(learner):
    """The learner's parameters as the oracle wants them."""
    return {short_name(name): array.tolist() for name, array in learner.parameters.items()}


def plan(updates, learning_rate=0.1):
    """A plan of equal learning rates with the classic clip and epsilon."""
    return Plan(np.full(updates, learning_rate), clip=5.0, epsilon=1e-8)


# The scalar-loop oracle


@pytest.mark.parametrize("streams", [1, 3])
def test_loss_gradients_and_state_are_those_of_the_scalar_loops(streams):
    learner = make_learner(seq_length=6, streams=streams)
    x, y = make_ids(learner, 6, streams), make_ids(learner, 6, streams)[::-1]
    loss, gradients, state = ReferenceEngine().loss_and_gradients(learner, x, y)
    true_loss, true_gradients, h = oracle.loss_and_gradients(
        as_lists(learner), x.tolist(), y.tolist(), learner.state["h"][0].tolist()
    )
    assert loss == pytest.approx(true_loss, rel=1e-14)
    assert_same_gradients(gradients, true_gradients)
    np.testing.assert_allclose(state["h"][0], h, rtol=1e-13)


def trajectory(learner, ids, updates, learning_rate):
    """Losses of the reference engine over several epochs, the caller's part done by hand."""
    engine, T, found = ReferenceEngine(), learner.config.seq_length, []
    for _ in range(updates):
        found += engine.train(learner, ids, plan(1, learning_rate)).losses.tolist()
        if learner.position > len(ids) - T - 1:
            learner.position = 0
            learner.state["h"][...] = 0
    return found


def oracle_trajectory(learner, ids, updates, learning_rate):
    """The same by scalar loops."""
    return oracle.train(
        as_lists(learner),
        ids.tolist(),
        updates,
        T=learner.config.seq_length,
        learning_rate=learning_rate,
    )


def test_twenty_updates_over_two_epochs_follow_the_scalar_loops():
    learner = make_learner(hidden_size=4)
    learner.state["h"][...] = 0
    ids = make_ids(learner, 36)
    p, m, h, true_losses, _ = oracle_trajectory(learner, ids, 20, 0.1)
    assert trajectory(learner, ids, 20, 0.1) == pytest.approx(true_losses, rel=1e-11)
    for name in learner.parameters:
        assert relative_error(learner.parameters[name], p[short_name(name)]) < 1e-11
        assert relative_error(learner.slots["accumulator"][name], m[short_name(name)]) < 1e-11
    np.testing.assert_allclose(learner.state["h"][0, 0], h, rtol=1e-10)
    assert learner.update == 20


def test_clipping_cuts_each_entry_and_only_in_the_update():
    learner = make_learner(streams=1)
    ids = make_ids(learner, 4)
    before = copy_learner(learner)
    _, exact, _ = ReferenceEngine().loss_and_gradients(learner, ids[:3, None], ids[1:, None])
    limit = float(np.median(np.abs(exact["V"])))
    ReferenceEngine().train(learner, ids, Plan(np.array([0.1]), clip=limit, epsilon=1e-8))
    for name, gradient in exact.items():
        clipped = [oracle.adagrad(p, 0.0, g, 0.1, 1e-8, limit) for p, g in
                   zip(before.parameters[name].ravel(), gradient.ravel(), strict=True)]  # fmt: skip
        new = learner.parameters[name].ravel()
        np.testing.assert_allclose(new, [p for p, _ in clipped], rtol=1e-13, atol=1e-16)
    assert max(np.abs(gradient).max() for gradient in exact.values()) > limit


# The complex step


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_gradients_at_full_size_are_those_of_the_complex_step(sigma):
    learner = make_learner(hidden_size=100, seq_length=25, characters=80, sigma=sigma)
    x, y = make_ids(learner, 25, 1), make_ids(learner, 25, 1)[::-1]
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
            steps.append(losses(p, x, y, learner.state["h"][0]).imag / 1e-20)
        assert relative_error(gradient.flat[entries], steps) <= 1e-12, name


def test_many_perturbed_networks_run_as_one():
    learner = make_learner(streams=2)
    x, y = make_ids(learner, 3, 2), make_ids(learner, 3, 2)[::-1]
    changed = make_learner(streams=2, seed=5).parameters
    pairs = {name: np.stack([p, changed[name]]) for name, p in learner.parameters.items()}
    together = losses(pairs, x, y, learner.state["h"][0])
    alone = [losses(p, x, y, learner.state["h"][0]) for p in (learner.parameters, changed)]
    np.testing.assert_allclose(together, alone, rtol=1e-14)


# PyTorch


def load_golden_script():
    """The script that made the golden values, as a module."""
    path = GOLDEN / "make_torch_gradients.py"
    spec = importlib.util.spec_from_file_location("make_torch_gradients", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def learner_from(values):
    """A learner with given parameters and start state."""
    H, K = np.shape(values["U"])
    learner = make_learner(H, len(values["x"]), K, streams=len(values["h"]))
    for name in learner.parameters:
        learner.parameters[name][...] = values[short_name(name)]
    learner.state = {"h": np.array([values["h"]])}
    return learner


def assert_agrees_with(truth, values):
    """The reference engine on the values against what PyTorch found for them."""
    learner = learner_from(values)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(
        learner, np.array(values["x"], np.uint8), np.array(values["y"], np.uint8)
    )
    assert loss == pytest.approx(truth["loss"], rel=1e-13)
    assert_same_gradients(gradients, truth["gradients"])
    np.testing.assert_allclose(state["h"][0], truth["h_last"], rtol=1e-12)


def test_gradients_are_those_that_pytorch_once_gave():
    golden = json.loads((GOLDEN / "torch_gradients.json").read_text(encoding="utf-8"))
    assert golden["inputs"] == load_golden_script().inputs()
    assert_agrees_with(golden, golden["inputs"])


def test_gradients_at_full_size_are_those_that_pytorch_gives_now():
    """Importing PyTorch takes the seconds."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its golden values must do")
    learner = make_learner(hidden_size=100, seq_length=25, characters=80, sigma=0.1)
    x, y = make_ids(learner, 25, 1), make_ids(learner, 25, 1)[::-1]
    values = as_lists(learner)
    values |= {"x": x.tolist(), "y": y.tolist(), "h": learner.state["h"][0].tolist()}
    assert_agrees_with(load_golden_script().torch_gradients(values), values)


# Planted errors


def forget_the_future(cell, x, h_prev, h, dh, gradients):
    """`RnnCell.backward` without the term that carries the gradient back in time."""
    return np.zeros_like(honest_backward(cell, x, h_prev, h, dh, gradients))


def scale_one_gradient(cell, x, h_prev, h, dh, gradients):
    """`RnnCell.backward` with dW too large by 0.1 %."""
    da = dh * (1 - h * h)
    gradients.W[...] += 0.001 * (da.T @ h_prev)
    return honest_backward(cell, x, h_prev, h, dh, gradients)


honest_backward = RnnCell.backward


@pytest.mark.parametrize("planted", [forget_the_future, scale_one_gradient])
def test_a_planted_error_in_the_gradient_is_caught(planted, monkeypatch):
    monkeypatch.setattr(RnnCell, "backward", planted)
    with pytest.raises(AssertionError, match=r"layers\.0\..: norm-relative error"):
        test_loss_gradients_and_state_are_those_of_the_scalar_loops(1)
    with pytest.raises(AssertionError, match=r"layers\.0\..: norm-relative error"):
        test_gradients_are_those_that_pytorch_once_gave()
    with pytest.raises(AssertionError, match=r"layers\.0\.."):
        test_gradients_at_full_size_are_those_of_the_complex_step(0.1)


def test_a_dropped_carry_is_caught(monkeypatch):
    honest = ReferenceEngine.train

    def drop_the_carry(engine, learner, tokens, plan):
        learner.state["h"][...] = 0
        return honest(engine, learner, tokens, plan)

    monkeypatch.setattr(ReferenceEngine, "train", drop_the_carry)
    with pytest.raises(AssertionError):
        test_twenty_updates_over_two_epochs_follow_the_scalar_loops()


def test_an_epsilon_outside_the_root_is_caught(monkeypatch):
    def outside(parameter, gradient, accumulator, learning_rate, epsilon):
        accumulator += gradient * gradient
        parameter -= learning_rate * gradient / (np.sqrt(accumulator) + epsilon)

    monkeypatch.setattr(engine_module, "adagrad", outside)
    with pytest.raises(AssertionError):
        test_twenty_updates_over_two_epochs_follow_the_scalar_loops()


# The contract


def snapshot(learner):
    """All that a learner holds, as bytes and numbers."""
    arrays = {**learner.parameters, **learner.slots["accumulator"], **learner.state}
    counters = {name: value for name, value in vars(learner).items() if not hasattr(value, "items")}
    return [array.tobytes() for array in arrays.values()], counters


def test_only_train_changes_the_learner():
    learner, engine = make_learner(seq_length=6), ReferenceEngine()
    ids = make_ids(learner, 7)
    before, given = snapshot(learner), {"h": learner.state["h"].copy()}
    engine.loss_and_gradients(learner, ids[:-1, None], ids[1:, None])
    engine.score(learner, ids, learner.state)
    engine.step(learner, ids[:1], learner.state)
    engine.activations(learner, ids, learner.state)
    engine.generate(learner, 0, Sampler(), np.linspace(0, 0.99, 9), learner.state)
    assert snapshot(learner) == before
    assert learner.state["h"].tobytes() == given["h"].tobytes()
    engine.train(learner, ids, plan(1))
    assert snapshot(learner) != before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_update_is_not_applied(bad):
    learner = make_learner()
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


def test_the_trace_holds_every_loss_and_the_norm_before_clipping():
    learner = make_learner()
    ids = make_ids(learner, 4)
    loss, gradients, _ = ReferenceEngine().loss_and_gradients(learner, ids[:3, None], ids[1:, None])
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in gradients.values()]))
    trace = ReferenceEngine().train(learner, ids, Plan(np.array([0.1]), clip=1e-3, epsilon=1e-8))
    assert trace.stopped is None
    assert trace.losses.tolist() == [loss]
    assert trace.gradient_norms[0] == pytest.approx(norm, rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_loss_is_near_that_of_guessing(dtype):
    config = Config(dtype=dtype)
    learner = new_learner(config, Vocabulary(chr(33 + k) for k in range(80)))
    ids = make_ids(learner, 26)
    trace = ReferenceEngine().train(learner, ids, plan(1))
    assert trace.losses[0] == pytest.approx(25 * np.log(80), abs=0.1)
    assert all(array.dtype == dtype for array in learner.parameters.values())


# The views agree with one another


def test_score_is_the_loss_in_single_characters():
    learner, engine = make_learner(seq_length=8), ReferenceEngine()
    ids = make_ids(learner, 9)
    loss, _, last = engine.loss_and_gradients(learner, ids[:-1, None], ids[1:, None])
    nats, state = engine.score(learner, ids, learner.state)
    assert nats.shape == (8,)
    assert nats.sum() == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(state["h"], last["h"], rtol=1e-13)


def test_score_in_two_parts_is_score_in_one():
    learner, engine = make_learner(), ReferenceEngine()
    ids = make_ids(learner, 20)
    whole, _ = engine.score(learner, ids, learner.state)
    head, state = engine.score(learner, ids[:8], learner.state)
    tail, _ = engine.score(learner, ids[7:], state)
    np.testing.assert_allclose(np.concatenate([head, tail]), whole, rtol=1e-14)


def test_step_gives_the_distribution_that_score_scores():
    learner, engine = make_learner(), ReferenceEngine()
    ids, state = make_ids(learner, 10), learner.state
    nats, _ = engine.score(learner, ids, learner.state)
    for n in range(9):
        logits, state = engine.step(learner, ids[n : n + 1], state)
        log_total = np.log(np.exp(logits[0]).sum())
        assert log_total - logits[0, ids[n + 1]] == pytest.approx(nats[n], rel=1e-12)


def test_activations_are_the_states_on_the_way():
    learner, engine = make_learner(), ReferenceEngine()
    ids, state = make_ids(learner, 10), learner.state
    values, last = engine.activations(learner, ids, learner.state)
    assert values["h"].shape == (10, 1, 5)
    for n in range(10):
        _, state = engine.step(learner, ids[n : n + 1], state)
        np.testing.assert_allclose(values["h"][n], state["h"][:, 0], rtol=1e-14)
    assert last["h"].tobytes() == state["h"].tobytes()


def test_generate_reads_what_it_wrote_and_can_go_on():
    learner, engine = make_learner(), ReferenceEngine()
    uniforms = np.random.default_rng(4).random(12)
    whole, last = engine.generate(learner, 3, Sampler(), uniforms, learner.state)
    head, state = engine.generate(learner, 3, Sampler(), uniforms[:5], learner.state)
    tail, end = engine.generate(learner, int(head[-1]), Sampler(), uniforms[5:], state)
    assert whole.tolist() == head.tolist() + tail.tolist()
    assert end["h"].tobytes() == last["h"].tobytes()
    read = np.concatenate([[3], whole[:-1]])
    _, seen = engine.activations(learner, read, learner.state)
    np.testing.assert_allclose(last["h"], seen["h"], rtol=1e-14)
    assert whole.dtype == learner.vocabulary.id_dtype


def test_generate_draws_by_the_inverse_of_the_distribution():
    learner, engine = make_learner(), ReferenceEngine()
    logits, _ = engine.step(learner, np.array([2]), learner.state)
    p = np.exp(logits[0] / 0.7) / np.exp(logits[0] / 0.7).sum()
    edges = np.cumsum(p)
    for uniform in np.linspace(0.001, 0.999, 60):
        ids, _ = engine.generate(learner, 2, Sampler(0.7), np.array([uniform]), learner.state)
        assert ids[0] == np.sum(edges <= uniform)


def test_temperature_zero_takes_the_likeliest():
    learner, engine = make_learner(), ReferenceEngine()
    ids, _ = engine.generate(learner, 1, Sampler(0.0), np.full(8, 0.999), learner.state)
    last, state = 1, learner.state
    for drawn in ids:
        logits, state = engine.step(learner, np.array([last]), state)
        assert drawn == np.argmax(logits)
        last = int(drawn)


def test_a_diverged_model_refuses_to_write():
    learner = make_learner()
    learner.parameters["c"][0] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        ReferenceEngine().generate(learner, 0, Sampler(), np.array([0.5]), learner.state)
