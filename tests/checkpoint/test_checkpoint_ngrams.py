"""The n-grams of a model are stored in its file bit for bit, and read only if they are n-grams."""

import json
import struct
from itertools import product

import numpy as np
import pytest
from safetensors.numpy import save as serialize

from charloom.config import Config
from charloom.engines import open_engine
from charloom.errors import DamagedError
from charloom.model import copy_learner, new_learner
from charloom.model.ngrams import NGrams
from charloom.store import (
    load_checkpoint,
    load_model,
    model_bytes,
    save_checkpoint,
)
from charloom.store.checkpoint_directory import TRAINING
from charloom.store.model_file import model_seal, parse_model
from charloom.store.ngram_tensors import is_tree, offsets_of, parse_ngrams, tensors_of_ngrams
from charloom.text import Vocabulary
from checkpoint_learners import (
    FINGERPRINT,
    LENGTHS,
    assert_same_counts,
    assert_same_learner,
    forge,
    make_learner,
    model_with,
)
from file_contents import tree
from small_runs import ENGINES

f4, u1 = np.float32, np.uint8
ORDER = {"ngram_order": 3}

# The contexts "", "b", "c" and "ab" of a vocabulary with three characters.
SMALL = NGrams(
    3,
    3,
    children=np.array([1, 3, 4, 4, 4], np.uint32),
    child_ids=np.array([0, 1, 2, 0], np.uint32),
    followers=np.array([0, 3, 4, 5, 7], np.uint32),
    follower_ids=np.array([0, 1, 2, 2, 0, 1, 2], np.uint32),
    shares=np.array([[0.25, 0.25, 0.25, 0.5, 0.75, 0.125, 0.5], [0.0] * 7], f4),
    factors=np.array([[0.25, 0.5, 0.25, 0.375], [1.0] * 4], f4),
    counted=9,
)


def model_of(ngrams, dtype="float32", H=2):
    """Return the bytes of a new model with these n-grams."""
    config = Config(hidden_size=H, ngram_order=ngrams.order, dtype=dtype)
    learner = new_learner(config, Vocabulary(map(chr, range(97, 97 + ngrams.characters))))
    learner.ngrams = ngrams
    return model_bytes(learner)


