"""Checks every request before any other part of the server sees it.

Any page that the user visits in a browser can send requests to a local server. Therefore a request must name this
server as its host, because an attacker can let another name point to the address of this machine. It must also come
from charloom's page or from a program that is not a page. Its body must be small enough and arrive fast enough. The
type of the body must be one that no HTML form can send, and that a script of another page can send only if the server
allows it (CORS preflight). Of the routes, this module knows only the type and the size of the bodies that they accept.
"""

import asyncio
import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from charloom.web.concurrency import Busy
from charloom.web.schemas import SMALL_BODY, TEXT_BODY, UPLOAD_BODY

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "charloom"
LONGEST_QUERY: Final = 2_048  # bytes
LONGEST_HEAD: Final = 16 * 1024
MOST_HEADERS: Final = 100
BODY_SECONDS: Final = 10.0
UPLOAD_SECONDS: Final = 60.0
UPLOADS_AT_ONCE: Final = 2
MOST_PARTS: Final = (
    2_000  # strings, fields and items of a body; more would take too long to validate
)
SENT_AT_ONCE: Final = 64 * 1024  # bytes; the next piece is sent after the client has taken this one
METHODS: Final = ("GET", "POST")

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"


class BodyRule(NamedTuple):
    """The bodies that the routes with the same beginning of the path accept.

    Attributes:
        path: the beginning of the path.
        media_type: the required Content-Type.
        most: the largest size in bytes.
        computes: whether the request waits in the queue for requests that need computing.
    """

    path: str
    media_type: str
    most: int
    computes: bool = False


# The first rule whose path is the beginning of the request's path decides which types are accepted.
BODIES: Final = (
    BodyRule("/api/texts", BYTES, UPLOAD_BODY),
    BodyRule("/api/texts", JSON, TEXT_BODY),
    BodyRule("/api/generate", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/compare", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/next", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/score", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/inside/", JSON, TEXT_BODY, computes=True),
    BodyRule("/v1/", JSON, TEXT_BODY, computes=True),
    BodyRule("", JSON, SMALL_BODY),
)

# The page may load nothing from other servers, and use no scripts or styles inside its HTML. It needs the
# image sources data: and blob: to save a chart as a picture.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
# What `check_parts` counts in JSON: strings, and the characters that begin or separate items.
PART: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{,]', re.DOTALL)
# No route's path contains these; attackers use them to reach files outside of a folder.
ODD_PATH: Final = re.compile(rb"\.\.|%2e|%2f|%5c|%00|\\|//|[^\x21-\x7e]", re.IGNORECASE)


