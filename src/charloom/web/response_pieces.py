"""Sends a large response in pieces, so that other requests are served in between."""

import asyncio
from typing import Final

from starlette.types import Message, Send

SENT_AT_ONCE: Final = 64 * 1024  # largest size of a piece of a response, in bytes


def in_pieces(send: Send) -> Send:
    """Return a function that calls `send`, and divides a large body into several calls.

    Between two calls, the server can serve other requests.
    """

    async def sending(message: Message) -> None:
        body = message.get("body", b"")
        if len(body) <= SENT_AT_ONCE:
            await send(message)
            return
        for start in range(0, len(body), SENT_AT_ONCE):
            end = start + SENT_AT_ONCE
            more = end < len(body) or message.get("more_body", False)
            await send({**message, "body": body[start:end], "more_body": more})
            await asyncio.sleep(0)

    return sending
