"""A run with a time limit moves its end, so that it ends in time however fast the machine is.

No test here depends on the real clock.
"""

import itertools
import json
import shutil
from contextlib import closing

import pytest

from charloom.config import Config
from charloom.errors import WriteError
from charloom.model import new_learner
from charloom.model.schedule import Schedule
from charloom.store import RunWriter, read_run, read_status, write_control
from charloom.store.end_events import with_last_end
from charloom.training import (
    EndChanged,
    Ended,
    EvaluationProgress,
    FinalEvaluation,
    Progress,
    Record,
    Warned,
    end_change,
    in_run_directory,
    train_run,
)
from charloom.training.run_costs import Costs
from charloom.training.time_limit import EndPlanner
from paced_runs import SECONDS, SETTINGS, Paced, time_limit, train_paced, train_paced_in_memory
from reliability.run_comparison import lasting, require_same
from reliability.run_training import reopen
from small_runs import calls_without_clock, create, resume, small_config, small_corpus
from training_items import items_of

PACES = {
    "twice as slow": lambda _: 2.0,
    "twice as fast": lambda _: 0.5,
    "five times slower from the middle on": lambda update: 1.0 if update < 500 else 5.0,
    "three times faster from the middle on": lambda update: 1.0 if update < 500 else 1 / 3,
    "slow until the middle": lambda update: 4.0 if update < 120 else 1.0,
    "slower near the end": lambda update: 1.0 if update < 900 else 2.0,
    "to and fro": lambda update: 1.0 + 0.5 * (update // 50 % 2),
}


@pytest.mark.parametrize("name", PACES)
def test_a_run_ends_in_time_however_its_speed_changes(tmp_path, monkeypatch, name):
    engine = Paced(monkeypatch, PACES[name])
    items = list(train_paced(tmp_path / "run", engine, time_limit(engine)))
    assert abs(engine.now - SECONDS) <= 0.05 * SECONDS
    changes = items_of(EndChanged, items)
    assert changes
    last = changes[-1].updates
    assert items[-1] == Ended(last, "finished")
    view = read_run(tmp_path / "run")
    assert view.updates == view.config.updates == last == view.status.updates
    assert items_of(Progress, items)[-1].updates == last
    assert rises(items) == 0


def test_without_moving_its_end_a_run_misses_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(EndPlanner, "new_end", lambda *_: None)
    for name in ("twice as slow", "twice as fast"):
        engine = Paced(monkeypatch, PACES[name])
        list(train_paced(tmp_path / name, engine, time_limit(engine)))
        assert abs(engine.now - SECONDS) > 0.05 * SECONDS, name


def rises(items):
    """Return how often the learning rate rose from one record to the next after the warm-up."""
    records = [item for item in items_of(Record, items) if item.update > SETTINGS["warmup"]]
    rates = [record.learning_rate for record in records]
    assert len(rates) > 10
    return sum(b > a * (1 + 1e-12) for a, b in itertools.pairwise(rates))


def test_the_learning_rate_would_rise_if_only_the_end_changed(tmp_path, monkeypatch):
    honest = in_run_directory.change_end

    def planted(learner, schedule, updates, most_factor):
        changed = honest(learner, schedule, updates, most_factor)
        learner.learning_rate_factor = 1.0
        return changed

    monkeypatch.setattr(in_run_directory, "change_end", planted)
    engine = Paced(monkeypatch, PACES["three times faster from the middle on"])
    assert rises(list(train_paced(tmp_path / "run", engine, time_limit(engine)))) > 0


def test_a_run_as_fast_as_planned_has_the_bytes_of_a_run_without_a_limit(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, lambda update: 0.99 + 0.02 * (update % 2))
    items = list(train_paced(tmp_path / "limited", engine, time_limit(engine)))
    assert not items_of(EndChanged, items)
    list(train_paced(tmp_path / "free", engine, None))
    assert lasting(tmp_path / "limited") == lasting(tmp_path / "free")


@pytest.mark.parametrize("name", ["twice as slow", "three times faster from the middle on"])
def test_two_runs_whose_ends_moved_at_the_same_updates_have_the_same_bytes(
    tmp_path, monkeypatch, name
):
    for run in ("one", "other"):
        engine = Paced(monkeypatch, PACES[name])
        list(train_paced(tmp_path / run, engine, time_limit(engine), validation=0.2))
    assert lasting(tmp_path / "one") == lasting(tmp_path / "other")


# Interruptions


def stopped_at_changes(tmp_path, monkeypatch, pace):
    """Train a run to its end, and copy it as a kill would leave it right after each move of its end.

    Returns the number of copies, which are in `tmp_path`, named by numbers from 0.
    """
    engine, copies = Paced(monkeypatch, pace), 0
    items = train_paced(tmp_path / "whole", engine, time_limit(engine), validation=0.2)
    for item in items:
        if isinstance(item, EndChanged):
            shutil.copytree(tmp_path / "whole", tmp_path / str(copies))
            copies += 1
    return copies


@pytest.mark.parametrize("name", ["five times slower from the middle on", "to and fro"])
def test_a_run_killed_after_its_end_moved_is_resumed_to_the_same_bytes(tmp_path, monkeypatch, name):
    copies = stopped_at_changes(tmp_path, monkeypatch, PACES[name])
    last = tmp_path / str(copies - 1)  # earlier copies lack the later moves of the end
    resume(last)
    require_same(last, lasting(tmp_path / "whole"), "killed after the last move")


def test_a_run_killed_before_config_json_was_replaced_is_resumed_to_the_same_bytes(
    tmp_path, monkeypatch
):
    engine = Paced(monkeypatch, PACES["five times slower from the middle on"])
    run, killed = tmp_path / "whole", tmp_path / "killed"
    honest = RunWriter.change_end
    configs = []

    def change_end(writer, learner, reason):
        configs.append((run / "config.json").read_bytes())
        honest(writer, learner, reason)

    monkeypatch.setattr(RunWriter, "change_end", change_end)
    for item in train_paced(run, engine, time_limit(engine)):
        if isinstance(item, EndChanged):
            shutil.rmtree(killed, ignore_errors=True)
            shutil.copytree(run, killed)
    assert (killed / "config.json").read_bytes() != configs[-1]
    (killed / "config.json").write_bytes(configs[-1])
    unmoved = tmp_path / "unmoved"
    shutil.copytree(killed, unmoved)
    resume(killed)
    require_same(killed, lasting(run), "killed before config.json was replaced")
    # Without the event, the run goes to its earlier end, and the comparison finds it.
    lines = (unmoved / "events.jsonl").read_bytes().splitlines(keepends=True)
    (unmoved / "events.jsonl").write_bytes(b"".join(lines[:-1]))
    resume(unmoved)
    with pytest.raises(AssertionError, match="differ from the uninterrupted run"):
        require_same(unmoved, lasting(run), "the event is lost")


def test_a_move_without_a_checkpoint_would_not_be_repeatable(tmp_path, monkeypatch):
    """The comparison above finds it if training does not save before it moves the end."""
    monkeypatch.setattr(in_run_directory.RunSaver, "save", lambda *_, **__: iter(()))
    copies = stopped_at_changes(
        tmp_path, monkeypatch, PACES["five times slower from the middle on"]
    )
    last = tmp_path / str(copies - 1)
    monkeypatch.undo()
    resume(last)
    with pytest.raises(AssertionError, match="differ from the uninterrupted run"):
        require_same(last, lasting(tmp_path / "whole"), "no checkpoint")


def test_an_interrupted_run_is_resumed_to_the_last_planned_end_without_a_limit(
    tmp_path, monkeypatch
):
    engine = Paced(monkeypatch, PACES["twice as slow"])
    list(train_paced(tmp_path / "whole", engine, time_limit(engine)))
    engine = Paced(monkeypatch, PACES["twice as slow"])
    with closing(train_paced(tmp_path / "cut", engine, time_limit(engine))) as items:
        moved = 0
        total = len(events_named(tmp_path / "whole", "end_changed"))
        for item in items:
            moved += isinstance(item, EndChanged)
            if moved == total and isinstance(item, Progress):
                break
    assert read_status(tmp_path / "cut").state == "interrupted"
    items = resume(tmp_path / "cut")
    assert not items_of(EndChanged, items)
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


def events_named(run, name):
    return [event for event in read_run(run).events if event["event"] == name]


def test_an_end_that_a_user_gives_later_replaces_one_that_moved(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, PACES["twice as slow"])
    run = tmp_path / "run"
    list(train_paced(run, engine, time_limit(engine)))
    moved = read_run(run).updates
    writer, *_ = reopen(run, updates=moved + 5)
    writer.close()
    assert events_named(run, "end_changed")[-1]["updates"] == moved + 5
    assert resume(run)[-1] == Ended(moved + 5, "finished")
    writer, *_ = reopen(run, epochs=1_000)
    writer.close()
    config = read_run(run).config
    assert (config.epochs, config.updates) == (1_000, None)


def moved_run(run, monkeypatch, factor=None):
    """Train a run whose end moves so that its learning-rate factor shrinks; return the end's last event."""
    engine = Paced(monkeypatch, PACES["twice as fast"])
    for item in train_paced(run, engine, time_limit(engine)):
        if factor is not None and isinstance(item, Progress) and item.update == 0:
            write_control(run, "run", learning_rate_factor=factor)
    event = events_named(run, "end_changed")[-1]
    assert event["learning_rate_factor"] < (factor or 1.0)
    return event


@pytest.mark.parametrize("factor", [None, 0.25])
def test_a_new_end_of_a_user_undoes_what_a_moved_end_did_to_the_factor(
    tmp_path, monkeypatch, factor
):
    run = tmp_path / "run"
    moved = moved_run(run, monkeypatch, factor)
    writer, *_ = reopen(run, updates=moved["updates"] + 500)
    writer.close()
    event = events_named(run, "end_changed")[-1]
    assert event["learning_rate_factor"] == (factor or 1.0)
    assert event["reason"] is None
    # The event is enough: the checkpoint still has the smaller factor.
    writer, learner, _ = reopen(run)
    writer.close()
    assert learner.learning_rate_factor == (factor or 1.0)


def test_a_new_end_after_a_rollback_has_half_the_factor_that_the_moved_end_had_not_changed(
    tmp_path, monkeypatch
):
    run = tmp_path / "run"
    moved = moved_run(run, monkeypatch)
    rollback = {
        "event": "rolled_back",
        "rollbacks": 1,
        "reason": "",
        "time": "",
        "update": moved["update"],
    }
    factor = moved["learning_rate_factor"] / 2
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps(rollback | {"learning_rate_factor": factor}) + "\n")
    writer, learner, _ = reopen(run, updates=moved["updates"] + 500)
    writer.close()
    assert learner.learning_rate_factor == 0.5


