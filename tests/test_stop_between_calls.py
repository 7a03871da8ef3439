"""A request to stop is obeyed between two engine calls, each of which takes a fraction of a second.

The tests count characters, networks or bytes between two checks, and do not use the clock.
"""

import json

import numpy as np
import pytest

from charloom import api, baselines, scoring
from charloom.baselines import GIVEN, measure_baselines
from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.cooperative import run_all_slices
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.gradient_check import numerical
from charloom.hidden_units.unit_values import blocks, choose
from charloom.model import new_learner, weights_per_character
from charloom.model.schedule import Schedule
from charloom.store import load_model, read_run, write_control
from charloom.text import Vocabulary
from charloom.training import (
    Ended,
    Record,
    Sample,
    command_reader,
    learn,
    loop,
    train_in_memory,
    train_run,
)
from charloom.training.loop import continuation_in_slices
from reliability.run_comparison import lasting
from small_runs import ENGINES, create, resume, small_config, small_corpus, train, train_interrupted

LONG = {"sample_length": 300, "passage_length": 400}


@pytest.fixture
def short_calls(monkeypatch):
    """Limit engine calls to 40 characters."""
    monkeypatch.setattr(loop, "tokens_of_a_call", lambda *_, **__: 40)


class Writing(ReferenceEngine):
    """An engine that calls a function at one of its sampling calls."""

    def __init__(self, at=0, action=None):
        self.at, self.action, self.calls, self.most = at, action, 0, 0

    def generate(self, learner, read, sampler, uniforms, state):
        self.calls += 1
        self.most = max(self.most, len(uniforms))
        if self.calls == self.at:
            self.action()
        return super().generate(learner, read, sampler, uniforms, state)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_number_of_characters_per_call_does_not_change_the_text(engine, cell, monkeypatch):
    corpus = small_corpus()
    learner = new_learner(small_config(cell=cell, init="uniform"), corpus.vocabulary)
    windows = Schedule.of(learner.config, len(corpus)).windows
    found = set()
    for size in (1, 7, 300, 10**9):
        monkeypatch.setattr(loop, "tokens_of_a_call", lambda *_, size=size, **__: size)
        found.add(
            run_all_slices(
                continuation_in_slices(learner, corpus.ids, windows, open_engine(engine), 300)
            )
        )
    assert len(found) == 1
    assert len(found.pop()) == 300


def test_a_large_network_samples_few_characters_per_call():
    corpus, engine = small_corpus(), Writing()
    learner = new_learner(small_config(cell="lstm", hidden_size=500), corpus.vocabulary)
    weights = weights_per_character(learner.parameters)
    windows = Schedule.of(learner.config, len(corpus)).windows
    next(continuation_in_slices(learner, corpus.ids, windows, engine, 1_000))
    assert engine.calls == 1
    assert engine.most * weights <= 2**27


@pytest.mark.parametrize("at", [1, 2, 10, 12, 24])
def test_an_interrupted_sample_is_repeated_with_the_same_bits(tmp_path, short_calls, at):
    engine, learner, items = train_interrupted(tmp_path / "run", Writing, at, **LONG)
    assert (engine.calls, items[-1].state) == (at, "interrupted")
    assert not [
        item
        for item in items[:-1]
        if isinstance(item, Record | Sample) and item.update > items[-1].update
    ]
    assert load_model(tmp_path / "run").update == items[-1].update == learner.update
    resume(tmp_path / "run")
    train(tmp_path / "whole", **LONG)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_an_interrupted_passage_is_written_after_resuming(tmp_path, short_calls, monkeypatch):
    monkeypatch.setattr(command_reader, "LOOK_SECONDS", 0.0)
    run = tmp_path / "run"
    writer, learner, corpus = create(run, sample_length=5, passage_length=400)
    before = sum(
        isinstance(item, Sample)
        for item in train(tmp_path / "whole", **LONG | {"sample_length": 5})
    )
    engine = Writing(before + 3, lambda: write_control(run, "stop"))
    with writer:
        items = list(train_run(writer, learner, corpus, engine))
    assert (engine.calls, items[-1].state) == (before + 3, "stopped")
    assert read_run(run).passage is None
    write_control(run, "run")
    assert resume(run)[-1].state == "finished"
    assert lasting(run) == lasting(tmp_path / "whole")


