"""Limits how many requests are processed at the same time and how many wait, and refuses all others.

A few threads do the work of all admitted requests in short pieces, so that every request makes progress and the server
always responds. When a client disconnects, no further piece of its work begins, and the next request can begin once
the current piece is done. This module does not know what the work is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from charloom.cooperative import Slices
from charloom.cpu_limits import processors
from charloom.messages import terminal_command

AT_WORK: Final = 50
WAITING: Final = 50
WAIT_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 2

T = TypeVar("T")


class Busy(Exception):
    """The server refuses a request because a limit is reached.

    `status` is the HTTP status: 429 if too many event streams are open or too many runs train, 503 for every
    other limit. `retry_after` is the number of seconds after which to try again.
    """

    def __init__(self, message: str, retry_after: int = RETRY_SECONDS, status: int = 503) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class WorkQueue:
    """A queue of requests, which processes a limited number of them at the same time.

    Args:
        at_work: the largest number of requests that are processed at the same time.
        waiting: the largest number of requests that wait until they are processed.
        threads: how many threads process the requests; None takes the result of `worker_threads`.

    Attributes:
        working: how many requests are being processed now.
        queued: how many requests wait now.
    """

    def __init__(
        self, at_work: int = AT_WORK, waiting: int = WAITING, threads: int | None = None
    ) -> None:
        self.at_work = at_work
        self.most_waiting = waiting
        self.working = 0
        self.queued = 0
        self._turns: list[asyncio.Future[None]] = []
        count = threads or worker_threads()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="charloom-work")

    def full(self) -> Busy | None:
        """Return the error that refuses a new request if the queue is full; otherwise return None."""
        if self.working < self.at_work or self.queued < self.most_waiting:
            return None
        return Busy(
            f"the server works on {self.working} requests, and {self.queued} more wait; try again in "
            f"{RETRY_SECONDS} seconds."
        )

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait until the server may process a request, and count it as being processed inside the `with` block.

        Raises:
            Busy: too many other requests wait already, or this request waited too long.
        """
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self.working < self.at_work:
            self.working += 1
            return
        if (busy := self.full()) is not None:
            raise busy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self.queued += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # This request left the queue just before it was cancelled: let the next request be processed instead.
                self._leave()
            else:
                self._turns.remove(turn)
            if isinstance(error, TimeoutError):
                raise Busy(
                    f"the request waited {WAIT_SECONDS:g} seconds in the queue; try again later."
                ) from None
            raise
        finally:
            self.queued -= 1

    def _leave(self) -> None:
        """End the processing of a request, and begin with the request that has waited longest, if any waits."""
        if self._turns:
            self._turns.pop(0).set_result(None)
        else:
            self.working -= 1

    async def work(self, piece: Callable[..., T], *arguments: Any) -> T:
        """Call the function `piece`, a short piece of work, with `arguments` in a thread and return its result.

        If this coroutine is cancelled, it still waits until the thread is done with `piece`. Until then, the
        request counts as being processed.

        Raises:
            Busy: the server is closing.
        """
        try:
            running = self._pool.submit(piece, *arguments)
        except RuntimeError:
            raise closing_error() from None
        done = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            running.cancel()  # cancels the call of `piece` unless a thread has already begun it
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({done})
            if not done.cancelled():
                done.exception()  # retrieves the exception, because otherwise asyncio would log it
            raise

    async def run_slices(self, slices: Slices[T]) -> T:
        """Run the generator `slices` to its end in threads, and return its return value.

        The generator yields after each short piece of work. Between two pieces, a thread can work for other
        requests.
        """
        try:
            while (found := await self.work(one_slice, slices)) is None:
                pass
            result: T = found[0]
            return result
        finally:
            slices.close()

    def close(self) -> None:
        """End each thread after the call that it runs now; cancel the calls that no thread has begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def one_slice(slices: Slices[T]) -> tuple[T] | None:
    """Run the generator `slices` to its next `yield` and return None.

    If the generator ends instead of yielding, return a tuple that contains the generator's return value.
    """
    try:
        next(slices)
    except StopIteration as end:
        return (end.value,)
    return None


def closing_error() -> Busy:
    """Return the error for requests that arrive while the server closes."""
    return Busy(f"the server is closing; start it again with {terminal_command('serve')}.")


def worker_threads() -> int:
    """Return how many threads a `WorkQueue` starts: one per processor, but at least 2 and at most 8."""
    return max(2, min(8, processors()))


class StreamLimit:
    """Limits the number of open event streams.

    Args:
        most: the largest number of streams.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Count one more event stream as open inside the `with` block.

        Raises:
            Busy: the largest number of event streams is open already.
        """
        if self.count >= self.most:
            raise Busy(
                f"{self.count} event streams are open, which is the limit; close a page.",
                5,
                status=429,
            )
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
