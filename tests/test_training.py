"""Training is the algorithm and nothing else: the same bits however it is cut, halted or resumed."""

import contextlib
import dataclasses
import functools
import json
import shutil
import time

import numpy as np
import pytest

from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import DivergedError, WriteError
from charloom.messages import for_command_line
from charloom.model import copy_learner, new_learner, zero_state
from charloom.model.schedule import Schedule
from charloom.store import (
    RunWriter,
    load_model,
    read_control,
    read_run,
    read_status,
    write_control,
)
from charloom.training import (
    Ended,
    Progress,
    Record,
    Sample,
    Saved,
    Stopwatch,
    Warned,
    command_reader,
    in_run_directory,
    learn,
    loop,
    passage,
    run_saving,
    train_run,
)
from reliability.calls import Calls
from reliability.runs import CLOCK_FIELDS, lasting
from runs import (
    ENGINES,
    FullDisk,
    after,
    create,
    lines_of,
    resume,
    small_config,
    small_corpus,
    train,
)


def of(kind, items):
    """The items of one kind."""
    return [item for item in items if isinstance(item, kind)]


def start(**settings):
    """A learner and its text."""
    corpus = small_corpus()
    return new_learner(small_config(**settings), corpus.vocabulary), corpus


# When things are due


def test_records_and_samples_come_when_they_are_due():
    learner, corpus = start()
    items = list(learn(learner, corpus.ids, ReferenceEngine()))
    schedule = Schedule.of(learner.config, len(corpus))
    updates = range(schedule.updates + 1)
    assert [r.update for r in of(Record, items)] == [
        u for u in updates if u and schedule.record_due(u)
    ]
    assert [s.update for s in of(Sample, items)] == [u for u in updates if schedule.sample_due(u)]
    assert len({s.update for s in of(Sample, items)}) == len(of(Sample, items))
    assert learner.update == schedule.updates
    whole = [record.epoch for record in of(Record, items) if record.epoch % 1 == 0]
    assert whole == [1.0, 2.0]
    assert isinstance(items[-1], Progress)


# The algorithm


def test_learning_is_the_window_by_window_loop_of_the_experiment():
    learner, corpus = start(smoothing=0.9)
    twin = copy_learner(learner)
    records = of(Record, learn(learner, corpus.ids, ReferenceEngine()))

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
def test_how_calls_are_cut_changes_no_bit(monkeypatch, engine, growth):
    monkeypatch.setattr(loop, "CALL_SECONDS", 1e9)
    first, corpus = start(report_every=40)
    told = [list(learn(first, corpus.ids, open_engine(engine)))]
    monkeypatch.setattr(loop, "GROWTH", growth)
    second, _ = start(report_every=40)
    told.append(list(learn(second, corpus.ids, open_engine(engine))))
    for name, parameter in first.parameters.items():
        assert second.parameters[name].tobytes() == parameter.tobytes()
    assert vars(second) | {"parameters": 0, "slots": 0, "state": 0} == vars(first) | {
        "parameters": 0,
        "slots": 0,
        "state": 0,
    }
    assert without_clock(told[0]) == without_clock(told[1])


def without_clock(items):
    """Records without what the clock said, and samples."""
    records = [record.to_dict() for record in of(Record, items)]
    for record in records:
        for field in CLOCK_FIELDS:
            del record[field]
    return records, of(Sample, items)


def test_sampling_along_the_way_changes_nothing():
    often, corpus = start(sample_every=1, sample_first=1, sample_until=10**6)
    rarely, _ = start(sample_until=0)
    samples = of(Sample, learn(often, corpus.ids, ReferenceEngine()))
    list(learn(rarely, corpus.ids, ReferenceEngine()))
    assert len(samples) == often.update + 1
    assert all(len(sample.text) == 30 for sample in samples)
    assert len({sample.text for sample in samples}) > often.update / 2
    for name, parameter in often.parameters.items():
        assert parameter.tobytes() == rarely.parameters[name].tobytes()


def test_the_last_update_has_one_sample_even_where_another_falls_on_it():
    learner, corpus = start(updates=20)
    samples = of(Sample, learn(learner, corpus.ids, ReferenceEngine()))
    assert [sample.update for sample in samples] == [0, 5, 20]


def test_a_call_of_the_engine_takes_about_a_tenth_of_a_second(monkeypatch):
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

    records = of(Record, learn(learner, corpus.ids, Spy()))
    assert rates == [0.025] * 3
    assert {record.learning_rate for record in records} == {0.025}


