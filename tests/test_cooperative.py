"""Work in slices can be run in one go or in a loop, which may end early."""

import pytest

from charloom.cooperative import SliceLoop, run_all_slices


def counting(closed):
    """Yield 1, 2 and 3, and return 6. Add to `closed` if the work was cancelled."""
    try:
        yield from (1, 2, 3)
        return 6
    except GeneratorExit:
        closed.append(True)
        raise


def test_a_loop_gets_what_each_slice_yields_and_then_has_the_result():
    loop = SliceLoop(counting([]))
    assert list(loop) == [1, 2, 3]
    assert loop.result == 6
    assert run_all_slices(counting([])) == 6


def test_a_loop_that_is_left_cancels_the_work_and_has_no_result():
    closed = []
    loop = SliceLoop(counting(closed))
    for value in (slices := iter(loop)):
        if value == 2:
            break
    assert not hasattr(loop, "result")
    slices.close()
    assert closed == [True]


def test_an_error_of_the_work_is_raised_in_the_loop():
    def failing():
        yield
        raise ValueError

    with pytest.raises(ValueError):
        run_all_slices(failing())
