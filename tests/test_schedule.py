"""When work is due and the learning rate are pure functions of the update (docs/spec/mathematics.md, Learning rates)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.model import new_learner
from charloom.model.schedule import Schedule
from charloom.text import Windows
from small_runs import small_config, small_corpus


def schedule(characters=457, **settings):
    """Return a schedule. By default, it has about 45 windows an epoch."""
    config = small_config(**settings)
    return Schedule(config, Windows.of(config, characters))


# When things are due


def test_the_classic_schedule_is_that_of_the_classic_experiment():
    classic = schedule(
        1_107_542,
        epochs=10,
        seq_length=25,
        report_every=100,
        sample_first=1_000,
        sample_every=10_000,
        sample_until=100_000,
    )
    assert classic.windows.per_epoch == 44_301
    assert classic.updates == 443_010
    samples = [update for update in range(443_011) if classic.sample_due(update)]
    assert samples == [0, 1_000, *range(10_000, 100_001, 10_000), 443_010]
    records = {update for update in range(1, 443_011) if classic.record_due(update)}
    epoch_ends = range(44_301, 443_011, 44_301)
    assert records == {1, *range(100, 443_011, 100), *epoch_ends}


@pytest.mark.parametrize("updates", [None, 1, 77])
@pytest.mark.parametrize(
    "judging", [{}, {"validation": 0.2}, {"validation": 0.2, "judge_every": 9}]
)
def test_no_scheduled_work_is_skipped(updates, judging):
    found = schedule(updates=updates, **judging)
    due = [
        update
        for update in range(1, found.updates + 1)
        if found.record_due(update) or found.sample_due(update) or found.evaluation_due(update)
    ]
    update, stops = 0, []
    while update < found.updates:
        update = found.next_due(update)
        stops.append(update)
    assert set(due) <= set(stops)
    assert stops[-1] == found.updates


def test_evaluations_come_at_epoch_ends_or_at_an_interval_and_each_has_a_record():
    by_epoch = schedule(validation=0.2, report_every=1_000)
    per_epoch = by_epoch.windows.per_epoch
    assert [u for u in range(1, 91) if by_epoch.evaluation_due(u)] == [per_epoch, 2 * per_epoch]
    often = schedule(validation=0.2, judge_every=11, updates=40, report_every=1_000)
    judged = [u for u in range(1, 41) if often.evaluation_due(u)]
    assert judged == [11, 22, 33, 40]
    assert all(often.record_due(update) for update in judged)
    assert not any(schedule(judge_every=11).evaluation_due(update) for update in range(1, 91))


# How fast is learnt


def test_a_constant_learning_rate_equals_the_setting():
    assert schedule(learning_rate=0.3).learning_rates(17, 3).tolist() == [0.3] * 3


def test_a_warm_up_rises_in_equal_steps_to_the_full_learning_rate():
    for name in ("constant", "step", "cosine"):
        rates = schedule(learning_rate=0.5, warmup=5, schedule=name).learning_rates(0, 7)
        np.testing.assert_allclose(rates[:5], [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-15)
        assert rates[5] == pytest.approx(0.5)
        assert rates[5] >= rates[6]


def test_step_decay_equals_that_of_char_rnn():
    # char-rnn: after each epoch from the tenth on, times 0.97.
    found = schedule(101, seq_length=10, epochs=14, learning_rate=2e-3, schedule="step")
    assert found.windows.per_epoch == 10
    by_epoch = found.learning_rates(0, 140).reshape(14, 10)
    for epoch, rates in enumerate(by_epoch):
        expected = 2e-3 * 0.97 ** max(0, epoch - 9)
        np.testing.assert_allclose(rates, expected, rtol=1e-14)


def test_step_decay_can_have_an_interval_of_several_epochs():
    found = schedule(
        101, epochs=9, schedule="step", step_after=2, step_every=3, step_factor=0.5, learning_rate=1
    )
    by_epoch = found.learning_rates(0, 90).reshape(9, 10)[:, 0]
    assert by_epoch.tolist() == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_step_decay_in_updates_begins_and_repeats_at_these_updates():
    found = schedule(
        101, epochs=3, schedule="step", step_after_updates=7, step_every_updates=4, step_factor=0.5,
        learning_rate=1,
    )  # fmt: skip
    rates = found.learning_rates(0, 17).tolist()
    assert rates == [1] * 7 + [0.5] * 4 + [0.25] * 4 + [0.125] * 2
    at_once = schedule(101, schedule="step", step_after_updates=0, learning_rate=1)
    assert at_once.learning_rates(0, 1).tolist() == [0.97]


@pytest.mark.parametrize(
    ("in_epochs", "in_updates"),
    [
        ({"step_after": 2, "step_every": 3}, {"step_after_updates": 20, "step_every_updates": 30}),
        ({"step_after": 2, "step_every": 3}, {"step_after": 2, "step_every_updates": 30}),
        ({"warmup_epochs": 1.5}, {"warmup": 15}),
        ({"warmup_epochs": 0.0}, {"warmup": 0}),
        ({"warmup_epochs": 0.26}, {"warmup": 3}),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["step", "cosine"])
def test_a_time_in_epochs_equals_the_same_time_in_updates(in_epochs, in_updates, name):
    one, two = (
        schedule(101, schedule=name, epochs=9, **times) for times in (in_epochs, in_updates)
    )
    assert one.windows.per_epoch == 10
    assert one.learning_rates(0, 90).tolist() == two.learning_rates(0, 90).tolist()


def test_the_cosine_falls_from_the_full_learning_rate_to_the_final_share():
    found = schedule(updates=100, warmup=20, schedule="cosine", cosine_end=0.1, learning_rate=2.0)
    rates = found.learning_rates(20, 80)
    assert rates[0] == 2.0
    assert rates[40] == pytest.approx(2.0 * 0.55)  # half way: the mean of both ends
    assert rates[-1] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 79 / 80))))
    assert (np.diff(rates) < 0).all()
    # A run that goes on beyond its end stays there.
    np.testing.assert_allclose(found.learning_rates(100, 3), 0.2)


@given(
    st.sampled_from(["constant", "step", "cosine"]),
    st.integers(0, 30),
    st.integers(0, 80),
    st.integers(1, 20),
)
def test_a_learning_rate_depends_only_on_its_update(name, warmup, first, count):
    found = schedule(schedule=name, warmup=warmup, step_after=1)
    assert found.learning_rates(first, count).tolist() == [
        found.learning_rates(update, 1)[0] for update in range(first, first + count)
    ]


# When it ends


def test_training_ends_at_the_last_update_or_when_patience_is_exhausted():
    found = schedule(updates=50, validation=0.2, patience=2)
    learner = new_learner(found.config, small_corpus().vocabulary)
    learner.update, learner.judgements_since_best = 49, 1
    assert not found.is_finished(learner)
    assert found.early_end_reason(learner) is None
    learner.judgements_since_best = 2
    assert found.is_finished(learner)
    assert found.early_end_reason(learner) == "no better validation loss in 2 evaluations"
    learner.update, learner.judgements_since_best = 50, 0
    assert found.is_finished(learner)


def test_without_patience_no_evaluation_ends_training():
    found = schedule(validation=0.2)
    learner = new_learner(found.config, small_corpus().vocabulary)
    learner.judgements_since_best = 10**6
    assert not found.is_finished(learner)
