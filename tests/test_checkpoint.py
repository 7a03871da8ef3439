"""Tests of checkpoints: exact to the bit, complete or absent, and safe with untrusted bytes."""

import hashlib
import itertools
import json
import shutil
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as serialize

from charloom.config import CELLS, OPTIMIZERS
from charloom.errors import DamagedError, DivergedError, NotAModelError, WriteError
from charloom.model import copy_learner, new_learner
from charloom.model.optimizers import SQUARES
from charloom.store import canonical_json, load_checkpoint, load_model, model_bytes, save_checkpoint
from charloom.store.checkpoint import FILES, MANIFEST, MODEL, STATE, TRAINING, manifest_of
from charloom.store.json_format import parse_json
from charloom.text import Vocabulary
from runs import FullDisk, small_config, temporaries, tree

LENGTHS = {"metrics.jsonl": 1234, "samples.jsonl": 56}
FINGERPRINT = hashlib.sha256(b"text").hexdigest()


def make_learner(dtype="float32", settings=None, **values):
    """Return a learner in the middle of a run, with all numbers different."""
    config = small_config(hidden_size=3, dtype=dtype, **(settings or {}))
    learner = new_learner(config, Vocabulary("ab\n\U0001f600"))
    draw = np.random.default_rng(3)
    for array in (*learner.parameters.values(), *learner.state.values()):
        array[...] = draw.normal(0, 1, array.shape)
    for slot, arrays in learner.slots.items():
        for array in arrays.values():
            array[...] = draw.uniform(0 if slot in SQUARES else -9, 9, array.shape)
    counters = {
        "position": 70,
        "epoch": 1,
        "update": 52,
        "smooth_loss": 13.25,
        "best_loss": 0.1 + 0.2,
        "best_update": 49,
        "pending_loss": 12.5,
        "pending_updates": 3,
        "learning_rate_factor": 0.5,
        "judgements_since_best": 2,
        "rollbacks": 1,
    }
    for name, value in {**counters, **values}.items():
        setattr(learner, name, value)
    return learner


@pytest.fixture
def saved(tmp_path):
    """Return a checkpoint directory."""
    directory = tmp_path / "52"
    save_checkpoint(directory, make_learner(), LENGTHS, FINGERPRINT)
    return directory


def assert_same_learner(actual, expected):
    """Assert that two learners are equal, bit for bit, in every field."""
    arrays = ("parameters", "slots", "state")
    for name, value in vars(expected).items():
        if name not in arrays:
            assert getattr(actual, name) == value, name
    for name in ("parameters", "state"):
        assert_same_arrays(getattr(actual, name), getattr(expected, name))
    for slot, values in expected.slots.items():
        assert_same_arrays(actual.slots[slot], values)


