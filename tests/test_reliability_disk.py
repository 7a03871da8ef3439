"""Training survives a disk that refuses calls, and the checker catches faults.

The planted faults: an error that ends training, an error that is not reported, a failed save that costs the
previous one, and an fsync whose failure is forgotten.
"""

import contextlib
import os
import shutil

import pytest

from charloom.errors import DamagedError, ReadError, WriteError
from charloom.store import (
    atomic_files,
    checkpoint,
    model_file,
    resume_plan,
    run_directory,
    run_inspection,
    run_model,
    run_writer,
)
from charloom.store.checkpoint_rotation import CheckpointRotation
from charloom.store.journal import Journal
from charloom.store.run_writer import RunWriter
from charloom.training.run_saving import RunSaver
from reliability import disk, reads, run_training


def test_whichever_call_fails_the_last_good_state_stays_and_training_continues():
    figures = disk.check("short")
    assert figures["calls_refused_once"] >= 10
    assert figures["reads_refused_in_resume"] > 10
    assert figures["fsyncs_that_lost_waiting_data"] > 3
    assert figures["writes_torn_in_two"] > 3
    assert figures["small_tmpfs_filled_and_read_only"] or figures["small_tmpfs_not_checked"]


def test_a_small_file_system_that_cannot_be_mounted_is_reported(monkeypatch):
    monkeypatch.setattr(disk, "mount", lambda *arguments: "only root can do that")
    assert disk.small_tmpfs() == {
        "small_tmpfs_filled_and_read_only": 0,
        "small_tmpfs_not_checked": "only root can do that",
    }


def test_a_journal_that_ignores_an_incomplete_write_is_caught(monkeypatch):
    def flush(self):
        if self._waiting:
            with atomic_files.writing(self.path):
                atomic_files.write_all(self._file.fileno(), bytes(self._waiting))
            self._written += len(self._waiting)
            self._unsynced += self._waiting
            self._waiting.clear()

    monkeypatch.setattr(Journal, "flush", flush)
    monkeypatch.setattr(disk, "numbers", lambda scale, place, code: [])
    with pytest.raises(AssertionError, match=r"half done: .* (not a complete run|differ from)"):
        disk.check("short")


def test_a_run_that_ends_at_the_first_disk_error_is_caught(monkeypatch):
    def save(self, again=False):
        self._writer.save(self.safe)
        return iter(())

    monkeypatch.setattr(RunSaver, "save", save)
    with pytest.raises(AssertionError, match="training did not go on in memory"):
        disk.check("short")


def test_a_save_that_first_removes_the_old_checkpoint_is_caught(monkeypatch):
    save = RunWriter.save

    def careless(self, learner):
        if self.saved_update is not None and self.saved_update != learner.update:
            atomic_files.remove_directory(self.path / "checkpoints" / str(self.saved_update))
        return save(self, learner)

    monkeypatch.setattr(RunWriter, "save", careless)
    with pytest.raises(AssertionError, match=r"is missing|differ from|was saved, and"):
        disk.check("short")


def test_an_error_message_that_is_not_a_sentence_is_caught():
    with pytest.raises(AssertionError, match="at call 3"):
        disk.require_sentence(WriteError("[Errno 28] No space left on device"), "at call 3")


def test_a_failed_fsync_that_counts_as_done_later_is_caught(monkeypatch):
    def sync(self):
        self.flush()
        with atomic_files.writing(self.path):
            os.fsync(self._file.fileno())

    monkeypatch.setattr(Journal, "sync", sync)
    with pytest.raises(AssertionError, match="at fsync"):
        disk.check("short")


def test_rewriting_the_checkpoint_that_latest_names_is_caught(monkeypatch):
    monkeypatch.setattr(CheckpointRotation, "repair_latest", lambda self: None)
    monkeypatch.setitem(disk.STEP, "short", 1)
    monkeypatch.setattr(disk, "numbers", pointer_fsyncs)
    with pytest.raises(AssertionError, match="is missing"):
        disk.check("short")


def pointer_fsyncs(scale, place, code):
    """Return the numbers of the fsync calls right after the rename of the pointer `latest`."""
    calls, found = [], []

    def look(call):
        calls.append(call)
        if (
            call.kind == "fsync"
            and calls[-2].target is not None
            and calls[-2].target.name == "latest"
        ):
            found.append(len(calls))

    run = place / "looked"
    with disk.Calls(run, before=look):
        run_training.train(run, disk.SETTINGS)
    shutil.rmtree(run)
    return found


def only(monkeypatch, *actions):
    """Make reads fail only in these actions, and not in training."""
    monkeypatch.setattr(reads, "ACTIONS", actions)
    monkeypatch.setattr(reads, "require_right_training", lambda *arguments: None)
    monkeypatch.setitem(reads.STEP, "short", 5)


def test_a_read_error_that_is_called_damage_is_caught(monkeypatch, tmp_path):
    @contextlib.contextmanager
    def reading(path):
        try:
            yield
        except OSError as error:
            raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error

    for module in (
        atomic_files,
        checkpoint,
        model_file,
        resume_plan,
        run_directory,
        run_inspection,
        run_model,
        run_writer,
    ):
        monkeypatch.setattr(module, "reading", reading)
    only(monkeypatch, reads.resume_with_allow_older)
    with pytest.raises(AssertionError, match=r"EIO at read .* in resume_with_allow_older"):
        reads.failing_reads("short", tmp_path)


def test_resuming_that_changes_files_before_it_has_read_all_is_caught(monkeypatch, tmp_path):
    look = run_training.inspect_run

    def hasty(path):
        (path / "metrics.jsonl").write_bytes(b"")
        return look(path)

    monkeypatch.setattr(run_training, "inspect_run", hasty)
    only(monkeypatch, reads.resume)
    monkeypatch.setattr(reads, "count_reads", lambda source, run, action: 30)
    with pytest.raises(AssertionError, match=r"it changed \['metrics.jsonl'\]"):
        reads.failing_reads("short", tmp_path)


def test_a_system_error_shown_without_a_sentence_is_caught(tmp_path):
    with pytest.raises(AssertionError, match="at read 3"):
        reads.require_clear_error(ReadError(f"{tmp_path} cannot be read"), tmp_path, "at read 3")