def test_a_new_end_at_the_same_update_keeps_the_factor(tmp_path, monkeypatch):
    run = tmp_path / "run"
    engine = Paced(monkeypatch, PACES["twice as fast"])
    with closing(train_paced(run, engine, time_limit(engine))) as items:
        moved = next(item for item in items if isinstance(item, EndChanged))
    assert moved.factor < 1
    writer, learner, _ = reopen(run, updates=moved.updates)
    writer.close()
    assert learner.learning_rate_factor == moved.factor


def test_with_lost_events_a_new_end_keeps_the_factor(tmp_path, monkeypatch):
    run = tmp_path / "run"
    moved = moved_run(run, monkeypatch)
    with (run / "events.jsonl").open("ab") as file:
        file.write(b"{\n")
    writer, learner, _ = reopen(run, updates=moved["updates"] + 500)
    writer.close()
    assert learner.learning_rate_factor == moved["learning_rate_factor"]


@pytest.mark.parametrize(
    "fields",
    [{}, {"epochs": 3}, {"updates": 7}, {"epochs": 0, "updates": 7}, {"epochs": 3, "updates": 0},
     {"epochs": 3, "updates": 2**31}, {"epochs": 3, "updates": 7.0}, {"epochs": 3, "updates": True}],
)  # fmt: skip
def test_an_event_without_a_valid_end_changes_nothing(fields):
    config = Config(updates=5)
    assert with_last_end(config, [{"event": "end_changed", "update": 1, **fields}]) is config
    valid = {"event": "end_changed", "epochs": 2, "updates": None}
    found = with_last_end(config, [valid, {"event": "end_changed", **fields}, {"event": "other"}])
    assert (found.epochs, found.updates) == (2, None)


