"""Checks every request before any other part of the server sees it, and reads its body.

The rules are in other modules. This module decides in which order the rules are applied.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from charloom.web.access_rules import AccessRules, redirect_with_cookie
from charloom.web.body_rules import BYTES, BodyRule
from charloom.web.concurrency import Busy
from charloom.web.refusal import Refused, busy_refusal
from charloom.web.request_body import ClientDisconnected, read_body, replay
from charloom.web.request_head import check_head
from charloom.web.response_pieces import in_pieces
from charloom.web.security_headers import with_headers

UPLOADS_AT_ONCE: Final = 2


class Guard:
    """An ASGI application that checks requests and passes the accepted requests to another application.

    Args:
        app: the application that responds to accepted requests.
        access: the rules for who may use the server.
        full: a function that returns an error if the queue is full, otherwise None. If the queue is full, a
            request that needs computing is refused before its body is read, to save time.
        too_many_connections: a function that returns an error if every request must be refused,
            otherwise None.

    Attributes:
        uploads: limits how many texts are uploaded at the same time.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: AccessRules,
        full: Callable[[], Busy | None],
        too_many_connections: Callable[[], Busy | None],
    ) -> None:
        self.app = app
        self.access = access
        self.full = full
        self.too_many_connections = too_many_connections
        self.uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the server has no websocket routes
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = with_headers(in_pieces(send))
        try:
            await self._check_and_pass(scope, receive, guarded)
        except Refused as refused:
            await refused.response()(scope, receive, guarded)
        except ClientDisconnected:
            return

    async def _check_and_pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it to the application.

        Raises:
            Refused: the request breaks a rule of the server, or the server is busy.
            ClientDisconnected: the client disconnected before its request was complete.
        """
        headers = Headers(scope=scope)
        self.access.check_origin_and_host(scope, headers)
        token = self.access.check_token(scope, headers)
        if token is not None:
            await redirect_with_cookie(token)(scope, receive, send)
            return
        if (busy := self.too_many_connections()) is not None:
            raise busy_refusal(busy)
        rule = check_head(scope, headers)
        if rule is None:
            await self.app(scope, receive, send)
        elif rule.computes and (busy := self.full()) is not None:
            raise busy_refusal(busy)
        elif rule.media_type != BYTES:
            await self._read_and_pass(scope, receive, send, rule)
        elif self.uploads.locked():
            raise busy_refusal(Busy("other texts are being uploaded; try again soon."))
        else:
            async with self.uploads:
                await self._read_and_pass(scope, receive, send, rule)

    async def _read_and_pass(
        self, scope: Scope, receive: Receive, send: Send, rule: BodyRule
    ) -> None:
        """Read the body of a request, within the limits of `rule`, and pass the request to the application."""
        body = await read_body(receive, rule)
        await self.app(scope, replay(body, receive), send)
