"""Applies a function to many items in several threads, and yields the results in the items' order.

It pays if the function releases Python's global lock most of the time, as NumPy's functions do. This
module does not depend on texts.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")

WAITING: Final = 2  # largest number of items per thread that wait or whose result waits


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield `work(item)` for each item, in order.

    The calling thread takes the items; with one thread, it also does the work. The first error in the
    order of the items is raised, whether `work` or the iteration of the `items` raised it. No thread is
    left when the generator has ended or was closed.

    Args:
        work: the function; several threads call it at once.
        items: taken a few at a time, so that few are in memory.
        threads: the number of threads that do the work.
    """
    if threads == 1:
        yield from map(work, items)
        return
    # Importing the executor takes as long as reading a megabyte, so short texts do without it.
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads, "charloom-reader")
    pending: deque[Future[R]] = deque()
    try:
        for call in _calls(work, items):
            pending.append(_submitted(pool, call))
            if len(pending) > WAITING * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _calls(work: Callable[[T], R], items: Iterable[T]) -> Iterator[Callable[[], R]]:
    """Yield a call of `work` for each item. If taking an item fails, the last call raises its error.

    So the results of the earlier items, and their errors, come before this error.
    """
    try:
        for item in items:
            yield partial(work, item)
    except Exception as error:
        yield partial(_raise, error)


def _raise(error: Exception) -> NoReturn:
    """Raise `error`."""
    raise error


def _submitted(pool: "Executor", call: Callable[[], R]) -> "Future[R]":
    """Return the future of a call. If the system refuses another thread, make the call in this thread."""
    from concurrent.futures import Future

    try:
        return pool.submit(call)
    except RuntimeError:
        done: Future[R] = Future()
        try:
            done.set_result(call())
        except Exception as error:
            done.set_exception(error)
        return done
