"""Small networks, their texts and comparisons for the tests of the reference engine."""

import numpy as np

from charloom.config import Config
from charloom.engines import Plan
from charloom.engines.reference import ReferenceEngine
from charloom.model import hidden_arrays, new_learner
from charloom.model.input_pairs import PAIRS, most_frequent_pairs
from charloom.model.learner import RECENT
from charloom.text import Vocabulary

# float64 against float64: two orders of summation over at most a few thousand terms.
CLOSE = 1e-12


def relative_error(actual, expected):
    """Return the norm of the difference over the norm of `expected`; 0 if both are zero."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    distance, size = np.linalg.norm(actual - expected), np.linalg.norm(expected)
    return distance / size if size else distance


def assert_same(actual, expected, tolerance=CLOSE):
    """Assert that each array equals the expected one of the same name."""
    assert set(actual) == set(expected)
    for name, array in actual.items():
        assert np.shape(array) == np.shape(expected[name]), name
        error = relative_error(array, expected[name])
        assert error <= tolerance, f"{name}: norm-relative error {error:.2e}"


def make_learner(hidden_size=5, seq_length=3, characters=7, sigma=0.5, items=False, **settings):
    """Return a float64 learner with large weights. Its biases and state are not zero.

    With n-grams, it has those of a text with repetitions, and a weight of them that depends on h. With pairs,
    it has the most frequent ones of that text, with inputs that are not zero. The first recent ids of the first
    stream are missing. With `items`, its vocabulary also has a boundary of items.
    """
    config = Config(
        hidden_size=hidden_size, seq_length=seq_length, sigma=sigma, dtype="float64", **settings
    )
    known = [chr(ord("a") + k) for k in range(characters)]
    learner = new_learner(config, Vocabulary(known, items=items))
    characters, boundary = len(learner.vocabulary), learner.vocabulary.boundary
    draw = np.random.default_rng(1)
    for parameter in learner.parameters.values():
        if parameter.ndim == 1:
            parameter += draw.normal(0, 0.3, parameter.shape)
    for array in hidden_arrays(learner.state).values():
        array[...] = np.tanh(draw.normal(0, 1, array.shape))
    ids, segments = repeated_ids(learner, 400), np.array([[0, 150], [150, 400]])
    if config.ngram_order:
        learner.ngrams = ReferenceEngine().count_ngrams(
            config, characters, ids, segments, boundary=boundary
        )
        learner.parameters["ngram.weight"][...] = draw.normal(0, 0.3, (1, hidden_size))
    if config.input_pairs:
        P = learner.parameters[PAIRS]
        learner.pairs = most_frequent_pairs(
            lambda a, b: ids[a:b], segments.tolist(), len(P), characters, boundary
        )
        P[...] = draw.normal(0, 0.3, P.shape)
    if RECENT in learner.state:
        recent = learner.state[RECENT]
        recent[...] = repeated_ids(learner, recent.size).reshape(recent.shape)
        recent[0, 0, : recent.shape[-1] // 2] = -1
    return learner


def repeated_ids(learner, count):
    """Return ids in which many contexts occur again: a random walk through a few sequences of ids."""
    K, draw = len(learner.vocabulary), np.random.default_rng(7)
    pieces = [draw.integers(0, K, draw.integers(1, 6)) for _ in range(6)]
    ids = np.concatenate([pieces[n] for n in draw.integers(0, 6, count + 1)])[:count]
    return ids.astype(learner.vocabulary.id_dtype)


def make_ids(learner, *shape):
    """Return random ids of the vocabulary's dtype."""
    K = len(learner.vocabulary)
    ids = np.random.default_rng(2).integers(0, K, shape)
    return ids.astype(learner.vocabulary.id_dtype)


def make_window(learner):
    """Return ids x and y, each (T, B)."""
    shape = learner.config.seq_length, learner.config.batch_size
    return make_ids(learner, *shape), make_ids(learner, *shape)[::-1]


def as_lists(arrays):
    """Return named arrays as nested lists, as the oracle and the golden script need them."""
    return {name: array.tolist() for name, array in arrays.items()}


def plan(updates, learning_rate=0.1, starts=(0,)):
    """Return a plan of updates with equal learning rates."""
    return Plan(np.full(updates, learning_rate), np.array(starts))
