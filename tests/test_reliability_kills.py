"""A run survives a crash at any moment, and the checker catches faults.

The planted faults: a pointer that is written too early, saves that never happen, and different final bytes.
"""

import dataclasses

import pytest

from charloom.model import copy_learner
from charloom.store.checkpoint_rotation import CheckpointRotation
from charloom.store.run_writer import RunWriter
from charloom.training.run_saving import RunSaver
from reliability import kills, run_comparison, run_training


def test_killed_runs_resume_from_intact_checkpoints_and_end_with_the_same_bytes():
    # Some seconds: some lives of a moment each.
    figures = kills.check("short")
    assert figures["kills"] >= 8
    assert figures["in_a_save"] >= 2
    assert figures["finished_with_the_same_bytes"] >= 1
    assert figures["resumed"] >= 4
    assert figures["most_seconds_lost"] <= figures["loosest_bound_seconds"]


def test_a_pointer_that_is_replaced_before_its_checkpoint_is_saved_is_caught(monkeypatch):
    save = RunWriter.save

    def pointed_first(self, learner):
        if self.saved_update is not None:
            self._checkpoints.point("latest", learner.update)
        return save(self, learner)

    monkeypatch.setattr(RunWriter, "save", pointed_first)
    monkeypatch.setitem(kills.KILLS, "short", 40)  # until one hits the moment between
    with pytest.raises(AssertionError, match=r"after a kill|the training failed"):
        kills.check("short")


def train_without_end(monkeypatch, saves, intervals):
    """Let runs train until they are killed, after `saves` saves began and `intervals` save intervals passed.

    A run with an end could reach it before a save is due on a fast machine.
    """

    def kill_once(process, chance, within, interval):
        received = b""
        while received.count(b"<") < saves:
            more = process.hear()
            assert more, "it ended early"
            received += more
        process.let_live(intervals * interval)
        process.send()
        monkeypatch.setattr(kills, "kill", lambda *_: pytest.fail("the first kill showed nothing"))
        return received

    monkeypatch.setattr(kills, "kill", kill_once)
    monkeypatch.setattr(kills, "uninterrupted", lambda run, settings: {})
    monkeypatch.setitem(kills.UPDATES, "short", 1_000_000_000)


def test_missing_saves_are_caught(monkeypatch):
    monkeypatch.setattr(RunSaver, "save", lambda self, again=False: iter(()))
    train_without_end(monkeypatch, saves=1, intervals=2)
    with pytest.raises(AssertionError, match="of training were lost, more than an interval"):
        kills.check("short")


def test_saves_at_half_the_frequency_are_caught(monkeypatch):
    save = RunSaver.save

    def late(self, again=False):
        yield from save(self, again)
        self._next_save += self._save_seconds

    monkeypatch.setattr(RunSaver, "save", late)
    train_without_end(monkeypatch, saves=2, intervals=1.9)
    monkeypatch.setitem(kills.INTERVAL, "short", 1.0)  # some seconds, therefore
    with pytest.raises(AssertionError, match="of training were lost, more than an interval"):
        kills.check("short")


def test_a_checkpoint_with_a_wrong_value_is_caught(monkeypatch):
    write = CheckpointRotation.write

    def forgetful(self, checkpoint):
        learner = copy_learner(checkpoint.learner)
        if learner.smooth_loss is not None:
            learner.smooth_loss *= 2
        write(self, dataclasses.replace(checkpoint, learner=learner))

    monkeypatch.setattr(CheckpointRotation, "write", forgetful)
    # Many saves, so that some life goes on from one that is neither the first nor the last.
    monkeypatch.setitem(kills.INTERVAL, "short", 0.05)
    monkeypatch.setitem(kills.UPDATES, "short", 10_000)
    monkeypatch.setitem(kills.KILLS, "short", 40)
    with pytest.raises(AssertionError, match="differ from the uninterrupted run"):
        kills.check("short")


def test_the_comparison_notices_a_change_of_each_file(tmp_path):
    run = tmp_path / "run"
    run_training.train(run)
    truth = run_comparison.lasting(run)
    latest = truth["latest"].decode().split()[0]
    for name, change in (
        (f"checkpoints/{latest}/model.safetensors", lambda data: data[:-1] + b"\x7f"),
        ("samples.jsonl", lambda data: data[:-2]),
        ("metrics.jsonl", lambda data: data.replace(b'"update":5}', b'"update":6}')),
        ("metrics.jsonl", lambda data: data.replace(b'"seconds": ', b'"seconds":', 1)),
        ("passage.txt", lambda data: data + b" "),
        ("checkpoints/latest", lambda data: data.rstrip()),
    ):
        before = (run / name).read_bytes()
        assert run_comparison.differences(truth, run_comparison.lasting(run)) == []
        (run / name).write_bytes(change(before))
        assert run_comparison.differences(truth, run_comparison.lasting(run)) != []
        (run / name).write_bytes(before)
