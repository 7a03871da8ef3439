"""In a dynamic evaluation the model learns from each window after it has predicted it."""

from dataclasses import replace

import numpy as np
import pytest

from charloom import dynamic_scoring
from charloom.config import Config
from charloom.engines import open_engine
from charloom.engines.base import Plan
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, DivergedError
from charloom.evaluation import evaluate
from charloom.model import averaged, copy_learner, new_learner, zero_state
from charloom.scoring import score_segments
from charloom.text import Vocabulary
from small_runs import ENGINES

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 30


@pytest.fixture(scope="module", params=[0, 3])
def learner(request):
    """Return a model without or with n-grams and averaged weights, trained for some updates."""
    config = Config(
        cell="gru", hidden_size=8, dtype="float64", sigma=0.3, ngram_order=request.param,
        optimizer="adam", learning_rate=0.02, batch_size=2, seq_length=8, dropout=0.2,
        averaging=0.5 if request.param else 0.0,
    )  # fmt: skip
    learner, engine = new_learner(config, Vocabulary(sorted(set(TEXT)))), ReferenceEngine()
    ids = learner.vocabulary.encode(TEXT)
    if config.ngram_order:
        learner.ngrams = engine.count_ngrams(
            config, len(learner.vocabulary), ids, np.array([[0, len(ids)]])
        )
    engine.train(learner, ids, Plan(np.full(30, 0.02), np.array([0, 700])))
    return averaged(learner)


@pytest.fixture(scope="module")
def ids(learner):
    return learner.vocabulary.encode(TEXT[::-1][:300])  # a text that differs from the training text


def test_the_first_window_is_predicted_by_the_model_itself_and_later_ones_by_its_copy(learner, ids):
    before = copy_learner(learner)
    found = dynamic_scoring.dynamic_nats(ReferenceEngine(), learner, ids, [(0, 300)], 0.01)
    static = score_segments(ReferenceEngine(), learner, ids, [(0, 300)], streams=1)
    assert found.shape == static.shape
    np.testing.assert_allclose(found[:32], static[:32], rtol=1e-12)
    assert abs(found[32:] - static[32:]).min() > 0
    assert found.mean() < static.mean()
    for name, array in learner.parameters.items():
        np.testing.assert_array_equal(array, before.parameters[name])


def nats_by_loops(learner, ids, segments, rate):
    """Return the nats of a dynamic evaluation, with updates written out as the specification says."""
    engine, found = ReferenceEngine(), []
    reader = copy_learner(learner)
    squares = {name: np.zeros_like(array) for name, array in reader.parameters.items()}
    for start, end in segments:
        reader.state = zero_state(reader.config)
        for first in range(start, end - 1, 32):
            window = ids[first : min(first + 33, end)][:, np.newaxis]
            nats, _ = engine.score(reader, window, reader.state)
            found += nats[:, 0].tolist()
            if len(window) < 33:
                continue
            _, gradients, reader.state = engine.loss_and_gradients(reader, window[:-1], window[1:])
            means = {name: array / 32 for name, array in gradients.items()}
            norm = np.sqrt(sum((array**2).sum() for array in means.values()))
            for name, array in means.items():
                g = array * min(1.0, 1.0 / (norm + 1e-6))
                squares[name] = 0.99 * squares[name] + 0.01 * g**2
                reader.parameters[name] -= rate * g / (np.sqrt(squares[name]) + 1e-8)
    return found


@pytest.mark.parametrize("rate", [4e-4, 0.01])
def test_the_nats_are_those_of_updates_written_out(learner, ids, rate):
    segments = [(0, 100), (100, 165), (170, 300)]
    learner = replace(learner, config=learner.config.replace(batch_size=1))
    for engine in map(open_engine, ENGINES):
        found = dynamic_scoring.dynamic_nats(engine, learner, ids, segments, rate)
        np.testing.assert_allclose(found, nats_by_loops(learner, ids, segments, rate), rtol=1e-9)


def test_a_character_does_not_change_the_prediction_of_itself_or_of_earlier_ones(learner, ids):
    """Otherwise, the model would have learned from what it predicts."""
    other = ids.copy()
    other[100] = (other[100] + 1) % len(learner.vocabulary)
    first, second = (
        dynamic_scoring.dynamic_nats(ReferenceEngine(), learner, text, [(0, 300)], 0.01)
        for text in (ids, other)
    )
    np.testing.assert_array_equal(first[:99], second[:99])
    assert first[99] != second[99]


def test_a_learning_rate_near_zero_gives_the_nats_of_a_model_that_does_not_learn(learner, ids):
    segments = [(0, 120), (120, 161), (170, 204)]
    found = dynamic_scoring.dynamic_nats(ReferenceEngine(), learner, ids, segments, 1e-15)
    static = score_segments(ReferenceEngine(), learner, ids, segments)
    np.testing.assert_allclose(found, static, rtol=1e-9)


def test_the_engines_agree(learner, ids):
    results = [
        evaluate(learner, open_engine(engine), ids, dynamic_rate=4e-4).nats for engine in ENGINES
    ]
    assert results == pytest.approx([results[0]] * len(results), rel=1e-9)


def test_a_model_that_diverges_is_an_error_that_names_the_learning_rate(learner, ids):
    with pytest.raises(DivergedError, match=r"learning rate of 1e\+308; use a smaller one"):
        dynamic_scoring.dynamic_nats(ReferenceEngine(), learner, ids, [(0, 300)], 1e308)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), "fast"])
def test_a_wrong_learning_rate_is_refused(learner, ids, rate):
    with pytest.raises(ConfigError, match="dynamic_rate"):
        evaluate(learner, ReferenceEngine(), ids, dynamic_rate=rate)
