"""A connection that is given so long to say what it wants.

uvicorn waits for the head of a request for ever. Connections beyond all bounds are closed unheard;
before there are so many, the guard says that there is no room. It knows nothing of what is asked; the
body's time is the guard's.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0
ANSWERED: Final = 900  # connections; where there are more, who asks is told to come again
MOST: Final = 960  # so many are held at all


class PatientProtocol(H11Protocol):
    """HTTP whose client must send each head within ten seconds of its first byte, and the first
    within ten seconds of connecting."""

    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
        self._begin_to_wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        asked = self.cycle is not None and not self.cycle.response_complete
        if asked:
            self._stop_waiting()
        elif self._waits is None:
            self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _begin_to_wait(self) -> None:
        self._waits = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _give_up(self) -> None:
        """Close; there is nobody who would understand an answer."""
        self._waits = None
        asked = self.cycle is not None and not self.cycle.response_complete
        if not asked and not self.transport.is_closing():
            self.transport.close()
