"""Evaluation is the mean surprise over all of a text but its first character."""

import itertools
import math

import numpy as np
import pytest

from charloom import evaluation
from charloom.config import Config
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import DivergedError, TextError
from charloom.evaluation import evaluate
from charloom.model import copy_learner, new_learner, zero_state
from charloom.text import Vocabulary
from runs import ENGINES


@pytest.fixture(scope="module")
def learner():
    """A model with opinions, in a state that is not zero."""
    learner = new_learner(Config(hidden_size=6, sigma=0.8, dtype="float64"), Vocabulary("abcdefgh"))
    learner.state["h"] += 0.5
    return learner


@pytest.fixture(scope="module")
def ids(learner):
    """A text without sense."""
    return np.random.default_rng(0).integers(0, 8, 101).astype(learner.vocabulary.id_dtype)


def test_the_figures_are_those_of_a_walk_through_the_text(learner, ids):
    engine, state, nats = ReferenceEngine(), zero_state(learner.config), 0.0
    for now, following in itertools.pairwise(ids):
        logits, state = engine.step(learner, np.array([now]), state)
        nats -= logits[0, following] - math.log(np.exp(logits[0]).sum())
    found = evaluate(learner, engine, ids)
    assert found.characters == 100
    assert found.nats == pytest.approx(nats / 100, rel=1e-12)
    assert found.bits == pytest.approx(nats / 100 / math.log(2), rel=1e-12)
    assert found.perplexity == pytest.approx(math.exp(nats / 100), rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("chunk", [1, 7, 100, 101])
def test_how_a_text_is_cut_into_calls_changes_nothing(learner, ids, monkeypatch, engine, chunk):
    truth = evaluate(learner, ReferenceEngine(), ids)
    monkeypatch.setattr(evaluation, "CHUNK", chunk)
    assert evaluate(learner, open_engine(engine), ids).nats == pytest.approx(truth.nats, rel=1e-12)


def test_a_model_that_knows_nothing_is_as_surprised_as_by_a_die(ids):
    learner = new_learner(Config(hidden_size=6), Vocabulary("abcdefgh"))
    learner.parameters["V"][...] = 0
    found = evaluate(learner, ReferenceEngine(), ids)
    assert found.bits == pytest.approx(3, rel=1e-6)
    assert found.perplexity == pytest.approx(8, rel=1e-6)


def test_evaluating_does_not_change_the_model(learner, ids):
    before = copy_learner(learner)
    evaluate(learner, ReferenceEngine(), ids)
    assert learner.state["h"].tobytes() == before.state["h"].tobytes()
    assert learner.parameters["V"].tobytes() == before.parameters["V"].tobytes()


def test_a_surprise_beyond_measure_is_an_infinite_perplexity(learner, ids):
    sure = copy_learner(learner)
    sure.parameters["c"][:] = [1e6, *[0] * 7]
    found = evaluate(sure, ReferenceEngine(), ids)
    assert found.nats > 709
    assert found.perplexity == math.inf


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_with_nothing_to_predict_is_refused(learner, ids, count):
    with pytest.raises(TextError, match=f"is {count} long"):
        evaluate(learner, ReferenceEngine(), ids[:count])


def test_a_model_that_is_not_finite_is_refused(learner, ids):
    broken = copy_learner(learner)
    broken.parameters["c"][:] = np.nan
    with pytest.raises(DivergedError):
        evaluate(broken, ReferenceEngine(), ids)
