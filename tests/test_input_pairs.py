"""The pairs of characters with a learned input are the most frequent ones of a text, and are found by their ids."""

import copy
import pickle
from collections import Counter

import numpy as np
import pytest

from charloom.config import MOST_PAIRS, Config, without_effect
from charloom.errors import ConfigError
from charloom.model import input_pairs, new_learner, parameter_shapes, state_arrays
from charloom.model.input_pairs import InputPairs, most_frequent_pairs, no_pairs, pair_rows
from charloom.model.memory_limit import parameter_count, require_memory
from charloom.model.mixture_parts import network_alone, ngrams_alone
from charloom.text import Vocabulary


def chosen_one_by_one(ids, segments, rows):
    """Return the pairs that the specification names, counted pair by pair."""
    counts = Counter(
        (ids[at - 1], ids[at]) for begin, end in segments for at in range(begin + 1, end)
    )
    pairs = sorted(counts, key=lambda pair: (-counts[pair], pair))[:rows]
    return [list(pair) for pair in pairs] + [[-1, -1]] * (rows - len(pairs))


def text_of(K, count=3_000):
    """Return ids in which some pairs occur often, and many pairs equally often."""
    rng = np.random.default_rng(K)
    return (K * rng.random(count) ** 3).astype(np.uint16)


@pytest.mark.parametrize("K", [2, 5, 60, 3_000])
@pytest.mark.parametrize("rows", [1, 4, 700])
@pytest.mark.parametrize(
    "segments", [[(0, 3_000)], [(0, 1)], [(7, 900), (900, 2_000), (2_500, 2_502)], [(5, 6), (6, 9)]]
)
def test_the_most_frequent_pairs_of_the_segments_are_chosen(K, rows, segments):
    ids = text_of(K)
    found = most_frequent_pairs(lambda a, b: ids[a:b], segments, rows, K)
    assert found.ids.tolist() == chosen_one_by_one(ids.tolist(), segments, rows)
    assert found.ids.dtype == np.int32
    assert found.used == sum(pair != [-1, -1] for pair in found.ids.tolist())


@pytest.mark.parametrize("block", [1, 2, 7, 100])
@pytest.mark.parametrize("table", [0, 2**22])
def test_neither_the_blocks_nor_the_table_change_the_choice(block, table, monkeypatch):
    monkeypatch.setattr(input_pairs, "BLOCK", block)
    monkeypatch.setattr(input_pairs, "MOST_TABLE", table)
    ids, segments, lengths = text_of(9, 500), [(3, 250), (251, 500)], []

    def read(start, end):
        lengths.append(end - start)
        return ids[start:end]

    found = most_frequent_pairs(read, segments, 20, 9)
    assert found.ids.tolist() == chosen_one_by_one(ids.tolist(), segments, 20)
    assert max(lengths) == min(block + 1, 249)


@pytest.mark.parametrize("K", [5, 3_000])
def test_every_pair_is_found_at_its_row_and_no_other_pair(K):
    ids = text_of(K)
    pairs = most_frequent_pairs(lambda a, b: ids[a:b], [(0, 3_000)], 20, K)
    row_of = {tuple(pair): row for row, pair in enumerate(pairs.ids.tolist())}
    row_of.pop((-1, -1), None)
    previous = np.concatenate([[-1], ids[:-1]]).astype(np.int32)
    found = pairs.rows(previous, ids)
    assert found.tolist() == [
        row_of.get(pair, -1) for pair in zip(previous.tolist(), ids.tolist(), strict=True)
    ]
    assert found.dtype == np.int32
    assert (found >= 0).any()
    square = pairs.rows(previous[:12].reshape(3, 4), ids[:12].reshape(3, 4))
    assert square.ravel().tolist() == found[:12].tolist()


def test_no_pair_is_found_where_there_is_none():
    pairs = no_pairs(4, 3)
    assert pairs.used == 0
    assert pairs.rows(np.array([-1, 0, 2]), np.array([0, 1, 2])).tolist() == [-1, -1, -1]


