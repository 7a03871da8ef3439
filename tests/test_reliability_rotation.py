"""The removal of old checkpoints keeps those that are needed, and the checker catches faults.

The planted faults: a removal of the best checkpoint, one that depends on the clock, and one of a checkpoint
that a pointer still names.
"""

from contextlib import suppress

import pytest

from charloom.errors import WriteError
from charloom.store.atomic_files import remove_directory
from charloom.store.checkpoint_rotation import CheckpointRotation
from charloom.store.run_writer import RunWriter
from reliability import rotation

TRIES = 10  # of 30 sequences each


def caught(match):
    """Assert that the checker catches a fault with this message, in enough random sequences to find it."""

    def check_all():
        for number in range(TRIES):
            rotation.check("short", number)

    with pytest.raises(AssertionError, match=match):
        check_all()


def test_the_newest_and_the_best_checkpoint_are_kept():
    figures = rotation.check("short")
    assert figures["sequences"] >= 30
    assert figures["crashes"] > 15
    assert figures["resumptions"] > 15
    assert figures["rolled_back"] > 5


def test_a_rotation_that_removes_the_best_is_caught(monkeypatch):
    prune = CheckpointRotation.remove_old
    monkeypatch.setattr(CheckpointRotation, "remove_old", lambda self, best: prune(self, None))
    caught("the best checkpoint is gone")


def test_a_rotation_by_modification_time_is_caught(monkeypatch):
    def prune(self, best):
        paths = [self.path(update) for update in self.updates()]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime)[:-2]:
            if path.name != str(best):
                with suppress(WriteError):
                    remove_directory(path)

    monkeypatch.setattr(CheckpointRotation, "remove_old", prune)
    caught("the newest checkpoint is gone")


def test_a_rotation_that_never_removes_anything_is_caught(monkeypatch):
    monkeypatch.setattr(CheckpointRotation, "remove_old", lambda self, best: None)
    caught("nothing is ever removed")


def test_a_pointer_to_the_best_that_is_never_replaced_is_caught(monkeypatch):
    point = CheckpointRotation.point
    monkeypatch.setattr(CheckpointRotation, "point", lambda self, name, update: None if name == "best" else point(self, name, update))  # fmt: skip
    caught("`best` names None, and the best is")


def test_a_pointer_to_the_best_that_is_written_before_its_checkpoint_is_caught(monkeypatch):
    save = RunWriter.save

    def pointed_first(self, learner):
        if learner.best_update is not None:
            self._checkpoints.point("best", learner.best_update)
        return save(self, learner)

    monkeypatch.setattr(RunWriter, "save", pointed_first)
    caught("the named best checkpoint is gone")
