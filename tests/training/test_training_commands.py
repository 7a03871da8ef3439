"""A training run obeys commands: stop, pause, continue and another learning rate factor."""

import contextlib
import functools
import json
import time

import pytest

from charloom.engines.reference import ReferenceEngine
from charloom.errors import DivergedError
from charloom.store import load_model, read_control, read_run, read_status, write_control
from charloom.training import (
    Ended,
    Progress,
    Record,
    Saved,
    in_run_directory,
    run_saving,
    train_run,
)
from reliability.calls import Calls
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from small_runs import after, create, resume, train
from training_items import items_of


def steered(run, commands, **settings):
    """Train a run, and send it commands, each after some items. Return all items."""
    writer, learner, corpus = create(run, **settings)
    items = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            items.append(item)
            for command in commands.pop(len(items), []):
                write_control(run, **command)
    return items


def test_stop_saves_and_ends(tmp_path, commands_after_each_call):
    items = steered(tmp_path / "run", {10: [{"command": "stop"}]})
    assert items[-1].state == "stopped"
    assert read_status(tmp_path / "run").state == "stopped"
    assert read_run(tmp_path / "run").latest == items[-1].update
    resume(tmp_path / "run")  # the old command is not for this training
    train(tmp_path / "whole")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_paused_run_saves_and_continues_with_the_same_bytes(tmp_path, commands_after_each_call):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    paused = 0
    with writer:
        for n, item in enumerate(train_run(writer, learner, corpus, ReferenceEngine())):
            if n == 10:
                write_control(run, "pause")
            if isinstance(item, Progress) and item.state == "paused":
                paused += 1
                assert read_status(run).state == "paused"
                assert read_run(run).latest == learner.update
                if paused == 3:
                    write_control(run, "run")
    assert paused == 3
    train(tmp_path / "whole")
    assert lasting(run) == lasting(tmp_path / "whole")
    events = [event["event"] for event in read_run(run).events]
    assert events == ["created", "started", "paused", "continued", "finished"]