def test_copies_of_pairs_are_read_only_too():
    pairs = InputPairs(np.array([[0, 1], [-1, -1]]), 2)
    pairs.rows(np.array([0]), np.array([1]))
    for one in (pairs, copy.deepcopy(pairs), pickle.loads(pickle.dumps(pairs))):
        assert not one.ids.flags.writeable
        assert one.rows(np.array([0]), np.array([1])).tolist() == [0]


# The setting


@pytest.mark.parametrize(("given", "K", "rows"), [(0, 5, 0), (7, 5, 7), (30, 5, 25), (9, 3, 9)])
@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
def test_the_parameter_has_a_row_for_each_possible_pair_at_most(cell, gates, given, K, rows):
    config = Config(cell=cell, hidden_size=6, input_pairs=given, layers=2)
    assert pair_rows(config, K) == rows
    shapes = parameter_shapes(config, K)
    assert ("pairs.weight" in shapes) == bool(rows)
    if rows:
        assert list(shapes)[-1] == "pairs.weight"
        assert shapes["pairs.weight"] == (rows, gates * 6)
    learner = new_learner(config, Vocabulary(map(chr, range(97, 97 + K))))
    assert parameter_count(config, K) == sum(p.size for p in learner.parameters.values())
    if rows:
        assert not learner.parameters["pairs.weight"].any()
        assert learner.pairs.used == 0
    else:
        assert learner.pairs is None


def test_the_other_first_values_do_not_depend_on_the_pairs():
    for init in ("normal", "uniform", "orthogonal", "course"):
        plain, pairs = (
            new_learner(Config(hidden_size=6, init=init, input_pairs=n), Vocabulary("abc"))
            for n in (0, 4)
        )
        for name, array in plain.parameters.items():
            assert array.tobytes() == pairs.parameters[name].tobytes()


@pytest.mark.parametrize(
    ("order", "pairs", "length"),
    [(0, 0, None), (1, 0, 0), (5, 0, 4), (0, 3, 1), (1, 3, 1), (5, 3, 4)],
)
def test_a_state_keeps_as_many_ids_as_the_ngrams_and_pairs_need(order, pairs, length):
    arrays = state_arrays(Config(ngram_order=order, input_pairs=pairs), 2)
    found = arrays["recent"][0] if "recent" in arrays else None
    assert found == (None if length is None else (1, 2, length))


@pytest.mark.parametrize("value", [-1, MOST_PAIRS + 1, 1.5, "4", None, True])
def test_other_numbers_of_pairs_are_refused(value):
    with pytest.raises(ConfigError, match=r"input_pairs is .*from 0 to 1,048,576"):
        Config(input_pairs=value)


def test_the_setting_always_has_an_effect():
    assert without_effect(Config(input_pairs=5), ["input_pairs"]) == []


def test_pairs_that_do_not_fit_into_memory_are_refused():
    config = Config(hidden_size=100, input_pairs=4_000)
    numbers = parameter_count(config, 80)
    assert numbers - parameter_count(config.replace(input_pairs=0), 80) == 4_000 * 100
    require_memory(config, 80, memory=numbers * 12)
    with pytest.raises(ConfigError, match="parameters"):
        require_memory(config, 80, memory=numbers * 12 - 1)


@pytest.mark.parametrize(("order", "kept"), [(1, []), (2, [2]), (4, [0, 1, 2])])
def test_the_parts_of_a_model_with_ngrams_have_the_recent_ids_that_they_need(order, kept):
    learner = new_learner(
        Config(hidden_size=4, ngram_order=order, input_pairs=3), Vocabulary("abc")
    )
    length = learner.state["recent"].shape[-1]
    learner.state["recent"][0, 0] = np.arange(3)[-length:]
    network, ngrams = network_alone(learner), ngrams_alone(learner)
    assert network.state["recent"].tolist() == [[[2]]]
    assert network.pairs is learner.pairs
    assert ngrams.state["recent"].tolist() == [[kept]]
    assert (ngrams.pairs, "pairs.weight" in ngrams.parameters) == (None, False)
