"""Accepts connections up to a limit, without a busy loop when file descriptors run out.

Without a free file descriptor, asyncio's own server tries to accept a connection thousands of times a second and prints
a traceback each time. When the limit is reached, the connection that has been idle for longest is closed. This module
does not look at requests.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from charloom.web.connection import Connection
from charloom.web.file_descriptors import ConnectionLimits, Shortage, is_shortage

BACKLOG: Final = 2_048
IN_ONE_TURN: Final = 32  # other tasks of the event loop run after this many accepted connections
RETRY_SECONDS: Final = 0.5  # while no file descriptor is free, time between attempts to accept


class Acceptor:
    """Accepts connections at a listening socket.

    Args:
        listening: the socket, in non-blocking mode.
        made: a function that makes a new `Connection`.
        connections: the set of open connections. Each connection adds and removes itself.
        limits: how many connections may be open.
        shortage: the object to notify when no file descriptor is free.
    """

    def __init__(
        self,
        listening: socket.socket,
        made: Callable[[], Connection],
        connections: set[Connection],
        limits: ConnectionLimits,
        shortage: Shortage,
    ) -> None:
        self._listening = listening
        self._made = made
        self._connections = connections
        self._limits = limits
        self._shortage = shortage
        self._beginning: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        listening.listen(BACKLOG)

    async def run(self) -> None:
        """Accept connections until this coroutine is cancelled."""
        turn = 0
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._listening)
            except OSError as error:
                await self._wait_after(error)
                continue
            await self._admit(accepted)
            turn += 1
            if turn % IN_ONE_TURN == 0:
                await asyncio.sleep(0)

    async def _wait_after(self, error: OSError) -> None:
        """Wait before the next attempt to accept a connection, because the last attempt raised `error`.

        Wait for half a second if no file descriptor was free. In this case, first report the shortage and
        close the connection that has been idle for longest. After another error, do not wait.
        """
        if is_shortage(error):
            self._shortage.met()
            self._close_idlest()
        await asyncio.sleep(RETRY_SECONDS if is_shortage(error) else 0)

    async def _admit(self, accepted: socket.socket) -> None:
        """Start to serve the connection `accepted`, or close it if too many connections are open."""
        if self._count() >= self._limits.answered:
            # A connection whose request has not been read yet looks idle: first let the event loop read from
            # all connections.
            for _ in range(3):
                await asyncio.sleep(0)
            self._close_idlest()
        if self._count() >= self._limits.most:
            accepted.close()
            return
        beginning = self._loop.create_task(self._begin(accepted))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)

    def _count(self) -> int:
        return len(self._connections) + len(self._beginning)

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._made, accepted)
        except OSError as error:  # the client disconnected, or no file descriptor was free
            accepted.close()
            if is_shortage(error):
                self._shortage.met()

    def _close_idlest(self) -> None:
        """Close the connection that has been idle for longest; do nothing if no connection is idle."""
        idle = [connection for connection in self._connections if connection.is_idle]
        if idle:
            min(idle, key=lambda connection: connection.idle_since).give_up()
