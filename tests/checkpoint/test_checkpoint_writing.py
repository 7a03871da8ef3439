"""A checkpoint is written completely or not at all, and never with numbers that are not finite."""

import itertools
import shutil
from contextlib import suppress

import numpy as np
import pytest

from charloom.errors import DivergedError, WriteError
from charloom.store import load_checkpoint, save_checkpoint
from checkpoint_learners import FINGERPRINT, LENGTHS, make_learner
from file_contents import temporaries, tree
from full_disk import FullDisk


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["parameters", "slots", "state", "smooth_loss"])
def test_numbers_that_are_not_finite_are_never_saved(tmp_path, where, value):
    learner = make_learner()
    if where == "slots":
        learner.slots["accumulator"]["V"][0, 0] = value
    elif where == "smooth_loss":
        learner.smooth_loss = float(value)
    else:
        next(iter(getattr(learner, where).values())).flat[0] = value
    with pytest.raises(DivergedError, match="is no longer finite, so the checkpoint was not saved"):
        save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_never_changes(saved):
    before = tree(saved)
    with pytest.raises(WriteError):
        save_checkpoint(saved, make_learner(update=53), LENGTHS, FINGERPRINT)
    assert tree(saved) == before
    assert not temporaries(saved.parent)


def test_a_full_disk_never_leaves_an_incomplete_checkpoint(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    directory = tmp_path / "52"
    for step in itertools.count(1):
        disk.arm(step)
        with suppress(WriteError):
            save_checkpoint(directory, make_learner(), LENGTHS, FINGERPRINT)
        if not disk.disarm():
            break
        assert not temporaries(tmp_path)
        if directory.exists():  # only the last wait for the disk failed
            load_checkpoint(directory)
            shutil.rmtree(directory)
    # A directory, four files of three steps each, the directory synced, renamed, its parent synced.
    assert step > 1 + 4 * 3 + 3
    load_checkpoint(directory)


def test_a_full_disk_is_reported_in_one_sentence(tmp_path, monkeypatch):
    FullDisk(monkeypatch).arm(3)
    with pytest.raises(WriteError) as caught:
        save_checkpoint(tmp_path / "52", make_learner(), LENGTHS, FINGERPRINT)
    assert str(caught.value) == (
        f"{tmp_path / '52'} cannot be written: No space left on device. "
        f"Free some space and try again."
    )
    assert isinstance(caught.value.__cause__, OSError)
