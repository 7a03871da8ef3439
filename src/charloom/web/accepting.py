"""Accepts connections while there is room for them, without ever spinning.

asyncio's own server tries again thousands of times a second, with a traceback each, when the process
has no file descriptor left. Where there are many connections, the ones that have asked for nothing for
longest make room for new ones. It knows nothing of what is asked.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from charloom.web.connection import Connection
from charloom.web.descriptors import Room, Shortage, is_shortage

BACKLOG: Final = 2_048
IN_ONE_TURN: Final = 32  # accepted, before everything else that the loop does has its turn
RETRY_SECONDS: Final = 0.5  # between two tries, while no file can be opened


class Acceptor:
    """Accepts the connections of a socket that listens.

    Args:
        listening: the socket; it must not block.
        made: makes what serves a connection.
        connections: those that there are; each adds itself and takes itself away.
        room: how many there may be.
        shortage: what is told when no file can be opened.
    """

    def __init__(
        self,
        listening: socket.socket,
        made: Callable[[], Connection],
        connections: set[Connection],
        room: Room,
        shortage: Shortage,
    ) -> None:
        self._listening = listening
        self._made = made
        self._connections = connections
        self._room = room
        self._shortage = shortage
        self._beginning: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        listening.listen(BACKLOG)

    async def run(self) -> None:
        """Accept connections until cancelled."""
        turn = 0
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._listening)
            except OSError as error:
                await self._failed(error)
                continue
            await self._admit(accepted)
            turn += 1
            if turn % IN_ONE_TURN == 0:
                await asyncio.sleep(0)

    async def _failed(self, error: OSError) -> None:
        """Wait a moment after a connection could not be accepted."""
        if is_shortage(error):
            self._shortage.met()
            self._close_idlest()
        await asyncio.sleep(RETRY_SECONDS if is_shortage(error) else 0)

    async def _admit(self, accepted: socket.socket) -> None:
        """Serve a connection, or close it where there is no room for it."""
        if self._count() >= self._room.answered:
            # First read what has arrived: a connection whose request waits is not idle.
            for _ in range(3):
                await asyncio.sleep(0)
            self._close_idlest()
        if self._count() >= self._room.most:
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
        except OSError as error:  # its client has gone, or nothing is left to serve it with
            accepted.close()
            if is_shortage(error):
                self._shortage.met()

    def _close_idlest(self) -> None:
        """Close the connection that has asked for nothing for longest, if any is idle."""
        idle = [connection for connection in self._connections if connection.is_idle]
        if idle:
            min(idle, key=lambda connection: connection.idle_since).give_up()
