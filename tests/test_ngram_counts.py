"""The engines count n-grams, and compute their probabilities, as the oracle does with plain loops."""

from dataclasses import replace

import numpy as np
import pytest

import ngram_oracle
from charloom.config import Config
from charloom.engines import native_problem, open_engine
from charloom.engines.reference.ngram_counts import log_probabilities
from charloom.model import new_learner
from charloom.model.ngrams import MOST_BYTES, PARTS
from charloom.store.ngram_tensors import tensors_of_ngrams
from charloom.text import Vocabulary

ENGINES = ["reference"] if native_problem() else ["reference", "native"]
ARRAYS = ("children", "child_ids", "followers", "follower_ids", "shares", "factors")


def repetitive(K, length, seed=0):
    """Return a text in which many contexts occur again: pieces of an earlier text, with random ids between."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, K, min(length, 20)).tolist()
    while len(ids) < length:
        start = int(rng.integers(len(ids)))
        ids += ids[start : start + int(rng.integers(1, 12))]
        ids.append(int(K * rng.random() ** 3))
    return ids[:length]


CASES = {
    "one segment": (5, 4, repetitive(5, 300), [(0, 300)]),
    "segments with gaps": (5, 5, repetitive(5, 300), [(7, 90), (120, 121), (121, 300)]),
    "order 1": (4, 1, repetitive(4, 90), [(0, 50), (50, 90)]),
    "order 2": (4, 2, repetitive(4, 200), [(0, 200)]),
    "order 3": (4, 3, repetitive(4, 200), [(0, 200)]),
    "order 16": (3, 16, repetitive(3, 80) + repetitive(3, 70), [(0, 80), (80, 150)]),
    "two-byte ids": (300, 5, repetitive(300, 500), [(0, 500)]),
    "many characters": (2000, 3, repetitive(2000, 600), [(0, 600)]),
    "fewer characters than parts": (3, 3, [0, 1, 0, 1, 2], [(0, 5)]),
    "one character": (2, 4, [1], [(0, 1)]),
    "the same character": (2, 6, [1] * 40, [(0, 40)]),
    "nothing": (3, 4, [], []),
}


def counted(name, engine, most_bytes=MOST_BYTES):
    """Return what an engine counts for a case, and the oracle's counts."""
    K, order, text, segments = CASES[name]
    ids = np.array(text, np.uint8 if K <= 256 else np.uint16)
    places = np.array(segments, np.int64).reshape(-1, 2)
    config = Config(ngram_order=order)
    found = open_engine(engine).count_ngrams(config, K, ids, places, most_bytes)
    return found, ngram_oracle.Counts(text, segments, K, order, PARTS, most_bytes)


def arrays_of(counts):
    """Return the oracle's counts as the arrays of `NGrams`."""
    contexts = [context for level in counts.contexts for context in level]
    child_counts = [sum(other[1:] == c for other in contexts if other) for c in contexts]
    entries = [(c, k) for c in contexts for k in counts.followers[c]]
    return {
        "children": np.cumsum([1, *child_counts]),
        "child_ids": [context[0] if context else 0 for context in contexts],
        "followers": np.cumsum([0] + [len(counts.followers[c]) for c in contexts]),
        "follower_ids": [k for _, k in entries],
        "shares": [[shares[entry] for entry in entries] for shares in counts.shares],
        "factors": [[factors[c] for c in contexts] for factors in counts.factors],
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_every_array_has_the_bits_of_the_oracle(name, engine):
    assert_same_counts(*counted(name, engine))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("most_bytes", [10_000, 3_000, 1_500, 700, 100, 12, 0])
@pytest.mark.parametrize(
    "name", ["one segment", "segments with gaps", "two-byte ids", "order 16", "order 1"]
)
def test_rare_contexts_are_left_out_as_the_oracle_does_it(name, most_bytes, engine):
    found, counts = counted(name, engine, most_bytes)
    assert_same_counts(found, counts)
    assert found.file_size <= most_bytes or len(found.child_ids) == 1


def assert_same_counts(found, counts):
    for array, expected in arrays_of(counts).items():
        values = getattr(found, array)
        expected = np.array(expected, values.dtype).reshape(values.shape)
        np.testing.assert_array_equal(values, expected, err_msg=array)
    assert (found.order, found.characters, found.parts) == (counts.N, counts.K, PARTS)


@pytest.mark.parametrize("name", CASES)
def test_each_character_is_predicted_by_the_oracles_column(name):
    found, counts = counted(name, "reference")
    places = np.arange(len(CASES[name][2]) + 3).reshape(1, -1)
    assert found.columns(places).dtype == np.int32
    assert found.columns(places)[0].tolist() == [counts.column(i) for i in range(places.size)]


def learner_with(ngrams, dtype="float64"):
    config = Config(hidden_size=2, ngram_order=ngrams.order, dtype=dtype)
    learner = new_learner(config, Vocabulary(chr(0x4E00 + k) for k in range(ngrams.characters)))
    learner.ngrams = ngrams
    return learner


def window_of(name):
    """Return the ids of two streams, shape (T, 2), and their recent ids: none, and those before its first id."""
    _, order, text, _ = CASES[name]
    longer = [-1] * (order - 1) + text + [0] * 45
    start = min(3, len(text))
    first, second = order - 1, order - 1 + start
    x = np.array([longer[first : first + 40], longer[second : second + 40]]).T
    recent = np.array([longer[:first], longer[start:second]], np.int32).reshape(1, 2, order - 1)
    return x, recent


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-14), ("float32", 4e-6)])
@pytest.mark.parametrize("name", CASES)
def test_the_logarithms_of_the_probabilities_are_those_of_the_oracle(name, dtype, limit):
    found, counts = counted(name, "reference")
    x, recent = window_of(name)
    columns = np.random.default_rng(2).integers(0, PARTS + 1, x.shape)
    logs = log_probabilities(learner_with(found, dtype), x, {"recent": recent}, columns)
    expected, _ = counts.window_logs(x.tolist(), recent[0].tolist(), columns.tolist())
    assert logs.dtype == dtype
    np.testing.assert_allclose(logs, expected, rtol=limit, atol=limit)


