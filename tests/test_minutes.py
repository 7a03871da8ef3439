"""Minutes are converted to updates: all work of a run counts, and is measured on this machine."""

import errno
import os
import tempfile
from contextvars import copy_context
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
from charloom import api
from charloom.api import classic_experiment, time_estimates, training_plan
from charloom.api import training as api_training
from charloom.api.counting_trial import least_counting_seconds
from charloom.api.plan_messages import too_few_minutes_message
from charloom.api.time_estimates import evaluation_seconds, seconds_per_character
from charloom.cli import app, process_start
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.messages import for_command_line
from charloom.model import new_learner
from charloom.model.schedule import Schedule
from charloom.store.atomic_files import blocks_of
from charloom.text import Corpus
from charloom.training import Ended, Progress
from charloom.training.progress_records import FINAL_EVALUATION_SHARE
from charloom.training.run_costs import Costs
from charloom.training.time_limit import EndPlanner, TimeLimit
from clocks import Clock

TEXT = "the cat sat on the mat, and the dog ran round the log; " * 40
SETTINGS = {"recipe": "classic", "seq_length": 5, "hidden_size": 4, "engine": "reference"}


def schedule(**settings):
    """Return a schedule for a text of 2,200 characters: 440 windows an epoch without a validation part."""
    usual = {"seq_length": 5, "sample_until": 0, "save_seconds": 1e9}
    return Schedule.of(Config(**usual | settings), len(TEXT))


def test_every_part_of_the_work_counts_in_the_estimate():
    every = schedule(validation=0.1, judge_every=10, sample_until=10**6, sample_every=50)
    alone = Costs(update=0.1).seconds(every, 100)
    assert alone == pytest.approx(10)
    for name, times in (("validation", 10), ("sample", 3), ("passage", 1)):
        taken = replace(Costs(update=0.1), **{name: 2.0}).seconds(every, 100)
        assert taken - alone == pytest.approx(2.0 * times), name
    assert Costs(update=0.1, validation=2.0).seconds(every, 101) == pytest.approx(10.1 + 11 * 2)
    assert Costs(update=0.1, validation=2.0).seconds(every, 140, 100) == pytest.approx(4 + 4 * 2)
    saved = Costs(update=0.1, save=1.0)
    assert saved.seconds(schedule(save_seconds=2.0), 100) > alone + 10 / 2


def test_the_final_evaluation_counts_only_if_it_takes_a_small_share():
    plan = schedule(validation=0.1)
    whole = 100 * 0.1 * FINAL_EVALUATION_SHARE
    assert Costs(update=0.1, whole=whole).seconds(plan, 100) == pytest.approx(10 + whole)
    assert Costs(update=0.1, whole=1.1 * whole).seconds(plan, 100) == pytest.approx(10)


@pytest.mark.parametrize("done", [0, 37])
def test_the_number_of_updates_is_the_largest_that_fits_the_time(done):
    plan = schedule(validation=0.1, judge_every=10, save_seconds=3.0)
    measured = Costs(update=0.1, validation=1.0, whole=0.9, sample=0.2, passage=0.3, save=0.01)
    end = measured.updates_within(40.0, plan, done)
    assert measured.seconds(plan, end, done) <= 40.0 < measured.seconds(plan, end + 1, done)
    assert measured.updates_within(-5.0, plan, done) == done + 1


def test_opening_the_text_and_measuring_count_among_the_minutes(monkeypatch):
    clock, messages = Clock(monkeypatch, training_plan), []
    corpus = Corpus.from_text(TEXT)
    monkeypatch.setattr(training_plan, "measure", lambda *_: clock.take(2.0, Costs(update=0.1)))
    began = clock.now
    clock.take(8.0)  # the text is opened
    settings = {**SETTINGS, "sample_until": 0}
    config = api.plan_settings(corpus, 1, began=began, on_message=messages.append, **settings)
    assert config.updates == (60 - 10) / 0.1
    assert messages == [
        "measured on this machine: 500 updates will take about 1 min 00 s in total, including 8.0 s to start and to open the text"
    ]


