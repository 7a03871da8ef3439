"""A run has one writer. The checker catches a lock that is never taken or never released."""

from pathlib import Path

import filelock
import pytest

from charloom.store import run_lock
from reliability import lock


def test_one_process_gets_the_lock_and_releases_it_when_killed():
    # Some seconds: six races of three processes.
    figures = lock.check("short")
    assert figures["races"] == 6
    assert figures["winners_killed_while_they_held_the_lock"] == 3


def test_a_lock_that_is_never_taken_is_caught(monkeypatch):
    class NoLock(filelock.FileLock):
        def acquire(self, *arguments, **more):
            return None

    monkeypatch.setattr(run_lock, "FileLock", NoLock)
    monkeypatch.setattr(lock, "WORK", 0.5)  # two that go on are seen sooner
    with pytest.raises(AssertionError, match=r"processes go on with one run|a loser said"):
        lock.check("short")


def test_a_lock_that_outlives_its_process_is_caught(monkeypatch):
    class Stale(filelock.FileLock):
        def acquire(self, *arguments, **more):
            run_directory = Path(self.lock_file).parent
            Path(self.lock_file).touch()
            try:
                (run_directory.parent / f"{run_directory.name}.held").touch(exist_ok=False)
            except FileExistsError:
                raise filelock.Timeout(self.lock_file) from None
            return

    monkeypatch.setattr(run_lock, "FileLock", Stale)
    with pytest.raises(AssertionError, match="nobody won"):
        lock.check("short")
