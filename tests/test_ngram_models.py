"""Models with n-grams write, score and show their units like other models, and are evaluated in parts."""

import gc
import math
import weakref

import numpy as np
import pytest

import charloom
from charloom.engines import Plan, Sampler, open_engine
from charloom.errors import ConfigError
from charloom.model import zero_state
from charloom.model.start_losses import StartLosses
from charloom.ngram_logits import ngram_weights
from charloom.random import uniforms
from charloom.sampling import CHUNK, SampleOptions, Writing
from charloom.surprisal import Reader, surprise
from charloom.text import Corpus, Windows
from charloom.training.loop import sample
from ngram_models import ngram_learner, ngram_model
from small_runs import ENGINES, TEXT, small_corpus


def log_probabilities(learner, engine, ids):
    """Return the logarithm of the probability of each character after each id, computed step by step."""
    state, rows = zero_state(learner.config), []
    for n in range(len(ids)):
        logits, state = engine.step(learner, ids[n : n + 1], state)
        rows.append(logits[0] - np.log(np.exp(logits[0]).sum()))
    return np.array(rows)


@pytest.fixture(params=ENGINES)
def model(request):
    """Return an LSTM of two layers with n-grams, on each engine."""
    return ngram_model(request.param, cell="lstm", layers=2)


def test_the_reader_predicts_with_the_n_grams(model):
    ids = model.vocabulary.encode(TEXT[:150])
    expected = log_probabilities(model.learner, model.engine, ids)
    reader = Reader(model.learner, model.engine, count=3)
    parts = [reader.read(ids[:40]), reader.read(ids[40:41]), reader.read(ids[41:])]
    nats = np.concatenate([part.nats for part in parts])
    assert math.isnan(nats[0])
    np.testing.assert_allclose(nats[1:], -expected[np.arange(149), ids[1:]], rtol=1e-9)
    likely = [row for part in parts for row in part.likely]
    np.testing.assert_allclose(
        [[p for _, p in row] for row in likely],
        np.sort(np.exp(expected), axis=1)[:, :-4:-1],
        rtol=1e-9,
    )


def test_the_score_of_a_text_counts_the_n_grams(model):
    ids = model.vocabulary.encode(TEXT[:150])
    expected = log_probabilities(model.learner, model.engine, ids)
    found = surprise(model.learner, model.engine, TEXT[:150])
    np.testing.assert_allclose(found.nats[1:], -expected[np.arange(149), ids[1:]], rtol=1e-9)


def test_only_hidden_units_have_values(model):
    alone = model.network_alone()
    for what in ("h", "cell", "f"):
        values = [each.activity("the cat", what=what).values for each in (model, alone)]
        np.testing.assert_array_equal(*values)
    assert charloom.neurons(model).findings == charloom.neurons(alone).findings


def test_the_weights_of_the_n_grams_are_those_of_the_logits(model):
    """With V and c at 0, the logits are the weight times those of the n-grams alone."""
    for name in ("V", "c"):
        model.parameters[name][...] = 0
    found, ids = model.ngram_use(TEXT[:60]), model.vocabulary.encode(TEXT[:60])
    alone = model.ngrams_alone().learner
    assert found.characters == tuple(TEXT[:60])
    assert math.isnan(found.weights[0])
    state, of_alone = zero_state(model.config), zero_state(alone.config)
    for n in range(59):
        logits, state = model.engine.step(model.learner, ids[n : n + 1], state)
        of_ngrams, of_alone = model.engine.step(alone, ids[n : n + 1], of_alone)
        np.testing.assert_allclose(logits, found.weights[n + 1] * of_ngrams, rtol=1e-9)


def test_the_weight_of_a_character_of_several_bytes_is_the_mean_over_its_bytes():
    corpus = Corpus.from_text(TEXT.replace("o", "ö€"), tokens="bytes")
    model = ngram_model(corpus=corpus, tokens="bytes")
    text = "thö€ cat"
    found = model.ngram_use(text)
    assert found.characters == tuple(text)
    states, _ = model.engine.activations(
        model.learner, model.vocabulary.encode(text), zero_state(model.config)
    )
    w = ngram_weights(model.learner, states["h"][:, -1])
    # The bytes are t, h, two of ö, three of €, and a space; w[n] is the weight that predicts byte n + 1.
    expected = [w[0], w[1:3].mean(), w[3:6].mean(), w[6]]
    np.testing.assert_allclose(found.weights[1:5], expected, rtol=1e-6)