def test_at_least_half_of_the_minutes_are_for_training_and_the_total_is_reported(monkeypatch):
    clock, messages = Clock(monkeypatch, training_plan), []
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    began = clock.now
    clock.take(55.0)
    config = api.plan_settings(
        Corpus.from_text(TEXT), 1, began=began, on_message=messages.append, **SETTINGS
    )
    assert config.updates == 30 / 0.1
    assert messages[0].startswith(
        "measured on this machine: 300 updates will take about 1 min 25 s in total, including 55 s"
    )


# The time limit that comes from the minutes


def planned(monkeypatch, minutes, opening=0.0):
    """Return a plan for some minutes on a clock that begins at 100 seconds, and the clock."""
    clock = Clock(monkeypatch, training_plan)
    costs = Costs(update=0.1)
    monkeypatch.setattr(training_plan, "measure", lambda *_: clock.take(2.0, costs))
    began = clock.now
    clock.take(opening)
    plan = api.plan_training(Corpus.from_text(TEXT), minutes, began=began, **SETTINGS)
    return plan, clock


def test_the_time_limit_counts_from_the_beginning_of_the_command(monkeypatch):
    plan, clock = planned(monkeypatch, 1, opening=8.0)
    assert plan.limit == TimeLimit(60.0, 160.0, Costs(update=0.1))
    assert plan.limit.seconds_left() == 60 - clock.now + 100


def test_the_time_limit_leaves_half_of_the_minutes_to_training(monkeypatch):
    plan, _ = planned(monkeypatch, 1, opening=55.0)
    assert plan.limit.seconds_left() == 30.0


def test_a_run_with_a_given_end_has_no_time_limit():
    corpus = Corpus.from_text(TEXT)
    assert api.plan_training(corpus, updates=7, **SETTINGS).limit is None


def limits_of(monkeypatch):
    """Return a list that gets the time limit of each training run from now on. The runs end immediately."""
    limits = []

    def ended(*given, callbacks):
        limits.append(given[-1])
        yield Ended(0, "finished")

    monkeypatch.setattr(api_training, "train_run", ended)
    monkeypatch.setattr(api_training, "train_in_memory", ended)
    return limits


def test_every_way_to_train_for_minutes_sets_the_time_limit(monkeypatch, tmp_path):
    settings = {**SETTINGS, "string": TEXT}
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    charloom.train(run=tmp_path / "run", updates=5, **settings)
    limits = limits_of(monkeypatch)
    charloom.train(minutes=0.5, **settings)
    charloom.train(run=tmp_path / "new", minutes=0.5, **settings)
    charloom.resume(tmp_path / "run", minutes=0.5)
    assert [limit.seconds for limit in limits] == [30.0] * 3
    assert all(0 < limit.seconds_left() <= 30 for limit in limits)
    charloom.resume(tmp_path / "new")
    charloom.train(updates=5, **settings)
    assert limits[3:] == [None, None]


@pytest.fixture
def counts(monkeypatch):
    """Return a list that gets the n-grams that the reference engine counts. Measuring is short, and no end moves."""
    monkeypatch.setattr(time_estimates, "CALIBRATION_SECONDS", 0.01)
    monkeypatch.setattr(training_plan, "least_counting_seconds", lambda *_: 0.0)
    monkeypatch.setattr(EndPlanner, "new_end", lambda *_: None)
    found, honest = [], ReferenceEngine.count_ngrams

    def count(engine, *given, **limit):
        found.append(honest(engine, *given, **limit))
        return found[-1]

    monkeypatch.setattr(ReferenceEngine, "count_ngrams", count)
    return found


def train_for_minutes(way, path):
    """Train a run with n-grams for 0.3 s in one of the ways, and return the column 0 of its n-grams."""
    settings = {**SETTINGS, "ngram_order": 3, "passage_length": 2, "sample_until": 0}
    if way in ("train", "reproduce"):
        (path / "book.txt").write_text(TEXT)
        words = [way, path / "book.txt", "--run", path / "run", "--minutes", 0.005]
        for name, value in settings.items():
            words += [f"--{name.replace('_', '-')}", value]
        assert CliRunner().invoke(app, list(map(str, words))).exit_code == 0
        return charloom.load(path / "run").learner.ngrams.shares[0]
    run = None if way == "in memory" else path / "run"
    model = charloom.train(string=TEXT, run=run, minutes=0.005, **settings)
    return model.learner.ngrams.shares[0]


