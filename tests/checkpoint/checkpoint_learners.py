"""Learners to save, and comparisons of loaded ones, for the tests of checkpoints."""

import hashlib
import json

import numpy as np
from safetensors.numpy import save as serialize

from charloom.engines import open_engine
from charloom.model import hidden_arrays, new_learner
from charloom.model.input_pairs import most_frequent_pairs
from charloom.model.learner import NO_ID, RECENT
from charloom.model.optimizers import SQUARES
from charloom.store.checkpoint_directory import FILES, MANIFEST, manifest_of
from charloom.store.ngram_tensors import tensors_of_ngrams
from charloom.text import Vocabulary
from small_runs import small_config

LENGTHS = {"metrics.jsonl": 1234, "samples.jsonl": 56}
FINGERPRINT = hashlib.sha256(b"text").hexdigest()


def make_learner(dtype="float32", settings=None, **values):
    """Return a learner in the middle of a run, with all numbers different."""
    config = small_config(hidden_size=3, dtype=dtype, **(settings or {}))
    vocabulary = Vocabulary("ab\n\U0001f600")
    K = len(vocabulary)
    learner = new_learner(config, vocabulary)
    draw = np.random.default_rng(3)
    for array in (*learner.parameters.values(), *hidden_arrays(learner.state).values()):
        array[...] = draw.normal(0, 1, array.shape)
    if RECENT in learner.state:
        learner.state[RECENT][...] = draw.integers(NO_ID, K, learner.state[RECENT].shape)
    ids, segments = draw.integers(0, K, 60) if RECENT in learner.state else [], np.array([[0, 60]])
    if config.input_pairs:
        rows = len(learner.pairs.ids)
        learner.pairs = most_frequent_pairs(lambda a, b: ids[a:b], [(0, 60)], rows, K)
    if config.ngram_order:
        learner.ngrams = open_engine("reference").count_ngrams(config, K, ids, segments)
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


def assert_same_learner(actual, expected):
    """Assert that two learners are equal, bit for bit, in every field."""
    arrays = ("parameters", "slots", "state", "ngrams", "pairs")
    for name, value in vars(expected).items():
        if name not in arrays:
            assert getattr(actual, name) == value, name
    for name in ("parameters", "state"):
        assert_same_arrays(getattr(actual, name), getattr(expected, name))
    for slot, values in expected.slots.items():
        assert_same_arrays(actual.slots[slot], values)
    assert (actual.pairs is None) == (expected.pairs is None)
    if expected.pairs is not None:
        assert actual.pairs.characters == expected.pairs.characters
        assert_same_arrays({"ids": actual.pairs.ids}, {"ids": expected.pairs.ids}, writeable=False)
    assert (actual.ngrams is None) == (expected.ngrams is None)
    if expected.ngrams is not None:
        assert_same_counts(actual.ngrams, expected.ngrams)


def assert_same_counts(actual, expected):
    """Assert that `actual` has column 0 of the n-grams `expected` and no other column."""
    assert (actual.order, actual.characters) == (expected.order, expected.characters)
    assert (actual.parts, actual.counted) == (0, 0)
    column = {"shares": expected.shares[:1], "factors": expected.factors[:1]}
    arrays = {name: array for name, array in vars(expected).items() if hasattr(array, "dtype")}
    assert_same_arrays(
        {name: getattr(actual, name) for name in arrays}, {**arrays, **column}, writeable=False
    )


def assert_same_arrays(actual, expected, writeable=True):
    """Assert equal names, order and bytes, and that the arrays are writable, or that they are not."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert actual[name].shape == array.shape
        assert actual[name].tobytes() == array.tobytes()
        assert actual[name].flags.writeable == writeable
        assert actual[name].flags.c_contiguous


def forge(saved, name, data):
    """Replace a file of a checkpoint, and write a MANIFEST that fits it."""
    (saved / name).write_bytes(data)
    (saved / MANIFEST).write_bytes(
        manifest_of({file: (saved / file).read_bytes() for file in FILES})
    )


def model_with(tensors=None, about=None, metadata=None, **settings):
    """Return a model file with changed tensors (None removes one) or metadata."""
    learner = make_learner(settings=settings)
    points = [ord(character) for character in learner.vocabulary.characters]
    fields = {"format": 1, "config": learner.config.to_dict(), "vocabulary": points}
    counts = tensors_of_ngrams(learner.ngrams) if learner.ngrams else {}
    arrays = {**learner.parameters, **counts, **(tensors or {})}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    text = json.dumps({**fields, **(about or {})})
    return serialize(arrays, metadata=metadata or {"charloom": text})
