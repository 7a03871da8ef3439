"""The pairs of characters of a model are stored in its file bit for bit, and read only if they are pairs."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save as serialize

from charloom.config import Config
from charloom.engines import open_engine
from charloom.errors import DamagedError
from charloom.model import copy_learner, new_learner
from charloom.model.input_pairs import InputPairs
from charloom.store import load_checkpoint, load_model, model_bytes, save_checkpoint
from charloom.store.checkpoint_directory import TRAINING
from charloom.store.model_file import model_seal, parse_model
from charloom.text import Vocabulary
from checkpoint_learners import (
    FINGERPRINT,
    LENGTHS,
    assert_same_learner,
    forge,
    make_learner,
    model_with,
)
from file_contents import tree
from small_runs import ENGINES

PAIRS = {"input_pairs": 3}
IDS = np.array([[0, 1], [2, 2], [-1, -1]], np.int32)


def header_and_data(data):
    """Return the header of a safetensors file as an object, and the bytes after it."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def hostile(ids=IDS, **settings):
    """Return a model file with 3 characters and the ids of its pairs (None leaves them out). Its seal fits."""
    config = Config(hidden_size=2, input_pairs=3)
    learner = new_learner(config, Vocabulary("abc"))
    arrays = {**learner.parameters, **({} if ids is None else {"pairs/ids": ids})}
    about = {"format": 6, "config": {**config.to_dict(), **settings}, "vocabulary": [97, 98, 99]}
    about["sha256"] = model_seal(about, arrays)
    return serialize(arrays, metadata={"charloom": json.dumps(about)})


@pytest.mark.parametrize("pairs", [1, 3, 16, 1000])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_with_pairs_is_loaded_bit_for_bit(tmp_path, dtype, order, pairs):
    learner = make_learner(
        dtype, {"input_pairs": pairs, "ngram_order": order, "batch_size": 3, "cell": "lstm"}
    )
    assert learner.parameters["pairs.weight"].shape == (min(pairs, 16), 12)
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    loaded = load_checkpoint(tmp_path / "52").learner
    assert_same_learner(loaded, learner)
    assert loaded.state["recent"].shape == (1, 3, max(order - 1, 1))
    save_checkpoint(tmp_path / "again", loaded, LENGTHS, FINGERPRINT)
    assert tree(tmp_path / "again") == tree(tmp_path / "52")


def test_a_model_of_an_empty_text_is_loaded_bit_for_bit(tmp_path):
    learner = new_learner(Config(input_pairs=4), Vocabulary("abc"))
    save_checkpoint(tmp_path / "0", learner, LENGTHS, FINGERPRINT)
    loaded = load_checkpoint(tmp_path / "0").learner
    assert_same_learner(loaded, learner)
    assert loaded.pairs.used == 0


def test_the_pairs_have_these_bytes():
    learner = new_learner(Config(hidden_size=2, input_pairs=3), Vocabulary("abc"))
    learner.pairs = InputPairs(IDS, 3)
    header, data = header_and_data(model_bytes(learner))
    tensor = header["pairs/ids"]
    assert (tensor["dtype"], tensor["shape"]) == ("I32", [3, 2])
    first, end = tensor["data_offsets"]
    assert data[first:end].hex() == "00000000010000000200000002000000" + "ffffffff" * 2


def test_the_slots_and_recent_ids_are_in_the_training_file(tmp_path):
    learner = make_learner(settings={**PAIRS, "batch_size": 2, "optimizer": "adamw"})
    learner.state["recent"][...] = [[[-1], [3]]]
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    header, data = header_and_data((tmp_path / "52" / TRAINING).read_bytes())
    tensor = header["state/recent"]
    assert (tensor["dtype"], tensor["shape"]) == ("I32", [1, 2, 1])
    first, end = tensor["data_offsets"]
    assert data[first:end].hex() == "ffffffff03000000"
    assert header["mean/pairs.weight"]["shape"] == [3, 3]
    assert header["square/pairs.weight"]["shape"] == [3, 3]


def test_copies_of_a_learner_share_its_pairs():
    learner = make_learner(settings=PAIRS)
    assert copy_learner(learner).pairs is learner.pairs


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loaded_model_computes_the_same_numbers(engine):
    learner = make_learner(settings=PAIRS)
    loaded = parse_model(model_bytes(learner), "it")
    tokens, kernels = np.array([[3], [1], [0], [2], [1], [1], [0]], np.uint8), open_engine(engine)
    one, _ = kernels.score(learner, tokens, loaded.state)
    other, _ = kernels.score(loaded, tokens, loaded.state)
    np.testing.assert_array_equal(one, other)


