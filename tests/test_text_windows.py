"""A text is divided into the same windows as by a simple loop, with counts computed by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.config import Config
from charloom.errors import TextError
from charloom.text import Windows
from charloom.text.window_order import WindowOrder

lengths_and_steps = st.integers(1, 30).flatmap(
    lambda steps: st.tuples(st.integers(steps + 1, 300), st.just(steps))
)


def divide(length, steps, streams=1, **settings):
    """Return the division of a text of `length` characters."""
    return Windows.of(Config(seq_length=steps, batch_size=streams, **settings), length)


@st.composite
def divisions(draw):
    """Draw the division of a text and the length of the text. The text is long enough for the division."""
    steps, streams = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    settings = {
        "split": draw(st.sampled_from(["end", "streams"])),
        "validation": draw(st.sampled_from([0.0, 0.1, 0.25])),
        "test": draw(st.sampled_from([0.0, 0.1])),
    }
    length = draw(st.integers(12 * steps * streams + 12, 30 * steps * streams + 30))
    return divide(length, steps, streams, **settings), length


def predicted(windows, epoch):
    """Return the characters that an epoch predicts, in the order of its streams."""
    T = windows.seq_length
    return [
        start + n * T + 1 + step
        for start in windows.starts(epoch).tolist()
        for n in range(windows.per_epoch)
        for step in range(T)
    ]


def starts(length, steps):
    """Return the starts of the windows of one epoch, computed as the course's loop does."""
    e, found = 0, []
    while not e > length - steps - 1:
        found.append(e)
        e += steps
    return found


# One stream, as the experiment has it


@given(lengths_and_steps)
def test_an_epoch_of_one_stream_has_the_windows_of_a_simple_loop(size):
    windows = divide(*size)
    order = WindowOrder.of(Config(), windows)
    expected = starts(*size)
    assert windows.per_epoch == len(expected)
    assert windows.starts(0).tolist() == windows.starts(1).tolist() == [0]
    for n, e in enumerate(expected):
        assert windows.left_in_epoch(e) == len(expected) - n
        assert not windows.ends_epoch(e)
        assert order.place(3, e) == e
    assert windows.ends_epoch(expected[-1] + size[1])
    assert windows.parts == {"train": ((0, size[0]),)}


def test_the_text_of_the_classic_experiment_has_the_stated_number_of_updates():
    assert divide(1_107_542, 25).per_epoch == 44_301


def test_the_shortest_text_has_one_window():
    assert divide(26, 25).per_epoch == 1
    assert divide(3 * 25 + 1, 25, 3).per_epoch == 1


# Several streams


@given(divisions())
def test_every_window_and_its_targets_lie_within_the_training_part(division):
    windows, length = division
    trained = {n for a, b in windows.parts["train"] for n in range(a + 1, b)}
    for epoch in (0, 1, 2):
        found = predicted(windows, epoch)
        assert (
            len(set(found))
            == len(found)
            == windows.per_epoch * windows.streams * (windows.seq_length)
        )
        assert set(found) <= trained
        assert min(windows.starts(epoch)) >= 0
        assert max(found) < length


@given(divisions())
def test_two_epochs_of_several_streams_predict_every_character_of_the_training_part(division):
    windows, _ = division
    trained = {n for a, b in windows.parts["train"] for n in range(a + 1, b)}
    characters = set(predicted(windows, 0)) | set(predicted(windows, 1))
    missed = len(trained - characters)
    assert missed == (0 if windows.streams > 1 else windows.remainder)
    assert missed < windows.seq_length


@given(divisions())
def test_no_two_parts_share_a_pair_of_adjacent_characters(division):
    windows, length = division
    pairs = [
        (n, n + 1)
        for segments in windows.parts.values()
        for a, b in segments
        for n in range(a, b - 1)
    ]
    assert len(set(pairs)) == len(pairs)
    assert all(0 <= a < b <= length for parts in windows.parts.values() for a, b in parts)


def test_the_end_of_the_text_is_held_out_with_exact_shares():
    windows = divide(1_000_000, 50, 4, validation=0.1, test=0.05)
    assert windows.parts == {
        "train": ((0, 850_000),),
        "validation": ((850_000, 950_000),),
        "test": ((950_000, 1_000_000),),
    }
    assert windows.per_epoch == 849_999 // 200
    assert windows.starts(0).tolist() == [0, 212_450, 424_900, 637_350]
    assert windows.starts(1).tolist() == [n + 199 for n in (0, 212_450, 424_900, 637_350)]


def test_starts_belong_to_whoever_asked_for_them():
    windows = divide(500, 10, 3)
    wanted = windows.starts(1).tolist()
    windows.starts(1)[...] += 7
    assert windows.starts(1).tolist() == wanted


def test_streams_are_held_out_as_in_char_rnn():
    # 1,115,394 characters, B = T = 50: 446 windows a stream, of which 423 are trained on.
    windows = divide(1_115_394, 50, 50, validation=0.05, split="streams")
    assert windows.per_epoch == 423
    assert windows.spacing == 446 * 50
    assert windows.starts(0).tolist() == windows.starts(1).tolist()
    assert windows.parts["train"][1] == (22_300, 22_300 + 423 * 50 + 1)
    assert windows.parts["validation"][1] == (22_300 + 423 * 50, 22_300 + 446 * 50 + 1)
    assert len(windows.parts["validation"]) == 50
    assert "test" not in windows.parts


@given(divisions())
def test_the_position_of_the_first_stream_follows_from_the_updates(division):
    windows, _ = division
    order = WindowOrder.of(Config(), windows)
    epoch = position = 0
    for _ in range(2 * windows.per_epoch):
        if windows.ends_epoch(position):
            position = 0
        start = windows.starts(epoch)[0]
        assert order.place(epoch, position) == start + position
        position += windows.seq_length
        epoch += windows.ends_epoch(position)  # and yet it stands where the epoch ended
        assert order.place(epoch, position) == start + position


# What is too short


@pytest.mark.parametrize("length", [0, 1, 25])
def test_a_text_shorter_than_a_window_is_refused(length):
    with pytest.raises(
        TextError, match=rf"has {length} characters?; .* 25 steps needs at least 26"
    ):
        divide(length, 25)


def test_a_text_shorter_than_one_window_per_stream_is_refused_with_both_fixes():
    with pytest.raises(TextError, match=r"each of 4 streams needs at least 101.*batch_size"):
        divide(100, 25, 4)


@pytest.mark.parametrize(("split", "test"), [("end", 0.0), ("streams", 0.01)])
def test_a_part_that_would_be_empty_is_refused_and_named(split, test):
    with pytest.raises(TextError, match=r"0\.01 of it is too little for the validation part"):
        divide(80, 5, 2, validation=0.01, test=test, split=split)
    with pytest.raises(TextError, match=r"without the 95% held out"):
        divide(80, 5, 2, validation=0.75, test=0.2, split=split)