def test_a_long_prompt_is_read_in_parts_with_its_n_grams(model):
    """The prompt is longer than one call of the engine reads."""
    prompt = (TEXT * (CHUNK // len(TEXT) + 1))[: CHUNK + 30]
    whole = "".join(Writing(model.learner, model.engine, prompt, SampleOptions(60)))
    ids = model.vocabulary.encode(prompt)
    _, state = model.engine.score(model.learner, ids[:, np.newaxis], zero_state(model.config))
    drawn, _ = model.engine.generate(
        model.learner, ids, Sampler(), uniforms(0, "sample", 60), state
    )
    assert whole == model.vocabulary.decode(drawn)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sample_during_training_continues_the_first_stream_with_its_n_grams(engine):
    corpus, opened = small_corpus(), open_engine(engine)
    learner = ngram_learner(corpus, seq_length=10, batch_size=2, sample_length=40)
    windows = Windows.of(learner.config, len(corpus))
    opened.train(learner, corpus.ids, Plan(np.full(3, 0.01), windows.starts(0)))
    state = {
        "h": learner.state["h"][:, :1],
        "recent": corpus.ids[26:30].astype(np.int32).reshape(1, 1, 4),
    }
    numbers = uniforms(learner.config.seed, "training_sample", 40, update=3)
    drawn, _ = opened.generate(learner, corpus.ids[30:31], Sampler(), numbers, state)
    assert sample(learner, corpus.ids, windows, opened) == corpus.vocabulary.decode(drawn)


def test_the_network_alone_predicts_without_the_n_grams(model):
    found, whole = model.network_alone(), model.learner.parameters
    assert found.learner.ngrams is None
    assert found.config.ngram_order == 0
    assert "recent" not in found.learner.state
    without = ngram_model(cell="lstm", layers=2)
    for name in ("ngram.weight", "ngram.bias"):
        without.parameters[name][...] = 0
        assert name not in found.parameters
        assert whole[name].any()
    assert found.evaluate().nats == pytest.approx(without.evaluate().nats, rel=1e-12)
    assert found.evaluate().nats != pytest.approx(model.evaluate().nats, rel=1e-3)


def test_the_n_grams_alone_predict_with_their_probabilities(model):
    found = model.ngrams_alone()
    without = ngram_model(cell="lstm", layers=2)
    for array in without.parameters.values():
        array[...] = 0
    without.parameters["ngram.bias"][...] = 1
    assert found.evaluate().nats == pytest.approx(without.evaluate().nats, rel=1e-12)
    assert found.learner.ngrams is model.learner.ngrams
    assert model.parameters["V"].any()


def test_the_parts_of_a_model_begin_to_write_where_its_training_text_ended():
    model = ngram_model()
    learner, ids = model.learner, model.vocabulary.encode(TEXT[:30])
    _, learner.state = model.engine.score(learner, ids[:, np.newaxis], zero_state(model.config))
    learner.start_losses = StartLosses(1.0, 1.0, 1.0, 1.0)
    for part in (model.network_alone().learner, model.ngrams_alone().learner):
        assert part.state.keys() == zero_state(part.config).keys()
        assert part.start_losses is None
    np.testing.assert_array_equal(model.network_alone().learner.state["h"], learner.state["h"])
    np.testing.assert_array_equal(part.state["recent"], learner.state["recent"])
    assert part.state["recent"].min() >= 0


def test_a_model_without_n_grams_has_no_parts():
    plain = ngram_model(ngram_order=3).network_alone()
    for part in (plain.network_alone, plain.ngrams_alone, lambda: plain.ngram_use("the")):
        with pytest.raises(ConfigError, match="the model has no n-grams: its ngram_order is 0"):
            part()


@pytest.mark.skipif("native" not in ENGINES, reason="the native engine is not installed")
def test_the_native_engine_checks_n_grams_once_and_does_not_keep_them(monkeypatch):
    from charloom.engines import native

    calls, check = [], native.native_ngrams
    monkeypatch.setattr(native, "native_ngrams", lambda ngrams: calls.append(1) or check(ngrams))
    engine, learners = open_engine("native"), [ngram_learner(), ngram_learner(ngram_order=3)]
    for learner in 3 * learners:
        surprise(learner, engine, "the cat")
    assert len(calls) == 2
    kept = [weakref.ref(learner.ngrams) for learner in learners]
    del learner, learners
    gc.collect()
    assert [ngrams() for ngrams in kept] == [None, None]
