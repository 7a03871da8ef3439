"""A long run keeps its resources constant. The checker catches growing memory, lost records and open files."""

import itertools
import os

import pytest

from charloom.store.journal import Journal
from charloom.training.in_run_directory import RunTrainer
from reliability import hours


def test_a_run_that_was_interrupted_many_times_equals_an_uninterrupted_run():
    # Ten seconds: a run that is disturbed, and one that is not.
    figures = hours.check("short")
    assert figures["processes_ended"] >= 1
    assert figures["differing_bytes"] == 0
    assert figures["processes_measured_long_enough"] >= 1


def test_growth_compares_medians_of_measurements():
    looks = hours.Looks([100 << 20] * 12, [9] * 12, [2] * 12)
    looks.memory[1], looks.files[9] = 200 << 20, 12  # for a moment
    assert set(looks.growth("it").values()) == {0}
    looks.files[8:] = [11] * 4
    with pytest.raises(AssertionError, match="open files grew from 9"):
        looks.growth("it")
    looks = hours.Looks([(100 << 20) + (n << 19) for n in range(30)], [9] * 30, [2] * 30)
    with pytest.raises(AssertionError, match="bytes of memory grew"):
        looks.growth("it")


def test_too_few_measurements_are_noticed():
    tally = hours.Tally()
    tally.add(hours.Looks([1] * 11, [1] * 11, [1] * 11), "a short life")
    with pytest.raises(AssertionError, match="11 looks were too few to tell of growth"):
        tally.require_enough()


class FakeProcess:
    """A process whose processor time the test sets."""

    def __init__(self, work):
        self.pid, self.own_time = os.getpid(), 5.0

    def account(self):
        return self.own_time


def test_a_life_is_warm_after_a_while_of_its_own_time(monkeypatch, tmp_path):
    # On a busy machine a life waits for a processor, and seconds of the clock say nothing about it.
    monkeypatch.setattr(hours, "Forked", FakeProcess)
    monkeypatch.setattr(hours, "pid_of", lambda run: os.getpid())
    life = hours.Life("a life", tmp_path, "short")
    life.look()
    assert (life.age, life.looks.memory) == (0.0, [])
    life.process.own_time += hours.WARM["short"] + 0.01
    life.look()
    assert life.age == pytest.approx(hours.WARM["short"] + 0.01)
    assert len(life.looks.memory) == 1


def leak(monkeypatch, what):
    """Call `what` each time that a training run does the work that is due."""
    do_due_work = RunTrainer.do_due_work

    def leaking(self):
        what()
        return do_due_work(self)

    monkeypatch.setattr(RunTrainer, "do_due_work", leaking)


def test_memory_that_grows_is_caught(monkeypatch):
    kept = []
    leak(monkeypatch, lambda: kept.append(os.urandom(1 << 20)))
    with pytest.raises(AssertionError, match="bytes of memory grew"):
        hours.check("short")


def test_files_that_stay_open_are_caught(monkeypatch):
    leak(monkeypatch, lambda: os.open(os.devnull, os.O_RDONLY))
    with pytest.raises(AssertionError, match="open files grew"):
        hours.check("short")


def test_a_lost_record_is_caught(monkeypatch):
    # Each process loses every fourth record from its second on, so a short run loses some too.
    append, records = Journal.append_line, itertools.count(1)

    def append_most(self, line):
        if self.path.name != "metrics.jsonl" or next(records) % 4 != 2:
            append(self, line)

    monkeypatch.setattr(Journal, "append_line", append_most)
    with pytest.raises(AssertionError, match=r"records: [1-9]"):
        hours.check("short", minutes=0.01)
