"""Reads the body of a request, with limits on its time, its size and the number of its strings, fields and items."""

import asyncio
import re
from itertools import islice
from typing import Final

from starlette.types import Message, Receive

from charloom.web.body_rules import BYTES, BodyRule
from charloom.web.refusal import Refused

BODY_SECONDS: Final = 10.0
UPLOAD_SECONDS: Final = 60.0
# The largest number of strings, fields and items in a JSON body. Validating a body with more of them would take
# too long.
MOST_PARTS: Final = 2_000
# What `check_parts` counts in JSON: strings, and the characters that begin or separate items.
PART: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{,]', re.DOTALL)


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


async def read_body(receive: Receive, rule: BodyRule) -> bytes:
    """Return the whole body of a request.

    Raises:
        Refused: the body is larger than `rule` allows, arrives too slowly, or is JSON with too many strings,
            fields and items.
        ClientDisconnected: the client disconnected.
    """
    if rule.media_type == BYTES:
        blocks = await read_blocks(receive, rule, UPLOAD_SECONDS)
        # Joining 64 MiB takes tens of milliseconds. A thread joins the blocks, so that other requests are not blocked.
        return await asyncio.to_thread(b"".join, blocks)
    body = b"".join(await read_blocks(receive, rule, BODY_SECONDS))
    check_parts(body)
    return body


async def read_blocks(receive: Receive, rule: BodyRule, seconds: float) -> list[bytes]:
    """Read the whole body of a request, and return the blocks in which it arrived.

    Raises:
        Refused: the body is larger than `rule` allows, or takes longer than `seconds` to arrive.
        ClientDisconnected: the client disconnected.
    """
    blocks, size = list[bytes](), 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                block = message.get("body", b"")
                size += len(block)
                if size > rule.most:
                    raise rule.too_large()
                blocks.append(block)
                if not message.get("more_body"):
                    return blocks
    except TimeoutError:
        raise Refused(
            408,
            f"the body did not arrive within {seconds:g} seconds; send the request again over a faster connection.",
        ) from None


def check_parts(body: bytes) -> None:
    """Raise Refused if `body`, which is JSON, has more than `MOST_PARTS` strings, fields and items.

    Validating such a body would block other requests.
    """
    if sum(1 for _ in islice(PART.finditer(body), MOST_PARTS + 1)) > MOST_PARTS:
        raise Refused(
            413, f"the body has too many strings, fields and items: at most {MOST_PARTS:,} in all."
        )


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a replacement for `receive`, so that the application can read `body` although it was read before.

    The first call of the replacement returns one message with the whole `body`. Each later call calls `receive`.
    """
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
