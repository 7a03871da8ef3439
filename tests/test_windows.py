"""Windows against the loop that the experiment is defined by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import TextError
from charloom.text import Windows

lengths_and_steps = st.integers(1, 30).flatmap(
    lambda steps: st.tuples(st.integers(steps + 1, 300), st.just(steps))
)


def starts(length, steps):
    """Where the windows of one epoch start, as the course's loop has it."""
    e, found = 0, []
    while not e > length - steps - 1:
        found.append(e)
        e += steps
    return found


@given(lengths_and_steps)
def test_an_epoch_has_the_windows_of_the_loop(size):
    windows = Windows(*size)
    expected = starts(*size)
    assert windows.per_epoch == len(expected)
    for n, e in enumerate(expected):
        assert windows.left_in_epoch(e) == len(expected) - n
        assert not windows.ends_epoch(e)
    assert windows.ends_epoch(expected[-1] + size[1])


@given(lengths_and_steps)
def test_every_window_has_all_its_targets_and_the_next_would_not(size):
    length, steps = size
    last = starts(length, steps)[-1]
    assert last + steps + 1 <= length < last + 2 * steps + 1


def test_a_book_of_the_experiment_has_its_number_of_updates():
    assert Windows(1_107_542, 25).per_epoch == 44_301


@pytest.mark.parametrize("length", [0, 1, 25])
def test_a_text_shorter_than_a_window_is_refused(length):
    with pytest.raises(TextError, match=rf"has {length} characters; .* 25 steps needs at least 26"):
        Windows(length, 25)


def test_the_shortest_text_has_one_window():
    assert Windows(26, 25).per_epoch == 1
