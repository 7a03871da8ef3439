"""Files with consistent checksums and impossible contents are refused."""

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as serialize

from charloom.errors import DamagedError, NotAModelError
from charloom.store import canonical_json, load_checkpoint, load_model, model_bytes, save_checkpoint
from charloom.store.checkpoint_directory import MODEL, STATE, TRAINING
from checkpoint_learners import (
    FINGERPRINT,
    LENGTHS,
    assert_same_arrays,
    assert_same_learner,
    forge,
    make_learner,
    model_with,
)
from small_runs import small_config


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
