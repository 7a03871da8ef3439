"""A pause takes effect during an evaluation, a sample and the final passage, and changes no bit of the run."""

import time

import pytest

from charloom import scoring
from charloom.engines.reference import ReferenceEngine
from charloom.model.schedule import Schedule
from charloom.store import load_model, read_run, read_status, write_control
from charloom.training import (
    EvaluationProgress,
    FinalEvaluation,
    LearningRateChanged,
    Progress,
    Record,
    command_reader,
    in_run_directory,
    loop,
    train_run,
)
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from small_runs import create, resume, small_config, small_corpus, train

LONG = {
    "sample_length": 300,
    "passage_length": 400,
    "validation": 0.2,
    "judge_every": 6,
    "report_every": 9,
}


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Split evaluations and samples into several engine calls, and read commands after each."""
    monkeypatch.setattr(loop, "tokens_of_a_call", lambda *_, **__: 40)
    monkeypatch.setattr(scoring, "tokens_of_a_call", lambda *_: 30)
    monkeypatch.setattr(command_reader, "LOOK_SECONDS", 0.0)


class Acting(ReferenceEngine):
    """An engine that calls a function at the start of one of its calls.

    Args:
        kind: of the counted calls: "score" for evaluations, "generate" for samples and the passage.
        at: number of the call, counted from 1.
        action: called without arguments.
    """

    def __init__(self, kind, at, action):
        self.kind, self.at, self.action = kind, at, action
        self.counts = {"train": 0, "score": 0, "generate": 0}

    def _count(self, kind):
        self.counts[kind] += 1
        if kind == self.kind and self.counts[kind] == self.at:
            self.action()

    def train(self, learner, tokens, plan):
        self._count("train")
        return super().train(learner, tokens, plan)

    def score(self, learner, tokens, state):
        self._count("score")
        return super().score(learner, tokens, state)

    def generate(self, learner, read, sampler, uniforms, state):
        self._count("generate")
        return super().generate(learner, read, sampler, uniforms, state)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the files that a run without a pause leaves on disk."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(run, **LONG)
    return lasting(run)


def calls_before_the_passage():
    """Return how many calls of `generate` the samples of a run need. Each sample takes 8."""
    schedule = Schedule.of(small_config(**LONG), len(small_corpus()))
    return 8 * sum(map(schedule.sample_due, range(schedule.updates + 1)))


# Where a pause is sent: the kind of call, and its number. A sample has 8 calls, an evaluation 4.
PLACES = {
    "the sample before training": ("generate", 2),
    "a later sample": ("generate", 11),
    "an evaluation": ("score", 2),
    "a later evaluation": ("score", 7),
    "the passage": ("generate", None),
}


def paused_run(tmp_path, place, at_pause, halt=lambda: None, **settings):
    """Train a run that is paused at a place; return the writer's learner and all events.

    Asserts that the pause is heard before the next call of the engine, that the state of the last
    complete update is saved, and that no event of a later update was yielded.

    Args:
        tmp_path: holds the run.
        place: a key of `PLACES`.
        at_pause: called with the run and the number of each event of the pause, counted from 1.
        halt: as for `train_run`.
        settings: further settings.
    """
    run, (kind, at) = tmp_path / "run", PLACES[place]
    at = at or calls_before_the_passage() + 3
    engine = Acting(kind, at, lambda: write_control(run, "pause"))
    writer, learner, corpus = create(run, **{**LONG, **settings})
    events, pauses, counts = [], 0, None
    with writer:
        for item in train_run(writer, learner, corpus, engine, halt):
            events.append(item)
            if isinstance(item, Progress) and item.state == "paused":
                pauses += 1
                counts = counts or dict(engine.counts)
                assert engine.counts == counts
                assert engine.counts[kind] == at
                assert read_status(run).state == "paused"
                assert load_model(run, "latest").update == item.update
                assert read_status(run).update == item.update
                assert max(event.update for event in events) == item.update
                at_pause(run, pauses)
    assert pauses
    return learner, events


def continue_at_third(run, pauses):
    """Continue the run at the third event of its pause."""
    if pauses == 3:
        write_control(run, "run")


@pytest.mark.parametrize("place", PLACES)
def test_a_pause_during_an_evaluation_or_sample_changes_no_bit(tmp_path, whole, place):
    _, events = paused_run(tmp_path, place, continue_at_third)
    assert sum(isinstance(item, Progress) and item.state == "paused" for item in events) == 3
    assert events[-1].state == "finished"
    states = [(item.state, item.cause) for item in events if isinstance(item, Progress)]
    last = max(n for n, (state, _) in enumerate(states) if state == "paused")
    assert states[last : last + 2] == [("paused", "command"), ("training", None)]
    names = [event["event"] for event in read_run(tmp_path / "run").events]
    assert names == ["created", "started", "paused", "continued", "finished"]
    assert lasting(tmp_path / "run") == whole


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
def test_a_run_stopped_in_such_a_pause_resumes_with_the_same_bits(tmp_path, whole, place, how):
    halt = []

    def end(run, pauses):
        if pauses == 2:
            write_control(run, "stop") if how == "stop" else halt.append(how)

    _, events = paused_run(tmp_path, place, end, lambda: halt[0] if halt else None)
    assert events[-1].state == ("stopped" if how == "stop" else "interrupted")
    assert read_run(tmp_path / "run").passage is None
    assert resume(tmp_path / "run")[-1].state == "finished"
    assert lasting(tmp_path / "run") == whole


@pytest.mark.parametrize("place", ["a later sample", "an evaluation"])
def test_a_run_whose_events_are_no_longer_read_in_such_a_pause_is_saved(tmp_path, whole, place):
    class Closed(Exception):
        pass

    def close(run, pauses):
        raise Closed

    with pytest.raises(Closed):
        paused_run(tmp_path, place, close)
    assert resume(tmp_path / "run")[-1].state == "finished"
    assert lasting(tmp_path / "run") == whole


def new_factor(run, pauses):
    """Change the factor within the pause, then continue without changing it again."""
    if pauses == 2:
        write_control(run, "pause", 0.5)
    if pauses == 4:
        write_control(run, "run")


@pytest.mark.parametrize("place", ["a later sample", "an evaluation", "a later evaluation"])
def test_a_factor_changed_within_such_a_pause_counts_from_the_next_update(tmp_path, place):
    learner, events = paused_run(tmp_path, place, new_factor)
    paused = next(n for n, item in enumerate(events) if getattr(item, "state", "") == "paused")
    rates = [(n, item.update, item.learning_rate) for n, item in enumerate(events)
             if isinstance(item, Record)]  # fmt: skip
    complete = next(item.update for item in events[paused:] if item.update > events[paused].update)
    for n, update, rate in rates:
        # The update that was evaluated was computed before the pause.
        assert rate == (0.1 if n < paused or update == complete else 0.05)
    assert rates[-1][2] == 0.05
    assert learner.learning_rate_factor == 0.5
    changed = [item for item in events if isinstance(item, LearningRateChanged)]
    assert changed == [LearningRateChanged(events[paused].update, 0.5)]
    (event,) = [
        e for e in read_run(tmp_path / "run").events if e["event"] == "learning_rate_factor"
    ]
    assert event["update"] == events[paused].update
    assert load_model(tmp_path / "run", "latest").learning_rate_factor == 0.5


def test_a_factor_changed_within_such_a_pause_is_saved_after_the_evaluation(tmp_path):
    """So a run that is killed later computes the same updates with the new factor."""
    _, events = paused_run(tmp_path, "an evaluation", new_factor, save_seconds=1e9)
    (paused,) = {item.update for item in events if getattr(item, "state", "") == "paused"}
    saved = [item.update for item in events if type(item).__name__ == "Saved"]
    complete = next(item.update for item in events if item.update > paused)
    assert saved[:2] == [paused, complete]


def test_a_factor_is_kept_when_the_run_is_stopped_in_such_a_pause(tmp_path):
    def change_and_stop(run, pauses):
        if pauses == 2:
            write_control(run, "pause", 0.25)
        if pauses == 4:
            write_control(run, "stop")

    learner, events = paused_run(tmp_path, "an evaluation", change_and_stop)
    assert (events[-1].state, learner.learning_rate_factor) == ("stopped", 0.25)
    writer, learner, _ = reopen(tmp_path / "run")
    writer.close()
    assert learner.learning_rate_factor == 0.25


CAPPED = {"validation": 0.5, "judge_every": 20, "judged_characters": 60}


def clock_of_pauses(monkeypatch):
    """Let a day pass at each event of a pause. Otherwise the clock stands still."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def day(run, pauses):
        now[0] += 86_400.0
        continue_at_third(run, pauses)

    return day


