"""The search for a learning rate finds planted rates, repeats exactly, and refuses to choose among nothing."""

import gc
import math
import weakref

import numpy as np
import pytest

import small_runs
from charloom.cooperative import SliceLoop, run_all_slices
from charloom.engines import open_engine
from charloom.engines.base import Trace
from charloom.errors import DivergedError
from charloom.model import copy_learner, new_learner
from charloom.training import Record, learn, learning_rate_search
from charloom.training.learning_rate_search import (
    COPIES,
    FIRST_STEPS,
    LEAST_UPDATES,
    MOST_WORK,
    rate_of,
    search_learning_rate,
)

SETTINGS = {"optimizer": "adam", "reduction": "mean", "dtype": "float64", "batch_size": 2}


class PlantedEngine:
    """An engine without a network: the loss depends only on the learning rate, and falls with each update.

    Args:
        best: the learning rate with the lowest loss.
        diverges: from this learning rate on, the loss is not finite after `finite` updates.
        finite: number of updates with a finite loss at each rate.
    """

    name = "planted"

    def __init__(self, best=0.01, diverges=math.inf, finite=0):
        self.best, self.diverges, self.finite = best, diverges, finite
        self.rates = set()

    def train(self, learner, tokens, plan):
        losses = []
        for rate in plan.learning_rates:
            self.rates.add(float(rate))
            if rate >= self.diverges and learner.update >= self.finite:
                found = np.array(losses)
                return Trace(found, found, "non-finite", math.nan, math.nan)
            learner.update += 1
            learner.position += learner.config.seq_length
            far = abs(math.log10(rate / self.best))
            losses.append(learner.config.seq_length * (1 + far + 1 / learner.update))
        return Trace(np.array(losses), np.array(losses))


def start(**settings):
    """Return a learner before its first update, and its text."""
    corpus = small_runs.small_corpus()
    config = small_runs.small_config(**SETTINGS | settings)
    return new_learner(config, corpus.vocabulary), corpus.ids


def search(engine, updates=LEAST_UPDATES, **settings):
    """Search to the end, and return the result."""
    learner, ids = start(**settings)
    return run_all_slices(search_learning_rate(learner, ids, engine, updates))


@pytest.mark.parametrize("step", range(-19, 4))
def test_every_rate_on_the_scale_is_found_if_it_is_the_best(step):
    found = search(PlantedEngine(best=rate_of(step)))
    assert found.learning_rate == rate_of(step)


def test_the_rounds_have_longer_trials_at_fewer_rates():
    found = search(PlantedEngine(best=0.017), updates=40)
    assert [one.updates for one in found.rounds] == [10, 20, 40]
    assert found.rounds[0].learning_rates == tuple(map(rate_of, FIRST_STEPS))
    assert found.rounds[0].learning_rates[:4] == (1e-05, 3.2e-05, 1e-4, 3.2e-4)
    assert found.rounds[1].learning_rates == (0.001, 0.0032, 0.01, 0.032, 0.1)
    assert found.rounds[2].learning_rates == (0.0032, 0.0056, 0.01, 0.018, 0.032)


@pytest.mark.parametrize(
    "settings",
    [{}, {"ngram_order": 3}, {"input_pairs": 9}, {"dropout": 0.2}, {"averaging": 0.5}],
)
def test_the_losses_are_those_of_a_run_at_this_rate_over_the_second_half_of_its_updates(settings):
    found = search(open_engine("reference"), updates=12, schedule="cosine", warmup=50, **settings)
    one = found.rounds[-1]
    for rate, loss in zip(one.learning_rates, one.losses, strict=True):
        learner, ids = start(learning_rate=rate, report_every=1, updates=12, **settings)
        records = [
            item
            for item in learn(learner, ids, open_engine("reference"))
            if isinstance(item, Record)
        ]
        late = [record.loss for record in records if record.update > 6]
        assert loss == pytest.approx(np.mean(late) / 10, rel=1e-12)