# Pauses


def test_the_time_of_a_pause_does_not_count(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, lambda _: 1.0)
    paused = []
    items = train_paced(tmp_path / "run", engine, time_limit(engine))
    for item in items:
        if isinstance(item, Progress) and item.update >= 400 and not paused:
            write_control(tmp_path / "run", "pause")
            paused.append(engine.now)
        if isinstance(item, Progress) and item.state == "paused":
            engine.now += 100.0
            if len(paused) == 1 and engine.now > paused[0] + 3_000:
                paused.append(engine.now)
                write_control(tmp_path / "run", "run")
        assert not isinstance(item, EndChanged)
    assert item == Ended(1_000, "finished")
    pause = paused[1] - paused[0]
    assert pause > 3_000
    assert engine.now == pytest.approx(SECONDS + pause, abs=0.05 * SECONDS)


# The work after the last update


def test_time_for_the_work_after_the_last_update_is_left(tmp_path, monkeypatch):
    """The passage takes 200 seconds when the machine is as fast as planned, and 400 when it is half as fast."""
    for slowness in (0.5, 1.0, 2.0):
        run = tmp_path / str(slowness)
        engine = Paced(monkeypatch, lambda _, s=slowness: s, generating=4.0 * slowness)
        limit = time_limit(engine, passage=200.0)
        items = list(train_paced(run, engine, limit, sample_length=1, updates=800))
        assert abs(engine.now - SECONDS) <= 0.05 * SECONDS
        assert items[-1].update < 1_000 / slowness - 100


