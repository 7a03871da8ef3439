"""A damaged checkpoint is found, at any byte."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import save as serialize

from charloom.errors import DamagedError, NotAModelError
from charloom.store import load_checkpoint, load_model, save_checkpoint
from charloom.store.checkpoint_directory import FILES, MANIFEST, MODEL, STATE
from checkpoint_learners import FINGERPRINT, LENGTHS, make_learner


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_changed_byte_is_found_at_any_position(saved, name):
    data = bytearray((saved / name).read_bytes())
    for place in {0, 9, len(data) // 2, len(data) - 1}:
        data[place] ^= 1
        (saved / name).write_bytes(data)
        with pytest.raises(DamagedError, match=name):
            load_checkpoint(saved)
        data[place] ^= 1
    (saved / name).write_bytes(data)
    load_checkpoint(saved)


def test_a_truncated_model_file_is_reported_without_library_words(saved, tmp_path):
    data = (saved / MODEL).read_bytes()
    (tmp_path / "model").write_bytes(data[:-10])
    with pytest.raises(
        DamagedError,
        match=r"model is damaged: .*the end of the file may be missing\. Use an intact copy",
    ):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_missing_truncated_and_extra_files_are_found(saved, name):
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[:-1])
    with pytest.raises(DamagedError, match=name):
        load_checkpoint(saved)
    (saved / name).unlink()
    with pytest.raises(DamagedError, match=rf"missing {name}\. Use another checkpoint"):
        load_checkpoint(saved)
    (saved / name).write_bytes(data)
    (saved / f"{name}~").write_bytes(b"")
    with pytest.raises(DamagedError, match=f"damaged: unexpected '{name}~'"):
        load_checkpoint(saved)


def test_the_manifest_of_another_checkpoint_is_refused(saved, tmp_path):
    other = tmp_path / "53"
    save_checkpoint(other, make_learner(update=53), LENGTHS, FINGERPRINT)
    shutil.copy(other / MANIFEST, saved / MANIFEST)
    with pytest.raises(DamagedError, match=STATE):
        load_checkpoint(saved)


def test_a_link_in_a_checkpoint_is_not_followed(saved, tmp_path):
    (saved / STATE).rename(tmp_path / STATE)
    (saved / STATE).symlink_to(tmp_path / STATE)
    with pytest.raises(DamagedError, match="not a plain file"):
        load_checkpoint(saved)


def test_a_file_that_is_not_a_model_is_not_called_damaged(saved, tmp_path):
    file = tmp_path / "file"
    for data in (b"", b"Once upon a time", b"\xff" * 99, serialize({"x": np.zeros(2)})):
        file.write_bytes(data)
        with pytest.raises(NotAModelError):
            load_model(file)
    file.write_bytes((saved / MODEL).read_bytes()[:-1])
    with pytest.raises(DamagedError):
        load_model(file)
    with pytest.raises(NotAModelError):
        load_model(tmp_path / "nothing")
    with pytest.raises(NotAModelError):
        load_model(tmp_path)
    with pytest.raises(NotAModelError):
        load_checkpoint(tmp_path)
