"""Training chooses the pairs of its text, and repeats bit for bit with them."""

import numpy as np
import pytest

import charloom
from charloom import api
from charloom.engines import open_engine
from charloom.errors import ConfigError
from charloom.model import copy_learner, input_pairs, new_learner
from charloom.model.input_pairs import PAIRS
from charloom.store import load_checkpoint, load_model
from charloom.text import Corpus, Windows
from charloom.text import corpus as corpus_module
from charloom.training import loop as loop_module
from charloom.training import ngram_counting, train_in_memory
from charloom.training.ngram_counting import choose_missing_pairs
from reliability.run_comparison import lasting
from small_runs import ENGINES, TEXT, after, resume, small_config, small_corpus, train
from test_input_pairs import chosen_one_by_one
from test_training_ngrams import DIVISIONS, ENGINES_AND_THREADS, SizeOfCalls

SETTINGS = {
    "input_pairs": 40, "learning_rate": 0.01, "optimizer": "adamw", "weight_decay": 0.1,
    "cell": "gru", "averaging": 0.3, "dropout": 0.1,
}  # fmt: skip


def learner_for(corpus, **settings):
    """Return a new learner with the pairs of a text."""
    learner = new_learner(small_config(**{**SETTINGS, **settings}), corpus.vocabulary)
    choose_missing_pairs(learner, corpus.ids)
    return learner


def trained(corpus, engine="reference", calls=8, threads=1, **settings):
    """Train a new learner to its end in memory, with at most `calls` updates in a call, and return it."""
    learner = new_learner(small_config(**{**SETTINGS, **settings}), corpus.vocabulary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "CallSize", lambda: SizeOfCalls(calls))
        list(train_in_memory(learner, corpus.ids, open_engine(engine, threads)))
    return learner


def bits(learner):
    """Return the bytes of a learner's parameters, slots, state and pairs, and its losses."""
    arrays = {**learner.parameters, **learner.state, "pairs": learner.pairs.ids}
    arrays |= {
        f"{slot}/{name}": a for slot, all_ in learner.slots.items() for name, a in all_.items()
    }
    return {name: array.tobytes() for name, array in arrays.items()} | {
        "losses": (learner.update, learner.smooth_loss, learner.best_loss)
    }


@pytest.mark.parametrize("division", DIVISIONS)
def test_the_pairs_are_those_of_the_training_part(division):
    settings = DIVISIONS[division]
    corpus = Corpus.from_text(TEXT, tokens=settings.get("tokens", "characters"))
    learner = learner_for(corpus, **settings)
    segments = ngram_counting.counted_segments(Windows.of(learner.config, len(corpus)))
    assert learner.pairs.ids.tolist() == chosen_one_by_one(corpus.ids.tolist(), segments, 40)
    assert learner.pairs.used == 40


def test_characters_after_the_counted_text_do_not_count(monkeypatch):
    monkeypatch.setattr(ngram_counting, "MOST_COUNTED", 60)
    corpus = small_corpus()
    learner = learner_for(corpus, input_pairs=200)
    assert learner.pairs.ids.tolist() == chosen_one_by_one(corpus.ids.tolist(), [(0, 60)], 200)


@pytest.mark.parametrize("division", DIVISIONS)
def test_a_text_in_a_file_has_the_pairs_of_a_text_in_memory(division, monkeypatch, tmp_path):
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(input_pairs, "BLOCK", 50)
    (tmp_path / "cat.txt").write_text(TEXT, encoding="utf-8")
    settings = DIVISIONS[division]
    tokens = settings.get("tokens", "characters")
    small = Corpus.open([tmp_path / "cat.txt"], tokens=tokens)
    monkeypatch.setattr(corpus_module, "IN_MEMORY", 10)
    large = Corpus.open([tmp_path / "cat.txt"], tokens=tokens)
    assert not isinstance(large.ids, np.ndarray)
    one, other = (learner_for(corpus, **settings).pairs.ids for corpus in (small, large))
    assert one.tolist() == other.tolist()


# Bits repeat


