"""Tests of scoring: each character counts once, with the same nats as in a single stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom import scoring
from charloom.cell_table import CELL_NAMES
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.model import new_learner, weights_per_character, zero_state
from charloom.scoring import (
    characters_read,
    cut_into_pieces,
    evenly_spread_pieces,
    mean_nats_in_slices,
    predicted_characters,
    score_segments,
    tokens_of_a_call,
    tokens_of_a_product,
)
from charloom.text import Corpus
from small_runs import ENGINES, LINES, WORDS, small_config

TEXT = "".join(LINES.format(*(WORDS[(7 * n + k) % 10] for k in range(4))) for n in range(60))
CORPUS = Corpus.from_text(TEXT)


def network(cell="lstm"):
    """Return a network with a state that forgets within about ten characters."""
    config = small_config(cell=cell, layers=2, dtype="float64", sigma=0.4)
    return new_learner(config, CORPUS.vocabulary)


def in_one_go(learner, segment):
    """Return the nats of a segment's characters, computed in one call of the engine."""
    tokens = CORPUS.ids[slice(*segment), np.newaxis]
    return ReferenceEngine().score(learner, tokens, zero_state(learner.config))[0][:, 0]


def mean_of(learner, pieces, engine=None):
    """Return the mean over the pieces and how many characters each call of the engine read."""
    averages, calls = (
        mean_nats_in_slices(engine or ReferenceEngine(), learner, CORPUS.ids, pieces),
        [],
    )
    while True:
        try:
            calls.append(next(averages))
        except StopIteration as end:
            return end.value, calls


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_one_stream_is_exact_with_calls_of_any_size(cell, monkeypatch):
    learner, segment = network(cell), (3, 700)
    truth = in_one_go(learner, segment)
    for size in (1, 100, 10**9):
        monkeypatch.setattr(scoring, "tokens_of_a_call", lambda *_, size=size: size)
        found = score_segments(ReferenceEngine(), learner, CORPUS.ids, [segment], streams=1)
        assert found.dtype == np.float64
        assert found.tolist() == truth.tolist()


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_pieces_read_in_parallel_give_the_same_numbers_after_the_warm_up(cell, monkeypatch):
    monkeypatch.setattr(scoring, "WARM_UP", 200)
    learner, segment = network(cell), (0, len(CORPUS))
    truth = in_one_go(learner, segment)
    found = score_segments(ReferenceEngine(), learner, CORPUS.ids, [segment], streams=7)
    np.testing.assert_allclose(found, truth, rtol=1e-9)
    monkeypatch.setattr(scoring, "WARM_UP", 0)
    cold = score_segments(ReferenceEngine(), learner, CORPUS.ids, [segment], streams=7)
    assert abs(cold - truth).max() > 1e-3  # so the warm-up does what it is for


def test_a_piece_inside_a_segment_starts_warm_and_a_segment_from_zero():
    learner, states = network(), []

    class Spy(ReferenceEngine):
        def score(self, learner, tokens, state):
            states.append({name: array.copy() for name, array in state.items()})
            return super().score(learner, tokens, state)

    start, end = 9, len(CORPUS)
    score_segments(Spy(), learner, CORPUS.ids, [(start, end)], streams=5)
    opening = CORPUS.ids[start : start + scoring.WARM_UP + 1, np.newaxis]
    _, warm = ReferenceEngine().score(learner, opening, zero_state(learner.config))
    begun = next(state for state in states if state["h"].shape[1] == 5)
    counts = [piece.counts - start for piece in cut_into_pieces([(start, end)], 5)]
    for name, array in begun.items():
        for n, count in enumerate(counts):
            expected = warm[name][:, 0] if count > scoring.WARM_UP + 1 else 0.0
            np.testing.assert_array_equal(array[:, n], expected + np.zeros_like(array[:, n]))
    assert sum(count > scoring.WARM_UP + 1 for count in counts) == 4
    score_segments(Spy(), learner, CORPUS.ids, [(0, 300), (700, 900)])
    assert not any(array.any() for array in states[-1].values())


def test_each_of_several_segments_is_read_from_the_zero_state():
    learner, segments = network(), [(0, 300), (250, 412), (500, 502), (100, 101), (900, 1200)]
    truth = np.concatenate([in_one_go(learner, segment) for segment in segments])
    found = score_segments(ReferenceEngine(), learner, CORPUS.ids, segments)
    np.testing.assert_allclose(found, truth, rtol=1e-12)
    mean, _ = mean_of(learner, cut_into_pieces(segments))
    assert mean == pytest.approx(truth.mean(), rel=1e-12)


@given(st.integers(0, 50), st.integers(2, 3_000), st.integers(1, 80))
def test_every_character_but_the_first_counts_exactly_once(start, length, streams):
    pieces = cut_into_pieces([(start, start + length)], streams)
    assert [n for piece in pieces for n in range(piece.counts, piece.end)] == list(
        range(start + 1, start + length)
    )
    assert pieces[0].reads == start
    for piece in pieces[1:]:
        assert piece.reads == max(start, piece.counts - 1 - scoring.WARM_UP)


@pytest.mark.parametrize(
    ("length", "streams"), [(2, 1), (4_096, 1), (8_191, 1), (8_192, 2), (10**6, 64), (10**9, 64)]
)
def test_a_long_segment_is_cut_into_pieces_of_the_minimum_length(length, streams):
    assert len(cut_into_pieces([(0, length)])) == streams


