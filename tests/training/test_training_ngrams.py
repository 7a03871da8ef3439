"""Training counts the n-grams of its text, and repeats bit for bit with them."""

from dataclasses import replace

import numpy as np
import pytest

import charloom
from charloom import api
from charloom.config import Config
from charloom.engines import open_engine
from charloom.engines.base import Trace
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, TextError
from charloom.model import copy_learner, finished_model, new_learner
from charloom.model.ngrams import PARTS
from charloom.store import load_checkpoint, load_model, read_run
from charloom.text import Corpus, Windows
from charloom.text import corpus as corpus_module
from charloom.training import (
    Progress,
    Record,
    Warned,
    learn,
    ngram_counting,
    train_in_memory,
    train_run,
)
from charloom.training import loop as loop_module
from charloom.training.ngram_counting import count_missing_ngrams, counted_segments
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from small_runs import (
    ENGINES,
    TEXT,
    after,
    calls_without_clock,
    resume,
    small_config,
    small_corpus,
    train,
)
from training_items import items_of

NGRAMS = {"ngram_order": 4, "learning_rate": 0.05}
ARRAYS = ("children", "child_ids", "followers", "follower_ids", "shares", "factors")
# The ways in which a config divides a text, and a text of bytes.
DIVISIONS = {
    "one stream": {},
    "three streams": {"batch_size": 3, "validation": 0.1},
    "split by streams": {"batch_size": 3, "split": "streams"},
    "split by streams, with a validation part": {
        "batch_size": 3,
        "split": "streams",
        "validation": 0.2,
    },
    "bytes": {"tokens": "bytes", "validation": 0.1},
}
ENGINES_AND_THREADS = [(engine, 1) for engine in ENGINES] + [("native", 2)] * ("native" in ENGINES)


def learner_for(corpus, engine="reference", **settings):
    """Return a new learner with the n-grams of a text."""
    learner = new_learner(small_config(**{**NGRAMS, **settings}), corpus.vocabulary)
    count_missing_ngrams(learner, corpus.ids, open_engine(engine))
    return learner


def trained(corpus, engine="reference", calls=8, ids=None, **settings):
    """Train a new learner to its end in memory, with at most `calls` updates in a call, and return it."""
    learner = new_learner(small_config(**{**NGRAMS, **settings}), corpus.vocabulary)
    ids = corpus.ids if ids is None else ids
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "CallSize", lambda: SizeOfCalls(calls))
        list(train_in_memory(learner, ids, open_engine(engine)))
    return learner


class SizeOfCalls(loop_module.CallSize):
    """The largest size of every call of the engine, in updates."""

    def adapt(self, count, seconds):
        """Keep the size."""


def bits(learner):
    """Return the bytes of a learner's parameters, slots, state and n-grams, and its losses."""
    arrays = {**learner.parameters, **learner.state}
    arrays |= {
        f"{slot}/{name}": a for slot, all_ in learner.slots.items() for name, a in all_.items()
    }
    arrays |= {name: getattr(learner.ngrams, name) for name in ARRAYS}
    return {name: array.tobytes() for name, array in arrays.items()} | {
        "losses": (learner.update, learner.smooth_loss, learner.best_loss)
    }


# What is counted


@pytest.mark.parametrize("division", DIVISIONS)
def test_the_training_part_is_counted_and_no_other_character(division):
    settings = DIVISIONS[division]
    corpus = Corpus.from_text(TEXT, tokens=settings.get("tokens", "characters"))
    config = small_config(**NGRAMS, **settings)
    windows = Windows.of(config, len(corpus))
    segments = counted_segments(windows)
    counted = [at for start, end in segments for at in range(start, end)]
    assert sorted(set(counted)) == counted
    assert set(counted) == {at for a, b in windows.parts["train"] for at in range(a, b)}
    learner = learner_for(corpus, **settings)
    wanted = ReferenceEngine().count_ngrams(
        config, len(corpus.vocabulary), corpus.ids[: segments[-1][1]], np.array(segments)
    )
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(learner.ngrams, name), getattr(wanted, name))
    assert (learner.ngrams.counted, learner.ngrams.parts) == (segments[-1][1], PARTS)


