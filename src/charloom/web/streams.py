"""Server-sent events: an answer that lasts until it is complete, the client leaves or the server
closes.

Whatever ends it, what was working for it is closed at once. It knows nothing of what is told.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from charloom.errors import CharloomError
from charloom.steps import Steps
from charloom.web.answers import dumped
from charloom.web.limits import Busy, Desk, closes
from charloom.web.mistakes import mistake_of

SEND_SECONDS: Final = 20.0  # a client that takes nothing for so long is gone
REFUSED: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
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
    """One event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), dumped(data))


class EventStream(Response):
    """An answer of events.

    Args:
        opened: what they come from. Entering it may wait for a place, and may raise what becomes
            an ordinary refusal; a mistake after that becomes the event `mistake`.
        closing: set when the server closes.
        mistake: how a mistake in the middle is told; None: as the event of that name.
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
        self.mistake = mistake or (lambda told: event("mistake", told))
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        telling = asyncio.ensure_future(self.tell(send))
        await until_over(telling, receive, self.closing)
        if not self.closing.is_set() or self.ended:
            return
        if not self.started:
            raise closes()
        with suppress(OSError, TimeoutError):
            await self.send(send, b"", more=False)  # a whole answer, though a short one

    async def tell(self, send: Send) -> None:
        """Send the events as they come."""
        async with self.opened as source:
            head = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **head})
            self.started = True
            with suppress(OSError, TimeoutError):
                async with aclosing(source) as events:  # type: ignore[type-var]
                    try:
                        async for told in events:
                            await self.send(send, told)
                    except (CharloomError, Busy) as error:
                        await self.send(send, self.mistake(mistake_of(error)[1]))
                self.ended = True
                await self.send(send, b"", more=False)

    async def send(self, send: Send, told: bytes, more: bool = True) -> None:
        """Send a part of the body, unless the client takes it too slowly."""
        message: Message = {"type": "http.response.body", "body": told, "more_body": more}
        # Not wait_for: in Python 3.11 it loses a cancellation that comes as the sending ends.
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)


async def until_over(
    working: "asyncio.Future[T]", receive: Receive, closing: asyncio.Event
) -> T | None:
    """The result of some work; None, and the work cancelled, where its client left or we close."""
    leaving = asyncio.ensure_future(left(receive))
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


async def left(receive: Callable[[], Awaitable[Message]]) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(request: Request, closing: asyncio.Event, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of some work for a request, which ends where the client leaves.

    Raises:
        Busy: the server is closing; where the client has left, nobody hears of it.
    """
    told = await until_over(asyncio.ensure_future(work), request.receive, closing)
    if told is None:
        raise closes()
    return told


async def at_desk(
    desk: Desk, request: Request, closing: asyncio.Event, steps: Steps[Response]
) -> Response:
    """What comes of some steps of work at the desk; errors as `answer`, and Busy."""

    async def work() -> Response:
        async with desk.place():
            return await desk.steps(steps)

    told: Response = await answer(request, closing, work())
    return told
