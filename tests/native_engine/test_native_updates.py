"""The native and the torch engine's gradients, updates and scores agree with the reference engine's."""

import numpy as np
import pytest

from charloom.engines import Plan, Sampler, native_problem
from charloom.model import Learner, copy_learner

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from native_networks import ONE_STREAM, REFERENCE, make_learner, make_tokens


def window(learner: Learner) -> tuple[np.ndarray, np.ndarray]:
    T = learner.config.seq_length
    tokens = make_tokens(learner, T + 1)[:, np.newaxis]
    return tokens[:-1], tokens[1:]


def norm_relative(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / scale) if scale else 0.0


def as_float64(learner: Learner) -> Learner:
    copy = copy_learner(learner)
    copy.parameters = {name: p.astype(np.float64) for name, p in copy.parameters.items()}
    copy.state = {name: s.astype(np.float64) for name, s in copy.state.items()}
    return copy


SIZES = [(1, 2, 1), (5, 7, 3), (16, 16, 4), (17, 33, 2), (100, 80, 25), (130, 300, 9), (33, 2, 50)]


@pytest.mark.parametrize(("H", "K", "T"), SIZES)
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])
def test_each_named_gradient_agrees_with_the_float64_reference(engine, H, K, T, dtype, limit):
    learner = make_learner(H, K, T, dtype)
    x, y = window(learner)
    loss, gradients, state = engine.loss_and_gradients(learner, x, y)
    true_loss, true, true_state = REFERENCE.loss_and_gradients(as_float64(learner), x, y)
    assert loss == pytest.approx(true_loss, rel=limit)
    for name in true:
        assert norm_relative(gradients[name], true[name]) <= limit, name
        assert gradients[name].dtype == learner.parameters[name].dtype
    assert norm_relative(state["h"], true_state["h"]) <= limit


def test_a_scaled_gradient_is_caught_by_that_comparison(engine):
    learner = make_learner()
    x, y = window(learner)
    _, gradients, _ = engine.loss_and_gradients(learner, x, y)
    for name, gradient in gradients.items():
        assert norm_relative(gradient * 1.001, gradient) > 1e-5, name


def test_a_thousand_small_updates_follow_the_reference(engine):
    ours, theirs = make_learner(sigma=0.01), make_learner(sigma=0.01)
    tokens = make_tokens(ours, 25_001)
    plan = Plan(np.full(1000, 0.01), ONE_STREAM)
    trace, truth = engine.train(ours, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    np.testing.assert_allclose(trace.losses, truth.losses, rtol=1e-12, atol=0)
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=1e-10, atol=0)
    for name in ours.parameters:
        difference = np.abs(ours.parameters[name] - theirs.parameters[name]).max()
        assert difference <= 1e-10, name
    assert (ours.update, ours.position) == (theirs.update, theirs.position) == (1000, 25_000)