@pytest.mark.parametrize(("planned", "limited"), [(50.0, True), (0.0, True), (0.0, False)])
def test_the_final_evaluation_is_left_out_if_it_would_miss_the_limit(
    tmp_path, monkeypatch, planned, limited
):
    """It takes 50 seconds. If no time was planned for it, it ends after its first 5 seconds."""
    engine = Paced(monkeypatch, lambda _: 1.0)

    def evaluate(learner, *_):
        for n in range(1, 11):
            engine.now += 5.0
            yield EvaluationProgress(learner.update, n, 10)
        return FinalEvaluation(learner.update, 1.0, 10)

    monkeypatch.setattr(in_run_directory, "evaluate_whole_part", evaluate)
    monkeypatch.setattr(in_run_directory, "characters_in_one_stream", lambda _: 0)
    limit = time_limit(engine, whole=planned) if limited else None
    settings = {"validation": 0.4, "judged_characters": 20, "updates": 1_000 - int(planned)}
    items = list(train_paced(tmp_path / "run", engine, limit, **settings))
    assert bool(items_of(FinalEvaluation, items)) == (planned > 0 or not limited)
    assert not items_of(EndChanged, items)
    assert (abs(engine.now - SECONDS) <= 0.01 * SECONDS) == limited


# Details


def schedule(**settings):
    return Schedule.of(small_config(**{**SETTINGS, **settings}), len(small_corpus()))


def planner(monkeypatch, seconds=SECONDS, **costs):
    engine = Paced(monkeypatch, lambda _: 1.0)
    begun = EndPlanner(time_limit(engine, seconds, **costs), 0.0)
    assert begun.new_end(schedule(), 0, 0.0) is None
    return begun


def test_the_end_moves_only_if_the_run_would_miss_its_time_clearly(monkeypatch):
    assert planner(monkeypatch).new_end(schedule(), 200, 203.0) is None
    assert planner(monkeypatch).new_end(schedule(), 200, 230.0) == 200 + int(770 / 1.15)


def test_the_speed_is_not_compared_before_a_fifth_of_the_time_has_passed(monkeypatch):
    plan = planner(monkeypatch)
    assert plan.new_end(schedule(), 10, 199.0) is None
    assert plan.new_end(schedule(), 10, 200.0) == 10 + int(800 / 20)


def test_a_run_that_is_late_ends_after_its_next_update(monkeypatch):
    assert planner(monkeypatch).new_end(schedule(), 500, 1_500.0) == 501


def test_after_a_rollback_the_speed_is_measured_from_the_earlier_update(monkeypatch):
    plan = planner(monkeypatch)
    assert plan.new_end(schedule(), 300, 300.0) is None
    assert plan.new_end(schedule(), 100, 310.0) is None
    # 200 updates in 200 seconds: 490 seconds are left for 490 updates.
    assert plan.new_end(schedule(), 300, 510.0) == 790


@pytest.mark.parametrize("begun", [0, 20])
def test_the_time_of_counting_n_grams_is_not_taken_for_that_of_updates(begun, monkeypatch):
    engine, corpus = Paced(monkeypatch, lambda _: 1.0), small_corpus()
    honest = engine.count_ngrams

    def slow(*args, **limit):
        engine.now += 500.0
        return honest(*args, **limit)

    monkeypatch.setattr(engine, "count_ngrams", slow)
    config = small_config(**{**SETTINGS, "ngram_order": 2, "updates": 500})
    learner = new_learner(config, corpus.vocabulary)
    learner.update, learner.position = begun, begun * SETTINGS["seq_length"]
    limit = time_limit(engine, SECONDS - begun)
    items = train_paced_in_memory(learner, corpus, engine, limit)
    assert not items_of(EndChanged, items)
    assert (learner.update, engine.now) == (500, SECONDS - begun)


def test_an_end_whose_event_is_not_on_the_disk_is_not_in_config_json(tmp_path, monkeypatch):
    """Only the event has the factor: a resumed run with the new end alone would have another learning rate."""
    writer, learner, _ = create(tmp_path / "run", **SETTINGS)
    before = (tmp_path / "run" / "config.json").read_bytes()

    def refuse():
        raise WriteError("the disk is full.")

    with writer:
        monkeypatch.setattr(writer.events, "sync", refuse)
        learner.config = learner.config.replace(updates=1_500)
        writer.change_end(learner, "the plan changed")
        assert (tmp_path / "run" / "config.json").read_bytes() == before
        monkeypatch.undo()
        writer.change_end(learner, "the plan changed")
    assert (tmp_path / "run" / "config.json").read_bytes() != before


