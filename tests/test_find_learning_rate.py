"""`charloom.find_learning_rate` chooses a rate, and `charloom.train` trains with it and keeps the search."""

import json

import numpy as np
import pytest

import charloom
import small_runs
from charloom import api
from charloom.api import learning_rate as api_learning_rate
from charloom.api import training_plan
from charloom.api.plan_messages import speed_message
from charloom.config import ENGINES
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, DivergedError, WriteError
from charloom.model import copy_learner, memory_limit, new_learner
from charloom.recipes import configure
from charloom.run_file_names import LEARNING_RATES, LEARNING_RATES_PNG, LEARNING_RATES_SVG
from charloom.store import RunWriter
from charloom.text import Corpus
from charloom.training import learning_rate_search
from charloom.training.learning_rate_search import LEAST_UPDATES, MOST_WORK, LearningRateSearch
from charloom.training.run_costs import Costs
from clocks import Clock

SMALL = {
    "recipe": "classic",
    "hidden_size": 4,
    "seq_length": 5,
    "engine": "reference",
    "sigma": 0.1,
}


@pytest.fixture
def short(monkeypatch):
    """Make searches as short as possible, so that tests are fast."""
    monkeypatch.setattr(api_learning_rate, "MOST_UPDATES", LEAST_UPDATES)


@pytest.fixture
def all_diverge(monkeypatch):
    """Let every update of a trial diverge."""

    def diverge(*args):
        raise DivergedError("planted")

    monkeypatch.setattr(learning_rate_search, "apply_updates", diverge)


def searched_rate(run):
    """Return the learning rate in a run's learning_rates.json."""
    return json.loads((run / LEARNING_RATES).read_bytes())["learning_rate"]


def rate_in_config(run):
    """Return the learning rate in a run's config.json."""
    return json.loads((run / "config.json").read_bytes())["config"]["learning_rate"]


# Python


def test_every_engine_has_a_speed_for_the_search():
    assert set(api_learning_rate.SPEEDS) == set(ENGINES) - {"auto"}


def test_the_function_returns_rates_losses_and_the_choice_and_repeats_exactly():
    found = charloom.find_learning_rate(string=small_runs.TEXT, trial_updates=16, **SMALL)
    last = found.rounds[-1]
    assert last.updates == 16
    assert last.learning_rates[last.losses.index(min(last.losses))] == found.learning_rate
    assert charloom.find_learning_rate(string=small_runs.TEXT, trial_updates=16, **SMALL) == found
    other = charloom.find_learning_rate(string=small_runs.TEXT, trial_updates=16, seed=1, **SMALL)
    assert other.rounds != found.rounds
    assert json.loads(json.dumps(found.to_dict()))["learning_rate"] == found.learning_rate


def test_the_listener_hears_of_every_call_and_can_stop_the_search():
    heard = []
    charloom.find_learning_rate(
        string=small_runs.TEXT, trial_updates=12, listener=lambda *item: heard.append(item), **SMALL
    )
    assert heard[-1] == (MOST_WORK * 12, MOST_WORK * 12)
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})

    def stop(done, most):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        charloom.find_learning_rate(string=small_runs.TEXT, listener=stop, **SMALL)


def test_train_searches_first_trains_with_the_rate_and_keeps_the_search(tmp_path, short):
    run = tmp_path / "run"
    model = charloom.train(
        string=small_runs.TEXT, run=run, find_learning_rate=True, updates=20, **SMALL
    )
    alone = charloom.find_learning_rate(string=small_runs.TEXT, updates=20, **SMALL)
    assert model.learner.config.learning_rate == rate_in_config(run) == searched_rate(run)
    assert alone.learning_rate == searched_rate(run)
    assert (run / LEARNING_RATES_PNG).read_bytes().startswith(b"\x89PNG")
    assert "learning rate" in (run / LEARNING_RATES_SVG).read_text(encoding="utf-8")
    assert not list(run.glob(".tmp-*"))