@pytest.mark.parametrize(("engine", "threads"), ENGINES_AND_THREADS)
@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize("order", [0, 3])
def test_the_number_of_updates_in_a_call_changes_no_bit(engine, threads, division, order):
    settings = {**DIVISIONS[division], "ngram_order": order}
    threads = min(threads, settings.get("batch_size", 1))
    corpus = Corpus.from_text(TEXT, tokens=settings.get("tokens", "characters"))
    one, many = (trained(corpus, engine, calls, threads, **settings) for calls in (1, 7))
    assert bits(one) == bits(many)
    assert one.parameters[PAIRS].any(axis=1).sum() > 20


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("order", [0, 4])
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(engine, order, tmp_path):
    settings = {**SETTINGS, "ngram_order": order, "batch_size": 3, "validation": 0.1}
    settings["judge_every"] = 4
    train(tmp_path / "whole", engine=engine, **settings)
    truth = lasting(tmp_path / "whole")
    for calls in (2, 5, 9):
        run = tmp_path / str(calls)
        train(run, engine=engine, halt=after(calls), **settings)
        halted = load_model(run, "latest")
        resume(run, engine=engine)
        assert lasting(run) == truth
        assert halted.update < load_model(run, "latest").update


def test_every_checkpoint_of_a_new_run_has_the_pairs(tmp_path):
    corpus = small_corpus()
    with api.begin(corpus, small_config(**SETTINGS), tmp_path / "run"):
        first = load_checkpoint(tmp_path / "run" / "checkpoints" / "0").learner
    assert first.pairs.ids.tolist() == learner_for(corpus).pairs.ids.tolist()


# A run from a model


def test_a_run_from_a_model_keeps_the_pairs_of_the_model(tmp_path):
    corpus, other = small_corpus(), Corpus.from_text(TEXT[::-1])
    model = trained(corpus, averaging=0.0)
    config = model.config.replace(epochs=1)
    with api.begin(other, config, tmp_path / "run", model) as training:
        learner = copy_learner(training.learner)
    assert learner.pairs.ids.tolist() == model.pairs.ids.tolist()
    assert learner.pairs.ids.tolist() != learner_for(other).pairs.ids.tolist()
    assert learner.parameters[PAIRS].tobytes() == model.parameters[PAIRS].tobytes()


def test_the_number_of_pairs_comes_from_the_model():
    corpus = small_corpus()
    model = api.Model(trained(corpus, averaging=0.0), open_engine("reference"), corpus=corpus)
    with pytest.raises(ConfigError, match=r"input_pairs is 5, but the given model has 40"):
        charloom.train(string=TEXT, from_model=model, input_pairs=5, updates=1)


# A model with pairs


@pytest.fixture(scope="module")
def model():
    """Return a model with pairs and n-grams that was trained on a small text."""
    corpus = small_corpus()
    learner = trained(corpus, ngram_order=4, averaging=0.0, dtype="float64", epochs=6)
    return api.Model(learner, open_engine("reference"), corpus=corpus)


def test_the_parts_of_a_model_can_be_evaluated(model):
    whole, network, ngrams = (
        one.evaluate(string=TEXT[:300]).nats
        for one in (model, model.network_alone(), model.ngrams_alone())
    )
    assert len({round(nats, 6) for nats in (whole, network, ngrams)}) == 3


def test_a_dynamic_evaluation_learns_the_inputs_of_pairs(model):
    before = model.parameters[PAIRS].copy()
    dynamic = model.evaluate(string=TEXT[:700], dynamic=True)
    assert dynamic.nats < model.evaluate(string=TEXT[:700]).nats
    assert np.array_equal(model.parameters[PAIRS], before)


def test_the_surprisal_is_that_of_the_evaluation(model):
    text = TEXT[50:250]
    nats = model.score(text).nats[1:]
    assert np.mean(nats) == pytest.approx(model.evaluate(string=text, streams=1).nats, rel=1e-9)


@pytest.mark.parametrize("alone", [False, True])
def test_a_model_with_pairs_cannot_be_exported(model, alone, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ConfigError, match=r"inputs for pairs of characters.*input_pairs=0"):
        model.export(path, network_alone=alone)
    assert not path.exists()


def test_the_model_says_how_many_pairs_it_has(model):
    assert "N=4, 40 pairs, " in repr(model)
