"""A checkpoint is loaded bit for bit, and its files have the bytes of the format."""

import hashlib
import json
import shutil
import struct

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.config import OPTIMIZERS
from charloom.errors import DamagedError
from charloom.model import StartLosses, copy_learner, first_stream_state
from charloom.store import canonical_json, load_checkpoint, load_model, model_bytes, save_checkpoint
from charloom.store.checkpoint_directory import MODEL, STATE, TRAINING, manifest_of
from charloom.store.json_format import parse_json
from charloom.store.model_file import parse_model
from checkpoint_learners import (
    FINGERPRINT,
    LENGTHS,
    assert_same_arrays,
    assert_same_learner,
    forge,
    make_learner,
    model_with,
)
from file_contents import tree


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loading_a_checkpoint_returns_the_same_learner_bit_for_bit(tmp_path, dtype):
    learner = make_learner(dtype)
    learner.parameters["c"][:] = [-0.0, 5e-324, np.finfo(dtype).max, 1 / 3]
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    checkpoint = load_checkpoint(tmp_path / "52")
    assert_same_learner(checkpoint.learner, learner)
    assert checkpoint.lengths == LENGTHS
    assert checkpoint.fingerprint == FINGERPRINT


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_cell_and_optimizer_is_loaded_bit_for_bit(tmp_path, cell, optimizer):
    settings = {"cell": cell, "optimizer": optimizer, "layers": 2, "batch_size": 3}
    learner = make_learner(settings=settings)
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    again = load_checkpoint(tmp_path / "52").learner
    assert_same_learner(again, learner)
    assert again.state["h"].shape == (2, 3, 3)
    assert set(again.state) == ({"h", "cell"} if cell == "lstm" else {"h"})


def test_a_checkpoint_without_the_later_counters_can_be_read(saved):
    state = json.loads((saved / STATE).read_bytes())
    for name in ("judgements_since_best", "rollbacks"):
        del state["counters"][name]
    state["format"] = 1
    forge(saved, STATE, canonical_json(state))
    learner = load_checkpoint(saved).learner
    assert (learner.judgements_since_best, learner.rollbacks, learner.update) == (0, 0, 52)


def test_saving_a_loaded_learner_gives_the_same_bytes(saved, tmp_path):
    save_checkpoint(tmp_path / "again", load_checkpoint(saved).learner, LENGTHS, FINGERPRINT)
    assert tree(tmp_path / "again") == tree(saved)


def test_arrays_that_are_not_contiguous_are_saved_by_value(tmp_path):
    learner = make_learner()
    twisted = copy_learner(learner)
    twisted.parameters["V"] = np.asfortranarray(learner.parameters["V"])
    assert model_bytes(twisted) == model_bytes(learner)


def test_canonical_json_has_the_same_bytes_for_the_same_value():
    value = {"b": [1, 2.5, None, True], "a": "é\n\ud800\U0001f600", "c": 1e-05}
    golden = rb'{"a":"\u00e9\n\ud800\ud83d\ude00","b":[1,2.5,null,true],"c":1e-05}'
    assert canonical_json(value) == golden
    assert parse_json(golden, "golden") == value
    with pytest.raises(ValueError):
        canonical_json(float("nan"))


def test_the_manifest_has_these_bytes():
    golden = (
        b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 a\n"
        b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 b\n"
    )
    assert manifest_of({"b": b"abc", "a": b""}) == golden


def test_state_json_has_these_bytes(saved):
    assert (saved / STATE).read_bytes() == (
        b'{"counters":{"best_loss":0.30000000000000004,"best_update":49,"epoch":1,'
        b'"judgements_since_best":2,'
        b'"learning_rate_factor":0.5,"pending_loss":12.5,"pending_updates":3,"position":70,'
        b'"rollbacks":1,"smooth_loss":13.25,"update":52},"fingerprint":"'
        b'982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1","format":4,'
        b'"lengths":{"metrics.jsonl":1234,"samples.jsonl":56}}'
    )


def test_a_state_json_of_format_1_with_these_bytes_is_read(saved):
    golden = (saved / STATE).read_bytes().replace(b'"format":4', b'"format":1')
    forge(saved, STATE, golden)
    assert_same_learner(load_checkpoint(saved).learner, make_learner())


def test_a_counter_that_format_1_may_lack_is_required_in_format_2(saved, tmp_path):
    (tmp_path / "model").write_bytes(model_with(about={"format": 2}))
    with pytest.raises(DamagedError, match="fields config, format, vocabulary"):
        load_model(tmp_path / "model")
    state = json.loads((saved / STATE).read_bytes())
    del state["counters"]["rollbacks"]
    forge(saved, STATE, canonical_json(state))
    with pytest.raises(DamagedError, match="not those of a training state"):
        load_checkpoint(saved)