# Records


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


def test_a_judged_record_ends_with_its_judgement():
    judged = Record(100, 0.25, 2500, 1.5, 80.0, 100.25, 3.2, 0.1, 12.5, 50_000.0, 1.75)
    other = dataclasses.replace(judged, validation_nats=None)
    line = judged.to_line()
    assert line.removesuffix(b',"validation_nats":1.75}') == other.to_line().removesuffix(b"}")
    assert json.loads(line) == judged.to_dict() == {**other.to_dict(), "validation_nats": 1.75}
    assert "validation_nats" not in other.to_dict()


def test_a_line_is_as_long_whatever_the_clock_says():
    lengths = set()
    for seconds, rate in ((0.0, 0.0), (0.001, 0.1), (9_999_999_999.999, 999_999_999_999.0)):
        line = Record(1, 1.0, 25, seconds, 1.0, 1.0, 1.0, 0.1, 1.0, rate).to_line()
        assert json.loads(line)["seconds"] == seconds
        assert json.loads(line)["characters_per_second"] == rate
        lengths.add(len(line))
    assert len(lengths) == 1


class Timed(ReferenceEngine):
    """An engine by whose clock a call that trains takes a second, and one that writes an hour."""

    seconds = 0.0

    def train(self, *given, **named):
        self.seconds += 1.0
        return super().train(*given, **named)

    def generate(self, *given, **named):
        self.seconds += 3_600.0
        return super().generate(*given, **named)


def test_the_sample_before_training_is_no_part_of_the_first_records_speed():
    engine, corpus = Timed(), small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    items = learn(learner, corpus.ids, engine, clock=lambda: engine.seconds)
    first = next(item for item in items if isinstance(item, Record))
    assert first.characters_per_second == learner.config.seq_length  # one update in a second


def test_a_stopwatch_stands_still_while_it_is_held(monkeypatch):
    now = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Stopwatch(100.0)
    now[0] += 2
    watch.hold()
    now[0] += 30
    assert watch() == 102
    watch.go()
    now[0] += 1
    assert watch() == 103


# In a run directory


@pytest.mark.parametrize("engine", ENGINES)
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path, engine):
    train(tmp_path / "whole", engine=engine)
    truth = lasting(tmp_path / "whole")
    total = read_run(tmp_path / "whole").updates
    for calls in (2, 3, 5, 8, 13):
        run = tmp_path / str(calls)
        items = train(run, engine=engine, halt=after(calls))
        assert items[-1] == Ended(items[-1].update, "interrupted", "SIGINT")
        while items[-1].state == "interrupted":
            items = resume(run, engine=engine, halt=after(calls))
        assert items[-1] == Ended(total, "finished")
        assert lasting(run) == truth


WAYS = [
    {"cell": "lstm", "layers": 2, "batch_size": 3, "dropout": 0.3, "optimizer": "adam",
     "learning_rate": 0.01, "clip_by": "norm", "schedule": "cosine", "warmup": 3},
    {"cell": "gru", "batch_size": 2, "optimizer": "rmsprop", "learning_rate": 0.002,
     "schedule": "step", "step_after": 1, "reduction": "mean", "dropout": 0.1},
    {"cell": "rnn", "layers": 3, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.05,
     "split": "streams", "validation": 0.3, "dropout": 0.2},
    {"cell": "gru", "layers": 2, "optimizer": "adamw", "learning_rate": 0.01, "clip": 0.0,
     "weight_decay": 0.1, "validation": 0.2, "judge_every": 4, "init": "orthogonal"},
    {"cell": "lstm", "optimizer": "adagrad", "batch_size": 2, "init": "uniform",
     "validation": 0.2, "test": 0.1, "judge_every": 4, "dtype": "float64"},
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way['cell']}-{way['optimizer']}")
def test_every_cell_and_optimizer_resumes_to_the_bit(tmp_path, engine, way):
    # Halted after every update, so in the middle of epochs and at their ends, and in judgements,
    # each of which is given up again and again until it is given the time that it takes.
    settings = {"hidden_size": 5, "seq_length": 15, "epochs": 3, "report_every": 5, **way}
    train(tmp_path / "whole", engine=engine, **settings)
    items = train(tmp_path / "cut", engine=engine, halt=after(2), **settings)
    saved, asked = set(), 1
    while items[-1].state == "interrupted":
        asked = 2 * asked if items[-1].update in saved else 1
        saved.add(items[-1].update)
        items = resume(tmp_path / "cut", engine=engine, halt=after(asked))
    schedule = Schedule.of(small_config(**settings), len(small_corpus()))
    assert saved == set(range(1, schedule.updates))
    judged = [update for update in saved if schedule.judgement_due(update)]
    assert bool(judged) == ("validation" in way)
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


