"""A run survives power loss, and the checker catches faults.

The planted faults: saves that do not wait for the disk, names that are written before the files that they
name, and writes that the checker does not see.
"""

import os

import pytest

from charloom.store import atomic_files, checkpoint
from charloom.store.checkpoint_rotation import CheckpointRotation
from reliability import power


def test_after_a_power_cut_the_old_or_the_new_checkpoint_is_intact():
    figures = power.check("short")
    assert figures["saves"] >= 4
    assert figures["states"] > 100


def test_a_save_without_fsync_is_caught(monkeypatch):
    monkeypatch.setattr(atomic_files, "_write", lambda path, data, durable, write=atomic_files._write: write(path, data, False))  # fmt: skip
    with pytest.raises(AssertionError, match="power cut after call"):
        power.check("short")


def test_a_directory_without_fsync_is_caught(monkeypatch):
    monkeypatch.setattr(atomic_files, "sync_directory", lambda path: None)
    with pytest.raises(AssertionError, match="power cut after call"):
        power.check("short")


def test_a_journal_without_fsync_is_caught(monkeypatch):
    monkeypatch.setattr("charloom.store.journal.Journal.sync", lambda self: self.flush())
    with pytest.raises(AssertionError, match="power cut after call"):
        power.check("short")


def test_a_rename_before_the_write_is_caught(monkeypatch):
    def renamed_first(path, contents):
        path.mkdir(parents=True)
        atomic_files.sync_directory(path.parent)
        for name, data in contents.items():
            atomic_files._write(path / name, data, durable=True)

    write = CheckpointRotation.write

    def pointed_first(self, kept):
        self.point("latest", kept.learner.update)
        write(self, kept)

    monkeypatch.setattr(checkpoint, "create_directory", renamed_first)
    monkeypatch.setattr(CheckpointRotation, "write", pointed_first)
    with pytest.raises(AssertionError, match="power cut after call"):
        power.check("short")


def test_a_write_that_the_checker_does_not_see_is_noticed(monkeypatch):
    write = atomic_files._write

    def around(path, data, durable):
        if path.name == "latest" or path.name.startswith(".tmp-latest"):
            path.write_bytes(data)
        else:
            write(path, data, durable)

    monkeypatch.setattr(atomic_files, "_write", around)
    with pytest.raises(AssertionError, match=r"a write was not recorded|power cut"):
        power.check("short")


def test_the_model_of_a_disk_keeps_what_fsync_wrote(tmp_path):
    log = []
    with power.Calls(tmp_path, after=log.append):
        with (tmp_path / "a").open("wb", buffering=0) as file:
            os.write(file.fileno(), b"one")
            os.fsync(file.fileno())
            os.write(file.fileno(), b"two")
        (tmp_path / "a").rename(tmp_path / "b")
    disk = power.Disk(tmp_path)
    for call in log:
        disk.play(call)
    assert power.everything(disk.top) == {"b": b"onetwo"} == power.lie_at(tmp_path)
    assert power.names_only(disk.top) == {"b": b"one"}
    assert power.dropped(disk.top) == {}