class Refused(Exception):
    """A request is refused. The error has the status, the headers and the message of the response."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        kind: str = "refused",
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.kind = kind
        self.code = code


@dataclass
class AccessRules:
    """The rules for the requests that the server accepts.

    Attributes:
        hosts: the accepted values of the header Host, such as localhost:8421. Empty if other machines can
            reach the server: they may use any name for it, and the token protects it instead.
        token: the secret that every request must contain; None on a loopback address.
        uploads: limits how many texts are uploaded at the same time.
    """

    hosts: frozenset[str]
    token: str | None = None
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))

    @classmethod
    def of(cls, host: str, port: int, token: str | None) -> "AccessRules":
        """Return the rules for a server that listens at `host` and `port`."""
        if token is not None:
            return cls(frozenset(), token)
        names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        ports = {f":{port}"} | ({""} if port == 80 else set())
        return cls(frozenset(name + suffix for name in names for suffix in ports))


def host_sort_key(host: str) -> tuple[bool, str]:
    """Return a sort key that puts names and IPv4 addresses before IPv6 addresses."""
    return host.startswith("["), host


def is_loopback(host: str) -> bool:
    """Return True if `host` is an address of this machine that no other machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """An ASGI application that checks requests and passes the accepted ones to another application.

    Args:
        app: the application that responds to accepted requests.
        access: which requests are accepted.
        full: a function that returns an error if the queue is full, otherwise None. If it is full, a
            request that needs computing is refused before its body is read, to save time.
        too_many_connections: a function that returns an error if every request must be refused,
            otherwise None.
    """

    def __init__(
        self,
        app: App,
        access: AccessRules,
        full: Callable[[], Busy | None],
        too_many_connections: Callable[[], Busy | None],
    ) -> None:
        self.app = app
        self.access = access
        self.full = full
        self.too_many_connections = too_many_connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no route is a websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = with_headers(in_pieces(send))
        try:
            headers = headers_of(scope)
            self.check_origin_and_host(scope, headers)
            cookie = self.check_token(scope, headers)
            if cookie is not None:
                await redirect(guarded, cookie)
                return
            if (busy := self.too_many_connections()) is not None:
                raise busy_refusal(busy)
            rule = check_shape(scope, headers)
            if rule is None:
                await self.app(scope, receive, guarded)
            elif rule.computes and (busy := self.full()) is not None:
                raise busy_refusal(busy)
            elif rule.media_type == BYTES:
                if self.access.uploads.locked():
                    raise busy_refusal(Busy("other texts are being uploaded; try again soon."))
                async with self.access.uploads:
                    blocks = await read_body(receive, rule.most, UPLOAD_SECONDS)
                    # Join 64 MiB in a thread: it takes tens of milliseconds and would block other requests.
                    body = await asyncio.to_thread(b"".join, blocks)
                    await self.app(scope, replay(body, receive), guarded)
            else:
                body = b"".join(await read_body(receive, rule.most, BODY_SECONDS))
                check_parts(body)
                await self.app(scope, replay(body, receive), guarded)
        except Refused as refused:
            await refuse(guarded, refused)
        except ClientDisconnected:
            return

    def check_origin_and_host(self, scope: Scope, headers: dict[str, list[str]]) -> None:
        """Raise Refused if a page other than charloom's sent the request, or if its Host is not this server."""
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
            raise Refused(
                400,
                "a request must have exactly one Host header, with the name and the port of this server.",
            )
        host = hosts[0].lower()
        if self.access.hosts and host not in self.access.hosts:
            raise Refused(
                403,
                f"this server does not answer as {host!r}; open "
                f"http://{min(self.access.hosts, key=host_sort_key)}/ instead.",
            )
        for origin in headers.get("origin", []):
            if origin.lower() != f"http://{host}":
                raise Refused(
                    403,
                    f"pages of {origin[:100]!r} may not use this server; only its own page may.",
                )
        for site in headers.get("sec-fetch-site", []):
            opens = (
                scope["method"] == "GET"
                and scope["path"] == "/"
                and headers.get("sec-fetch-mode") == ["navigate"]
            )
            if site not in ("same-origin", "none") and not opens:
                raise Refused(
                    403, "pages of other sites may not use this server; only its own page may."
                )

    def check_token(self, scope: Scope, headers: dict[str, list[str]]) -> str | None:
        """Raise Refused if a token is required and the request does not have it.

        Returns:
            The token if the request has it in its address, so that the caller can move it into a cookie;
            None if it is in a header or not required.
        """
        if self.access.token is None:
            return None
        shown = [
            value.removeprefix("Bearer ")
            for value in headers.get("authorization", [])
            if value.startswith("Bearer ")
        ]
        for line in headers.get("cookie", []):
            for pair in line.split(";"):
                name, _, value = pair.strip().partition("=")
                shown += [value] if name == COOKIE else []
        if any(self.knows(token) for token in shown):
            return None
        query: dict[str, list[str]] = parse_qs(
            scope["query_string"].decode("latin-1"), max_num_fields=20
        )
        if scope["method"] == "GET" and scope["path"] == "/":
            for token in query.get("token", []):
                if self.knows(token):
                    return token
        raise Refused(
            401,
            "the token is missing or wrong; open the address that the server printed when it started, or "
            "send its token in the header Authorization: Bearer.",
            ((b"www-authenticate", b"Bearer"),),
        )

    def knows(self, token: str) -> bool:
        """Return True if `token` is the token of the server.

        The comparison takes the same time for each wrong token, so that an attacker learns nothing from it.
        """
        assert self.access.token is not None
        return hmac.compare_digest(token.encode(), self.access.token.encode())