def test_a_resumed_run_saves_after_the_seconds_that_it_is_told(tmp_path, monkeypatch):
    """By a clock that goes on by a second at each update."""
    settings = {"updates": 60, "report_every": 1, "save_seconds": 1e9}
    train(tmp_path / "whole", **settings)
    saved = {}
    for seconds in (None, 3.0, 10.0):
        run = tmp_path / f"run{seconds}"
        train(run, halt=after(3), **settings)
        now = [0.0]
        with monkeypatch.context() as patch:
            patch.setattr(in_run_directory.time, "monotonic", lambda now=now: now[0])
            writer, learner, corpus = RunWriter.resume(run)
            with writer:
                told = []
                for item in train_run(
                    writer, learner, corpus, ReferenceEngine(), save_seconds=seconds
                ):
                    told.append(item)
                    now[0] += isinstance(item, Record)
        saved[seconds] = len(of(Saved, told))
        assert lasting(run) == lasting(tmp_path / "whole")
    assert saved[3.0] > saved[10.0] > saved[None]


def test_a_run_halted_after_every_call_ends_with_the_same_bytes(tmp_path):
    settings = {"updates": 12, "report_every": 3}
    train(tmp_path / "whole", **settings)
    items = train(tmp_path / "cut", halt=after(2), **settings)  # the first tells of update 0
    resumed = 0
    while items[-1].state == "interrupted":
        items = resume(tmp_path / "cut", halt=after(1))
        resumed += 1
    assert resumed >= 8  # each resumption begins with a call of one update
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


def test_a_run_that_saves_at_every_moment_ends_with_the_same_best_and_journals(tmp_path):
    # save_seconds is in the config, so the runs differ in it and in nothing else.
    train(tmp_path / "often", save_seconds=1e-9)
    train(tmp_path / "once", save_seconds=1e9)
    often, once = lasting(tmp_path / "often"), lasting(tmp_path / "once")
    for kept in (often, once):
        for name in [name for name in kept if name.endswith(("model.safetensors", "MANIFEST"))]:
            del kept[name]
        for pointer in ("latest", "best"):
            kept[pointer] = kept[pointer].split()[0]  # the seal after it is that of the manifest
    assert often == once
    best = [load_model(tmp_path / run) for run in ("often", "once")]
    assert best[0].parameters["V"].tobytes() == best[1].parameters["V"].tobytes()


def test_everything_told_is_in_the_journals_and_the_learner_fit_to_be_saved(tmp_path):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        told = []
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            told.append(item)
            assert of(Record, told) == [] or learner.update >= of(Record, told)[-1].update
            writer.flush()
            assert len(lines_of(writer.path / "metrics.jsonl")) >= len(of(Record, told))
    view = read_run(tmp_path / "run")
    assert view.metrics == [record.to_dict() for record in of(Record, told)]
    assert view.samples == [sample.to_dict() for sample in of(Sample, told)]
    assert [event["event"] for event in view.events] == ["created", "started", "finished"]
    assert view.engine == ReferenceEngine().describe()
    assert view.status["state"] == "finished"
    assert view.status["update"] == view.status["updates"] == view.updates == learner.update
    assert of(Saved, told)[-1].path == tmp_path / "run" / "checkpoints" / str(learner.update)


def test_the_best_checkpoint_is_that_of_the_lowest_smooth_loss_and_the_latest_writes(tmp_path):
    # Not smoothed at all, so that the last loss is not the lowest one.
    items = train(tmp_path / "run", smoothing=0.0)
    best = min(of(Record, items), key=lambda record: record.smooth_loss)
    view = read_run(tmp_path / "run")
    assert view.best == best.update < view.latest
    learner = load_model(tmp_path / "run", "best")
    assert learner.update == best.update
    assert learner.smooth_loss == best.smooth_loss
    latest = load_model(tmp_path / "run")
    assert latest.update == view.latest == view.events[-1]["passage"]
    assert view.passage == passage(latest, small_corpus().ids, ReferenceEngine())
    assert len(view.passage) == 50


