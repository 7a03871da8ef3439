"""Training waits while the disk refuses writes, and loses nothing."""

import pytest

from charloom.engines.reference import ReferenceEngine
from charloom.errors import WriteError
from charloom.messages import for_command_line
from charloom.store import load_model, read_run, read_status, write_control
from charloom.training import Progress, Record, Warned, in_run_directory, run_saving, train_run
from full_disk import FullDisk
from reliability.run_comparison import lasting
from small_runs import create, resume, train
from training_clocks import Waiting
from training_items import eventful, items_of


def test_a_full_disk_during_training_is_a_warning_and_the_next_save_succeeds(tmp_path, monkeypatch):
    train(tmp_path / "whole", save_seconds=1e-9)
    monkeypatch.setattr(in_run_directory, "FAILED_SAVES_LIMIT", 1_000)
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run", save_seconds=1e-9)
    warnings = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            warnings += items_of(Warned, [item])
            if isinstance(item, Record) and item.update == 21:
                disk.arm(1, forever=True)
            if isinstance(item, Record) and item.update == 49:
                disk.disarm()
    assert warnings
    assert all("No space left on device" in warning.message for warning in warnings)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    assert "warning" in {event["event"] for event in read_run(tmp_path / "run").events}


@pytest.mark.parametrize("minutes", [0.05, 60.0])
def test_training_waits_for_a_full_disk_and_continues_with_the_same_bytes(
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
        received = eventful(items, {21: lambda: disk.arm(1, forever=True)})
    assert received[-1].state == "finished"
    assert 60 * minutes <= waiting.waited <= 60 * minutes + 16
    paused = {item.update for item in items_of(Progress, received) if item.state == "paused"}
    assert len(paused) == 1
    refused = [item for item in items_of(Warned, received) if "was not saved" in item.message]
    assert len(refused) == in_run_directory.FAILED_SAVES_LIMIT
    assert paused == {refused[-1].update}
    (warning,) = [
        item for item in items_of(Warned, received) if "Training pauses at update" in item.message
    ]
    assert "3 saves in a row failed" in warning.message
    assert "No space left on device" in warning.message
    assert [reason for state, reason in states if state == "paused"][-1] == warning.message
    events = [event["event"] for event in read_run(tmp_path / "run").events]
    assert events.index("paused") < events.index("continued") < events.index("finished")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_save_that_failed_at_a_pause_is_tried_again_while_the_run_is_paused(
    tmp_path, monkeypatch, commands_after_each_call
):
    train(tmp_path / "whole", save_seconds=1e-9)
    run, disk = tmp_path / "run", FullDisk(monkeypatch)
    writer, learner, corpus = create(run, save_seconds=1e-9)
    pauses, saved, warned = [], [], []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            if isinstance(item, Record) and item.update == 21:
                write_control(run, "pause")
                disk.arm(1, forever=True)
            if isinstance(item, Progress) and item.state == "paused":
                pauses.append(item.update)
                if len(pauses) == 5:
                    disk.disarm()
                if len(pauses) == 20:
                    saved = [load_model(run, "latest").update]
                    write_control(run, "run")
            warned += items_of(Warned, [item])
    assert saved == [pauses[0]]
    assert len([warning for warning in warned if "was not saved" in warning.message]) == 1
    assert {*pauses} == {*saved}
    assert lasting(run) == lasting(tmp_path / "whole")


@pytest.mark.parametrize("how", ["SIGINT", "stop"])
def test_a_run_that_waits_for_a_disk_can_be_stopped(tmp_path, monkeypatch, how):
    run, signals = tmp_path / "run", []

    def end():
        disk.disarm()
        if how == "stop":
            write_control(run, "stop")
        else:
            signals.append(how)

    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(run, save_seconds=1e-9)
    waiting = Waiting(monkeypatch, 100.0, end)
    with writer:
        items = train_run(
            writer, learner, corpus, ReferenceEngine(), lambda: signals[0] if signals else None
        )
        events = eventful(items, {21: lambda: disk.arm(1, forever=True)})
    assert events[-1].state == ("stopped" if how == "stop" else "interrupted")
    assert waiting.waited < 101
    assert load_model(run).update == events[-1].update < 98
    write_control(run, "run")
    resume(run)
    train(tmp_path / "whole", save_seconds=1e-9)
    assert lasting(run) == lasting(tmp_path / "whole")


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


def test_a_full_disk_at_the_end_is_reported_immediately_and_waited_for(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(
        run_saving.RunSaver, "_wait", lambda self, seconds, is_ending: waits.append(seconds) or ()
    )
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run")
    events = []
    with writer:
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            events.append(item)
            if isinstance(item, Record) and item.update == 49:
                disk.arm(1, forever=True)
            if isinstance(item, Warned) and "Trying again for 10 minutes" in item.message:
                assert not waits
                disk.disarm()
    assert events[-1].state == "finished"
    assert waits == [0.5]


@pytest.mark.parametrize("told_before", [True, False])
@pytest.mark.parametrize("how", ["SIGTERM", "stop"])
def test_a_stopped_run_does_not_wait_for_a_full_disk(
    tmp_path, monkeypatch, commands_after_each_call, told_before, how
):
    waits, signals, run = [], [], tmp_path / "run"

    def end():
        if how == "stop":
            disk.armed = False  # whoever stops it has another
            write_control(run, "stop")
            disk.armed = True
        else:
            signals.append(how)

    def wait(self, seconds, is_ending):
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
        writer, learner, corpus, ReferenceEngine(), lambda: signals[0] if signals else None
    )
    with writer, pytest.raises(WriteError, match="is lost"):
        eventful(items, {49: full})
    assert sum(waits) == (30.5 if told_before else 90.5)


def test_a_disk_that_is_full_briefly_at_the_end_loses_nothing(tmp_path, monkeypatch):
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