@pytest.mark.parametrize("way", ["in memory", "in a run directory", "train", "reproduce"])
def test_a_run_for_minutes_counts_its_text_once(way, counts, tmp_path):
    column = train_for_minutes(way, tmp_path)
    (ngrams,) = counts
    assert column.tobytes() == ngrams.shares[0].tobytes()


def test_a_run_that_is_resumed_for_minutes_counts_its_text_once(counts, tmp_path):
    train_for_minutes("in a run directory", tmp_path)
    before = charloom.load(tmp_path / "run").learner.update
    counts.clear()
    assert charloom.resume(tmp_path / "run", minutes=0.005).learner.update > before
    assert len(counts) == 1


def test_counting_is_part_of_the_minutes(monkeypatch):
    clock, messages = Clock(monkeypatch, training_plan), []
    monkeypatch.setattr(training_plan, "measure", lambda *_: clock.take(2.0, Costs(update=0.1)))
    monkeypatch.setattr(training_plan, "counted_ngrams", lambda *_: clock.take(8.0))
    monkeypatch.setattr(training_plan, "least_counting_seconds", lambda *_: 2.0)
    settings = {**SETTINGS, "sample_until": 0, "ngram_order": 3}
    plan = api.plan_training(Corpus.from_text(TEXT), 1, on_message=messages.append, **settings)
    assert plan.config.updates == (60 - 10) / 0.1
    assert plan.limit.seconds_left() == 50
    assert messages == [
        "measured on this machine: 500 updates will take about 1 min 00 s in total, including 8.0 s to count its n-grams"
    ]
    clock = Clock(monkeypatch, training_plan)
    monkeypatch.setattr(training_plan, "counted_ngrams", lambda *_: clock.take(58.0))
    plan = api.plan_training(Corpus.from_text(TEXT), 1, **settings)
    assert plan.config.updates == 1


def test_a_count_that_takes_longer_than_the_minutes_is_announced_before_it(monkeypatch):
    messages = []
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    monkeypatch.setattr(training_plan, "counted_ngrams", lambda *_: messages.append("counted"))
    settings = {**SETTINGS, "ngram_order": 3, "on_message": messages.append}
    for estimate in (59.0, 61.0):
        messages.clear()
        monkeypatch.setattr(training_plan, "least_counting_seconds", lambda *_, s=estimate: s)
        api.plan_training(Corpus.from_text(TEXT), 1, **settings)
        assert messages.index("counted") == (estimate > 60)
    assert for_command_line(messages[0]) == (
        "counting the n-grams of the text takes at least about 1 min 01 s here, but the run was given 1 min 00 s, "
        "so it will do only one update. Give more --minutes, or train a new model with --ngram-order 0"
    )


class CountsOnAClock(ReferenceEngine):
    """An engine that takes a millisecond for each counted character."""

    def __init__(self, clock):
        self.clock, self.counted = clock, []

    def count_ngrams(self, config, characters, ids, segments, boundary=None):
        self.counted.append(len(ids))
        self.clock.take(len(ids) / 1000)


@pytest.mark.parametrize(
    ("trial_seconds", "counted"),
    [(0.1, [2_048]), (3.0, [2_048, 4_096]), (1e9, [2_048, 4_096, 8_192])],
)
def test_the_time_of_counting_is_estimated_from_the_beginning_of_the_text(
    trial_seconds, counted, monkeypatch
):
    """The trial ends after its time, or when it has counted an eighth of the text."""
    clock = Clock(monkeypatch, time_estimates)
    engine, corpus = CountsOnAClock(clock), Corpus.from_text(TEXT * 20)
    config = Config(ngram_order=3, validation=0.1)
    estimate = least_counting_seconds(corpus, config, engine, trial_seconds)
    assert estimate == pytest.approx(0.9 * len(TEXT * 20) / 1000, rel=1e-3)
    assert engine.counted == counted


