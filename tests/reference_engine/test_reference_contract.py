"""The reference engine changes only what it may, and its methods agree with one another."""

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.engines import Sampler
from charloom.engines.reference import ReferenceEngine
from charloom.errors import EngineError
from charloom.model import new_learner
from charloom.text import Vocabulary
from reference_networks import assert_same, make_ids, make_learner, plan


def snapshot(learner):
    """Return everything that a learner holds, as bytes and numbers."""
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    arrays = [*learner.parameters.values(), *slots, *learner.state.values()]
    counters = {name: value for name, value in vars(learner).items() if not hasattr(value, "items")}
    return [array.tobytes() for array in arrays], counters


# The contract


@pytest.mark.parametrize("cell", CELL_NAMES)
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
@pytest.mark.parametrize("cell", CELL_NAMES)
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


@pytest.mark.parametrize("cell", CELL_NAMES)
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


@pytest.mark.parametrize("cell", CELL_NAMES)
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


@pytest.mark.parametrize("cell", CELL_NAMES)
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
    _, states = engine.activations(learner, np.append(read[-1], whole[:-1]), learner.state)
    assert_same(last, states)
    assert whole.dtype == learner.vocabulary.id_dtype


def test_a_diverged_model_refuses_to_write():
    learner = make_learner()
    learner.parameters["c"][0] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        ReferenceEngine().generate(
            learner, np.array([0]), Sampler(), np.array([0.5]), learner.state
        )