def test_seconds_go_on_where_the_last_record_was(tmp_path):
    train(tmp_path / "run", halt=after(6))
    path = tmp_path / "run" / "metrics.jsonl"
    last = lines_of(path)[-1]
    slow = {**last, "seconds": 5_000.0}
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1] = Record(**slow).to_line() + b"\n"
    path.write_bytes(b"".join(lines))
    resume(tmp_path / "run")
    later = [record["seconds"] for record in lines_of(path)[len(lines) :]]
    assert later == sorted(later)
    assert 5_000 <= later[0] < 5_100


def test_a_finished_run_knows_it_and_can_be_extended(tmp_path):
    run = tmp_path / "run"
    train(run, updates=20)
    writer, learner, corpus = RunWriter.resume(run)
    with writer:
        assert writer.finished
        assert of(Ended, train_run(writer, learner, corpus, ReferenceEngine()))
    writer, *_ = RunWriter.resume(run, updates=40)
    with writer:
        assert not writer.finished
    assert resume(run)[-1] == Ended(40, "finished")
    assert resume(run, epochs=1)[-1] == Ended(read_run(run).updates, "finished")
    view = read_run(run)
    assert view.config.updates is None
    assert [record["update"] for record in view.metrics if record["epoch"] == 1] == [view.updates]
    assert load_model(run, "latest").config == view.config
    # Updates and epochs are only where it ends: the way there is the same.
    train(tmp_path / "straight", epochs=1)
    straight = load_model(tmp_path / "straight", "latest")
    assert straight.parameters["V"].tobytes() == load_model(run, "latest").parameters["V"].tobytes()


def test_a_run_killed_between_the_last_save_and_the_passage_is_finished_by_resuming(tmp_path):
    run = tmp_path / "run"
    train(run)
    truth = (run / "passage.txt").read_bytes()
    (run / "passage.txt").unlink()
    writer, *_ = RunWriter.resume(run)
    with writer:
        assert not writer.finished
    resume(run)
    assert (run / "passage.txt").read_bytes() == truth


def test_the_loop_can_be_left_at_any_item_and_loses_nothing(tmp_path):
    train(tmp_path / "whole")
    for leave_at in (1, 4, 9):
        run = tmp_path / str(leave_at)
        writer, learner, corpus = create(run)
        with writer:
            items = train_run(writer, learner, corpus, ReferenceEngine())
            for _ in range(leave_at):
                next(items)
            items.close()
        assert read_status(run)["state"] == "interrupted"
        assert read_run(run).latest == learner.update
        resume(run)
        assert lasting(run) == lasting(tmp_path / "whole")


def test_leaving_the_loop_after_the_run_was_closed_harms_nothing(tmp_path):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        next(items)
    items.close()
    assert read_run(tmp_path / "run").latest == 0


def test_an_error_inside_the_engine_leaves_the_last_checkpoint_and_says_failed(tmp_path):
    class Broken(ReferenceEngine):
        def train(self, learner, tokens, plan):
            if learner.update > 10:
                learner.parameters["V"][...] = 7  # half an update
                raise KeyboardInterrupt if interrupt else RuntimeError("a bug")
            return super().train(learner, tokens, plan)

    for interrupt, state in ((False, "failed"), (True, "interrupted")):
        run = tmp_path / state
        writer, learner, corpus = create(run)
        with writer, pytest.raises(KeyboardInterrupt if interrupt else RuntimeError):
            list(train_run(writer, learner, corpus, Broken()))
        assert read_status(run)["state"] == state
        assert read_run(run).latest == 0
        resume(run)


# A disk that refuses


def test_a_full_disk_in_the_middle_is_a_warning_and_the_next_save_makes_up_for_it(
    tmp_path, monkeypatch
):
    train(tmp_path / "whole", save_seconds=1e-9)
    monkeypatch.setattr(in_run_directory, "REFUSED_SAVES", 1_000)
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run", save_seconds=1e-9)
    warnings = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            warnings += of(Warned, [item])
            if isinstance(item, Record) and item.update == 21:
                disk.arm(1, forever=True)
            if isinstance(item, Record) and item.update == 49:
                disk.disarm()
    assert warnings
    assert all("No space left on device" in warning.message for warning in warnings)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    assert "warning" in {event["event"] for event in read_run(tmp_path / "run").events}


