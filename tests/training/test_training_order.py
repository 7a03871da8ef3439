"""Training in each order equals separate runs over its windows and chunks, each from the zero state."""

import numpy as np
import pytest

import oracle
from charloom.engines import Plan, open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import TextError
from charloom.model import copy_learner, new_learner, zero_state
from charloom.model.learner import RECENT
from charloom.model.schedule import Schedule
from charloom.text import Corpus, corpus
from charloom.text.id_file import IdFile
from charloom.training import Record, Sample, learn, loop
from charloom.training.ngram_counting import choose_missing_pairs, count_missing_ngrams
from reliability.run_comparison import lasting
from small_runs import (
    ENGINES,
    TEXT,
    after,
    calls_without_clock,
    create,
    resume,
    small_config,
    small_corpus,
    train,
)
from training_items import items_of

NETWORKS = {
    "classic": {},
    "stack": {"cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam", "dropout": 0.2},
    "gru": {"cell": "gru", "batch_size": 2, "threads": 2, "split": "streams", "validation": 0.2},
    "ngrams": {"ngram_order": 4, "input_pairs": 30, "batch_size": 2, "cell": "gru"},
    "pairs": {"input_pairs": 30},
}
ORDERS = {"chunks": {"order": "chunks", "chunks": 4}, "random": {"order": "random"}}
each_network = pytest.mark.parametrize("network", NETWORKS)
each_order = pytest.mark.parametrize("order", ORDERS)
each_engine = pytest.mark.parametrize("engine", ENGINES)


def start(engine, **settings):
    """Return a learner before its first update, its text and an engine."""
    text, opened = small_corpus(), open_engine(engine, settings.get("threads", 1))
    config = small_config(learning_rate=0.01, **settings)
    learner = new_learner(config, text.vocabulary)
    count_missing_ngrams(learner, text.ids, opened)
    choose_missing_pairs(learner, text.ids)
    return learner, text, opened


def train_in_runs(learner, ids, engine):
    """Train two epochs with a call of the engine for each stretch between two resets.

    Each stretch begins with a state that is made here. Its windows follow one another.
    """
    config, T, losses = learner.config, learner.config.seq_length, []
    order = Schedule.of(config, len(ids)).order
    for epoch in (0, 1):
        count = order.windows.per_epoch
        starts, resets = order.starts(epoch, 0, count), order.resets(epoch, 0, count)
        for first, end in zip(
            np.flatnonzero(resets), [*np.flatnonzero(resets)[1:], count], strict=True
        ):
            learner.state, learner.position = zero_state(config, config.batch_size), 0
            plan = Plan(np.full(end - first, config.learning_rate), starts[first])
            losses += engine.train(learner, ids, plan).losses.tolist()
            assert learner.position == T * (end - first)
    return losses


def train_in_calls(learner, ids, engine, sizes):
    """Train two epochs in calls of these sizes, again and again, as `learn` does; return the losses."""
    schedule, losses, n = Schedule.of(learner.config, len(ids)), [], 0
    while not schedule.is_finished(learner):
        windows = schedule.windows
        left = windows.left_in_epoch(learner.position) or windows.per_epoch
        trace = loop.apply_updates(learner, ids, engine, schedule, min(left, sizes[n % len(sizes)]))
        losses, n = losses + trace.losses.tolist(), n + 1
    return losses


def assert_same_learners(one, two):
    """Assert that two learners have equal parameters, slots and states to the bit."""
    for name in one.parameters:
        np.testing.assert_array_equal(one.parameters[name], two.parameters[name], name)
    for slot, arrays in one.slots.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, two.slots[slot][name], f"{slot} {name}")
    for name, array in one.state.items():
        np.testing.assert_array_equal(array, two.state[name], name)


@each_engine
@each_order
@each_network
def test_resets_within_a_call_have_the_bits_of_separate_calls_from_the_zero_state(
    engine, order, network
):
    whole, text, opened = start(engine, **ORDERS[order], **NETWORKS[network])
    apart = copy_learner(whole)
    losses = train_in_calls(whole, text.ids, opened, [1_000])
    assert losses == train_in_runs(apart, text.ids, opened)
    assert_same_learners(whole, apart)


@each_engine
@each_order
@each_network
def test_any_division_into_calls_has_the_same_bits(engine, order, network):
    whole, text, opened = start(engine, **ORDERS[order], **NETWORKS[network])
    parts = copy_learner(whole)
    losses = train_in_calls(whole, text.ids, opened, [1_000])
    assert losses == train_in_calls(parts, text.ids, opened, [1, 3, 7, 2])
    assert_same_learners(whole, parts)
    assert (whole.position, whole.epoch, whole.update) == (
        parts.position, parts.epoch, parts.update,
    )  # fmt: skip


class Careless:
    """An engine with a planted fault in the plans that it gets."""

    def __init__(self, engine, fault):
        self.engine, self.fault = engine, fault

    def train(self, learner, tokens, plan):
        return self.engine.train(learner, tokens, self.fault(plan))


def without_resets(plan):
    """Return a plan that resets no state."""
    return Plan(plan.learning_rates, plan.starts, plan.places)


def without_last_reset(plan):
    """Return a plan without the last reset after its first update."""
    resets = plan.resets.copy()
    resets[np.flatnonzero(resets)[-1]] = False
    return Plan(plan.learning_rates, plan.starts, plan.places, resets)


def twice(plan):
    """Return a plan that reads the second half of its windows where the first half was."""
    starts = plan.starts.copy()
    half = len(starts) // 2
    starts[half : 2 * half] = starts[:half]
    return Plan(plan.learning_rates, starts, plan.places, plan.resets)