def assert_same_arrays(actual, expected):
    """Assert equal names, order and bytes, and that the arrays are writable."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert actual[name].shape == array.shape
        assert actual[name].tobytes() == array.tobytes()
        assert actual[name].flags.writeable
        assert actual[name].flags.c_contiguous


# Round trips and bytes


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
@pytest.mark.parametrize("cell", CELLS)
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
        b'982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1","format":2,'
        b'"lengths":{"metrics.jsonl":1234,"samples.jsonl":56}}'
    )


def test_a_state_json_of_format_1_with_these_bytes_is_read(saved):
    golden = (saved / STATE).read_bytes().replace(b'"format":2', b'"format":1')
    forge(saved, STATE, golden)
    assert_same_learner(load_checkpoint(saved).learner, make_learner())


def test_a_counter_that_format_1_may_lack_is_required_in_format_2(saved, tmp_path):
    (tmp_path / "model").write_bytes(model_with(about={"format": 2}))
    with pytest.raises(DamagedError, match="fields config, format, vocabulary"):
        load_model(tmp_path / "model")
    state = json.loads((saved / STATE).read_bytes())
    del state["counters"]["rollbacks"]
    forge(saved, STATE, canonical_json(state))
    with pytest.raises(DamagedError, match="not those of a state"):
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
    }
    assert len(data) == 8 + length + 4 * (12 + 4 + 12 + 9 + 3)


def sha256_of(about, tensors, header):
    """Compute the seal of a model file from its bytes only (spec/formats.md: Model files)."""
    told = {name: value for name, value in about.items() if name != "sha256"}
    digest = hashlib.sha256(canonical_json(told))
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
    assert not learner.state["h"].any()


# Refused writes


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


# Damage


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
        DamagedError, match=r"model is damaged: .*its end may be missing\. Use a copy"
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


# Untrusted files with consistent checksums and impossible contents


def forge(saved, name, data):
    """Replace a file of a checkpoint, and write a MANIFEST that fits it."""
    (saved / name).write_bytes(data)
    (saved / MANIFEST).write_bytes(
        manifest_of({file: (saved / file).read_bytes() for file in FILES})
    )


def model_with(tensors=None, about=None, metadata=None):
    """Return a model file with changed tensors (None removes one) or metadata."""
    learner = make_learner()
    points = [ord(character) for character in learner.vocabulary.characters]
    fields = {"format": 1, "config": learner.config.to_dict(), "vocabulary": points}
    arrays = {**learner.parameters, **(tensors or {})}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    text = json.dumps({**fields, **(about or {})})
    return serialize(arrays, metadata=metadata or {"charloom": text})


def config_with(**values):
    """Return metadata with changed settings, even values that no Config allows."""
    return {"config": {**make_learner().config.to_dict(), **values}}


f4 = np.float32

HOSTILE_MODELS = {
    "a wrong shape": model_with({"V": np.zeros((3, 4), f4)}),
    "a flat array": model_with({"V": np.zeros(12, f4)}),
    "a wrong type": model_with({"V": np.zeros((4, 3), np.float64)}),
    "an integer array": model_with({"c": np.zeros(4, np.int32)}),
    "a half-precision array": model_with({"c": np.zeros(4, np.float16)}),
    "a missing array": model_with({"c": None}),
    "an extra array": model_with({"d": np.zeros(4, f4)}),
    "a name like a path": model_with({"../../c": np.zeros(4, f4)}),
    "a NaN": model_with({"c": np.full(4, np.nan, f4)}),
    "an infinity": model_with({"c": np.full(4, -np.inf, f4)}),
    "an empty array": model_with({"c": np.zeros((0, 2**40), f4)}),
    "a huge hidden size": model_with(about=config_with(hidden_size=10**12)),
    "an absurd hidden size": model_with(about=config_with(hidden_size=10**400)),
    "an absurd learning rate": model_with(about=config_with(learning_rate=10**400)),
    "a negative size": model_with(about=config_with(hidden_size=-3)),
    "a setting that is text": model_with(about=config_with(hidden_size="3")),
    "a setting that is a list": model_with(about=config_with(dtype=["float32"])),
    "a cell that is a path": model_with(about=config_with(cell="../../etc/passwd")),
    "an unknown setting": model_with(about=config_with(__class__="os.system")),
    "a config that is a list": model_with(about={"config": []}),
    "a NaN in the config": model_with(about=config_with(learning_rate=float("nan"))),
    "no vocabulary": model_with(about={"vocabulary": None}),
    "a vocabulary of text": model_with(about={"vocabulary": ["a", "b", "c", "d"]}),
    "a vocabulary of one": model_with(about={"vocabulary": [97]}),
    "a vocabulary that falls": model_with(about={"vocabulary": [97, 10, 98, 128512]}),
    "a vocabulary that repeats": model_with(about={"vocabulary": [10, 97, 97, 128512]}),
    "a vocabulary beyond Unicode": model_with(about={"vocabulary": [10, 97, 98, 0x110000]}),
    "a vocabulary of truths": model_with(about={"vocabulary": [False, True, 98, 128512]}),
    "a vocabulary that is too long": model_with(about={"vocabulary": [10, 97, 98, 99, 128512]}),
    "an extra field": model_with(about={"__reduce__": "os.system"}),
    "format 0": model_with(about={"format": 0}),
    "format true": model_with(about={"format": True}),
    "no JSON": model_with(metadata={"charloom": "{"}),
    "JSON that is no object": model_with(metadata={"charloom": "[]"}),
    "metadata of fields": model_with(about={str(n): "" for n in range(140_000)}),
    "metadata of values": model_with(about={"vocabulary": [1] * 1_300_000}),
    "JSON without an end": model_with(metadata={"charloom": "[" * 100_000}),
}


@pytest.mark.parametrize("what", HOSTILE_MODELS)
def test_a_hostile_model_is_refused(saved, tmp_path, what):
    (tmp_path / "model").write_bytes(HOSTILE_MODELS[what])
    with pytest.raises(DamagedError):
        load_model(tmp_path / "model")
    forge(saved, MODEL, HOSTILE_MODELS[what])
    with pytest.raises(DamagedError):
        load_checkpoint(saved)


def test_a_changed_model_with_possible_contents_is_read(saved):
    forge(saved, MODEL, model_with())
    assert_same_learner(load_checkpoint(saved).learner, make_learner())


def test_a_model_file_without_a_seal_can_be_read(tmp_path):
    (tmp_path / "model").write_bytes(model_with())
    assert_same_arrays(load_model(tmp_path / "model").parameters, make_learner().parameters)


def test_a_changed_weight_in_a_model_file_is_found(tmp_path):
    data = bytearray(model_bytes(make_learner()))
    data[-1] ^= 1
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(DamagedError, match="its numbers were changed after it was written"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    "sizes", [{"layers": 2**31 - 1}, {"hidden_size": 2**31 - 1}, {"batch_size": 2**31 - 1}], ids=str
)
def test_impossible_sizes_are_found_before_memory_is_allocated(saved, sizes):
    config = {**small_config(hidden_size=3).to_dict(), **sizes}
    forge(saved, MODEL, model_with(about={"config": config}))
    with pytest.raises(DamagedError):
        load_checkpoint(saved)


def test_a_model_file_is_loaded_with_the_zero_state_of_one_stream(tmp_path):
    learner = make_learner(settings={"batch_size": 7, "cell": "lstm"})
    (tmp_path / "model").write_bytes(model_bytes(learner))
    state = load_model(tmp_path / "model").state
    assert {name: array.shape for name, array in state.items()} == {
        "h": (1, 1, 3),
        "cell": (1, 1, 3),
    }


def test_slots_that_may_be_negative_are_not_damage(tmp_path):
    learner = make_learner(settings={"optimizer": "adam"})
    assert (learner.slots["mean"]["V"] < 0).any()
    learner.slots["square"]["V"][0, 0] = -1
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    with pytest.raises(DamagedError, match="square/V"):
        load_checkpoint(tmp_path / "52")


def training_with(**tensors):
    """Return a training file with some arrays replaced (None removes one)."""
    learner = make_learner()
    arrays = {f"accumulator/{name}": a for name, a in learner.slots["accumulator"].items()}
    arrays = {**arrays, "state/h": learner.state["h"], **tensors}
    return serialize({name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    "tensors",
    [
        {"state/h": None},
        {"state/h": np.zeros((1, 2, 3), f4)},
        {"state/h": np.full((1, 1, 3), np.nan, f4)},
        {"state/h": np.zeros((1, 1, 3), np.float64)},
        {"state/cell": np.zeros((1, 1, 3), f4)},
        {"accumulator/c": np.full(4, -1, f4)},
        {"accumulator/c": np.full(4, np.inf, f4)},
        {"accumulator/c": np.zeros(5, f4)},
        {"momentum/c": np.zeros(4, f4)},
        {"/etc/passwd": np.zeros(4, f4)},
    ],
    ids=str,
)
def test_hostile_slots_and_states_are_refused(saved, tensors):
    forge(saved, TRAINING, training_with(**tensors))
    with pytest.raises(DamagedError):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"update": -1},
        {"update": 2**70},
        {"update": 1.0},
        {"update": True},
        {"update": "52"},
        {"update": 0},
        {"update": 48},
        {"epoch": None},
        {"position": 1e300},
        {"smooth_loss": None},
        {"smooth_loss": "13"},
        {"best_loss": None},
        {"best_update": 53},
        {"judgements_since_best": 53},
        {"judgements_since_best": -1},
        {"judgements_since_best": 1.0},
        {"rollbacks": None},
        {"rollbacks": True},
        {"best_update": "../49"},
        {"pending_updates": 99},
        {"pending_loss": None},
        {"learning_rate_factor": 0.0},
        {"learning_rate_factor": -1.0},
        {"extra": 1},
    ],
    ids=str,
)
def test_hostile_counters_are_refused(saved, change):
    state = json.loads((saved / STATE).read_bytes())
    state["counters"] |= change
    forge(saved, STATE, canonical_json(state))
    with pytest.raises(DamagedError, match=STATE):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"counters": []},
        {"lengths": None},
        {"lengths": {"metrics.jsonl": -1}},
        {"lengths": {"metrics.jsonl": 1.5}},
        {"fingerprint": None},
        {"fingerprint": "../" * 21 + "x"},
        {"format": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_hostile_state_is_refused(saved, change):
    state = json.loads((saved / STATE).read_bytes())
    forge(saved, STATE, canonical_json({**state, **change}))
    with pytest.raises(DamagedError, match=STATE):
        load_checkpoint(saved)


@pytest.mark.parametrize("data", [b"", b"null", b"{", b"\xff", b'{"format":NaN}', b"[" * 10**5])
def test_a_state_that_is_not_a_json_object_is_refused(saved, data):
    forge(saved, STATE, data)
    with pytest.raises(DamagedError, match=STATE):
        load_checkpoint(saved)


MODEL_BYTES = model_with()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(MODEL_BYTES) - 1), st.binary(max_size=12), st.integers(0, 12))
def test_any_bytes_raise_only_charloom_errors(tmp_path_factory, place, patch, cut):
    path = tmp_path_factory.getbasetemp() / "patched"
    path.write_bytes(MODEL_BYTES[:place] + patch + MODEL_BYTES[place + cut :])
    with suppress(DamagedError, NotAModelError):
        load_model(path)
