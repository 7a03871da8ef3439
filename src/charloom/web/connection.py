"""An HTTP connection of the server, with time limits. It parses at most 16 KiB at a time.

uvicorn alone waits forever for the head of a request, and for a client that does not read its response. When many small
chunks of a body have arrived, uvicorn parses all of them before it serves other connections. This module does not limit
how long the body of a request may take: `request_body.py` does.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0  # time limit for the head of a request
SEND_SECONDS: Final = 20.0  # after this time, a client that reads nothing is disconnected
LINGER_SECONDS: Final = (
    2.0  # time in which a client that is still sending can read the error response
)
PIECE: Final = 16 * 1024  # largest number of bytes passed to the parser in one call


class Connection(H11Protocol):
    """An HTTP connection that closes when its client is too slow.

    The client must send the head of its first request within ten seconds after it connected. The head of
    each later request must be complete within ten seconds after its first byte. The client must also keep
    reading the response.

    Attributes:
        idle_since: when the connection was opened or its last response was complete, by the event loop's
            clock in seconds.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = WithoutChunks(h11.SERVER, self.config.h11_max_incomplete_event_size or PIECE)
        self.idle_since = self.loop.time()

    @property
    def is_idle(self) -> bool:
        """Return True if the client has received every response that it requested."""
        return not self._responding and not self.transport.get_write_buffer_size()

    @property
    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def give_up(self) -> None:
        """Close the connection immediately, so that the server can accept a new connection."""
        self.connections.discard(self)
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Closing(transport, self.close))  # type: ignore[arg-type]
        self._begin_to_wait()

    def close(self, transport: asyncio.Transport) -> None:
        """Close the connection.

        If the client is still sending its request, first read and discard data for a moment. If the server
        did not do this, the system would reset the connection, and the client would not see the response.
        """
        if self.conn.their_state in (h11.SEND_BODY, h11.ERROR) and transport.can_write_eof():
            transport.write_eof()
            transport.resume_reading()
            self._linger_timer = self.loop.call_later(LINGER_SECONDS, transport.abort)
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._linger_timer is not None:
            return
        # `data` can have 256 KiB. If the parser got all of it in one call, it would accept a head of that length,
        # because it checks the length only of a head that is still incomplete.
        for start in range(0, len(data), PIECE):
            if not self.transport.is_closing():
                super().data_received(data[start : start + PIECE])
        if self._responding:
            self._stop_waiting()
        elif self._head_timer is None:
            self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._send_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        super().on_response_complete()
        self._watch_sending()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def _begin_to_wait(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_without_request)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_without_request(self) -> None:
        """Close the connection, unless the complete head of a request has arrived."""
        self._head_timer = None
        if not self._responding and not self.transport.is_closing():
            self.transport.close()

    def _watch_sending(self) -> None:
        """If a part of the response is unsent, start a timer that later checks whether the client reads."""
        waiting = self.transport.get_write_buffer_size()
        if waiting and self._send_timer is None:
            self._send_timer = self.loop.call_later(SEND_SECONDS, self._close_if_unread, waiting)

    def _close_if_unread(self, before: int) -> None:
        """Close the connection if the client has read nothing since `_watch_sending` started the timer.

        `before` is the number of unsent bytes at the start of the timer.
        """
        self._send_timer = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch_sending()


class Closing:
    """A wrapper of a transport. Its method `close` calls a given function instead of the transport's `close`.

    Args:
        transport: the transport.
        close: the given function, which gets the transport and closes it. This function is called at most once.
    """

    def __init__(
        self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]
    ) -> None:
        self._transport = transport
        self._close = close
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return True if the transport is closed or being closed, so that nothing more can be written to it."""
        return self._closed or self._transport.is_closing()

    def close(self) -> None:
        """Close the transport with the function `close` that was given to the class; do nothing in a second call."""
        if not self._closed:
            self._closed = True
            self._close(self._transport)


class WithoutChunks(h11.Connection):
    """An HTTP parser that ignores the body of a request with chunked transfer encoding.

    Parsing many tiny chunks would take a long time. The body is not needed: `request_head.py` refuses every
    request with this encoding.
    """

    _in_chunks = False

    def receive_data(self, data: bytes) -> None:
        """Pass `data`, the bytes that arrived, to h11; ignore `data` if it belongs to a chunked body."""
        if not self._in_chunks:
            super().receive_data(data)

    def next_event(self) -> Any:
        """Return the next event that h11 parsed, such as a request; NEED_DATA while a chunked body is ignored."""
        if self._in_chunks:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._in_chunks = any(name == b"transfer-encoding" for name, _ in event.headers)
        return event
