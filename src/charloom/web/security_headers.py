"""The headers that protect the page in the browser. Every response to a well-formed HTTP request has them."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

# The page may load nothing from other servers, and use no scripts or styles inside its HTML. The page needs the
# image sources data: and blob: to save a chart as a picture.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def with_headers(send: Send) -> Send:
    """Return a function that calls `send`, and adds the security headers to every response.

    If a response does not have the header Cache-Control, the function adds one that forbids browsers to store
    the response.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message["headers"]))
            for name, value in (*HEADERS.items(), ("cache-control", "no-store")):
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        await send(message)

    return sending