class Waiting:
    """A clock on which only waiting takes time, and what happens after some seconds of it."""

    def __init__(self, monkeypatch, seconds=0.0, action=lambda: None):
        self.now, self.waited, self._seconds, self._action = 0.0, 0.0, seconds, action
        monkeypatch.setattr(in_run_directory.time, "monotonic", self.clock)
        monkeypatch.setattr(in_run_directory.time, "sleep", self.sleep)

    def clock(self):
        self.now += 1e-6  # so that saves fall due
        return self.now

    def sleep(self, seconds):
        before, self.waited = self.waited, self.waited + seconds
        self.now += seconds
        if before < self._seconds <= self.waited:
            self._action()


@pytest.mark.parametrize("minutes", [0.05, 60.0])
def test_training_pauses_while_a_disk_refuses_and_goes_on_by_itself_to_the_same_bytes(
    tmp_path, monkeypatch, minutes
):
    train(tmp_path / "whole", save_seconds=1e-9)
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run", save_seconds=1e-9)
    waiting, states = Waiting(monkeypatch, 60 * minutes, disk.disarm), []
    status = writer.status
    writer.status = lambda state, *more: (states.append((state, more[-1])), status(state, *more))
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        told = eventful(items, {21: lambda: disk.arm(1, forever=True)})
    assert told[-1].state == "finished"
    assert 60 * minutes <= waiting.waited <= 60 * minutes + 16
    paused = {item.update for item in of(Progress, told) if item.state == "paused"}
    assert len(paused) == 1
    refused = [item for item in of(Warned, told) if "was not saved" in item.message]
    assert len(refused) == in_run_directory.REFUSED_SAVES
    assert paused == {refused[-1].update}
    (said,) = [item for item in of(Warned, told) if "Training pauses at update" in item.message]
    assert "3 saves in a row failed" in said.message
    assert "No space left on device" in said.message
    assert [reason for state, reason in states if state == "paused"][-1] == said.message
    events = [event["event"] for event in read_run(tmp_path / "run").events]
    assert events.index("paused") < events.index("continued") < events.index("finished")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


@pytest.mark.parametrize("how", ["SIGINT", "stop"])
def test_whoever_wants_it_to_end_while_a_disk_refuses_is_heard(tmp_path, monkeypatch, how):
    run, asked = tmp_path / "run", []

    def end():
        disk.disarm()
        if how == "stop":
            write_control(run, "stop")
        else:
            asked.append(how)

    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(run, save_seconds=1e-9)
    waiting = Waiting(monkeypatch, 100.0, end)
    with writer:
        items = train_run(
            writer, learner, corpus, ReferenceEngine(), lambda: asked[0] if asked else None
        )
        told = eventful(items, {21: lambda: disk.arm(1, forever=True)})
    assert told[-1].state == ("stopped" if how == "stop" else "interrupted")
    assert waiting.waited < 101
    assert load_model(run).update == told[-1].update < 98
    write_control(run, "run")
    resume(run)
    train(tmp_path / "whole", save_seconds=1e-9)
    assert lasting(run) == lasting(tmp_path / "whole")


def eventful(items, actions):
    """All items, where something happens at the records of some updates."""
    told = []
    for item in items:
        told.append(item)
        if isinstance(item, Record) and item.update in actions:
            actions[item.update]()
    return told