def header_and_data(data):
    """Return the header of a safetensors file as an object, and the bytes after it."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.mark.parametrize("order", [1, 2, 3, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_with_ngrams_is_loaded_bit_for_bit(tmp_path, dtype, order):
    learner = make_learner(dtype, {"ngram_order": order, "batch_size": 3, "cell": "lstm"})
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    loaded = load_checkpoint(tmp_path / "52").learner
    assert_same_learner(loaded, learner)
    assert loaded.state["recent"].shape == (1, 3, order - 1)
    save_checkpoint(tmp_path / "again", loaded, LENGTHS, FINGERPRINT)
    assert tree(tmp_path / "again") == tree(tmp_path / "52")


def test_a_model_of_an_empty_text_is_loaded_bit_for_bit(tmp_path):
    learner = new_learner(Config(ngram_order=4), Vocabulary("abc"))
    save_checkpoint(tmp_path / "0", learner, LENGTHS, FINGERPRINT)
    assert_same_learner(load_checkpoint(tmp_path / "0").learner, learner)


@pytest.mark.parametrize(("K", "ids", "counts"), [
    (255, "U8", "U8"), (256, "U8", "U16"), (257, "U16", "U16"), (65_536, "U16", "U32"),
    (65_537, "U32", "U32"),
])  # fmt: skip
def test_ids_and_counts_have_the_smallest_types_that_hold_them(K, ids, counts):
    every = np.arange(K, dtype=np.uint32)
    ngrams = NGrams(
        2,
        K,
        children=np.append(np.uint32(1), np.full(K + 1, K + 1, np.uint32)),
        child_ids=np.append(np.uint32(0), every),
        followers=np.append(np.uint32(0), np.arange(K, 2 * K + 1, dtype=np.uint32)),
        follower_ids=np.append(every, every),
        shares=np.full((1, 2 * K), 1e-9, f4),
        factors=np.full((1, K + 1), 0.5, f4),
    )
    data = model_of(ngrams, H=1)
    header, _ = header_and_data(data)
    assert_same_counts(parse_model(data, "it").ngrams, ngrams)
    for name, wanted in (("child", counts), ("follower", counts)):
        assert header[f"ngrams/{name}_counts"]["dtype"] == wanted
    for name in ("child", "follower"):
        assert header[f"ngrams/{name}_ids"]["dtype"] == ids


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tensors_of_ngrams_have_these_bytes(dtype):
    header, data = header_and_data(model_of(SMALL, dtype))
    golden = {
        "child_counts": ("U8", "02010000"),
        "child_ids": ("U8", "00010200"),
        "factors": ("F32", "0000803e" "0000003f" "0000803e" "0000c03e"),
        "follower_counts": ("U8", "03010102"),
        "follower_ids": ("U8", "00010202000102"),
        "shares": ("F32", "0000803e" * 3 + "0000003f" "0000403f" "0000003e" "0000003f"),
    }  # fmt: skip
    found = {}
    for name, tensor in header.items():
        if name.startswith("ngrams/"):
            first, end = tensor["data_offsets"]
            found[name.removeprefix("ngrams/")] = (tensor["dtype"], data[first:end].hex())
    assert found == golden


def test_the_recent_ids_of_a_state_have_these_bytes(tmp_path):
    learner = make_learner(settings={**ORDER, "batch_size": 2})
    learner.state["recent"][...] = [[[-1, 0], [3, 1]]]
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    header, data = header_and_data((tmp_path / "52" / TRAINING).read_bytes())
    tensor = header["state/recent"]
    assert (tensor["dtype"], tensor["shape"]) == ("I32", [1, 2, 2])
    first, end = tensor["data_offsets"]
    assert data[first:end].hex() == "ffffffff000000000300000001000000"
    assert {"accumulator/ngram.weight", "accumulator/ngram.bias"} < set(header)


def test_copies_of_a_learner_share_its_ngrams():
    learner = make_learner(settings=ORDER)
    assert copy_learner(learner).ngrams is learner.ngrams


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loaded_model_computes_the_same_numbers(engine):
    learner = make_learner(settings=ORDER)
    loaded = parse_model(model_bytes(learner), "it")
    tokens, kernels = np.array([[3], [1], [0], [2], [1], [1], [0]], np.uint8), open_engine(engine)
    one, _ = kernels.score(learner, tokens, loaded.state)
    other, _ = kernels.score(loaded, tokens, loaded.state)
    np.testing.assert_array_equal(one, other)


def test_any_changed_byte_of_the_ngrams_is_found():
    data = bytearray(model_of(SMALL))
    header, _ = header_and_data(bytes(data))
    begin = len(data) - max(
        tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"
    )
    for name, tensor in header.items():
        if not name.startswith("ngrams/"):
            continue
        for place in range(*tensor["data_offsets"]):
            for bit in (1, 128):
                data[begin + place] ^= bit
                with pytest.raises(DamagedError, match=r"^it"):
                    parse_model(bytes(data), "it")
                data[begin + place] ^= bit
    parse_model(bytes(data), "it")


def hostile(tensors=None, **settings):
    """Return a model file with the n-grams in SMALL, except for some tensors of n-grams (None removes one)."""
    return with_tensors(
        {f"ngrams/{name}": array for name, array in (tensors or {}).items()}, **settings
    )


def with_tensors(tensors, **settings):
    """Return a model file with the n-grams in SMALL, except for some tensors (None removes one).

    Its seal fits.
    """
    config = Config(hidden_size=2, ngram_order=3)
    learner = new_learner(config, Vocabulary("abc"))
    arrays = {**learner.parameters, **tensors_of_ngrams(SMALL), **tensors}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    values = {**config.to_dict(), **settings}
    about = {"format": 5, "config": values, "vocabulary": [97, 98, 99]}
    about["sha256"] = model_seal(about, arrays)
    return serialize(arrays, metadata={"charloom": json.dumps(about)})


def bytes_of(*values):
    """Return an array of U8."""
    return np.array(values, u1)


def numbers(*values):
    """Return an array of F32."""
    return np.array(values, f4)


C, E = 4, 7  # the contexts and entries of SMALL
QUARTERS = numbers(*[0.25] * E)
HOSTILE = {
    "no tensors at all": {name.removeprefix("ngrams/"): None for name in tensors_of_ngrams(SMALL)},
    "no shares": {"shares": None},
    "no factors": {"factors": None},
    "no child counts": {"child_counts": None},
    "another tensor": {"weights": QUARTERS},
    "a share too few": {"shares": QUARTERS[1:]},
    "a factor too many": {"factors": numbers(*[0.5] * (C + 1))},
    "a context too many": {
        "child_counts": bytes_of(2, 1, 0, 0, 0), "child_ids": bytes_of(0, 1, 2, 0, 1),
        "follower_counts": bytes_of(3, 1, 1, 2, 0), "factors": numbers(*[0.5] * (C + 1)),
    },
    "no context": {
        "child_counts": bytes_of(), "child_ids": bytes_of(), "follower_counts": bytes_of(),
        "factors": numbers(), "follower_ids": bytes_of(), "shares": numbers(),
    },
    "columns of shares": {"shares": QUARTERS[np.newaxis]},
    "columns of factors": {"factors": numbers(*[0.5] * C)[np.newaxis]},
    "shares as F64": {"shares": QUARTERS.astype(np.float64)},
    "shares as U8": {"shares": bytes_of(*[0] * E)},
    "ids as U16": {"follower_ids": np.array([0, 1, 2, 2, 0, 1, 2], np.uint16)},
    "ids as I32": {"child_ids": np.array([0, 1, 2, 0], np.int32)},
    "ids as F32": {"child_ids": numbers(0, 1, 2, 0)},
    "counts as U32": {"child_counts": np.array([2, 1, 0, 0], np.uint32)},
    "counts as U16": {"follower_counts": np.array([3, 1, 1, 2], np.uint16)},
    "too many children": {"child_counts": bytes_of(2, 1, 1, 0)},
    "children far beyond the end": {"child_counts": bytes_of(255, 0, 0, 0)},
    "too few children": {"child_counts": bytes_of(2, 0, 0, 0)},
    "too many followers": {"follower_counts": bytes_of(3, 1, 1, 3)},
    "too few followers": {"follower_counts": bytes_of(0, 0, 0, 0)},
    "a context that is its own child": {"child_counts": bytes_of(0, 3, 0, 0)},
    "a circle of contexts": {"child_counts": bytes_of(1, 0, 1, 1)},
    "contexts that are longer than the order": {"child_counts": bytes_of(1, 1, 1, 0)},
    "a root with an id": {"child_ids": bytes_of(1, 1, 2, 0)},
    "an id of a context beyond K": {"child_ids": bytes_of(0, 1, 3, 0)},
    "an id of a follower beyond K": {"follower_ids": bytes_of(0, 1, 3, 2, 0, 1, 2)},
    "the largest id": {"follower_ids": bytes_of(0, 1, 255, 2, 0, 1, 2)},
    "children that fall": {"child_ids": bytes_of(0, 2, 1, 0)},
    "children that repeat": {"child_ids": bytes_of(0, 1, 1, 0)},
    "followers that fall": {"follower_ids": bytes_of(0, 2, 1, 2, 0, 1, 2)},
    "followers that repeat": {"follower_ids": bytes_of(0, 1, 2, 2, 0, 1, 1)},
    **{
        f"a share of {value}": {"shares": numbers(*QUARTERS[1:], value)}
        for value in (np.nan, np.inf, -np.inf, -1e-30, 1.0000001)
    },
    **{
        f"a factor of {value}": {"factors": numbers(0.5, 0.5, 0.5, value)}
        for value in (np.nan, np.inf, -0.5, 0, 1.0000001)
    },
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_ngrams_are_refused(tmp_path, what):
    (tmp_path / "model").write_bytes(hostile(HOSTILE[what]))
    with pytest.raises(DamagedError):
        load_model(tmp_path / "model")


def test_the_hostile_files_are_refused_only_for_their_changes():
    assert_same_counts(parse_model(hostile(), "it").ngrams, SMALL)


@pytest.mark.parametrize("order", [0, 1, 2, 17, -1, True, "3", 10**400])
def test_ngrams_that_do_not_fit_the_setting_are_refused(order):
    with pytest.raises(DamagedError, match=r"^it"):
        parse_model(hostile(ngram_order=order), "it")


def test_ngrams_of_a_lower_order_than_the_setting_are_read():
    assert parse_model(hostile(ngram_order=16), "it").ngrams.order == 16


def test_a_model_with_a_setting_that_needs_ngrams_but_without_them_is_refused():
    config = {**make_learner().config.to_dict(), "ngram_order": 3}
    with pytest.raises(DamagedError, match="missing"):
        parse_model(model_with(about={"config": config}), "it")


def test_too_many_ngrams_are_refused_before_they_are_used(monkeypatch):
    monkeypatch.setattr("charloom.store.ngram_tensors.MOST_NGRAMS", E - 1)
    with pytest.raises(DamagedError, match="4 contexts and 7 followers; at most 6 of each"):
        parse_model(model_of(SMALL), "it")


def test_counts_that_overflow_are_not_offsets():
    """With 65,536 characters, counts are U32; 2^32 - 1 and 3 have the sum 2 in that type."""
    K = 65_536
    counts = np.array([2**32 - 1, 3, 0], np.uint32)
    arrays = {
        "ngrams/child_counts": counts,
        "ngrams/child_ids": np.zeros(3, np.uint16),
        "ngrams/factors": np.ones(3, f4),
        "ngrams/follower_counts": counts,
        "ngrams/follower_ids": np.zeros(2, np.uint16),
        "ngrams/shares": np.zeros(2, f4),
    }
    assert counts.sum(dtype=np.uint32) == 2
    with pytest.raises(DamagedError, match="counts of its n-grams"):
        parse_ngrams(arrays, 3, K, "it")


@pytest.mark.parametrize("ids", [[-2, 0], [0, 4], [2**31 - 1, 0], [0, -(2**31)]], ids=str)
def test_recent_ids_beyond_the_vocabulary_are_refused(tmp_path, ids):
    learner = make_learner(settings=ORDER)
    learner.state["recent"][...] = ids
    save_checkpoint(tmp_path / "52", learner, LENGTHS, FINGERPRINT)
    with pytest.raises(DamagedError, match="the recent ids of its state are not in the vocabulary"):
        load_checkpoint(tmp_path / "52")


def test_a_model_file_begins_with_the_recent_ids_of_the_first_stream():
    learner = make_learner(settings={**ORDER, "batch_size": 2})
    learner.state["recent"][...] = [[[-1, 0], [3, 1]]]
    state = parse_model(model_bytes(learner), "it").state
    assert state["recent"].dtype == np.int32
    assert state["recent"].tolist() == [[[-1, 0]]]


def test_recent_ids_alone_are_a_start():
    learner = new_learner(Config(ngram_order=3), Vocabulary("abc"))
    learner.state["recent"][...] = 0
    header, _ = header_and_data(model_bytes(learner))
    assert {"start/h", "start/recent"} < set(header)


@pytest.mark.parametrize("recent", [
    None, np.zeros((1, 1, 2), np.int64), np.zeros((1, 2, 2), np.int32), np.zeros((1, 1, 2), f4),
    np.full((1, 1, 2), 3, np.int32), np.full((1, 1, 2), -2, np.int32),
], ids=lambda array: array is not None and f"{array.dtype} {array.shape} {array.max()}")  # fmt: skip
def test_hostile_recent_ids_of_a_start_are_refused(recent):
    start = {"start/h": np.ones((1, 1, 2), f4), "start/recent": np.zeros((1, 1, 2), np.int32)}
    parse_model(with_tensors(start), "it")
    with pytest.raises(DamagedError, match="recent"):
        parse_model(with_tensors({**start, "start/recent": recent}), "it")


@pytest.mark.parametrize("recent", [
    None, np.zeros((1, 1, 2), np.int64), np.zeros((1, 1, 2), f4), np.zeros((1, 1, 3), np.int32),
    np.zeros((1, 2), np.int32), np.zeros((2, 1, 2), np.int32), np.zeros((1, 1, 2), np.uint32),
], ids=lambda array: array is not None and f"{array.dtype} {array.shape}")  # fmt: skip
def test_hostile_recent_ids_are_refused(tmp_path, recent):
    saved, learner = tmp_path / "52", make_learner(settings=ORDER)
    save_checkpoint(saved, learner, LENGTHS, FINGERPRINT)
    arrays = {f"accumulator/{name}": a for name, a in learner.slots["accumulator"].items()}
    arrays |= {f"state/{name}": array for name, array in learner.state.items()}
    forge(saved, TRAINING, serialize(arrays))
    assert_same_learner(load_checkpoint(saved).learner, learner)
    del arrays["state/recent"]
    arrays |= {} if recent is None else {"state/recent": recent}
    forge(saved, TRAINING, serialize(arrays))
    with pytest.raises(DamagedError):
        load_checkpoint(saved)


def possible_counts(contexts):
    """Yield every list of numbers of children whose sum fits the number of contexts."""
    for counts in product(range(contexts), repeat=contexts):
        if sum(counts) == contexts - 1:
            yield counts


def lengths_of(counts):
    """Follow the children from the root; return the contexts in the order found, and their lengths."""
    first = [1 + sum(counts[:c]) for c in range(len(counts))]
    found, lengths = [0], [0]
    for context, length in zip(found, lengths, strict=False):  # the lists grow
        children = range(first[context], first[context] + counts[context])
        found += children
        lengths += [length + 1] * len(children)
        if len(found) > len(counts):
            break
    return found, lengths


@pytest.mark.parametrize("contexts", range(1, 7))
def test_only_a_tree_in_the_order_of_lengths_is_a_tree(contexts):
    trees = 0
    for counts in possible_counts(contexts):
        found, lengths = lengths_of(counts)
        for order in range(1, 8):
            wanted = found == list(range(contexts)) and max(lengths) < order
            assert is_tree(offsets_of(np.array(counts, u1), 1), order) == wanted, (counts, order)
            trees += wanted
    assert trees > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_looks_up_every_context_of_every_tree(engine):
    """An engine that left an array would raise IndexError, or crash the process."""
    kernels, contexts, read = open_engine(engine), 4, 0
    tokens = np.array([[0, 1, 2, 0, 2, 1, 0, 0, 1, 1, 2, 2, 0]], u1).T
    for counts in possible_counts(contexts):
        ids = sum((list(range(n)) for n in counts), [0])
        tree = {"child_counts": bytes_of(*counts), "child_ids": bytes_of(*ids)}
        try:
            learner = parse_model(hostile(tree, ngram_order=16), "it")
        except DamagedError:
            continue
        nats, _ = kernels.score(learner, tokens, learner.state)
        assert np.isfinite(nats).all()
        read += 1
    assert read == 5  # the number of ordered trees with four nodes
