"""Each order reads the windows that it should: every window once per epoch, or random ones with equal probability."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.config import Config
from charloom.errors import TextError
from charloom.random import uniforms, words
from charloom.text import Windows
from charloom.text.window_order import WindowOrder, chunk_visits


def order_of(length=1_000, **settings):
    """Return the order of the windows of a text of `length` characters."""
    config = Config(**{"seq_length": 5, "order": "chunks", **settings})
    return WindowOrder.of(config, Windows.of(config, length))


def epoch_of(order, epoch=0):
    """Return where the windows of an epoch begin, shape (P, B), and which of them follow a reset, shape (P,)."""
    count = order.windows.per_epoch
    return order.starts(epoch, 0, count), order.resets(epoch, 0, count)


def in_sequence(windows, epoch):
    """Return where the windows of an epoch begin in the order of the text, shape (P, B)."""
    numbers = np.arange(windows.per_epoch)[:, np.newaxis]
    return windows.starts(epoch) + windows.seq_length * numbers


def problems(windows, epoch, starts, resets, chunks):
    """Return what is wrong with an epoch that should read each window once, in `chunks` chunks."""
    found = []
    expected = in_sequence(windows, epoch)
    if sorted(starts[:, 0].tolist()) != expected[:, 0].tolist():
        found.append("a window is left out or read twice")
    if np.any(starts - starts[:, :1] != starts[0] - starts[0, 0]):
        found.append("the streams do not read the same windows")
    if resets.sum() != chunks:
        found.append("another number of resets")
    for n, (before, after) in enumerate(pairwise(starts[:, 0].tolist()), start=1):
        if after - before != windows.seq_length and not resets[n]:
            found.append("a jump without a reset")
    return found


@st.composite
def chunk_orders(draw):
    """Draw the order of chunks of a text, and an epoch."""
    settings = {
        "seq_length": draw(st.integers(1, 9)),
        "batch_size": draw(st.integers(1, 4)),
        "split": draw(st.sampled_from(["end", "streams"])),
        "validation": draw(st.sampled_from([0.0, 0.2])),
        "seed": draw(st.integers(0, 2**64 - 1)),
    }
    length = draw(st.integers(400, 2_000))
    per_epoch = Windows.of(Config(**settings), length).per_epoch
    settings["chunks"] = draw(st.integers(1, per_epoch))
    return order_of(length, **settings), draw(st.integers(0, 5))


# In sequence


@pytest.mark.parametrize("streams", [1, 3])
def test_the_sequential_order_has_the_windows_of_the_text_one_after_another(streams):
    order = order_of(order="sequential", batch_size=streams)
    for epoch in (0, 1):
        starts, resets = epoch_of(order, epoch)
        np.testing.assert_array_equal(starts, in_sequence(order.windows, epoch))
        assert np.flatnonzero(resets).tolist() == [0]
    assert order.one_after_another
    assert not order_of(order="random").one_after_another


# Chunks


@given(chunk_orders())
def test_an_epoch_of_chunks_reads_every_window_of_every_stream_once(drawn):
    order, epoch = drawn
    starts, resets = epoch_of(order, epoch)
    assert problems(order.windows, epoch, starts, resets, order.chunks) == []
    for s in range(order.windows.streams):
        assert sorted(starts[:, s]) == in_sequence(order.windows, epoch)[:, s].tolist()


@given(chunk_orders())
def test_chunks_begin_at_the_bounds_that_divide_a_stream_evenly(drawn):
    order, epoch = drawn
    starts, resets = epoch_of(order, epoch)
    P, C, T = order.windows.per_epoch, order.chunks, order.windows.seq_length
    first = order.windows.starts(epoch)[0]
    begun = sorted(((starts[resets, 0] - first) // T).tolist())
    assert begun == [i * P // C for i in range(C)]
    lengths = np.diff([*np.flatnonzero(resets), P])
    assert lengths.max() - lengths.min() <= 1


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("skipped", "a window is left out or read twice"),
        ("twice", "a window is left out or read twice"),
        ("kept", "a jump without a reset"),
        ("unnecessary", "another number of resets"),
        ("apart", "the streams do not read the same windows"),
    ],
)
def test_a_planted_fault_in_the_order_is_found(fault, problem):
    order = order_of(chunks=7, batch_size=2)
    starts, resets = epoch_of(order)
    assert problems(order.windows, 0, starts, resets, 7) == []
    begins = np.flatnonzero(resets)
    starts, resets = starts.copy(), resets.copy()
    if fault == "skipped":
        starts[begins[2] : begins[3]] = starts[begins[1] : begins[1] + begins[3] - begins[2]]
    elif fault == "twice":
        starts[begins[4] + 1] = starts[begins[4]]
    elif fault == "kept":
        resets[begins[3]] = False
    elif fault == "unnecessary":
        resets[begins[3] + 1] = True
    else:
        starts[:, 1] = starts[::-1, 1]
    assert problem in problems(order.windows, 0, starts, resets, 7)


def test_the_permutation_follows_from_the_words_of_the_seed_and_the_epoch():
    # 40 windows in 4 chunks of 10; the chunk with the lowest word is read first.
    order = order_of(201, chunks=4, seed=3)
    for epoch in range(3):
        word = words(3, "order", 4, update=epoch).tolist()
        by_word = sorted(range(4), key=lambda chunk: word[chunk])
        expected = [5 * (10 * chunk + n) for chunk in by_word for n in range(10)]
        assert epoch_of(order, epoch)[0][:, 0].tolist() == expected


def test_each_epoch_and_each_seed_has_its_own_permutation():
    def begun(seed, epoch):
        return tuple(chunk_visits(seed, epoch, 20, 100)[1].tolist())

    assert begun(0, 0) == begun(0, 0)
    assert len({begun(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25


def test_every_permutation_of_three_chunks_is_about_equally_likely():
    counts = {}
    for epoch in range(3_000):
        visited = tuple(chunk_visits(0, epoch, 3, 3)[1].tolist())
        counts[visited] = counts.get(visited, 0) + 1
    assert len(counts) == 6
    # The standard deviation of a count is 20.4. The seeds are fixed, so the counts never change.
    assert all(abs(count - 500) < 80 for count in counts.values())


def test_more_chunks_than_windows_are_refused_with_the_largest_number_that_fits():
    with pytest.raises(
        TextError, match="chunks is 41, but the text has only 40 windows of 5 steps"
    ):
        order_of(201, chunks=41)
    assert order_of(201, chunks=40).resets(0, 0, 40).all()
    assert order_of(201, chunks=41, order="random").order == "random"


# Random positions


def test_random_windows_follow_from_the_uniforms_of_the_epoch_and_the_stream():
    order = order_of(203, order="random", batch_size=2, seed=4)
    starts, resets = epoch_of(order, 3)
    for s in (0, 1):
        u = uniforms(4, "order", len(starts), update=3, stream=s)
        assert starts[:, s].tolist() == [int(198 * one) for one in u]
    assert resets.all()


def test_random_positions_are_uniform_over_the_training_part():
    order = order_of(5 * 2_000 + 1, order="random", validation=0.5)
    (a, b), T = order.windows.parts["train"][0], order.windows.seq_length
    begun = np.concatenate([epoch_of(order, epoch)[0].ravel() for epoch in range(40)])
    assert (begun.min(), begun.max()) == (a, b - T - 1)
    counts = np.bincount(begun * 20 // (b - a - T), minlength=20)
    expected = len(begun) / 20
    # The squared distance has the mean 19 and the standard deviation 6.2. The seed is fixed.
    assert np.sum((counts - expected) ** 2 / expected) < 40
    skewed = np.bincount((begun**2 // (b - a)) * 20 // (b - a), minlength=20)
    assert np.sum((skewed - expected) ** 2 / expected) > 1_000  # the measure sees a planted skew


@pytest.mark.parametrize("split", ["end", "streams"])
def test_a_random_window_never_leaves_the_training_part_of_its_stream(split):
    order = order_of(
        400, order="random", batch_size=3, split=split, validation=0.3, test=0.1, seq_length=4
    )
    segments = order.windows.parts["train"]
    for epoch in range(50):
        starts, _ = epoch_of(order, epoch)
        for s in range(3):
            start, end = segments[s % len(segments)]
            assert starts[:, s].min() >= start
            assert starts[:, s].max() + 4 < end


def test_a_text_with_a_single_window_has_one_random_position():
    order = order_of(6, order="random")
    assert epoch_of(order, 5)[0].tolist() == [[0]]


# Every order


@pytest.mark.parametrize("order", ["sequential", "chunks", "random"])
@pytest.mark.parametrize("streams", [1, 3])
def test_an_order_is_the_same_however_its_windows_are_grouped(order, streams):
    found = order_of(order=order, batch_size=streams, chunks=6)
    starts, resets = epoch_of(found, 2)
    first = 0
    for count in (1, 2, 7, 3):
        np.testing.assert_array_equal(found.starts(2, first, count), starts[first : first + count])
        np.testing.assert_array_equal(found.resets(2, first, count), resets[first : first + count])
        first += count


@pytest.mark.parametrize("order", ["sequential", "chunks", "random"])
def test_a_sample_continues_after_the_last_window_of_the_first_stream(order):
    found = order_of(order=order, batch_size=2, chunks=6)
    starts, _ = epoch_of(found, 1)
    assert found.place(1, 0) == starts[0, 0]
    for n in range(1, found.windows.per_epoch):
        assert found.place(1, 5 * n) == starts[n - 1, 0] + 5
    # At its end, the epoch counts as completed already.
    assert found.place(2, 5 * found.windows.per_epoch) == starts[-1, 0] + 5