@each_engine
@pytest.mark.parametrize("fault", [without_resets, without_last_reset, twice])
@each_network
def test_a_planted_fault_in_a_plan_is_found_by_that_comparison(engine, fault, network):
    whole, text, opened = start(engine, **ORDERS["chunks"], **NETWORKS[network])
    apart = copy_learner(whole)
    losses = train_in_calls(whole, text.ids, Careless(opened, fault), [1_000])
    assert losses != train_in_runs(apart, text.ids, opened)


@pytest.mark.skipif("native" not in ENGINES, reason="the native engine is not built")
@each_order
@each_network
def test_both_engines_train_alike(order, network):
    ours, text, native = start("native", dtype="float64", **ORDERS[order], **NETWORKS[network])
    theirs = copy_learner(ours)
    schedule = Schedule.of(ours.config, len(text))
    for engine, learner in ((native, ours), (ReferenceEngine(), theirs)):
        loop.apply_updates(learner, text.ids, engine, schedule, schedule.windows.per_epoch)
    for name, array in theirs.parameters.items():
        np.testing.assert_allclose(ours.parameters[name], array, rtol=1e-9, atol=1e-10)
    for name, array in theirs.state.items():
        np.testing.assert_allclose(ours.state[name], array, rtol=1e-9, atol=1e-10)


@each_engine
@each_order
def test_each_window_after_a_reset_has_the_loss_of_the_oracle_from_the_zero_state(engine, order):
    """The oracle needs about a second for its products in single numbers."""
    learner, text, opened = start(
        engine, dtype="float64", batch_size=2, optimizer="sgd", momentum=0.0, clip=0.0,
        hidden_size=3, seq_length=8, **ORDERS[order],
    )  # fmt: skip
    schedule = Schedule.of(learner.config, len(text))
    count = 10 if order == "chunks" else 4
    starts = schedule.order.starts(0, 0, count)
    resets = schedule.order.resets(0, 0, count)
    assert 1 < resets.sum() <= 4
    p = {name: array.tolist() for name, array in learner.parameters.items()}
    zero = {"h": np.zeros((1, 2, 3)).tolist()}
    losses, state = [], zero
    for reset, begins in zip(resets, starts, strict=True):
        ids = text.ids[begins + np.arange(9)[:, np.newaxis]].tolist()
        loss, d, state = oracle.loss_and_gradients(
            "rnn", p, ids[:-1], ids[1:], zero if reset else state
        )
        p = {n: (np.array(p[n]) - 0.01 * np.array(d[n])).tolist() for n in p}
        losses.append(loss)
    trace = loop.apply_updates(learner, text.ids, opened, schedule, count)
    np.testing.assert_allclose(trace.losses, losses, rtol=1e-11)
    for name, array in learner.parameters.items():
        np.testing.assert_allclose(array, p[name], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(learner.state["h"], state["h"], rtol=1e-9)


@each_engine
@each_order
def test_a_run_in_any_order_resumes_bit_for_bit(tmp_path, engine, order):
    settings = {**ORDERS[order], "cell": "gru", "batch_size": 2, "ngram_order": 3, "epochs": 3}
    train(tmp_path / "whole", engine=engine, **settings)
    items = train(tmp_path / "cut", engine=engine, halt=after(2), **settings)
    stops = 0
    while items[-1].state == "interrupted":
        items, stops = resume(tmp_path / "cut", engine=engine, halt=after(2 + stops % 3)), stops + 1
    assert stops > 5
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


@each_engine
@each_order
def test_records_and_samples_are_due_at_the_same_updates_in_every_order(engine, order):
    def dues(**settings):
        learner, text, opened = start(engine, **settings)
        with calls_without_clock():
            items = list(learn(learner, text.ids, opened))
        return [(type(item), item.update) for item in items if isinstance(item, Record | Sample)]

    assert dues(**ORDERS[order]) == dues()


@each_order
@pytest.mark.parametrize("network", ["classic", "stack", "ngrams"])
def test_a_text_whose_ids_are_in_a_file_trains_alike(tmp_path, monkeypatch, order, network):
    book = tmp_path / "book.txt"
    book.write_text(TEXT, encoding="utf-8")
    in_memory = train(
        tmp_path / "memory", Corpus.open([book]), **ORDERS[order], **NETWORKS[network]
    )
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    in_file = Corpus.open([book])
    assert isinstance(in_file.ids, IdFile)
    from_file = train(tmp_path / "file", in_file, **ORDERS[order], **NETWORKS[network])
    losses = [
        [record.loss for record in items_of(Record, items)] for items in (in_memory, from_file)
    ]
    assert losses[0] == losses[1]
    assert items_of(Sample, from_file) == items_of(Sample, in_memory)


def test_recent_ids_are_forgotten_at_a_reset():
    learner, text, opened = start("reference", ngram_order=4, **ORDERS["random"])
    learner.state[RECENT][:] = 3
    plan = Plan(np.full(1, 0.01), np.array([[20]]), resets=np.array([True]))
    opened.train(learner, text.ids, plan)
    alone = copy_learner(start("reference", ngram_order=4)[0])
    trace = opened.train(alone, text.ids, Plan(np.full(1, 0.01), np.array([20])))
    assert trace.losses.size == 1
    assert_same_learners(learner, alone)


def test_a_run_with_too_many_chunks_is_refused_before_it_is_created(tmp_path):
    per_epoch = Schedule.of(small_config(), len(small_corpus())).windows.per_epoch
    with pytest.raises(TextError, match=f"Give {per_epoch} chunks or fewer"):
        create(tmp_path / "run", order="chunks", chunks=per_epoch + 1)
    assert not (tmp_path / "run").exists()
