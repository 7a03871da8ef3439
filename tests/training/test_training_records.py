"""Tests of the records of a training run and of its stopwatch."""

import dataclasses
import json
import time

from charloom.model import new_learner
from charloom.training import Record, Stopwatch, learn
from small_runs import small_config, small_corpus
from training_clocks import Timed


def test_a_record_is_one_line_of_json_with_these_bytes():
    record = Record(100, 0.25, 2500, 1.5, 80.0, 100.25, 3.2, 0.1, 12.5, 50_000.0)
    golden = (
        b'{"characters":2500,"characters_per_second":       50000.0,"epoch":0.25,'
        b'"gradient_norm":12.5,"learning_rate":0.1,"loss":80.0,"seconds":         1.500,'
        b'"smooth_loss":100.25,"train_nats":3.2,"update":100}'
    )
    assert record.to_line() == golden
    assert json.loads(golden) == record.to_dict()
    assert list(json.loads(golden)) == sorted(record.to_dict())


def test_a_record_with_a_validation_loss_ends_with_it():
    judged = Record(100, 0.25, 2500, 1.5, 80.0, 100.25, 3.2, 0.1, 12.5, 50_000.0, 1.75)
    other = dataclasses.replace(judged, validation_nats=None)
    line = judged.to_line()
    assert line.removesuffix(b',"validation_nats":1.75}') == other.to_line().removesuffix(b"}")
    assert json.loads(line) == judged.to_dict() == {**other.to_dict(), "validation_nats": 1.75}
    assert "validation_nats" not in other.to_dict()


def test_a_record_line_has_the_same_length_at_any_clock_time():
    lengths = set()
    for seconds, rate in ((0.0, 0.0), (0.001, 0.1), (9_999_999_999.999, 999_999_999_999.0)):
        line = Record(1, 1.0, 25, seconds, 1.0, 1.0, 1.0, 0.1, 1.0, rate).to_line()
        assert json.loads(line)["seconds"] == seconds
        assert json.loads(line)["characters_per_second"] == rate
        lengths.add(len(line))
    assert len(lengths) == 1


def test_the_first_speed_does_not_include_the_sample_before_training():
    engine, corpus = Timed(), small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    items = learn(learner, corpus.ids, engine, clock=lambda: engine.seconds)
    first = next(item for item in items if isinstance(item, Record))
    assert first.characters_per_second == learner.config.seq_length  # one update in a second


def test_a_paused_stopwatch_does_not_advance(monkeypatch):
    now = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Stopwatch(100.0)
    now[0] += 2
    watch.stop()
    now[0] += 30
    assert watch() == 102
    watch.start()
    now[0] += 1
    assert watch() == 103
