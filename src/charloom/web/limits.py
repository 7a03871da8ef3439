"""Limits how many requests work and wait at once, and tells the others when to return.

Work is done by a few threads, a piece at a time, so that all who are let in go on side by side and
the server itself always answers. Who leaves has no further piece done, and keeps its place until the
thread has returned from the last one. It knows nothing of what the work is.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from charloom.messages import terminal_command
from charloom.steps import Steps

AT_WORK: Final = 50
WAITING: Final = 50
WAIT_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 2

T = TypeVar("T")


class Busy(Exception):
    """There is no room; `status` is 503 (all is taken) or 429 (of this one too much was asked)."""

    def __init__(self, message: str, retry_after: int = RETRY_SECONDS, status: int = 503) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class Desk:
    """Room for so many at once.

    Args:
        at_work: how many may work.
        waiting: how many more may wait until one of them is done.
        threads: how many pieces are worked on at the same time; None takes the processors.

    Attributes:
        working: how many work now.
        queued: how many wait now.
    """

    def __init__(
        self, at_work: int = AT_WORK, waiting: int = WAITING, threads: int | None = None
    ) -> None:
        self.at_work = at_work
        self.most_waiting = waiting
        self.working = 0
        self.queued = 0
        self._turns: list[asyncio.Future[None]] = []
        count = threads or max(2, min(8, os.cpu_count() or 2))
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="charloom-work")

    def full(self) -> Busy | None:
        """Why nobody else can be let in now; None where someone can."""
        if self.working < self.at_work or self.queued < self.most_waiting:
            return None
        return Busy(
            f"the server works on {self.working} requests, and {self.queued} more wait; try again in "
            f"{RETRY_SECONDS} seconds."
        )

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place to work at, at once or after a while.

        Raises:
            Busy: too many wait already, or it took too long.
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
                self._leave()  # the place that came at the last moment goes to the next one
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
        """Hand the place to who waits longest, or keep it free."""
        if self._turns:
            self._turns.pop(0).set_result(None)
        else:
            self.working -= 1

    async def work(self, piece: Callable[..., T], *arguments: Any) -> T:
        """Have one piece of work done by a thread.

        Whoever is cancelled meanwhile waits until the thread is free again: a place is free when
        nobody works for it.

        Raises:
            Busy: the desk is closed.
        """
        try:
            running = self._pool.submit(piece, *arguments)
        except RuntimeError:
            raise closes() from None
        done = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            running.cancel()  # unless a thread has begun it
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({done})
            if not done.cancelled():
                done.exception()  # which reaches nobody
            raise

    async def steps(self, steps: Steps[T]) -> T:
        """What comes of some steps, each a piece of work."""
        try:
            while (found := await self.work(one_step, steps)) is None:
                pass
            result: T = found[0]
            return result
        finally:
            steps.close()

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def one_step(steps: Steps[T]) -> tuple[T] | None:
    """Do one step; what came of them all, once there is none left."""
    try:
        next(steps)
    except StopIteration as end:
        return (end.value,)
    return None


def closes() -> Busy:
    """Why nothing is begun any more."""
    return Busy(f"the server is closing; start it again with {terminal_command('serve')}.")


class Counter:
    """Room for so many things that do no work, such as connections that watch.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place, or

        Raises:
            Busy: there is none.
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