def test_the_learner_and_its_state_are_not_changed():
    learner = network()
    learner.state["h"][...] = 0.25
    score_segments(ReferenceEngine(), learner, CORPUS.ids, [(0, 600)], streams=3)
    assert (learner.state["h"] == 0.25).all()


def test_a_character_that_counts_twice_or_never_is_caught(monkeypatch):
    learner, segment = network(), (0, 600)
    truth = in_one_go(learner, segment)

    def one_late(segments, streams=None):
        first, *rest = cut_into_pieces(segments, streams)
        return [scoring.Piece(first.reads, first.counts + 1, first.end), *rest]

    monkeypatch.setattr(scoring, "cut_into_pieces", one_late)
    found = score_segments(ReferenceEngine(), learner, CORPUS.ids, [segment], streams=1)
    assert len(found) != len(truth)


# PyTorch's products of many rows may add in another order than those of few rows.
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "torch"])
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_size_of_the_calls_does_not_change_a_single_bit_of_the_mean(
    engine, cell, layers, monkeypatch
):
    """Uses blocks of several calls, and pieces with a warm-up."""
    config = small_config(cell=cell, layers=layers, hidden_size=20, init="uniform")
    learner = new_learner(config, CORPUS.vocabulary)
    monkeypatch.setattr(scoring, "WARM_UP", 30)
    monkeypatch.setattr(scoring, "BLOCK", 700)
    found = set()
    for size in (1, 7, 64, 10**9):
        monkeypatch.setattr(scoring, "tokens_of_a_call", lambda *_, size=size: size)
        found.add(mean_of(learner, cut_into_pieces([(5, len(CORPUS))], 9), open_engine(engine))[0])
    assert len(found) == 1


def test_a_larger_network_reads_fewer_characters_per_call():
    """The time of a call is proportional to characters times weights, and must stay limited."""
    segment = (0, len(CORPUS))
    for hidden_size, streams in ((4, 1), (4, 8), (300, 1), (300, 8)):
        config = small_config(hidden_size=hidden_size, cell="lstm", init="uniform")
        learner = new_learner(config, CORPUS.vocabulary)
        weights = weights_per_character(learner.parameters)
        most = max(1, tokens_of_a_call(learner, streams) // streams) * streams
        assert (
            weights * most <= 2**27 * min(streams, scoring.PARALLEL_STREAMS) or most == 16 * streams
        )
        pieces = cut_into_pieces([segment], streams)
        _, calls = mean_of(learner, pieces, Counting())
        assert max(calls) <= max(most, tokens_of_a_call(learner, 1))
        assert sum(calls) == characters_read(pieces)
    assert tokens_of_a_call(learner, 1) < scoring.BLOCK


def test_weights_that_no_character_reads_do_not_make_calls_shorter():
    """The rows of other pairs and the columns of other characters are not read."""
    few, many = (
        new_learner(small_config(hidden_size=100, input_pairs=rows), CORPUS.vocabulary)
        for rows in (1, 400)
    )
    assert tokens_of_a_call(many) == tokens_of_a_call(few) < scoring.BLOCK
    sizes = {name: array.size for name, array in many.parameters.items()}
    assert tokens_of_a_product(many) == 2**27 // sum(sizes.values()) < tokens_of_a_call(many)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_weights_of_a_character_are_one_column_of_u_one_row_of_pairs_and_all_others(cell):
    config = small_config(cell=cell, layers=2, hidden_size=4, ngram_order=3, input_pairs=7)
    learner = new_learner(config, CORPUS.vocabulary)
    K, H, G = len(CORPUS.vocabulary), 4, {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    biases = G * H + (H if cell == "gru" else 0)
    layers = (G * H + G * H * H + biases) + (2 * G * H * H + biases)
    assert weights_per_character(learner.parameters) == layers + K * H + K + H + 1 + G * H


class Counting(ReferenceEngine):
    """An engine that only counts characters."""

    def score(self, learner, tokens, state):
        return np.zeros((len(tokens) - 1, tokens.shape[1])), state


PARTS = st.lists(st.tuples(st.integers(0, 50), st.integers(2, 900)), min_size=1, max_size=6)


@given(PARTS, st.integers(1, 3_000))
def test_a_part_is_spread_over_all_segments_and_no_character_counts_twice(sizes, most):
    segments, place = [], 0
    for gap, size in sizes:
        segments.append((place + gap, place + gap + size))
        place = segments[-1][1]
    pieces = evenly_spread_pieces(segments, most)
    counted = [n for piece in pieces for n in range(piece.counts, piece.end)]
    everything = [n for start, end in segments for n in range(start + 1, end)]
    assert len(counted) == predicted_characters(pieces) <= most or counted == everything
    assert counted == sorted(set(counted))
    assert set(counted) <= set(everything)
    if most >= len(everything):
        assert pieces == cut_into_pieces(segments)
        return
    order = {place: n for n, place in enumerate(everything)}
    places = [order[piece.counts] for piece in pieces]
    count = min(most, scoring.MOST_PIECES)
    assert places == [n * len(everything) // count for n in range(count)]
    for piece in pieces:
        start = max(a for a, _ in segments if a < piece.counts)
        assert piece.reads == max(start, piece.counts - 1 - scoring.WARM_UP)


def test_a_part_within_the_limit_is_read_completely():
    assert (
        evenly_spread_pieces([(3, 4_000)], 3_996)
        == evenly_spread_pieces([(3, 4_000)], 0)
        == cut_into_pieces([(3, 4_000)])
    )
    assert evenly_spread_pieces([(3, 4_000)], 3_995) != cut_into_pieces([(3, 4_000)])