def test_a_changed_weight_is_caught_by_that_trajectory(engine):
    ours, theirs = make_learner(sigma=0.01), make_learner(sigma=0.01)
    theirs.parameters["layers.0.W"][3, 4] += 1e-8
    tokens = make_tokens(ours, 501)
    plan = Plan(np.full(20, 0.01), ONE_STREAM)
    trace, truth = engine.train(ours, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    assert np.abs(trace.losses / truth.losses - 1).max() > 1e-12


def test_each_classic_update_agrees_from_the_references_own_state(engine):
    # eta = 0.1 is chaotic, so that both start each update from the reference's state.
    theirs = make_learner(sigma=0.01)
    tokens = make_tokens(theirs, 5001)
    plan = Plan(np.array([0.1]), ONE_STREAM)
    for _ in range(200):
        ours = copy_learner(theirs)
        e = theirs.position
        x, y = tokens[e : e + 25, np.newaxis], tokens[e + 1 : e + 26, np.newaxis]
        _, gradients, _ = engine.loss_and_gradients(ours, x, y)
        _, true, _ = REFERENCE.loss_and_gradients(theirs, x, y)
        engine.train(ours, tokens, plan)
        REFERENCE.train(theirs, tokens, plan)
        for name in true:
            assert norm_relative(gradients[name], true[name]) <= 1e-12
            assert np.abs(ours.parameters[name] - theirs.parameters[name]).max() <= 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_updates_in_one_call_have_the_bits_of_many_calls(engine, dtype):
    once, often = make_learner(dtype=dtype), make_learner(dtype=dtype)
    tokens = make_tokens(once, 2501)
    whole = engine.train(once, tokens, Plan(np.full(100, 0.1), ONE_STREAM))
    parts = [engine.train(often, tokens, Plan(np.full(n, 0.1), ONE_STREAM)) for n in (1, 30, 69)]
    assert np.array_equal(whole.losses, np.concatenate([part.losses for part in parts]))
    for name in once.parameters:
        assert np.array_equal(once.parameters[name], often.parameters[name])
        assert np.array_equal(once.slots["accumulator"][name], often.slots["accumulator"][name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_that_is_not_finite_is_not_applied(engine, dtype):
    learner = make_learner(dtype=dtype)
    learner.parameters["V"][3, 3] = np.nan
    before = copy_learner(learner)
    tokens = make_tokens(learner, 251)
    trace = engine.train(learner, tokens, Plan(np.full(10, 0.1), ONE_STREAM))
    assert trace.stopped == "non-finite"
    assert np.isnan(trace.failed_loss)
    assert len(trace.losses) == 0
    assert learner.update == 0
    for name in before.parameters:
        assert np.array_equal(learner.parameters[name], before.parameters[name], equal_nan=True)
        assert not learner.slots["accumulator"][name].any()


@pytest.mark.parametrize(("size", "finite"), [(1e145, True), (1e160, False)])
def test_huge_gradients_are_checked_before_any_weight_changes(engine, size, finite):
    # Beyond the kernels' safe limit the whole gradient is looked at first: a finite norm is
    # applied as the reference applies it, one that overflows is refused as the reference does.
    learner = make_learner()
    learner.parameters["V"] *= size
    learner.parameters["V"][:, 1:] = 0
    theirs, before = copy_learner(learner), copy_learner(learner)
    tokens = make_tokens(learner, 26)
    plan = Plan(np.array([0.1]), ONE_STREAM)
    trace, truth = engine.train(learner, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    assert trace.stopped == truth.stopped == (None if finite else "non-finite")
    for name in before.parameters:
        assert np.allclose(learner.parameters[name], theirs.parameters[name], rtol=1e-9)
        if not finite:
            assert np.array_equal(learner.parameters[name], before.parameters[name])


def test_score_step_and_activations_agree_with_the_reference(engine):
    learner = make_learner()
    tokens = make_tokens(learner, 71)
    ours, state = engine.score(learner, tokens[:, np.newaxis], learner.state)
    theirs, true_state = REFERENCE.score(learner, tokens[:, np.newaxis], learner.state)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(state["h"], true_state["h"], rtol=0, atol=1e-13)
    logits, _ = engine.step(learner, tokens[:1], learner.state)
    true_logits, _ = REFERENCE.step(learner, tokens[:1], learner.state)
    np.testing.assert_allclose(logits, true_logits, rtol=0, atol=1e-13)
    values, last = engine.activations(learner, tokens, learner.state)
    true_values, _ = REFERENCE.activations(learner, tokens, learner.state)
    np.testing.assert_allclose(values["h"], true_values["h"], rtol=0, atol=1e-13)
    assert np.array_equal(values["h"][-1], last["h"][:, 0])


def test_reading_a_learner_changes_nothing(engine):
    learner = make_learner()
    before = copy_learner(learner)
    x, y = window(learner)
    engine.loss_and_gradients(learner, x, y)
    engine.score(learner, x, learner.state)
    engine.generate(learner, np.array([0]), Sampler(), np.full(5, 0.5), learner.state)
    for name in before.parameters:
        assert np.array_equal(learner.parameters[name], before.parameters[name])
    assert np.array_equal(learner.state["h"], before.state["h"])


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("float64", 1e-9)])
def test_every_part_of_an_update_agrees_with_the_float64_reference(engine, dtype, limit):
    # The step itself is compared, not the parameter, whose size would hide a wrong one.
    ours = make_learner(dtype=dtype, clip=0.5)
    theirs, before = as_float64(ours), as_float64(ours)
    theirs.slots = {"accumulator": {n: np.zeros_like(p) for n, p in theirs.parameters.items()}}
    tokens = make_tokens(ours, 76)
    plan = Plan(np.array([0.01, 0.03, 0.002]), ONE_STREAM)
    trace, truth = engine.train(ours, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    np.testing.assert_allclose(trace.losses, truth.losses, rtol=limit)
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=limit)
    for name in before.parameters:
        step = ours.parameters[name] - before.parameters[name]
        true_step = theirs.parameters[name] - before.parameters[name]
        assert norm_relative(step, true_step) <= 10 * limit, name
        slots = ours.slots["accumulator"][name], theirs.slots["accumulator"][name]
        assert norm_relative(*slots) <= limit, name
    assert norm_relative(ours.state["h"], theirs.state["h"]) <= limit


@pytest.mark.parametrize("id_type", [np.uint16, np.uint32])
def test_wider_ids_mean_the_same(engine, id_type):
    narrow, wide = make_learner(), make_learner()
    tokens = make_tokens(narrow, 76)
    plan = Plan(np.full(3, 0.1), ONE_STREAM)
    ours = engine.train(narrow, tokens, plan)
    theirs = engine.train(wide, tokens.astype(id_type), plan)
    assert np.array_equal(ours.losses, theirs.losses)
    scores = [
        engine.score(narrow, t[:, np.newaxis], narrow.state)[0]
        for t in (tokens, tokens.astype(id_type))
    ]
    assert np.array_equal(*scores)


def test_a_step_moves_the_state(engine):
    learner = make_learner()
    _, state = engine.step(learner, np.array([3]), learner.state)
    _, true_state = REFERENCE.step(learner, np.array([3]), learner.state)
    np.testing.assert_allclose(state["h"], true_state["h"], rtol=0, atol=1e-13)
    assert not np.array_equal(state["h"], learner.state["h"])


def test_the_state_stays_where_an_update_is_refused(engine):
    learner = make_learner()
    learner.parameters["V"][0, 0] = np.inf
    before = learner.state["h"].copy()
    engine.train(learner, make_tokens(learner, 26), Plan(np.array([0.1]), ONE_STREAM))
    assert np.array_equal(learner.state["h"], before)
    assert learner.position == 0


def test_huge_float32_gradients_are_checked_first_too(engine):
    learner = make_learner(dtype="float32")
    learner.parameters["V"] *= np.float32(1e17)
    learner.parameters["V"][:, 1:] = 0
    theirs = copy_learner(learner)
    tokens, plan = make_tokens(learner, 26), Plan(np.array([0.1]), ONE_STREAM)
    trace, truth = engine.train(learner, tokens, plan), REFERENCE.train(theirs, tokens, plan)
    assert trace.stopped == truth.stopped is None
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=1e-4)
    # A gradient entry in which huge terms cancel is rounding; the steps are of size 0.1.
    for name in learner.parameters:
        np.testing.assert_allclose(
            learner.parameters[name], theirs.parameters[name], rtol=1e-4, atol=1e-3
        )