def test_a_text_shorter_than_the_trial_is_counted_once(monkeypatch):
    clock = Clock(monkeypatch, time_estimates)
    engine, corpus = CountsOnAClock(clock), Corpus.from_text(TEXT[:500])
    assert least_counting_seconds(corpus, Config(ngram_order=3), engine, 1.0) == pytest.approx(0.5)
    assert engine.counted == [500]


def test_parts_that_take_longer_than_the_minutes_are_named():
    costs = Costs(update=0.1, validation=170.0, passage=11.0, sample=1.0, save=1.0)
    message = too_few_minutes_message(costs, 6.0, 4.0)
    assert for_command_line(message) == (
        "6.0 s are not enough for this run: on this machine a validation loss takes 2 min 50 s, the passage takes "
        "11 s. Give more --minutes, or smaller values of --judged-characters and --passage-length"
    )
    message = too_few_minutes_message(Costs(update=7.0), 6.0, 4.0)
    assert for_command_line(message).endswith("an update takes 7.0 s. Give more --minutes")
    assert too_few_minutes_message(costs, 600.0, 500.0) is None


def test_the_plan_names_parts_that_take_longer_than_the_minutes(monkeypatch):
    messages = []
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1, passage=70.0))
    corpus = Corpus.from_text(TEXT)
    api.plan_training(corpus, 1, on_message=messages.append, **SETTINGS)
    assert ["the passage takes" in message for message in messages] == [False, True]


def test_few_minutes_are_measured_for_a_shorter_time(monkeypatch):
    scales = []

    def measure(corpus, config, ngrams, scale):
        scales.append(scale)
        return Costs(update=0.1)

    monkeypatch.setattr(training_plan, "measure", measure)
    for minutes in (0.1, 0.25, 10):
        api.plan_training(Corpus.from_text(TEXT), minutes, **SETTINGS)
    assert scales == pytest.approx([0.4, 1.0, 1.0])


def test_the_scale_shortens_both_trials(monkeypatch):
    clock = Clock(monkeypatch, time_estimates)

    def calls():
        while True:
            yield clock.take(0.04, 10)

    began = clock.now
    seconds_per_character(calls())
    assert clock.now - began == pytest.approx(0.52)
    began = clock.now
    seconds_per_character(calls(), 0.4)
    assert clock.now - began == pytest.approx(0.2)
    monkeypatch.setattr(
        time_estimates, "learn", lambda *_: (Progress(n, clock.take(0.04, 99)) for n in range(99))
    )
    began = clock.now
    api.updates_per_second(Corpus.from_text(TEXT), Config(hidden_size=2), scale=0.4)
    assert clock.now - began == pytest.approx(0.48)


def test_the_gradient_checks_of_reproduce_move_the_time_limit(monkeypatch, tmp_path):
    clock, corpus = Clock(monkeypatch, training_plan), Corpus.from_text(TEXT)
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    plan = api.plan_training(corpus, 1, **SETTINGS)
    limits = limits_of(monkeypatch)

    def checks(*_):
        yield from clock.take(500.0, ())

    monkeypatch.setattr(classic_experiment, "gradient_checks", checks)
    with api.begin(corpus, plan.config, tmp_path / "run", limit=plan.limit) as training:
        next(item for item in api.reproduction(training) if isinstance(item, Ended))
    (limit,) = limits
    assert limit.seconds_left() == 60.0


def test_the_minutes_of_a_command_include_the_start_and_the_end_of_its_process(monkeypatch):
    clock = Clock(monkeypatch, process_start)

    def command():
        clock.take(7.0)  # imports
        return process_start.command_start()

    assert copy_context().run(command) == 107.0
    context = copy_context()
    context.run(process_start.START.set, 100.0)
    # It is 114 now. So the process took 14 seconds to start, and will take 4.2 to end.
    assert context.run(command) == 100.0 - 0.3 * 14


