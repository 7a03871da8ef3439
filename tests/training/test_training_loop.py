"""The training loop follows the algorithm, with the same bits however its calls are cut."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from charloom.config import Config
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.model import copy_learner, new_learner, zero_state
from charloom.model.learner import ARRAYS
from charloom.model.schedule import Schedule
from charloom.training import Progress, Record, Sample, learn, loop
from reliability.run_comparison import CLOCK_FIELDS
from small_runs import ENGINES, small_config, small_corpus
from training_items import items_of


def start(**settings):
    """Return a learner and its text."""
    corpus = small_corpus()
    return new_learner(small_config(**settings), corpus.vocabulary), corpus


# When things are due


def test_records_and_samples_come_when_they_are_due():
    learner, corpus = start()
    items = list(learn(learner, corpus.ids, ReferenceEngine()))
    schedule = Schedule.of(learner.config, len(corpus))
    updates = range(schedule.updates + 1)
    assert [r.update for r in items_of(Record, items)] == [
        u for u in updates if u and schedule.record_due(u)
    ]
    assert [s.update for s in items_of(Sample, items)] == [
        u for u in updates if schedule.sample_due(u)
    ]
    assert len({s.update for s in items_of(Sample, items)}) == len(items_of(Sample, items))
    assert learner.update == schedule.updates
    whole = [record.epoch for record in items_of(Record, items) if record.epoch % 1 == 0]
    assert whole == [1.0, 2.0]
    assert isinstance(items[-1], Progress)


@pytest.mark.parametrize(
    ("averaging", "per_epoch", "interval"),
    [(0.0, 8, 8), (0.1, 8, 16), (0.1, 5, 20), (0.1, 16, 16), (0.1, 100, 100)],
)
def test_averaged_weights_are_evaluated_only_after_they_have_moved(averaging, per_epoch, interval):
    config = Config(averaging=averaging, validation=0.1, updates=1_000, report_every=1_000)
    schedule = Schedule(config, SimpleNamespace(per_epoch=per_epoch))
    due = [update for update in range(1, 1_000) if schedule.evaluation_due(update)]
    assert due == list(range(interval, 1_000, interval))
    assert schedule.evaluation_interval == interval
    assert Schedule(config.replace(judge_every=3), None).evaluation_interval == 3
    assert all(schedule.next_due(update) <= update + interval for update in range(100))


# The algorithm


def test_training_gives_the_same_numbers_as_a_loop_over_windows():
    learner, corpus = start(smoothing=0.9)
    twin = copy_learner(learner)
    records = items_of(Record, learn(learner, corpus.ids, ReferenceEngine()))

    T, ids, engine = 10, corpus.ids, ReferenceEngine()
    losses, smooth, ends = [], None, []
    for _ in range(2):
        e, twin.state = 0, zero_state(twin.config)
        while not e > len(ids) - T - 1:
            x, y = ids[e : e + T, np.newaxis], ids[e + 1 : e + T + 1, np.newaxis]
            loss, gradients, twin.state = engine.loss_and_gradients(twin, x, y)
            for name, gradient in gradients.items():
                gradient = np.clip(gradient, -5, 5)
                memory = twin.slots["accumulator"][name]
                memory += gradient * gradient
                twin.parameters[name] -= 0.1 * gradient / np.sqrt(memory + 1e-8)
            smooth = loss if smooth is None else 0.9 * smooth + (1 - 0.9) * loss
            losses.append((loss, smooth))
            e += T
        ends.append(len(losses))

    for name, parameter in twin.parameters.items():
        assert learner.parameters[name].tobytes() == parameter.tobytes()
    for record in records:
        assert (record.loss, record.smooth_loss) == losses[record.update - 1]
        assert record.characters == 10 * record.update
        assert record.epoch == pytest.approx(record.update / ends[0])
    before = [0, *(record.update for record in records)]
    for first, record in zip(before, records, strict=False):
        mean = sum(loss for loss, _ in losses[first : record.update]) / (record.update - first) / T
        assert record.train_nats == pytest.approx(mean, rel=1e-12)
    best = min(records, key=lambda record: record.smooth_loss)
    assert (learner.best_update, learner.best_loss) == (best.update, best.smooth_loss)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("growth", [1, 3, 10**6])
def test_the_number_of_updates_in_a_call_changes_no_bit(monkeypatch, engine, growth):
    monkeypatch.setattr(loop, "CALL_SECONDS", 1e9)
    first, corpus = start(report_every=40)
    results = [list(learn(first, corpus.ids, open_engine(engine)))]
    monkeypatch.setattr(loop, "GROWTH", growth)
    second, _ = start(report_every=40)
    results.append(list(learn(second, corpus.ids, open_engine(engine))))
    for name, parameter in first.parameters.items():
        assert second.parameters[name].tobytes() == parameter.tobytes()
    no_arrays = {name: {} for name in ARRAYS}
    assert replace(second, **no_arrays) == replace(first, **no_arrays)
    assert without_clock(results[0]) == without_clock(results[1])


def without_clock(items):
    """Return records without the values that depend on the clock, and samples."""
    records = [record.to_dict() for record in items_of(Record, items)]
    for record in records:
        for field in CLOCK_FIELDS:
            del record[field]
    return records, items_of(Sample, items)


def test_sampling_during_training_changes_no_result():
    often, corpus = start(sample_every=1, sample_first=1, sample_until=10**6)
    rarely, _ = start(sample_until=0)
    samples = items_of(Sample, learn(often, corpus.ids, ReferenceEngine()))
    list(learn(rarely, corpus.ids, ReferenceEngine()))
    assert len(samples) == often.update + 1
    assert all(len(sample.text) == 30 for sample in samples)
    assert len({sample.text for sample in samples}) > often.update / 2
    for name, parameter in often.parameters.items():
        assert parameter.tobytes() == rarely.parameters[name].tobytes()


def test_the_last_update_has_only_one_sample():
    learner, corpus = start(updates=20)
    samples = items_of(Sample, learn(learner, corpus.ids, ReferenceEngine()))
    assert [sample.update for sample in samples] == [0, 5, 20]


def test_an_engine_call_takes_about_a_tenth_of_a_second(monkeypatch):
    calls = []

    class Timed(ReferenceEngine):
        def train(self, learner, tokens, plan):
            calls.append(len(plan.learning_rates))
            now[0] += 0.01 * len(plan.learning_rates)
            return super().train(learner, tokens, plan)

    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    learner, corpus = start(report_every=1_000, sample_until=0)
    list(learn(learner, corpus.ids, Timed()))
    assert calls[0] == 1
    assert max(calls) == 10


def test_the_learning_rate_factor_multiplies_the_rate():
    learner, corpus = start(updates=3)
    learner.learning_rate_factor = 0.25
    rates = []

    class Spy(ReferenceEngine):
        def train(self, learner, tokens, plan):
            rates.extend(plan.learning_rates.tolist())
            return super().train(learner, tokens, plan)

    records = items_of(Record, learn(learner, corpus.ids, Spy()))
    assert rates == [0.025] * 3
    assert {record.learning_rate for record in records} == {0.025}