@pytest.mark.parametrize("engine", small_runs.ENGINES)
def test_the_chosen_rate_learns_better_than_much_smaller_and_much_larger_ones(engine):
    """A rate 1,000 times the chosen one makes this network worse than before training."""
    found = search(open_engine(engine), updates=40)

    def loss_after(rate):
        learner, ids = start(learning_rate=rate, updates=60)
        items = learn(learner, ids, open_engine(engine))
        return [item for item in items if isinstance(item, Record)][-1].train_nats

    near = loss_after(found.learning_rate)
    assert near < loss_after(found.learning_rate / 30) - 0.1
    assert loss_after(1_000 * found.learning_rate) > math.log(len(start()[0].vocabulary))


def test_the_result_does_not_depend_on_how_updates_are_divided_into_calls(monkeypatch):
    once = search(open_engine("reference"), updates=100)
    monkeypatch.setattr(learning_rate_search.CallSize, "adapt", lambda size, *_: None)
    assert search(open_engine("reference"), updates=100) == once


def test_the_search_changes_neither_the_learner_nor_its_settings():
    learner, ids = start()
    before = copy_learner(learner)
    run_all_slices(search_learning_rate(learner, ids, open_engine("reference"), 12))
    assert learner.config == before.config
    assert learner.update == 0
    for name, array in learner.parameters.items():
        np.testing.assert_array_equal(array, before.parameters[name])


def test_rates_that_diverge_have_no_loss_and_are_not_chosen():
    found = search(PlantedEngine(best=10.0, diverges=0.05))
    assert found.learning_rate == 0.032
    first = dict(zip(found.rounds[0].learning_rates, found.rounds[0].losses, strict=True))
    assert first[0.1] is None
    assert first[0.032] is not None
    assert found.rounds[-1].losses[-1] is None  # at 0.056, beside the best


def test_trials_that_diverge_later_are_dropped_then():
    found = search(PlantedEngine(best=0.1, diverges=0.05, finite=4), updates=12)
    assert found.rounds[0].losses[FIRST_STEPS.index(-4)] is not None
    assert found.rounds[1].losses[-1] is None
    assert found.learning_rate == 0.032


@pytest.mark.parametrize("finite", [0, 3, 6])
def test_the_search_refuses_to_choose_if_all_trials_diverge(finite):
    with pytest.raises(DivergedError, match="no learning rate was found: at each of the") as caught:
        search(PlantedEngine(diverges=0.0, finite=finite))
    assert "Check the other settings, such as clip and sigma, or give learning_rate." in str(
        caught.value
    )


def test_the_yielded_updates_are_those_of_all_trials_and_at_most_the_stated_number():
    learner, ids = start()
    loop = SliceLoop(search_learning_rate(learner, ids, open_engine("reference"), 40))
    assert sum(loop) == MOST_WORK * 40
    few = SliceLoop(search_learning_rate(*start(), PlantedEngine(diverges=0.05), 40))
    assert 0 < sum(few) < MOST_WORK * 40


def test_few_copies_of_the_network_are_in_memory_at_a_time(monkeypatch):
    alive, most = weakref.WeakSet(), 0

    class Copy:
        """Stands for the memory of a learner's copy."""

    def copied(learner):
        nonlocal most
        copy = copy_learner(learner)
        copy.memory = Copy()
        alive.add(copy.memory)
        gc.collect()
        most = max(most, len(alive))
        return copy

    monkeypatch.setattr(learning_rate_search, "copy_learner", copied)
    for best in (1e-5, 10.0):  # each trial is worse than the one before it, or better
        search(PlantedEngine(best=best))
    assert most + 1 == COPIES  # with the first learner


def test_n_grams_are_counted_once_for_all_trials():
    counts = []

    class Counting(type(open_engine("reference"))):
        def count_ngrams(self, *args, **limit):
            counts.append(1)
            return super().count_ngrams(*args, **limit)

    search(Counting(), ngram_order=3)
    assert counts == [1]


def test_a_text_with_fewer_windows_than_updates_is_read_again():
    found = search(open_engine("reference"), updates=200)  # an epoch has 22 windows
    assert all(loss is not None and loss < 4 for loss in found.rounds[-1].losses)