def headers_of(scope: Scope) -> dict[str, list[str]]:
    """Return a dict from the name of each header, in lower case, to the list of its values."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def check_shape(scope: Scope, headers: dict[str, list[str]]) -> BodyRule | None:
    """Raise Refused if the request has a method, path or header that no route accepts.

    Returns:
        The rule that the body must follow; None for a GET request, which has no body.
    """
    method = scope["method"]
    if method not in METHODS:
        raise Refused(
            405,
            f"the method {method[:20]} is not supported; use GET or POST.",
            ((b"allow", b"GET, POST"),),
        )
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if size > LONGEST_HEAD or len(scope["headers"]) > MOST_HEADERS:
        raise Refused(
            431,
            f"the headers are too large: at most {LONGEST_HEAD:,} bytes in at most {MOST_HEADERS} headers.",
        )
    if len(scope["query_string"]) > LONGEST_QUERY:
        raise Refused(414, f"the query is too long: at most {LONGEST_QUERY:,} bytes.")
    if ODD_PATH.search(scope.get("raw_path") or scope["path"].encode()):
        raise Refused(400, "the path is not one of this server's; /openapi.json lists them.")
    sizes = headers.get("content-length", [])
    in_chunks = "transfer-encoding" in headers
    if method == "GET":
        if in_chunks or any(size != "0" for size in sizes):
            raise Refused(400, "a GET request must not have a body.")
        return None
    if in_chunks or not sizes:
        raise Refused(
            411, "give the length of the body in Content-Length; a body in chunks is not accepted."
        )
    rule = rule_for(scope["path"], headers.get("content-type", []))
    if "content-encoding" in headers:
        raise Refused(415, "the body must not be compressed.")
    if any(not size.isdecimal() or int(size[:20]) > rule.most for size in sizes):
        raise too_large(rule.most)
    return rule


def rule_for(path: str, types: list[str]) -> BodyRule:
    """Return the rule for the body of a request; raise Refused if the route does not accept its type.

    Args:
        path: the path of the request.
        types: the values of the header Content-Type. A request without this header is refused, because a
            script of another page could send it.
    """
    given = types[0].split(";")[0].strip().lower() if len(types) == 1 else None
    first = next(rule for rule in BODIES if path.startswith(rule.path))
    accepted = [rule for rule in BODIES if rule.path == first.path]
    for rule in accepted:
        if rule.media_type == given:
            return rule
    wanted = " or ".join(rule.media_type for rule in accepted)
    raise Refused(415, f"the body must have the Content-Type {wanted}.")


def busy_refusal(busy: Busy) -> Refused:
    """Return the error that refuses a request for the reason `busy`; the client may send it again later."""
    retry = str(busy.retry_after).encode()
    return Refused(busy.status, str(busy), ((b"retry-after", retry),), "busy_error", "busy")


def too_large(limit: int) -> Refused:
    """Return the error that refuses a body of more than `limit` bytes."""
    return Refused(413, f"the body is too large: at most {limit:,} bytes.")


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


async def read_body(receive: Receive, limit: int, seconds: float) -> list[bytes]:
    """Read the whole body of a request, and return the blocks in which it arrived.

    Raises:
        Refused: the body has more than `limit` bytes, or takes longer than `seconds`.
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
                if size > limit:
                    raise too_large(limit)
                blocks.append(block)
                if not message.get("more_body"):
                    return blocks
    except TimeoutError:
        raise Refused(
            408,
            f"the body did not arrive within {seconds:g} seconds; send the request again over a faster connection.",
        ) from None


def check_parts(body: bytes) -> None:
    """Raise Refused if `body`, which is JSON, has too many strings, fields and items.

    Validating them would block other requests.
    """
    if sum(1 for _ in islice(PART.finditer(body), MOST_PARTS + 1)) > MOST_PARTS:
        raise Refused(
            413, f"the body has too many strings, fields and items: at most {MOST_PARTS:,} in all."
        )


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a function that can be used like `receive` after the body of a request has been read.

    Its first call returns a message with `body`. Later calls return the messages that `receive` returns.
    """
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def in_pieces(send: Send) -> Send:
    """Return a function that calls `send`, and sends a large body in pieces.

    Each piece is sent after the client has read the previous one. Other requests are served in between.
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


def with_headers(send: Send) -> Send:
    """Return a function that calls `send`, and adds the security headers to every response."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message.get("headers", [])}
            more = [pair for pair in HEADERS if pair[0] not in own]
            if b"cache-control" not in own:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return sending


async def refuse(send: Send, refused: Refused) -> None:
    """Send the response that refuses a request.

    The response closes the connection, so that the server does not have to read the rest of the request.
    """
    mistake = {
        "message": str(refused),
        "type": refused.kind,
        "param": None,
        "code": refused.code,
    }
    body = json.dumps({"error": mistake}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *refused.headers,
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def redirect(send: Send, token: str) -> None:
    """Send a response that stores `token` in a cookie and leads to the address of the page without it.

    A link to the page, or a screenshot of it, then does not show the token.
    """
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
    headers = [
        (b"location", b"/"),
        (b"set-cookie", cookie.encode()),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