def test_train_without_a_run_directory_also_uses_the_rate(tmp_path, monkeypatch, short):
    monkeypatch.chdir(tmp_path)
    model = charloom.train(string=small_runs.TEXT, find_learning_rate=True, updates=20, **SMALL)
    found = charloom.find_learning_rate(string=small_runs.TEXT, updates=20, **SMALL)
    assert model.learner.config.learning_rate == found.learning_rate
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_n_grams_counts_them_once(tmp_path, monkeypatch, short):
    counts = []
    engine = type(open_engine("reference"))
    count = engine.count_ngrams
    monkeypatch.setattr(
        engine, "count_ngrams", lambda *args, **limit: counts.append(1) or count(*args, **limit)
    )
    charloom.train(
        string=small_runs.TEXT, run=tmp_path / "run", find_learning_rate=True, updates=20,
        ngram_order=3, **SMALL,
    )  # fmt: skip
    assert counts == [1]


def test_resume_does_not_search_again(tmp_path, monkeypatch, short):
    run = tmp_path / "run"
    charloom.train(string=small_runs.TEXT, run=run, find_learning_rate=True, updates=20, **SMALL)
    kept = {path.name: path.read_bytes() for path in run.glob("learning_rates.*")}
    assert len(kept) == 3

    def refuse(*args):
        raise AssertionError("searched again")

    monkeypatch.setattr(api_learning_rate, "search_learning_rate", refuse)
    model = charloom.resume(run, updates=40)
    assert model.learner.update == 40
    assert model.learner.config.learning_rate == searched_rate(run)
    assert {path.name: path.read_bytes() for path in run.glob("learning_rates.*")} == kept


def test_a_search_that_cannot_be_written_leaves_a_run_that_can_be_continued(
    tmp_path, monkeypatch, short
):
    def refuse(*args):
        raise WriteError("planted")

    run = tmp_path / "run"
    arguments = {"string": small_runs.TEXT, "run": run, "find_learning_rate": True, "updates": 20}
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "write_learning_rates", refuse)
        with pytest.raises(WriteError, match="planted"):
            charloom.train(**arguments, **SMALL)
    assert charloom.resume(run).learner.update == 20


def test_a_search_starts_with_the_weights_of_a_given_model(short):
    model = charloom.train(string=small_runs.TEXT, updates=300, **SMALL)
    new = charloom.find_learning_rate(string=small_runs.TEXT, trial_updates=12, **SMALL)
    further = charloom.find_learning_rate(
        string=small_runs.TEXT, from_model=model, trial_updates=12
    )
    assert min(further.rounds[0].losses) < min(new.rounds[0].losses) - 0.2


# How long a search takes


def test_a_run_with_minutes_gives_a_tenth_of_them_to_the_search(monkeypatch):
    monkeypatch.setattr(api_learning_rate, "updates_per_second", lambda *args: 100.0)
    monkeypatch.setattr(api_learning_rate.time, "monotonic", lambda: 5.0)
    corpus = Corpus.from_text(small_runs.TEXT)
    for minutes, updates in ((0.5, 37), (1.0, 75), (2, 150)):
        found = api.search_before_training(corpus, minutes, **SMALL)
        assert found.search.rounds[-1].updates == updates
        assert MOST_WORK * updates <= 0.1 * 60 * minutes * 100


def test_the_longest_trials_have_at_most_10000_updates():
    assert api_learning_rate.updates_within(1_000, speed=100.0) == 10_000


def test_minutes_that_are_too_few_for_a_search_are_refused_with_the_right_number():
    with pytest.raises(ConfigError) as caught:
        api_learning_rate.updates_within(0.5, speed=20.0)
    assert str(caught.value) == (
        "minutes is 0.5, of which the search for a learning rate may take 10%; on this machine it takes at least "
        "4.8 s. Give minutes=0.9 or more, or learning_rate instead of find_learning_rate."
    )
    assert api_learning_rate.updates_within(0.8, speed=20.0) == LEAST_UPDATES


def test_the_minutes_of_a_recipe_count_too(monkeypatch):
    asked = []

    def within(minutes, speed):
        asked.append(minutes)
        return LEAST_UPDATES

    monkeypatch.setattr(api_learning_rate, "updates_per_second", lambda *args: 100.0)
    monkeypatch.setattr(api_learning_rate, "updates_within", within)
    small = {
        "hidden_size": 4,
        "ngram_order": 0,
        "batch_size": 1,
        "seq_length": 8,
        "engine": "reference",
    }
    api.search_before_training(Corpus.from_text(small_runs.TEXT), **small)
    api.search_before_training(Corpus.from_text(small_runs.TEXT), updates=20, **small)
    assert asked == [1.0]