@pytest.mark.parametrize("engine", ENGINES)
def test_characters_after_the_counted_text_are_predicted_by_all_counts(engine, monkeypatch):
    monkeypatch.setattr(ngram_counting, "MOST_COUNTED", 150)
    corpus, asked = small_corpus(), []
    learner = learner_for(corpus, engine)
    assert learner.ngrams.counted == 150
    short = ReferenceEngine().count_ngrams(
        learner.config, len(corpus.vocabulary), corpus.ids[:150], np.array([[0, 150]])
    )
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(learner.ngrams, name), getattr(short, name))

    class Noting(ReferenceEngine):
        def loss_and_gradients(self, learner, x, y, update=None, columns=None):
            asked.append(columns)
            return super().loss_and_gradients(learner, x, y, update, columns)

    list(learn(learner, corpus.ids, Noting()))
    columns = np.concatenate([window[:, 0] for window in asked[: learner.update // 2]])
    targets = 1 + np.arange(len(columns))
    assert columns[targets < 150].tolist() == (1 + targets[targets < 150] * PARTS // 150).tolist()
    assert not columns[targets >= 150].any()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("division", DIVISIONS)
def test_a_text_in_a_file_gives_the_bits_of_a_text_in_memory(
    engine, division, monkeypatch, tmp_path
):
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ngram_counting, "MOST_COUNTED", 300)
    (tmp_path / "cat.txt").write_text(TEXT, encoding="utf-8")
    settings = DIVISIONS[division]
    tokens = settings.get("tokens", "characters")
    small = Corpus.open([tmp_path / "cat.txt"], tokens=tokens)
    monkeypatch.setattr(corpus_module, "IN_MEMORY", 10)
    large = Corpus.open([tmp_path / "cat.txt"], tokens=tokens)
    assert isinstance(small.ids, np.ndarray)
    assert not isinstance(large.ids, np.ndarray)
    assert bits(trained(large, engine, **settings)) == bits(trained(small, engine, **settings))


def test_validation_losses_use_the_counts_of_the_whole_counted_text():
    corpus = small_corpus()
    learner = learner_for(corpus, validation=0.2, judge_every=45, updates=45)
    (last,) = [item for item in learn(learner, corpus.ids, ReferenceEngine())
               if isinstance(item, Record) and item.validation_nats is not None]  # fmt: skip
    ngrams = learner.ngrams
    whole = replace(learner, ngrams=replace(
        ngrams, shares=ngrams.shares[:1], factors=ngrams.factors[:1], counted=0
    ))  # fmt: skip
    evaluated = api.Model(whole, ReferenceEngine(), corpus=corpus).evaluate()
    assert evaluated.nats == pytest.approx(last.validation_nats, rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_that_needs_more_memory_than_there_is_is_refused(engine, monkeypatch):
    corpus = small_corpus()
    learner = new_learner(small_config(**NGRAMS), corpus.vocabulary)
    monkeypatch.setattr(ngram_counting, "unused_memory", lambda: 9_000.0)
    with pytest.raises(ConfigError, match=r"n-grams of .* than the 9e-06 GB .* ngram_order=0"):
        count_missing_ngrams(learner, corpus.ids, open_engine(engine))
    assert not learner.ngrams.parts


# Bits repeat


@pytest.mark.parametrize(("engine", "threads"), ENGINES_AND_THREADS)
@pytest.mark.parametrize("division", DIVISIONS)
def test_the_number_of_updates_in_a_call_changes_no_bit(engine, threads, division):
    settings = {
        **DIVISIONS[division],
        "threads": min(threads, DIVISIONS[division].get("batch_size", 1)),
    }
    corpus = Corpus.from_text(TEXT, tokens=settings.get("tokens", "characters"))
    one, many = (trained(corpus, engine, calls, **settings) for calls in (1, 7))
    assert bits(one) == bits(many)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("division", ["three streams", "split by streams, with a validation part"])
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(engine, division, tmp_path):
    settings = {**NGRAMS, **DIVISIONS[division], "judge_every": 4}
    train(tmp_path / "whole", engine=engine, **settings)
    truth = lasting(tmp_path / "whole")
    for calls in (2, 5, 9, 14):
        run = tmp_path / str(calls)
        train(run, engine=engine, halt=after(calls), **settings)
        halted = load_model(run, "latest")
        assert halted.ngrams.parts == 0
        resume(run, engine=engine)
        assert lasting(run) == truth
        assert halted.update < load_model(run, "latest").update


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_directory_changes_no_bit(engine, tmp_path):
    settings = {**NGRAMS, "validation": 0.1, "judge_every": 4}
    train(tmp_path / "run", engine=engine, **settings)
    stored, learner = (
        load_model(tmp_path / "run", "latest"),
        trained(small_corpus(), engine, **settings),
    )
    for name, array in learner.parameters.items():
        assert array.tobytes() == stored.parameters[name].tobytes()
    assert learner.ngrams.shares[0].tobytes() == stored.ngrams.shares[0].tobytes()


def test_a_run_with_a_new_end_is_one_that_had_this_end_from_the_start(tmp_path):
    train(tmp_path / "long", **NGRAMS, updates=70)
    train(tmp_path / "short", **NGRAMS, updates=45)
    resume(tmp_path / "short", updates=70)
    one, other = (load_model(tmp_path / name, "latest") for name in ("long", "short"))
    assert {n: a.tobytes() for n, a in one.parameters.items()} == {
        n: a.tobytes() for n, a in other.parameters.items()
    }


# When it is counted


def test_every_checkpoint_of_a_new_run_has_the_n_grams(tmp_path):
    corpus = small_corpus()
    with api.begin(corpus, small_config(**NGRAMS), tmp_path / "run"):
        first = load_checkpoint(tmp_path / "run" / "checkpoints" / "0").learner
    assert first.ngrams.shares[0].tobytes() == learner_for(corpus).ngrams.shares[0].tobytes()


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_interruption_while_a_new_run_counts_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(ReferenceEngine, "count_ngrams", interrupt)
    with pytest.raises(KeyboardInterrupt):
        api.begin(small_corpus(), small_config(**NGRAMS, engine="reference"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_interruption_while_a_resumed_run_counts_loses_nothing(tmp_path, monkeypatch):
    train(tmp_path / "whole", **NGRAMS)
    train(tmp_path / "run", halt=after(3), **NGRAMS)
    with monkeypatch.context() as patch:
        patch.setattr(ReferenceEngine, "count_ngrams", interrupt)
        with pytest.raises(KeyboardInterrupt):
            resume(tmp_path / "run")
    resume(tmp_path / "run")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_finished_run_is_not_counted_again(tmp_path, monkeypatch):
    train(tmp_path / "run", **NGRAMS)
    monkeypatch.setattr(ReferenceEngine, "count_ngrams", interrupt)
    charloom.resume(tmp_path / "run", engine="reference")


class Exploding(ReferenceEngine):
    """An engine that refuses the update after 20 while the learning rate is 0.04 or more."""

    def train(self, learner, tokens, plan):
        if learner.update < 20 or plan.learning_rates[0] < 0.04:
            return super().train(learner, tokens, plan)
        return Trace(np.zeros(0), np.zeros(0), "non-finite", np.nan, np.nan)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_rollback_keeps_the_columns_of_the_parts(in_memory, tmp_path, monkeypatch):
    corpus = small_corpus()
    learner = learner_for(corpus, save_seconds=1e-6)
    before = learner.ngrams
    monkeypatch.setattr(ReferenceEngine, "count_ngrams", interrupt)
    if in_memory:
        items = list(train_in_memory(learner, corpus.ids, Exploding()))
    else:
        with (
            calls_without_clock(),
            charloom.store.RunWriter.create(tmp_path / "run", learner, corpus) as writer,
        ):
            items = list(train_run(writer, learner, corpus, Exploding()))
        assert any(event["event"] == "rolled_back" for event in read_run(tmp_path / "run").events)
    assert items_of(Warned, items)
    assert learner.ngrams is before


def test_a_run_from_a_model_counts_its_own_text(tmp_path):
    corpus, other = small_corpus(), Corpus.from_text(TEXT[::-1])
    model = learner_for(corpus)
    config = model.config.replace(epochs=1)
    with api.begin(other, config, tmp_path / "run", model) as training:
        learner = copy_learner(training.learner)
    wanted = learner_for(other)
    assert learner.ngrams.shares.tobytes() == wanted.ngrams.shares.tobytes()
    assert learner.parameters["V"].tobytes() == model.parameters["V"].tobytes()


def test_the_order_of_the_n_grams_comes_from_the_model():
    model = api.Model(learner_for(small_corpus()), ReferenceEngine(), corpus=small_corpus())
    with pytest.raises(ConfigError, match=r"ngram_order is 5, but the given model has 4"):
        charloom.train(string=TEXT, from_model=model, ngram_order=5, updates=1)


def test_the_trial_for_minutes_uses_the_counted_n_grams(monkeypatch):
    from charloom.api import time_estimates

    seen = []
    monkeypatch.setattr(time_estimates, "CALIBRATION_SECONDS", 0.01)
    monkeypatch.setattr(
        time_estimates, "write_checkpoint", lambda _, learner, *__: seen.append(learner.ngrams)
    )
    original = ReferenceEngine.train

    def noting(engine, learner, *rest):
        seen.append(learner.ngrams)
        return original(engine, learner, *rest)

    monkeypatch.setattr(ReferenceEngine, "train", noting)
    config = small_config(**NGRAMS, engine="reference")
    ngrams = learner_for(small_corpus()).ngrams
    time_estimates.measure(small_corpus(), config, ngrams)
    assert {id(used) for used in seen} == {id(ngrams)}


def memory_of(array):
    """Return the bytes of memory that an array keeps, also if it is a part of a larger one."""
    while array.base is not None:
        array = array.base
    return array.nbytes


@pytest.mark.parametrize("run", [None, "run"])
def test_a_trained_model_keeps_only_the_column_of_the_whole_text(run, tmp_path):
    settings = {"hidden_size": 4, "seq_length": 10, "updates": 3, "engine": "reference"}
    model = charloom.train(
        string=TEXT, run=run and tmp_path / run, recipe="classic", ngram_order=4, **settings
    )
    ngrams, wanted = model.learner.ngrams, learner_for(small_corpus()).ngrams
    assert (len(ngrams.shares), len(ngrams.factors)) == (1, 1)
    assert memory_of(ngrams.shares) == ngrams.shares.nbytes
    assert memory_of(ngrams.factors) == ngrams.factors.nbytes
    assert ngrams.equal_model(wanted)
    assert ngrams.nbytes < wanted.nbytes / 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_finished_model_that_is_trained_further_has_the_bits_of_one_that_was_not(engine):
    corpus = small_corpus()
    learner = learner_for(corpus, engine)
    with calls_without_clock():
        for item in learn(learner, corpus.ids, open_engine(engine)):
            if isinstance(item, Progress) and item.update >= 20:
                break
        learner = finished_model(learner)
        assert learner.ngrams.parts == 0
        list(learn(learner, corpus.ids, open_engine(engine)))
    assert bits(learner) == bits(trained(corpus, engine))


@pytest.mark.parametrize("minutes", [None, 0.01])
@pytest.mark.parametrize("name", ["shares", "factors", "follower_ids"])
def test_a_resumed_run_is_refused_if_its_text_has_other_n_grams(name, minutes, tmp_path):
    corpus = small_corpus()
    learner = learner_for(corpus)
    changed = getattr(learner.ngrams, name).copy()
    if name == "follower_ids":  # the last context has one entry
        changed[-1] = (changed[-1] + 1) % len(corpus.vocabulary)
    else:
        changed[0, -1] *= 0.5
    learner.ngrams = replace(learner.ngrams, **{name: changed})
    charloom.store.RunWriter.create(tmp_path / "run", learner, corpus).close()
    with pytest.raises(TextError, match="trained with other n-grams than those of this text"):
        charloom.resume(tmp_path / "run", minutes=minutes, engine="reference")


def test_a_learner_without_n_grams_counts_nothing():
    corpus = small_corpus()
    learner = new_learner(Config(hidden_size=4), corpus.vocabulary)
    count_missing_ngrams(learner, corpus.ids, ReferenceEngine())
    assert learner.ngrams is None


def test_a_reopened_run_has_only_the_counts_of_the_whole_text_until_it_trains(tmp_path):
    train(tmp_path / "run", halt=after(3), **NGRAMS)
    writer, learner, corpus = reopen(tmp_path / "run")
    with writer:
        assert learner.ngrams.parts == 0
        items = train_run(writer, learner, corpus, ReferenceEngine())
        next(item for item in items if isinstance(item, Record))
        assert learner.ngrams.parts == PARTS
        items.close()
