"""Only one process has the lock of Optuna's journal file, and a killed one does not keep it."""

import os
import subprocess
import sys

import pytest

from charloom.studies import trial_lock
from charloom.studies.trial_lock import TrialLock
from charloom.studies.trial_owners import owner_of

ELSEWHERE = {"host": "another machine", "pid": 1, "birth": 1, "worker": "a"}
GONE = {**owner_of(os.getpid(), "gone"), "birth": -1}

COUNT = """
import sys
from pathlib import Path
from charloom.studies.trial_lock import TrialLock
folder = Path(sys.argv[1])
lock, number = TrialLock(folder / "locks"), folder / "number"
for _ in range(200):
    lock.acquire()
    number.write_text(str(int(number.read_text()) + 1))
    lock.release()
lock.close()
"""


def test_processes_that_write_at_the_same_time_do_not_disturb_each_other(tmp_path):
    # Three processes load Python, and write 600 times.
    (tmp_path / "number").write_text("0")
    started = [subprocess.Popen([sys.executable, "-c", COUNT, tmp_path]) for _ in range(3)]
    assert [one.wait() for one in started] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "600"
    assert list((tmp_path / "locks").iterdir()) == []


def test_the_lock_of_a_process_that_ended_is_taken_away(tmp_path):
    assert TrialLock(tmp_path, GONE).acquire()
    lock = TrialLock(tmp_path)
    assert lock.acquire()
    lock.release()
    lock.close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_process_that_ended_is_removed(tmp_path):
    gone = TrialLock(tmp_path, GONE)
    gone.acquire()
    gone.release()
    assert len(list(tmp_path.iterdir())) == 1
    TrialLock(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_machine_may_have_the_lock_for_a_while(tmp_path, monkeypatch):
    other, lock = TrialLock(tmp_path, ELSEWHERE), TrialLock(tmp_path)
    other.acquire()
    times = iter([0.0, 29.0, 31.0])
    monkeypatch.setattr(trial_lock.time, "monotonic", lambda: next(times))
    assert lock.acquire()
    assert list(times) == []
    other.release()  # it has lost the lock, and does not give back that of another process
    assert trial_lock.owner_in(tmp_path / trial_lock.HELD) == lock._owner


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(trial_lock, "PAUSES", (0.0, 0.0))

    def refuses(*_):
        raise PermissionError("no")

    lock = TrialLock(tmp_path)
    monkeypatch.setattr(trial_lock.Path, "rename", refuses)
    with pytest.raises(PermissionError):
        lock.acquire()
