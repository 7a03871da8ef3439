"""The native and the torch engine write the same text as the reference engine."""

import numpy as np
import pytest

from charloom.engines import Sampler, native_problem
from charloom.errors import EngineError

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from native_networks import REFERENCE, make_learner, make_tokens


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_engines_write_the_same_text(engine, temperature, dtype):
    # A recurrence of spectral radius 0.8 forgets rounding; one above 1 (untrained, no text would
    # do that) multiplies it at every character.
    learner = make_learner(dtype=dtype, sigma=0.08)
    learner.parameters["V"] *= 10
    uniforms = np.random.default_rng(5).random(300)
    sampler = Sampler(temperature)
    ids, state = engine.generate(learner, np.array([3]), sampler, uniforms, learner.state)
    true_ids, true_state = REFERENCE.generate(
        learner, np.array([3]), sampler, uniforms, learner.state
    )
    assert np.array_equal(ids, true_ids)
    assert ids.dtype == true_ids.dtype
    np.testing.assert_allclose(
        state["h"], true_state["h"], atol=1e-4 if dtype == "float32" else 1e-12
    )


def test_generation_continues_where_it_stopped(engine):
    learner = make_learner()
    uniforms = np.random.default_rng(5).random(100)
    whole, _ = engine.generate(learner, np.array([3]), Sampler(), uniforms, learner.state)
    first, state = engine.generate(learner, np.array([3]), Sampler(), uniforms[:37], learner.state)
    rest, _ = engine.generate(learner, first, Sampler(), uniforms[37:], state)
    assert np.array_equal(whole, np.concatenate([first, rest]))


def test_logits_that_are_not_finite_are_an_error_not_a_crash(engine):
    learner = make_learner()
    learner.parameters["c"][2] = np.inf
    for each in (engine, REFERENCE):
        with pytest.raises(EngineError, match="not finite"):
            each.generate(learner, np.array([3]), Sampler(), np.full(3, 0.5), learner.state)


def test_the_lowest_of_equally_likely_ids_is_taken(engine):
    learner = make_learner()
    learner.parameters["V"][:] = 0
    learner.parameters["c"][:] = 0
    for each in (engine, REFERENCE):
        ids, _ = each.generate(learner, np.array([3]), Sampler(0.0), np.full(5, 0.9), learner.state)
        assert not ids.any()


def test_the_padding_beyond_the_last_character_is_never_drawn_or_summed(engine):
    learner = make_learner(H=8, K=11, T=4)
    learner.parameters["c"][:] = -1e40
    tokens = make_tokens(learner, 20)
    ours, theirs = (
        each.score(learner, tokens[:, np.newaxis], learner.state)[0] for each in (engine, REFERENCE)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    uniforms = np.linspace(0.02, 0.98, 12)
    hot = make_learner(H=8, K=11, T=4, dtype="float32")
    for model, temperature in ((learner, 1e31), (hot, 1e37), (hot, 1e38), (hot, 1e39)):
        ids = [
            e.generate(model, np.array([0]), Sampler(temperature), uniforms, model.state)[0]
            for e in (engine, REFERENCE)
        ]
        assert np.array_equal(*ids), temperature