def test_any_changed_byte_of_the_pairs_is_found():
    data = bytearray(hostile())
    header, _ = header_and_data(bytes(data))
    begin = len(data) - max(
        tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"
    )
    for place in range(*header["pairs/ids"]["data_offsets"]):
        for bit in (1, 128):
            data[begin + place] ^= bit
            with pytest.raises(DamagedError, match=r"^it"):
                parse_model(bytes(data), "it")
            data[begin + place] ^= bit
    parse_model(bytes(data), "it")


HOSTILE = {
    "no ids": (None, "missing"),
    "too few": (IDS[:2], "it must be int32 of shape"),
    "too many": (np.concatenate([IDS, IDS]), "it must be int32 of shape"),
    "one column": (IDS[:, :1].copy(), "it must be int32 of shape"),
    "one axis": (IDS.ravel(), "it must be int32 of shape"),
    "I64": (IDS.astype(np.int64), "has the type .I64."),
    "F32": (IDS.astype(np.float32), "it must be int32 of shape"),
    "U32": (np.abs(IDS).astype(np.uint32), "it must be int32 of shape"),
    "an id of K": ([[0, 3], [2, 2], [-1, -1]], "ids that are not in the vocabulary"),
    "a previous id of K": ([[3, 0], [2, 2], [-1, -1]], "ids that are not in the vocabulary"),
    "the largest id": ([[0, 2**31 - 1], [2, 2], [-1, -1]], "ids that are not in the vocabulary"),
    "the lowest id": ([[0, 1], [2, 2], [-(2**31), 0]], "ids that are not in the vocabulary"),
    "an id of -2": ([[0, 1], [2, -2], [-1, -1]], "ids that are not in the vocabulary"),
    "half a pair": ([[0, 1], [2, 2], [-1, 1]], "ids that are not in the vocabulary"),
    "half a pair, the other one": ([[0, 1], [2, 2], [1, -1]], "ids that are not in the vocabulary"),
    "a pair twice": ([[0, 1], [2, 2], [0, 1]], "it has a pair of characters twice"),
    "a row without a pair in the middle": ([[0, 1], [-1, -1], [2, 2]], "comes before one with"),
    "a row without a pair first": ([[-1, -1], [0, 1], [2, 2]], "comes before one with a pair"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_pairs_are_refused(tmp_path, what):
    ids, reason = HOSTILE[what]
    ids = np.array(ids, np.int32) if isinstance(ids, list) else ids
    (tmp_path / "model").write_bytes(hostile(ids))
    with pytest.raises(DamagedError, match=reason):
        load_model(tmp_path / "model")


def test_the_hostile_files_are_refused_only_for_their_changes():
    np.testing.assert_array_equal(parse_model(hostile(), "it").pairs.ids, IDS)


@pytest.mark.parametrize("pairs", [0, 1, 2, 4, 2**20, 2**20 + 1, -1, True, "3", 10**400])
def test_pairs_that_do_not_fit_the_setting_are_refused(pairs):
    with pytest.raises(DamagedError, match=r"^it"):
        parse_model(hostile(input_pairs=pairs), "it")


def test_a_model_with_a_setting_that_needs_pairs_but_without_them_is_refused():
    config = {**make_learner().config.to_dict(), "input_pairs": 3}
    with pytest.raises(DamagedError, match="missing"):
        parse_model(model_with(about={"config": config}), "it")


@pytest.mark.parametrize("ids", [-2, 4, 2**31 - 1, -(2**31)])
def test_recent_ids_beyond_the_vocabulary_are_refused(tmp_path, ids):
    learner = make_learner(settings=PAIRS)
    learner.state["recent"][...] = ids
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    with pytest.raises(DamagedError, match="the recent ids of its state are not in the vocabulary"):
        load_checkpoint(tmp_path / "52")


def test_slots_of_another_number_of_pairs_are_refused(tmp_path):
    saved, learner = tmp_path / "52", make_learner(settings=PAIRS)
    save_checkpoint(saved, learner, LENGTHS, FINGERPRINT)
    other = make_learner(settings={"input_pairs": 4})
    save_checkpoint(tmp_path / "other", other, LENGTHS, FINGERPRINT)
    forge(saved, TRAINING, (tmp_path / "other" / TRAINING).read_bytes())
    with pytest.raises(DamagedError, match=r"pairs\.weight is float32 of shape \(4, 3\)"):
        load_checkpoint(saved)
