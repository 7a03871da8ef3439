"""Results come in the order of the items, whichever thread is first, and no thread is left behind."""

import threading

import pytest

from charloom.text import ordered_threads
from charloom.text.ordered_threads import WAITING, in_order

SECONDS = 60  # longest time that a test waits for a thread


class Planted(Exception):
    """An error that a test plants."""


def readers():
    """Return the threads that `in_order` started and that still run."""
    return [one for one in threading.enumerate() if one.name.startswith("charloom-reader")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Assert after each test that no thread is left."""
    yield
    assert readers() == []


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    """Return a number of threads."""
    return request.param


def test_results_are_those_of_one_thread(threads):
    assert list(in_order(lambda n: n * n, range(100), threads)) == [n * n for n in range(100)]
    assert list(in_order(str, [], threads)) == []


def test_a_result_that_is_ready_early_waits_for_its_turn():
    later = threading.Event()

    def work(n):
        if n == 0:
            assert later.wait(SECONDS)
        else:
            later.set()
        return n

    assert list(in_order(work, range(5), 2)) == [0, 1, 2, 3, 4]


def test_the_first_error_is_raised_even_if_a_later_one_comes_earlier():
    later = threading.Event()

    def work(n):
        if n == 1:
            assert later.wait(SECONDS)
        if n == 2:
            later.set()
        if n:
            raise Planted(n)
        return n

    results = in_order(work, range(5), 2)
    assert next(results) == 0
    with pytest.raises(Planted, match="1"):
        next(results)


def broken(count):
    """Yield numbers, then fail."""
    yield from range(count)
    raise Planted("the source")


def test_an_error_of_the_source_comes_after_the_results_before_it(threads):
    results = in_order(str, broken(3), threads)
    assert [next(results) for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(Planted, match="the source"):
        next(results)


def test_an_error_of_earlier_work_precedes_an_error_of_the_source(threads):
    def work(n):
        if n == 2:
            raise Planted("the work")
        return n

    with pytest.raises(Planted, match="the work"):
        list(in_order(work, broken(3), threads))


def test_few_items_are_taken_before_their_results_are_wanted():
    taken = []
    results = in_order(str, map(taken.append, range(1_000)), 2)
    for done in range(1, 50):
        next(results)
        assert len(taken) <= done + WAITING * 2
    results.close()


def test_closing_early_ends_the_threads():
    results = in_order(str, iter(int, 1), 3)  # the items never end
    next(results)
    assert readers()
    results.close()
    assert readers() == []


def test_an_interruption_ends_the_threads():
    def interrupted():
        yield from range(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(str, interrupted(), 2))
    assert readers() == []


def test_the_work_is_done_without_threads_if_the_system_refuses_them(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(in_order(str, range(20), 3)) == [str(n) for n in range(20)]
    with pytest.raises(Planted):
        list(in_order(str, broken(3), 3))


def test_results_in_the_order_of_their_completion_would_be_noticed(monkeypatch):
    class Stack(list):
        def popleft(self):
            return self.pop()

    monkeypatch.setattr(ordered_threads, "deque", Stack)
    assert list(in_order(str, range(20), 3)) != [str(n) for n in range(20)]