def test_a_paused_run_can_be_interrupted_or_stopped(tmp_path, commands_after_each_call):
    for name, command, state in (("a", None, "interrupted"), ("b", "stop", "stopped")):
        run, halt = tmp_path / name, []
        writer, learner, corpus = create(run)
        with writer:
            signals = iter(lambda halt=halt: halt[0] if halt else None, object())
            items = train_run(
                writer, learner, corpus, ReferenceEngine(), functools.partial(next, signals)
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
        assert read_status(run).state == state


def test_a_learning_rate_factor_applies_from_the_next_update_and_is_an_event(
    tmp_path, commands_after_each_call
):
    run = tmp_path / "run"
    items = steered(run, {10: [{"command": "run", "learning_rate_factor": 0.5}]})
    rates = [record.learning_rate for record in items_of(Record, items)]
    assert rates == sorted(rates, reverse=True)
    assert set(rates) == {0.1, 0.05}
    (event,) = [e for e in read_run(run).events if e["event"] == "learning_rate_factor"]
    assert event["learning_rate_factor"] == 0.5
    first = next(record for record in items_of(Record, items) if record.learning_rate == 0.05)
    assert event["update"] < first.update
    assert load_model(run, "latest").learning_rate_factor == 0.5


def killed_after(run, command, **settings):
    """Kill a run as soon as it has obeyed a command, before it saves again. Return it."""
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


def test_a_learning_rate_factor_survives_a_kill(tmp_path, commands_after_each_call):
    run = tmp_path / "run"
    killed_after(run, {"command": "run", "learning_rate_factor": 0.5})
    latest = load_model(run)
    assert (latest.update, latest.learning_rate_factor) == (0, 1.0)
    resume(run, halt=after(4))
    assert load_model(run).learning_rate_factor == 0.5


def test_a_learning_rate_factor_is_saved_immediately(tmp_path, commands_after_each_call):
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


def test_a_learning_rate_factor_sent_to_a_paused_run_survives_its_interruption(
    tmp_path, commands_after_each_call
):
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
    writer, learner, _ = reopen(run)
    writer.close()
    assert learner.learning_rate_factor == 0.25
    resume(run)
    assert load_model(run).learning_rate_factor == 0.25


@pytest.mark.parametrize("paused", [False, True])
def test_a_learning_rate_factor_is_on_disk_before_it_applies(
    tmp_path, commands_after_each_call, paused
):
    """A paused run already has a checkpoint of its update, so no further checkpoint stores the factor."""
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
    written = [n for n, call in enumerate(calls) if b'"learning_rate_factor":0.5' in call.data]
    (line,) = [n for n in written if calls[n].path.name == "events.jsonl"]
    after_it = next(call for call in calls[line + 1 :])
    assert (after_it.kind, after_it.path.name) == ("fsync", "events.jsonl")


def test_events_are_on_disk_before_a_checkpoint_and_after_a_rollback(tmp_path):
    run, calls = tmp_path / "run", []
    with Calls(run, after=calls.append), contextlib.ExitStack() as opened:
        writer, learner, corpus = create(run)
        opened.enter_context(writer)
        calls.clear()
        learner.smooth_loss = 1.0
        learner.update = 5
        writer.add_event("warning", 5, reason="so that there is something")
        writer.save(learner)
        names = [(call.kind, (call.target or call.path).name) for call in calls]
        assert names.index(("fsync", "events.jsonl")) < names.index(("rename", "5"))
        calls.clear()
        trainer = in_run_directory.RunTrainer(writer, learner, corpus.ids, lambda: None)
        trainer.go_back(DivergedError("a number is not finite."))
        events = [call.kind for call in calls if call.path.name == "events.jsonl"]
        assert events[:2] == ["write", "fsync"]


def test_events_of_other_updates_do_not_change_a_resumed_run(tmp_path):
    run = tmp_path / "run"
    train(run, halt=after(6))
    update = load_model(run).update
    events = [
        {"event": "learning_rate_factor", "update": update + 80, "learning_rate_factor": 2.0},
        {"event": "rolled_back", "update": 0, "learning_rate_factor": 0.5, "rollbacks": 1},
    ]
    with (run / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    writer, learner, _ = reopen(run)
    writer.close()
    # What is told of an update before the checkpoint's is in the checkpoint.
    assert (learner.learning_rate_factor, learner.rollbacks) == (1.0, 0)


def test_a_stop_sent_before_training_begins_is_obeyed(tmp_path, commands_after_each_call):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        write_control(tmp_path / "run", "stop")  # as while the gradients are checked
        items = list(train_run(writer, learner, corpus, ReferenceEngine()))
    assert items[-1] == Ended(0, "stopped", "a command from a terminal, the page or Python")


def test_a_command_from_an_earlier_session_is_ignored(tmp_path, commands_after_each_call):
    train(tmp_path / "run", halt=after(5))
    write_control(tmp_path / "run", "stop")
    assert resume(tmp_path / "run")[-1].state == "finished"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"sequence":-1}', b'{"sequence":9,"command":"format"}']
    + [b'{"sequence":9,"command":"run","learning_rate_factor":%s}' % f for f in (b"0", b"-1")],
)
def test_an_invalid_control_file_is_ignored(tmp_path, commands_after_each_call, data):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    with writer:
        items = []
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            (run / "control.json").write_bytes(data)
            items.append(item)
    assert items[-1].state == "finished"
    assert read_control(run).sequence == 0
    assert learner.learning_rate_factor == 1.0


def test_the_heartbeat_starts_with_training_and_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(run_saving, "STATUS_SECONDS", 0.0)
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    updates = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            if isinstance(item, Progress):
                status = read_status(run)
                assert status.state == "training"
                updates.append(status.update)
    assert updates[0] == 0
    assert updates == sorted(updates)
    assert len(set(updates)) > 10
    assert abs(read_status(run).heartbeat - time.time()) < 60