def test_without_minutes_the_number_of_updates_depends_only_on_the_settings():
    corpus = Corpus.from_text(small_runs.TEXT)
    planned = {}
    for name, settings in {
        "small": {"updates": 10**6, "hidden_size": 20},
        "short run": {"updates": 100, "hidden_size": 20},
        "shortest": {"updates": 1},
        "large": {"updates": 10**6, "hidden_size": 300, "batch_size": 8},
        "huge": {"updates": 10**6, "hidden_size": 700, "batch_size": 64},
    }.items():
        config = configure("classic", seq_length=5, **settings)
        learner = new_learner(config, corpus.vocabulary)
        planned[name] = api_learning_rate.usual_updates(learner, 10**5, open_engine("reference"))
    assert planned["small"] == 10_000
    assert planned["short run"] == 100
    assert planned["shortest"] == planned["huge"] == LEAST_UPDATES
    assert LEAST_UPDATES < planned["large"] < 400


def test_the_number_of_pairs_does_not_shorten_the_trials():
    """A character reads one row of the inputs of pairs, however many there are."""
    corpus, planned = Corpus.from_text(small_runs.TEXT), []
    for rows in (1, 300):
        config = configure(
            "classic", hidden_size=300, batch_size=8, input_pairs=rows, updates=10**6
        )
        learner = new_learner(config, corpus.vocabulary)
        planned.append(api_learning_rate.usual_updates(learner, 10**5, open_engine("reference")))
    assert planned[0] == planned[1] > LEAST_UPDATES


def search_on_a_clock(monkeypatch, **arguments):
    """Search for the rate of a run of one minute on a clock, and return the result and the plan of the run.

    Counting the n-grams takes 40 seconds, the search 6 and measuring the speed 2.
    """
    clock, count = Clock(monkeypatch, training_plan), ReferenceEngine.count_ngrams
    monkeypatch.setattr(
        ReferenceEngine,
        "count_ngrams",
        lambda *given, **limit: clock.take(40.0, count(*given, **limit)),
    )
    monkeypatch.setattr(training_plan, "least_counting_seconds", lambda *_: 61.0)
    monkeypatch.setattr(training_plan, "measure", lambda *_: clock.take(2.0, Costs(update=0.1)))
    monkeypatch.setattr(api_learning_rate, "updates_per_second", lambda *_: 100.0)
    result = LearningRateSearch(0.01, ())
    monkeypatch.setattr(api_learning_rate, "search", lambda *_: clock.take(6.0, result))
    corpus, began = Corpus.from_text(small_runs.TEXT), clock.now
    settings = {**SMALL, "ngram_order": 3, "sample_until": 0}
    found = api.search_before_training(corpus, 1, **arguments, **settings)
    messages = []
    plan = api.plan_training(
        corpus, 1, began=began, found=found, on_message=messages.append, **settings
    )
    return found, plan, messages


def test_counting_before_the_search_is_part_of_the_minutes(monkeypatch):
    found, plan, messages = search_on_a_clock(monkeypatch)
    assert plan.limit.seconds_left() == 60 - 40 - 6 - 2
    assert plan.config.updates == 120
    assert (found.counting, found.seconds) == (40.0, 6.0)
    assert messages == [
        "measured on this machine: 120 updates will take about 1 min 00 s in total, including 6.0 s to find the "
        "learning rate and 40 s to count its n-grams"
    ]


def test_a_count_that_takes_longer_than_the_minutes_is_announced_before_the_search(monkeypatch):
    messages = []
    search_on_a_clock(monkeypatch, on_message=messages.append)
    assert len(messages) == 1
    assert messages[0].startswith(
        "counting the n-grams of the text takes at least about 1 min 01 s here, but the run was given 1 min 00 s"
    )


def test_the_time_of_the_search_is_named_in_the_message_about_the_speed():
    words = speed_message(900, 60.0, opened=0.5, searching=6.0, counting=2.0)
    assert words.endswith(
        ", including 6.0 s to find the learning rate and 2.0 s to count its n-grams"
    )


# Refusals


def test_a_given_rate_contradicts_the_search():
    with pytest.raises(ConfigError) as caught:
        charloom.train("no such text", learning_rate=0.1, find_learning_rate=True)
    assert str(caught.value) == (
        "find_learning_rate and learning_rate both set the learning rate; give only one of them."
    )


