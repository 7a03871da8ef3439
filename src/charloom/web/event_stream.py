"""Responses of server-sent events.

A response ends when it is complete, when the client disconnects, or when the server closes. In all three cases, the
work that produces the events ends immediately. This module does not know what the events contain.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from charloom.cooperative import Slices
from charloom.errors import CharloomError
from charloom.web.concurrency import Busy, WorkQueue, closing_error
from charloom.web.connection import SEND_SECONDS
from charloom.web.error_responses import status_and_body
from charloom.web.json_response import dumped

REFUSED: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
EVENT: Final = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
EVENT_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"description": "what was wrong, and how to fix it", "content": REFUSED},
    503: {"description": "the server is busy; see Retry-After", "content": REFUSED},
    200: {
        "description": "server-sent events",
        "content": {"text/event-stream": {"schema": EVENT}},
    },
}

T = TypeVar("T")
Source = AbstractAsyncContextManager[AsyncIterator[bytes]]


def event(name: str, data: Any) -> bytes:
    """Return the event `name` with `data` as JSON, in the format of server-sent events."""
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), dumped(data))


class EventStream(Response):
    """A response of server-sent events.

    Args:
        opened: a context manager that returns an iterator over the events. Entering it may wait in a
            queue. If entering it fails, the response is an ordinary error response. If the iterator fails,
            an event reports the error and the response ends.
        closing: an asyncio.Event that is set when the server closes.
        mistake: a function that gets the JSON body of an error, and returns an event with this body. None
            selects a function that returns an event with the name `mistake`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        opened: Source,
        closing: asyncio.Event,
        mistake: Callable[[dict[str, Any]], bytes] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.opened = opened
        self.closing = closing
        self.started = self.ended = False
        self.mistake = mistake or (lambda error: event("mistake", error))
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self.send_events(send))
        await wait_for_result(sending, receive, self.closing)
        if not self.closing.is_set() or self.ended:
            return
        if not self.started:
            raise closing_error()
        with suppress(OSError, TimeoutError):
            # The server closes: end the body, so that the client does not get a broken response.
            await self.send(send, b"", more=False)

    async def send_events(self, send: Send) -> None:
        """Send the head of the response, and then each event when it is ready."""
        async with self.opened as source:
            head = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **head})
            self.started = True
            with suppress(OSError, TimeoutError):
                async with aclosing(source) as events:  # type: ignore[type-var]
                    try:
                        async for block in events:
                            await self.send(send, block)
                    except (CharloomError, Busy) as error:
                        await self.send(send, self.mistake(status_and_body(error)[1]))
                self.ended = True
                await self.send(send, b"", more=False)

    async def send(self, send: Send, block: bytes, more: bool = True) -> None:
        """Send `block` as a part of the body; raise TimeoutError if the client reads too slowly.

        `more` is False for the last part.
        """
        message: Message = {"type": "http.response.body", "body": block, "more_body": more}
        # asyncio.wait_for would lose a cancellation that arrives when the sending ends (in Python 3.11).
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)


async def wait_for_result(
    working: "asyncio.Future[T]", receive: Receive, closing: asyncio.Event
) -> T | None:
    """Wait until the future `working` is done and return its result.

    If the client disconnects before that, or `closing` is set because the server closes, cancel `working`
    and return None.
    """
    leaving = asyncio.ensure_future(wait_for_disconnect(receive))
    closed = asyncio.ensure_future(closing.wait())
    try:
        futures: list[asyncio.Future[Any]] = [working, leaving, closed]
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for future in (working, leaving, closed):
            future.cancel()
        with suppress(BaseException):
            await asyncio.gather(working, leaving, closed, return_exceptions=True)


async def wait_for_disconnect(receive: Callable[[], Awaitable[Message]]) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(request: Request, closing: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine `work` for a request and return its result.

    Cancel `work` if the client disconnects, or if `closing` is set because the server closes.

    Raises:
        Busy: `work` was cancelled.
    """
    result = await wait_for_result(asyncio.ensure_future(work), request.receive, closing)
    if result is None:
        raise closing_error()
    return result


async def answer_from_queue(
    queue: WorkQueue, request: Request, closing: asyncio.Event, slices: Slices[Response]
) -> Response:
    """Wait in `queue`, then run the generator `slices` in threads and return its return value, a response.

    The work is cancelled if the client of `request` disconnects or `closing` is set.

    Raises:
        Busy: the queue is full, the wait took too long, or the work was cancelled.
    """

    async def work() -> Response:
        async with queue.place():
            return await queue.run_slices(slices)

    return await answer(request, closing, work())