@pytest.mark.parametrize("place", ["a later sample", "an evaluation"])
def test_the_time_of_such_a_pause_is_not_training_time(tmp_path, monkeypatch, place):
    _, events = paused_run(tmp_path, place, clock_of_pauses(monkeypatch))
    assert {item.seconds for item in events if isinstance(item, Record)} == {0.0}


def test_a_pause_does_not_make_the_final_evaluation_seem_too_long(tmp_path, monkeypatch):
    day, run = clock_of_pauses(monkeypatch), tmp_path / "run"
    writer, learner, corpus = create(run, **CAPPED)
    events, pauses = [], 0
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            events.append(item)
            if isinstance(item, EvaluationProgress) and not pauses:
                write_control(run, "pause")
            if isinstance(item, Progress) and item.state == "paused":
                pauses += 1
                day(run, pauses)
    assert pauses == 3
    assert [item for item in events if isinstance(item, FinalEvaluation)]


@pytest.mark.parametrize("place", ["a later sample", "an evaluation"])
def test_a_pause_that_is_heard_only_after_the_work_is_noticed(tmp_path, monkeypatch, place):
    def deaf(self, safe):
        return None
        yield

    monkeypatch.setattr(in_run_directory.RunTrainer, "do_due_work_within", deaf)
    with pytest.raises(AssertionError):
        paused_run(tmp_path, place, continue_at_third)


@pytest.mark.parametrize("forgotten", ["learner", "safe"])
def test_a_factor_that_misses_one_of_the_two_learners_is_noticed(tmp_path, monkeypatch, forgotten):
    """One learner continues after a pause. The other one continues after a stop within the pause."""
    apply = in_run_directory.RunTrainer._apply_factor

    def forgetful(self):
        two = {"learner": self._learner, "safe": self._saver.safe}
        before = two[forgotten].learning_rate_factor
        yield from apply(self)
        if two["learner"] is not two["safe"]:
            two[forgotten].learning_rate_factor = before

    monkeypatch.setattr(in_run_directory.RunTrainer, "_apply_factor", forgetful)
    check = {
        "learner": lambda: test_a_factor_changed_within_such_a_pause_counts_from_the_next_update(
            tmp_path, "an evaluation"
        ),
        "safe": lambda: test_a_factor_is_kept_when_the_run_is_stopped_in_such_a_pause(tmp_path),
    }
    with pytest.raises(AssertionError):
        check[forgotten]()