def test_the_model_file_begins_with_these_bytes(saved):
    data = (saved / MODEL).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header.pop("__metadata__")["charloom"])
    assert list(about) == ["config", "format", "sha256", "vocabulary"]
    assert about["sha256"] == sha256_of(about, data[8 + length :], header)
    assert about["vocabulary"] == [10, 97, 98, 0x1F600]
    assert {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()} == {
        "V": ("F32", [4, 3]),
        "c": ("F32", [4]),
        "layers.0.U": ("F32", [3, 4]),
        "layers.0.W": ("F32", [3, 3]),
        "layers.0.b": ("F32", [3]),
        "start/h": ("F32", [1, 1, 3]),
    }
    assert len(data) == 8 + length + 4 * (12 + 4 + 12 + 9 + 3 + 3)


def test_the_metadata_of_a_model_file_has_these_measured_losses():
    learner = make_learner(start_losses=StartLosses(1.5, 1.75, 2.25, 9.0))
    golden = b'"start_nats":{"context":1.5,"text":1.75,"zero":2.25,"zero_alone":9.0}'
    assert golden.replace(b'"', rb"\"") in model_bytes(learner)
    assert parse_model(model_bytes(learner), "a model").start_losses == learner.start_losses


@pytest.mark.parametrize(
    "losses",
    [
        {},
        {"context": 1.0, "text": 1.0, "zero": 1.0},
        {"context": 1.0, "text": 1.0, "zero": 1.0, "zero_alone": -1.0},
        {"context": 1.0, "text": 1.0, "zero": 1.0, "zero_alone": "high"},
        [1.0, 1.0, 1.0, 1.0],
        2.0,
    ],
)
def test_other_measured_losses_are_damage(losses):
    about = {"format": 5, "start_nats": losses, "sha256": "0" * 64}
    with pytest.raises(DamagedError, match="start_nats"):
        parse_model(model_with(about=about), "a model")


@pytest.mark.parametrize(
    "tensors",
    [
        {"start/h": np.zeros((1, 2, 3), np.float32)},
        {"start/h": np.zeros((1, 1, 3))},
        {"start/h": np.full((1, 1, 3), np.nan, np.float32)},
        {"start/h": np.zeros((1, 1, 3), np.float32), "start/cell": np.zeros((1, 1, 3), np.float32)},
    ],
)
def test_a_stored_state_of_the_wrong_kind_is_damage(tensors):
    with pytest.raises(DamagedError, match="start/"):
        parse_model(model_with(tensors, {"format": 5, "sha256": "0" * 64}), "a model")


def test_a_format_before_5_has_neither_a_state_nor_measured_losses():
    state = {"start/h": np.zeros((1, 1, 3), np.float32)}
    with pytest.raises(DamagedError, match="start/h"):
        parse_model(model_with(state, {"format": 4, "sha256": "0" * 64}), "a model")
    losses = {"context": 1.0, "text": 1.0, "zero": 1.0, "zero_alone": 1.0}
    about = {"format": 4, "start_nats": losses, "sha256": "0" * 64}
    with pytest.raises(DamagedError, match="start_nats"):
        parse_model(model_with(about=about), "a model")


def sha256_of(about, tensors, header):
    """Compute the seal of a model file from its bytes only (spec/formats.md: Model files)."""
    values = {name: value for name, value in about.items() if name != "sha256"}
    digest = hashlib.sha256(canonical_json(values))
    for name in sorted(header):
        start, end = header[name]["data_offsets"]
        digest.update(b"\n" + name.encode() + b"\n" + tensors[start:end])
    return digest.hexdigest()


def test_the_training_file_names_slots_and_state(saved):
    data = (saved / TRAINING).read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    assert sorted(header) == [
        "accumulator/V",
        "accumulator/c",
        "accumulator/layers.0.U",
        "accumulator/layers.0.W",
        "accumulator/layers.0.b",
        "state/h",
    ]


def test_the_model_file_alone_can_be_loaded_as_a_model(saved, tmp_path):
    alone = tmp_path / "my model.safetensors"
    shutil.copy(saved / MODEL, alone)
    learner, whole = load_model(alone), make_learner()
    assert_same_arrays(learner.parameters, whole.parameters)
    assert learner.config == whole.config
    assert learner.vocabulary == whole.vocabulary
    assert learner.update == 0
    assert_same_arrays(learner.state, first_stream_state(whole.state))


def test_a_model_before_its_first_update_stores_no_state():
    learner = make_learner()
    learner.state["h"][...] = 0
    data = model_bytes(learner)
    assert b"start/" not in data
    assert not parse_model(data, "a model").state["h"].any()


def test_a_model_of_several_streams_stores_the_state_of_the_first_one():
    learner = make_learner(settings={"cell": "lstm", "layers": 2, "batch_size": 3})
    loaded = parse_model(model_bytes(learner), "a model")
    assert_same_arrays(loaded.state, first_stream_state(learner.state))
    assert {array.shape for array in loaded.state.values()} == {(2, 1, 3)}
    assert model_bytes(loaded) == model_bytes(learner)