def test_a_sample_without_a_run_can_be_interrupted(short_calls):
    corpus, signals = small_corpus(), []
    learner = new_learner(small_config(**LONG), corpus.vocabulary)
    engine = Writing(10, lambda: signals.append("SIGINT"))
    *items, ended = train_in_memory(
        learner, corpus.ids, engine, lambda: signals[0] if signals else None
    )
    assert ended == Ended(learner.update, "interrupted", "SIGINT")
    assert engine.calls == 10
    # Nobody heard of an update that was taken back.
    assert max(item.update for item in items) == learner.update
    rest = list(train_in_memory(learner, corpus.ids, ReferenceEngine()))
    whole = new_learner(small_config(**LONG), corpus.vocabulary)
    samples = [
        item for item in learn(whole, corpus.ids, ReferenceEngine()) if isinstance(item, Sample)
    ]
    assert [item for item in rest if isinstance(item, Sample)][-1] == samples[-1]


@pytest.mark.parametrize("how", ["SIGTERM", "stop"])
def test_the_gradient_checks_of_an_experiment_end_after_the_next_few_networks(
    tmp_path, monkeypatch, how
):
    corpus, networks, signals = small_corpus(), [], []
    right = numerical.losses

    def losses(parameters, *window):
        networks.append(len(parameters))
        if len(networks) == 3:
            signals.append(how)
            if how == "stop":
                write_control(tmp_path / "run", "stop")
        return right(parameters, *window)

    monkeypatch.setattr(numerical, "losses", losses)
    with api.begin(corpus, small_config(engine="reference"), tmp_path / "run") as training:
        halt = (lambda: signals[0] if signals else None) if how != "stop" else (lambda: None)
        items = list(api.reproduction(training, halt))
    assert len(networks) == 3
    assert items[-1].state == ("stopped" if how == "stop" else "interrupted")
    assert json.loads((tmp_path / "run" / "gradcheck.json").read_text())["checks"] == []


def test_the_units_of_a_large_network_are_read_for_few_characters_per_call():
    vocabulary = Vocabulary("ab")
    learner = new_learner(Config(hidden_size=1_500, init="uniform"), vocabulary)
    weights = weights_per_character(learner.parameters)
    read = []

    class Looking(ReferenceEngine):
        def activations(self, learner, tokens, state):
            read.append(len(tokens))
            return {"h": np.zeros((len(tokens), 1, 1_500), "float32")}, state

    list(blocks(learner, Looking(), np.zeros(500, np.uint8), choose(learner, unit=0)))
    assert sum(read) == 500
    assert max(read) * weights <= 2**27


def test_a_compressor_gets_a_small_block_per_call(monkeypatch):
    given = []

    class Noting:
        def compress(self, data):
            given.append(len(data))
            return data

        def flush(self):
            return b"end"

    monkeypatch.setattr(baselines, "COMPRESSORS", {"noting": Noting})
    vocabulary = Vocabulary("ab")
    ids = np.arange(40_000, dtype=np.uint8) % 2
    found = measure_baselines([ids], [ids[:100]], vocabulary)
    assert max(given) <= GIVEN
    judged = 99  # the first one is not predicted
    assert sum(given) >= 2 * (40_000 + judged)
    assert found.compressors["noting"].alone == 8 * (judged + len(b"end")) / judged


def test_the_evaluation_of_a_large_network_can_be_interrupted_often():
    """Uses 16 streams and two layers of 512 units, for which a request to stop once took nine seconds."""
    corpus = small_corpus()
    learner = new_learner(small_config(cell="lstm", hidden_size=512, layers=2), corpus.vocabulary)
    weights = weights_per_character(learner.parameters)
    for streams in (1, 16, 64):
        assert scoring.tokens_of_a_call(learner, streams) * weights <= 2**27 * min(streams, 16)