# The function find_learning_rate has no argument of its own name, and refuses learning_rate.


def test_the_function_refuses_a_rate_and_names_only_that_argument():
    with pytest.raises(ConfigError) as caught:
        charloom.find_learning_rate("no such text", learning_rate=0.1)
    assert str(caught.value) == (
        "learning_rate is 0.1, but this function searches for the learning rate; leave learning_rate out."
    )


def test_the_function_refuses_minutes_and_two_ends():
    with pytest.raises(ConfigError, match="so it has no minutes; give trial_updates"):
        charloom.find_learning_rate(string="abc" * 99, minutes=1)
    with pytest.raises(ConfigError, match="epochs and updates"):
        charloom.find_learning_rate(string="abc" * 99, epochs=1, updates=2)


def test_the_function_advises_no_learning_rate_if_all_trials_diverge(all_diverge):
    with pytest.raises(DivergedError) as caught:
        charloom.find_learning_rate(string=small_runs.TEXT, **SMALL)
    assert str(caught.value).endswith("Check the other settings, such as clip and sigma.")


def test_the_function_advises_no_learning_rate_if_memory_is_short(monkeypatch):
    corpus = Corpus.from_text(small_runs.TEXT)
    needed = bytes_of_a_search(corpus, **SMALL)
    monkeypatch.setattr(memory_limit, "available_memory", lambda: needed - 1)
    with pytest.raises(ConfigError, match="keeps up to 8 copies of the network") as caught:
        charloom.find_learning_rate(string=small_runs.TEXT, **SMALL)
    assert str(caught.value).endswith(" GB here. Use a smaller network.")


def bytes_of_a_search(corpus, **settings):
    """Return the size of the arrays of 8 learners and of the gradients of one, measured on real arrays."""
    learner = new_learner(configure(**settings), corpus.vocabulary)
    window = corpus.ids[:6, np.newaxis]
    _, gradients, _ = ReferenceEngine().loss_and_gradients(learner, window[:-1], window[1:])
    learners = [copy_learner(learner) for _ in range(8)]
    groups = [named for one in learners for named in (one.parameters, *one.slots.values())]
    return sum(array.nbytes for named in (gradients, *groups) for array in named.values())


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"optimizer": "adam", "averaging": 0.1, "dtype": "float64"},
        {"cell": "gru", "layers": 3, "input_pairs": 9},
    ],
)
def test_a_search_whose_arrays_do_not_fit_into_memory_is_refused_before_anything_is_counted(
    settings, monkeypatch
):
    settings, work = {**SMALL, "ngram_order": 2, **settings}, []
    for name in ("counting_seconds", "updates_per_second", "search"):
        monkeypatch.setattr(
            api_learning_rate, name, lambda *_, name=name: work.append(name) or 100.0
        )
    corpus = Corpus.from_text(small_runs.TEXT)
    needed = bytes_of_a_search(corpus, **settings)
    monkeypatch.setattr(memory_limit, "available_memory", lambda: needed - 1)
    with pytest.raises(ConfigError, match="keeps up to 8 copies of the network") as caught:
        api.search_before_training(corpus, 1, **settings)
    assert "Give learning_rate instead of find_learning_rate, or use a smaller" in str(caught.value)
    assert work == []
    monkeypatch.setattr(memory_limit, "available_memory", lambda: needed)
    api.search_before_training(corpus, 1, **settings)
    assert work == ["counting_seconds", "updates_per_second", "search"]


@pytest.mark.parametrize("wrong", [0, 11, 1.5, "12", True])
def test_too_few_trial_updates_are_refused(wrong):
    with pytest.raises(
        ConfigError, match=r"trial_updates is .*; it must be a whole number from 12"
    ):
        charloom.find_learning_rate("no such text", trial_updates=wrong)


def test_if_all_trials_diverge_no_run_is_made(tmp_path, all_diverge):
    with pytest.raises(DivergedError, match="clip and sigma, or give learning_rate"):
        charloom.train(
            string=small_runs.TEXT,
            run=tmp_path / "run",
            find_learning_rate=True,
            updates=20,
            **SMALL,
        )
    assert not (tmp_path / "run").exists()
