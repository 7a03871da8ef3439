"""A connection with a limit on its time and on how much is read from it at once.

uvicorn waits for ever for the head of a request and for a client that takes nothing, and reads however
many small chunks have arrived before anybody else has a turn. It knows nothing of what is asked; the
body's time is the guard's.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0
SEND_SECONDS: Final = 20.0  # a client that takes nothing for so long is gone
LINGER_SECONDS: Final = (
    2.0  # that a client may go on sending what was refused, and reads the refusal
)
PIECE: Final = 16 * 1024  # bytes that are read before a head that is too long is refused


class Connection(H11Protocol):
    """HTTP whose client must send each head within ten seconds of its first byte, the first within ten
    seconds of connecting, and must take what it asked for.

    Attributes:
        idle_since: when it last began to be idle, by the loop's clock.
    """

    _waits: asyncio.TimerHandle | None = None
    _sends: asyncio.TimerHandle | None = None
    _lingers: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = WithoutChunks(h11.SERVER, self.config.h11_max_incomplete_event_size or PIECE)
        self.idle_since = self.loop.time()

    @property
    def is_idle(self) -> bool:
        """Whether it has asked for nothing that it does not have."""
        return not self._asked and not self.transport.get_write_buffer_size()

    @property
    def _asked(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def give_up(self) -> None:
        """Close it at once, so that there is room for another one."""
        self.connections.discard(self)
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Closing(transport, self.close))  # type: ignore[arg-type]
        self._begin_to_wait()

    def close(self, transport: asyncio.Transport) -> None:
        """Close; where more of the request is to come, read and forget it for a moment.

        Closing with something unread resets the connection, and its client would not see the answer.
        """
        if self.conn.their_state in (h11.SEND_BODY, h11.ERROR) and transport.can_write_eof():
            transport.write_eof()
            transport.resume_reading()
            self._lingers = self.loop.call_later(LINGER_SECONDS, transport.abort)
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._lingers is not None:
            return
        # A head that is whole is taken however long it is, and one read may bring a quarter of a MiB.
        for start in range(0, len(data), PIECE):
            if not self.transport.is_closing():
                super().data_received(data[start : start + PIECE])
        if self._asked:
            self._stop_waiting()
        elif self._waits is None:
            self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        if self._lingers is not None:
            self._lingers.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        super().on_response_complete()
        self._watch_sending()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def _begin_to_wait(self) -> None:
        self._waits = self.loop.call_later(HEAD_SECONDS, self._close_unasked)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _close_unasked(self) -> None:
        """Close; there is nobody who would understand an answer."""
        self._waits = None
        if not self._asked and not self.transport.is_closing():
            self.transport.close()

    def _watch_sending(self) -> None:
        """See that the client takes what waits to be sent."""
        waiting = self.transport.get_write_buffer_size()
        if waiting and self._sends is None:
            self._sends = self.loop.call_later(SEND_SECONDS, self._look_at_sending, waiting)

    def _look_at_sending(self, before: int) -> None:
        """Close where not a byte was taken since the last look."""
        self._sends = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch_sending()

    def _stop_watching(self) -> None:
        if self._sends is not None:
            self._sends.cancel()
            self._sends = None


class Closing:
    """A transport that has itself closed by somebody else, once."""

    def __init__(
        self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]
    ) -> None:
        self._transport = transport
        self._close = close
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is to be written."""
        return self._closed or self._transport.is_closing()

    def close(self) -> None:
        """Close, when what was written has been sent."""
        if not self._closed:
            self._closed = True
            self._close(self._transport)


class WithoutChunks(h11.Connection):
    """h11's reader, which does not read a body that comes in chunks: each chunk costs the same however
    small it is, and the guard refuses such a request by its head."""

    _in_chunks = False

    def receive_data(self, data: bytes) -> None:
        """Take what arrived, unless nobody will read it."""
        if not self._in_chunks:
            super().receive_data(data)

    def next_event(self) -> Any:
        """What the client says next; nothing where that would be a chunk."""
        if self._in_chunks:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._in_chunks = any(name == b"transfer-encoding" for name, _ in event.headers)
        return event