def test_a_run_without_a_limit_never_moves_its_end():
    plan = EndPlanner(None, 0.0)
    assert plan.new_end(schedule(), 0, 0.0) is None
    assert plan.new_end(schedule(), 900, 1e9) is None


def test_if_the_checkpoint_cannot_be_saved_the_end_moves_later(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, PACES["twice as slow"])
    honest, refused = RunWriter.save, []

    def save(writer, learner):
        if learner.update and len(refused) < 2:  # after three refusals, training would pause
            refused.append(learner.update)
            raise WriteError("the disk is full.")
        return honest(writer, learner)

    monkeypatch.setattr(RunWriter, "save", save)
    items = list(train_paced(tmp_path / "run", engine, time_limit(engine)))
    assert len(items_of(Warned, items)) == 2
    assert items_of(EndChanged, items)[0].update > refused[1] > refused[0]
    assert abs(engine.now - SECONDS) <= 0.05 * SECONDS


def test_a_commanded_learning_rate_factor_stays_when_the_end_moves(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, PACES["five times slower from the middle on"])
    run = tmp_path / "run"
    for item in train_paced(run, engine, time_limit(engine)):
        if isinstance(item, Progress) and item.update == 0:
            write_control(run, "run", learning_rate_factor=0.25)
    factors = {event["learning_rate_factor"] for event in events_named(run, "end_changed")}
    assert factors == {0.25}


def test_a_later_end_lowers_the_factor_and_an_earlier_one_returns_it():
    plan = schedule()
    learner = new_learner(plan.config, small_corpus().vocabulary)
    learner.update = 600
    rate = plan.learning_rates(600, 1)[0]
    later, event = end_change.change_end(learner, plan, 1_500, 1.0)
    assert learner.config.updates == event.updates == later.updates == 1_500
    assert event.factor == learner.learning_rate_factor < 1
    assert later.learning_rates(600, 1)[0] * event.factor == pytest.approx(rate)
    end_change.change_end(learner, later, 900, 1.0)
    assert learner.learning_rate_factor == 1.0


def test_a_constant_learning_rate_is_not_changed(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, PACES["twice as fast"])
    items = train_paced(tmp_path / "run", engine, time_limit(engine), schedule="constant", warmup=0)
    assert {change.factor for change in items_of(EndChanged, list(items))} == {1.0}


@pytest.mark.parametrize("name", ["twice as slow", "three times faster from the middle on"])
def test_training_in_memory_keeps_the_limit_too(monkeypatch, name):
    engine, corpus = Paced(monkeypatch, PACES[name]), small_corpus()
    learner = new_learner(small_config(**SETTINGS), corpus.vocabulary)
    items = train_paced_in_memory(learner, corpus, engine, time_limit(engine))
    assert items_of(EndChanged, items)
    assert abs(engine.now - SECONDS) <= 0.05 * SECONDS
    assert items[-1] == Ended(learner.config.updates, "finished")
    assert rises(items) == 0


def test_patience_goes_on_counting_when_the_end_moves(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, PACES["twice as slow"])
    settings = {"validation": 0.2, "judge_every": 10, "patience": 60, "learning_rate": 1e-12}
    counts = []
    writer, learner, corpus = create(tmp_path / "run", **{**SETTINGS, **settings})
    with writer, calls_without_clock():
        before = 0
        for item in train_run(writer, learner, corpus, engine, limit=time_limit(engine)):
            if isinstance(item, EndChanged):
                counts.append((before, learner.judgements_since_best))
            before = learner.judgements_since_best
    assert counts
    assert all(before == after for before, after in counts)


def test_the_event_says_why_the_end_moved(tmp_path, monkeypatch):
    engine = Paced(monkeypatch, PACES["twice as slow"])
    (change, *_) = items_of(EndChanged, train_paced(tmp_path / "run", engine, time_limit(engine)))
    event = events_named(tmp_path / "run", "end_changed")[0]
    assert event["reason"] == change.reason
    assert change.reason.startswith(
        "training is slower than planned: to keep to its minutes, the run now ends at update "
    )
    assert EndChanged(3, 2_000, 1_000, 1.0).reason.startswith("training is faster")
    text = (tmp_path / "run" / "config.json").read_text()
    assert json.loads(text)["config"]["updates"] == read_run(tmp_path / "run").updates
    assert Costs(update=2.0, save=1.0).times(3.0) == Costs(update=6.0, save=3.0)