class Timed(ReferenceEngine):
    """An engine whose scoring takes a second per character, or ten in a single stream."""

    def __init__(self, clock):
        self.clock, self.scored = clock, 0

    def score(self, learner, tokens, state):
        characters = (len(tokens) - 1) * tokens.shape[1]
        self.scored += characters
        self.clock.take(characters * (10 if tokens.shape[1] == 1 else 1))
        return np.zeros((len(tokens) - 1, tokens.shape[1])), state


@pytest.mark.parametrize("most", [0, 100])
def test_the_time_of_an_evaluation_is_estimated_from_a_part_of_it(monkeypatch, most):
    """The clock counts the characters that are scored."""
    clock = Clock(monkeypatch, time_estimates)
    corpus = Corpus.from_text(TEXT)
    config = Config(validation=0.9, judged_characters=most)
    learner, engine = new_learner(config, corpus.vocabulary), Timed(clock)
    monkeypatch.setattr(time_estimates, "EVALUATION_SECONDS", 0.0)
    validation, whole = evaluation_seconds(corpus, learner, engine)
    judged, engine.scored = engine.scored, 0
    assert judged <= validation
    pieces = time_estimates.evaluated_pieces(config, schedule(validation=0.9).windows)
    assert validation == pytest.approx(
        time_estimates.characters_read(pieces) * (10 if len(pieces) == 1 else 1)
    )
    assert (whole > 0) == bool(most)


def test_the_time_of_a_validation_loss_includes_the_measurement_of_the_starts(monkeypatch):
    clock = Clock(monkeypatch, time_estimates)
    corpus = Corpus.from_text(TEXT)

    def measuring(*_):
        clock.take(7.0, None)
        yield

    monkeypatch.setattr(time_estimates, "measure_starts", measuring)
    monkeypatch.setattr(time_estimates, "evaluation_seconds", lambda *_: (2.0, 5.0))
    monkeypatch.setattr(time_estimates, "updates_per_second", lambda *_: 1.0)
    costs = time_estimates.measure(corpus, Config(validation=0.5, hidden_size=3))
    assert (costs.validation, costs.whole) == (9.0, 5.0)
    assert time_estimates.measure(corpus, Config(hidden_size=3)).validation == 0.0


def test_the_first_call_counts_only_if_it_is_the_only_one(monkeypatch):
    clock = Clock(monkeypatch, time_estimates)

    def calls(*seconds):
        for taken in seconds:
            yield clock.take(taken, 10)

    assert seconds_per_character(calls(0.4, 0.1, 0.1, 0.1)) == pytest.approx(0.01)
    assert seconds_per_character(calls(2.0)) == pytest.approx(0.2)
    assert seconds_per_character(calls(9.0, 0.1, 9.0)) == pytest.approx(0.01)
    assert seconds_per_character(calls(0.3, 0.3, 9.0)) == pytest.approx(0.03)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no files without a name")
def test_measuring_a_save_leaves_no_file_even_if_the_process_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    corpus, written = Corpus.from_text(TEXT), []
    learner = new_learner(Config(hidden_size=4), corpus.vocabulary)
    write_all = time_estimates.write_all

    def write(descriptor, block):
        written.append((len(block), list(tmp_path.iterdir())))
        write_all(descriptor, block)

    monkeypatch.setattr(time_estimates, "write_all", write)
    assert time_estimates.save_seconds(corpus, learner) > 0
    files = time_estimates.checkpoint_files(learner, {}, corpus.fingerprint).values()
    assert sum(size for size, _ in written) == sum(len(b) for f in files for b in blocks_of(f))
    assert not any(left for _, left in written)


def test_on_a_full_disk_saves_are_estimated_as_free(monkeypatch):
    def refuse(descriptor, block):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(time_estimates, "write_all", refuse)
    corpus = Corpus.from_text(TEXT)
    learner = new_learner(Config(hidden_size=4), corpus.vocabulary)
    assert time_estimates.save_seconds(corpus, learner) == 0