def test_a_full_disk_at_the_end_is_an_error_after_several_tries(tmp_path, monkeypatch):
    monkeypatch.setattr(run_saving, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(run_saving, "PATIENT_SECONDS", ())
    disk = FullDisk(monkeypatch)
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with writer:
        while not (isinstance(item := next(items), Record) and item.update == 49):
            pass
        disk.arm(1, forever=True)
        with pytest.raises(WriteError) as caught:
            list(items)
    disk.disarm()
    for part in (
        "the training after update 0 (now at 98) is lost",
        "No space left on device",
        f"continue from update 0: charloom resume {run}",
    ):
        assert part in for_command_line(caught.value.message)
    assert read_status(run) is None  # none is better than one that says that it trains on
    assert read_run(run).latest == 0
    resume(run)
    train(tmp_path / "whole")
    assert lasting(run) == lasting(tmp_path / "whole")


def test_a_full_disk_at_the_end_is_told_at_once_and_waited_for(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(
        run_saving.RunSaver, "_wait", lambda self, seconds, hurried: waits.append(seconds) or ()
    )
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run")
    told = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            told.append(item)
            if isinstance(item, Record) and item.update == 49:
                disk.arm(1, forever=True)
            if isinstance(item, Warned) and "Trying again for 10 minutes" in item.message:
                assert not waits
                disk.disarm()
    assert told[-1].state == "finished"
    assert waits == [0.5]


@pytest.mark.parametrize("told_before", [True, False])
@pytest.mark.parametrize("how", ["SIGTERM", "stop"])
def test_whoever_is_told_to_end_waits_for_a_full_disk_no_longer(
    tmp_path, monkeypatch, attentive, told_before, how
):
    waits, asked, run = [], [], tmp_path / "run"

    def end():
        if how == "stop":
            disk.armed = False  # whoever stops it has another
            write_control(run, "stop")
            disk.armed = True
        else:
            asked.append(how)

    def wait(self, seconds, hurried):
        waits.append(seconds)
        if len(waits) == 8:
            end()
        return ()

    def full():
        disk.arm(1, forever=True)
        if told_before:
            end()

    monkeypatch.setattr(run_saving.RunSaver, "_wait", wait)
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(run)
    items = train_run(
        writer, learner, corpus, ReferenceEngine(), lambda: asked[0] if asked else None
    )
    with writer, pytest.raises(WriteError, match="is lost"):
        eventful(items, {49: full})
    assert sum(waits) == (30.5 if told_before else 90.5)


def test_a_disk_that_is_full_for_a_moment_at_the_end_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run_saving, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(run_saving, "PATIENT_SECONDS", ())
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            if isinstance(item, Record) and item.update == 49:
                disk.arm(9)
    assert disk.disarm()
    train(tmp_path / "whole")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


@pytest.mark.parametrize("name", ["", "metrics.jsonl"])
def test_a_run_that_is_moved_and_put_back_goes_on(tmp_path, monkeypatch, name):
    monkeypatch.setattr(run_saving, "STATUS_SECONDS", 0.0)
    run, away = tmp_path / "run", tmp_path / "away"

    def back():
        assert not (run / name).exists()
        away.rename(run / name)

    writer, learner, corpus = create(run, save_seconds=1e-9)
    Waiting(monkeypatch, 10.0, back)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with writer:
        told = eventful(items, {21: lambda: (run / name).rename(away)})
    gone = "cannot be written: it was moved or removed. Move it back; a copy of it is not"
    assert any(f"{run / name} {gone}" in warning.message for warning in of(Warned, told))
    train(tmp_path / "whole", save_seconds=1e-9)
    assert lasting(run) == lasting(tmp_path / "whole")


def test_where_a_run_was_another_is_never_written(tmp_path, monkeypatch):
    monkeypatch.setattr(run_saving, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(run_saving, "PATIENT_SECONDS", ())
    monkeypatch.setattr(run_saving, "STATUS_SECONDS", 0.0)
    run, other = tmp_path / "run", {}

    def another():
        shutil.rmtree(run)
        train(run, seed=1)
        other.update(lasting(run))

    writer, learner, corpus = create(run)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with (
        writer,
        pytest.raises(WriteError, match=r"the training after update 0 .* is lost: .* moved"),
    ):
        eventful(items, {21: another})
    assert other
    assert lasting(run) == other
    assert read_status(run)["state"] == "finished"


def test_going_back_leaves_alone_what_is_another_runs(tmp_path):
    run = tmp_path / "run"
    writer, _, _ = create(run)
    with writer:
        run.rename(tmp_path / "away")
        train(run)
        other = lasting(run)
        with pytest.raises(WriteError, match="was moved or removed"):
            writer.roll_back()
    assert lasting(run) == other


# Steering


def steered(run, commands, **settings):
    """Train a run while sending it commands, each after so many items; everything told."""
    writer, learner, corpus = create(run, **settings)
    told = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            told.append(item)
            for command in commands.pop(len(told), []):
                write_control(run, **command)
    return told


@pytest.fixture
def attentive(monkeypatch):
    """A training that looks for commands after every call."""
    monkeypatch.setattr(command_reader, "LOOK_SECONDS", 0.0)


def test_stop_saves_and_ends(tmp_path, attentive):
    told = steered(tmp_path / "run", {10: [{"command": "stop"}]})
    assert told[-1].state == "stopped"
    assert read_status(tmp_path / "run")["state"] == "stopped"
    assert read_run(tmp_path / "run").latest == told[-1].update
    resume(tmp_path / "run")  # the old command is not for this training
    train(tmp_path / "whole")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_pause_saves_and_waits_and_run_goes_on_with_the_same_bytes(tmp_path, attentive):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    paused = 0
    with writer:
        for n, item in enumerate(train_run(writer, learner, corpus, ReferenceEngine())):
            if n == 10:
                write_control(run, "pause")
            if isinstance(item, Progress) and item.state == "paused":
                paused += 1
                assert read_status(run)["state"] == "paused"
                assert read_run(run).latest == learner.update
                if paused == 3:
                    write_control(run, "run")
    assert paused == 3
    train(tmp_path / "whole")
    assert lasting(run) == lasting(tmp_path / "whole")
    told = [event["event"] for event in read_run(run).events]
    assert told == ["created", "started", "paused", "continued", "finished"]


def test_a_pause_can_be_halted_and_stopped(tmp_path, attentive):
    for name, command, state in (("a", None, "interrupted"), ("b", "stop", "stopped")):
        run, halt = tmp_path / name, []
        writer, learner, corpus = create(run)
        with writer:
            asked = iter(lambda halt=halt: halt[0] if halt else None, object())
            items = train_run(
                writer, learner, corpus, ReferenceEngine(), functools.partial(next, asked)
            )
            for item in items:
                if isinstance(item, Record) and item.update == 7:
                    write_control(run, "pause")
                if isinstance(item, Progress) and item.state == "paused":
                    if command:
                        write_control(run, command)
                    else:
                        halt.append("SIGTERM")
        assert item.state == state
        assert read_status(run)["state"] == state


def test_another_learning_rate_factor_counts_from_the_next_update_and_is_told(tmp_path, attentive):
    run = tmp_path / "run"
    told = steered(run, {10: [{"command": "run", "learning_rate_factor": 0.5}]})
    rates = [record.learning_rate for record in of(Record, told)]
    assert rates == sorted(rates, reverse=True)
    assert set(rates) == {0.1, 0.05}
    (event,) = [e for e in read_run(run).events if e["event"] == "learning_rate_factor"]
    assert event["learning_rate_factor"] == 0.5
    first = next(record for record in of(Record, told) if record.learning_rate == 0.05)
    assert event["update"] < first.update
    assert load_model(run, "latest").learning_rate_factor == 0.5


def killed_after(run, command, **settings):
    """A run that gets a command and is killed as soon as it obeyed, before another save."""
    writer, learner, corpus = create(run, save_seconds=1e9, **settings)
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        for item in items:
            if isinstance(item, Record) and item.update == 7:
                writer.save = lambda _: run  # from now on nothing reaches the disk
                write_control(run, **command)
            if learner.learning_rate_factor != 1.0 and isinstance(item, Progress):
                break
        items.close()


def test_another_learning_rate_factor_is_not_lost_when_the_run_is_killed(tmp_path, attentive):
    run = tmp_path / "run"
    killed_after(run, {"command": "run", "learning_rate_factor": 0.5})
    latest = load_model(run)
    assert (latest.update, latest.learning_rate_factor) == (0, 1.0)
    resume(run, halt=after(4))
    assert load_model(run).learning_rate_factor == 0.5


def test_a_learning_rate_factor_is_saved_at_once(tmp_path, attentive):
    run = tmp_path / "run"
    writer, learner, corpus = create(run, save_seconds=1e9)
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            if isinstance(item, Record) and item.update == 7:
                write_control(run, "run", 0.5)
            if isinstance(item, Saved):
                break
        saved = load_model(run)
    assert 7 <= saved.update < 20
    assert saved.learning_rate_factor == 0.5


def test_a_learning_rate_factor_sent_to_a_paused_run_survives_its_interruption(tmp_path, attentive):
    run, halt = tmp_path / "run", []
    writer, learner, corpus = create(run)
    with writer:
        for item in train_run(
            writer, learner, corpus, ReferenceEngine(), lambda: halt[0] if halt else None
        ):
            if isinstance(item, Record) and item.update == 7:
                write_control(run, "pause")
            if isinstance(item, Progress) and item.state == "paused":
                if learner.learning_rate_factor == 1.0:
                    write_control(run, "pause", 0.25)
                else:
                    halt.append("SIGINT")
    assert item.state == "interrupted"
    writer, learner, _ = RunWriter.resume(run)
    writer.close()
    assert learner.learning_rate_factor == 0.25
    resume(run)
    assert load_model(run).learning_rate_factor == 0.25


@pytest.mark.parametrize("paused", [False, True])
def test_a_learning_rate_factor_is_on_the_disk_before_it_counts(tmp_path, attentive, paused):
    """Of a paused run no further checkpoint tells it, for one of that update is there already."""
    run, calls = tmp_path / "run", []
    with Calls(run, after=calls.append), contextlib.ExitStack() as opened:
        writer, learner, corpus = create(run)
        opened.enter_context(writer)
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            if isinstance(item, Record) and item.update == 7:
                write_control(run, "pause" if paused else "run", None if paused else 0.5)
            if isinstance(item, Progress) and item.state == "paused":
                write_control(run, "run", 0.5)
            if learner.learning_rate_factor == 0.5:
                break
    told = [n for n, call in enumerate(calls) if b'"learning_rate_factor":0.5' in call.data]
    (line,) = [n for n in told if calls[n].path.name == "events.jsonl"]
    after_it = next(call for call in calls[line + 1 :])
    assert (after_it.kind, after_it.path.name) == ("fsync", "events.jsonl")


def test_events_are_on_the_disk_before_a_checkpoint_and_after_a_roll_back(tmp_path):
    run, calls = tmp_path / "run", []
    with Calls(run, after=calls.append), contextlib.ExitStack() as opened:
        writer, learner, corpus = create(run)
        opened.enter_context(writer)
        calls.clear()
        learner.smooth_loss = 1.0
        learner.update = 5
        writer.tell("warning", 5, reason="so that there is something")
        writer.save(learner)
        names = [(call.kind, (call.target or call.path).name) for call in calls]
        assert names.index(("fsync", "events.jsonl")) < names.index(("rename", "5"))
        calls.clear()
        trainer = in_run_directory.RunTrainer(writer, learner, len(corpus), lambda: None)
        trainer.go_back(DivergedError("a number is not finite."))
        events = [call.kind for call in calls if call.path.name == "events.jsonl"]
        assert events[:2] == ["write", "fsync"]


def test_steering_of_after_a_return_to_an_earlier_checkpoint_is_not_mixed_up(tmp_path):
    run = tmp_path / "run"
    train(run, halt=after(6))
    update = load_model(run).update
    events = [
        {"event": "learning_rate_factor", "update": update + 80, "learning_rate_factor": 2.0},
        {"event": "rolled_back", "update": 0, "learning_rate_factor": 0.5, "rollbacks": 1},
    ]
    with (run / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    writer, learner, _ = RunWriter.resume(run)
    writer.close()
    # What is told of an update before the checkpoint's is in the checkpoint.
    assert (learner.learning_rate_factor, learner.rollbacks) == (1.0, 0)


def test_a_stop_that_came_before_the_training_began_is_obeyed(tmp_path, attentive):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        write_control(tmp_path / "run", "stop")  # as while the gradients are checked
        items = list(train_run(writer, learner, corpus, ReferenceEngine()))
    assert items[-1] == Ended(0, "stopped", "a command from a terminal, the page or Python")


def test_a_command_of_before_is_not_obeyed(tmp_path, attentive):
    train(tmp_path / "run", halt=after(5))
    write_control(tmp_path / "run", "stop")
    assert resume(tmp_path / "run")[-1].state == "finished"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"sequence":-1}', b'{"sequence":9,"command":"format"}']
    + [b'{"sequence":9,"command":"run","learning_rate_factor":%s}' % f for f in (b"0", b"-1")],
)
def test_a_command_that_makes_no_sense_counts_as_none(tmp_path, attentive, data):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    with writer:
        told = []
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            (run / "control.json").write_bytes(data)
            told.append(item)
    assert told[-1].state == "finished"
    assert read_control(run).sequence == 0
    assert learner.learning_rate_factor == 1.0


def test_a_heartbeat_is_there_from_the_start_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(run_saving, "STATUS_SECONDS", 0.0)
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    updates = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            if isinstance(item, Progress):
                status = read_status(run)
                assert status["state"] == "training"
                updates.append(status["update"])
    assert updates[0] == 0
    assert updates == sorted(updates)
    assert len(set(updates)) > 10
    assert abs(read_status(run)["heartbeat"] - time.time()) < 60