@pytest.mark.parametrize("name", CASES)
def test_the_probabilities_of_every_context_sum_to_1_in_every_column(name):
    found, counts = counted(name, "reference")
    for column in range(PARTS + 1):
        for level in counts.contexts:
            for context in level:
                # The float32 of each factor and share is wrong by at most 2^-25.
                sum_of_q = sum(counts.probabilities(list(context), column))
                assert sum_of_q == pytest.approx(1, abs=2**-25 * (counts.K + 2) * counts.N)
    x, recent = window_of(name)
    logs = log_probabilities(learner_with(found), x, {"recent": recent})
    np.testing.assert_allclose(np.exp(logs).sum(axis=-1), 1, atol=2**-25 * (counts.K + 2) * 16)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_cases_have_contexts_of_all_lengths_and_computed_discounts(engine):
    found, counts = counted("one segment", engine)
    assert all(len(level) > 10 for level in counts.contexts[2:])
    assert all(D != ngram_oracle.FALLBACK for D in counts.discounts[2:])
    assert len(counted("order 16", engine)[1].contexts[15]) > 10
    assert (found.factors[0] != 1).any()


def shifted(array, by):
    copy = array.copy()
    copy.reshape(-1)[:] = np.roll(array.reshape(-1), by)
    return copy


@pytest.mark.parametrize("array", ["factors", "shares"])
def test_a_factor_or_share_that_is_wrong_in_its_last_bit_is_caught(array):
    found, counts = counted("one segment", "reference")
    values = getattr(found, array).copy()
    values[3, 5] = np.nextafter(values[3, 5], np.float32(2))
    with pytest.raises(AssertionError, match=array):
        assert_same_counts(replace(found, **{array: values}), counts)


def test_a_column_or_recent_ids_off_by_one_are_caught():
    found, counts = counted("one segment", "reference")
    x, recent = window_of("one segment")
    learner, columns = learner_with(found), np.arange(x.size).reshape(x.shape) % PARTS
    logs = log_probabilities(learner, x, {"recent": recent}, columns)
    later = log_probabilities(learner, x, {"recent": recent}, columns + 1)
    early = log_probabilities(learner, x, {"recent": shifted(recent, 1)}, columns)
    expected, _ = counts.window_logs(x.tolist(), recent[0].tolist(), columns.tolist())
    np.testing.assert_allclose(logs, expected, rtol=1e-14)
    for wrong in (later, early):
        assert np.abs(wrong - expected).max() > 0.01


# The largest size


def sizes_by_least(text, segments, order, K):
    """Return the size that the n-grams have if every context occurs at least m times, for m = 0, 1, 2, …"""
    followers = {}
    for start, stop in segments:
        for place in range(start, stop):
            for length in range(min(order, place - start + 1)):
                followers.setdefault(tuple(text[place - length : place]), []).append(text[place])
    context, entry = (7, 5) if K <= 255 else (10, 6)
    return [
        sum(
            context + entry * len(set(ids))
            for earlier, ids in followers.items()
            if len(ids) >= least or not earlier
        )
        for least in range(len(text) + 2)
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["one segment", "segments with gaps", "order 3", "two-byte ids"])
def test_rare_contexts_are_left_out_until_the_size_fits(name, engine):
    K, order, text, segments = CASES[name]
    ids, bounds = np.array(text, np.uint8 if K <= 256 else np.uint16), np.array(segments)
    config, sizes = Config(ngram_order=order), sizes_by_least(text, segments, order, K)
    whole = open_engine(engine).count_ngrams(config, K, ids, bounds)
    for least in range(3, 8):
        for most in {sizes[least], sizes[least - 1] - 1}:
            if most >= whole.file_size:
                continue
            fitting = next(m for m in range(2, len(sizes)) if sizes[m] <= most)
            found = open_engine(engine).count_ngrams(config, K, ids, bounds, most)
            assert found.file_size == sizes[fitting] <= most
            same = open_engine("reference").count_ngrams(config, K, ids, bounds, most)
            for array in ARRAYS:
                np.testing.assert_array_equal(getattr(found, array), getattr(same, array))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_empty_context_stays_however_small_the_size_must_be(engine):
    ids, segments = np.array(repetitive(5, 100), np.uint8), np.array([[0, 100]])
    found = open_engine(engine).count_ngrams(Config(ngram_order=4), 5, ids, segments, 0)
    assert len(found.child_ids) == 1
    assert found.follower_ids.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_size_that_just_fits_changes_nothing(engine):
    K, order, text, segments = CASES["one segment"]
    ids = np.array(text, np.uint8)
    count = open_engine(engine).count_ngrams
    whole = count(Config(ngram_order=order), K, ids, np.array(segments))
    most = whole.file_size
    same, less = (
        count(Config(ngram_order=order), K, ids, np.array(segments), most - n) for n in (0, 1)
    )
    for array in ARRAYS:
        np.testing.assert_array_equal(getattr(same, array), getattr(whole, array))
    assert less.file_size < most


def test_the_size_is_that_of_the_tensors_in_a_model_file():
    for name in ("one segment", "two-byte ids"):
        found, _ = counted(name, "reference")
        tensors = tensors_of_ngrams(found).values()
        assert found.file_size == sum(array.nbytes for array in tensors)
