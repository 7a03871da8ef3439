"""Notices within 30 seconds that another training process died, also if its machine lost its power.

Each process writes a heartbeat into the store that all share. A broken connection usually tells it earlier.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event, Thread
from typing import Final, Protocol

from charloom.engines.torch.process_group import (
    END,
    FAILURE,
    ProcessGroup,
    own_connection,
    with_repair,
)

BEAT_SECONDS: Final = 0.25
SILENT_SECONDS: Final = 18.0  # a process whose heartbeat does not change for so long is dead
# After so many seconds, a process that has not noticed by itself that another one died is told.
NOTICE_SECONDS: Final = 5.0
BEAT: Final = "beat"  # with a rank: a number that grows


class Store(Protocol):
    """The part of `torch.distributed.Store` that is used here."""

    def set(self, key: str, value: str, /) -> None: ...
    def get(self, key: str, /) -> bytes: ...
    def check(self, keys: list[str], /) -> bool: ...


class Heartbeats:
    """Writes the heartbeat of this process, and watches those of others.

    Args:
        store: the store that all processes share.
        own: the number of this process.
        others: the numbers of the processes to watch. One that never had a heartbeat has not started yet.
    """

    def __init__(self, store: Store, own: int, others: Iterable[int]) -> None:
        self._store, self._own = store, own
        self._seen: dict[int, tuple[bytes, float]] = dict.fromkeys(others, (b"", 0.0))
        self._beats, self._looked = 0, float("-inf")

    def silent(self, now: float) -> int | None:
        """Write a heartbeat; return a process whose heartbeat has not changed for SILENT_SECONDS, else None.

        If this process was itself stopped for a while, others may have been stopped too, so it waits again.

        Args:
            now: the time in seconds.
        """
        self._beats += 1
        self._store.set(f"{BEAT}/{self._own}", str(self._beats))
        slept, self._looked = now - self._looked > SILENT_SECONDS / 2, now
        found = None
        for rank, (before, since) in self._seen.items():
            key = f"{BEAT}/{rank}"
            beat = self._store.get(key) if self._store.check([key]) else b""
            if beat != before or slept or not beat:
                self._seen[rank] = beat, now
            elif now - since >= SILENT_SECONDS:
                found = rank
        return found


def failure_of(store: Store, ranks: Iterable[int]) -> str | None:
    """Return why a process said that it ends; None if none did."""
    for rank in ranks:
        key = f"{FAILURE}/{rank}"
        if store.check([key]):
            return f"training process {rank} ended: {store.get(key).decode().rstrip('.')}"
    return None


class RankWatch:
    """Watches the other processes in a thread, until it is closed.

    Args:
        group: the processes.
        on_loss: called with a message, without a full stop, when a process was lost and this process must end,
            because nothing else will end it.
        ended: returns a message if a process that this one started has ended; else None.
        stop: send SIGTERM to process 0, which is this one, if another was lost while it evaluates or is paused, so that it
            saves and ends. False leaves it to its next update to notice.
    """

    def __init__(
        self,
        group: ProcessGroup,
        on_loss: Callable[[str], object],
        ended: Callable[[], str | None] = lambda: None,
        stop: bool = True,
    ) -> None:
        self._group, self._on_loss, self._ended, self._stop = group, on_loss, ended, stop
        self._store: Store = own_connection(group.store)
        leads = group.rank.rank == 0
        self._others = range(1, group.rank.size) if leads else range(1)
        self._heart = Heartbeats(self._store, group.rank.rank, self._others)
        self._closed = Event()
        self._thread = Thread(target=self._watch, name="charloom-rank-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        """Look at the other processes again and again."""
        while not self._closed.wait(BEAT_SECONDS):
            try:
                reason = self._look()
            except RuntimeError:
                reason = "the connection to the program that started the training processes broke"
            if reason is not None and not self._closed.is_set():
                self._group.lost = reason
                self._end(reason)
                return

    def _look(self) -> str | None:
        """Return why the processes cannot continue; None if they can. End a process whose work is done."""
        if self._group.rank.rank and self._store.check([END]):
            os._exit(0)
        silent = self._heart.silent(time.monotonic())
        found = failure_of(self._store, self._others) or self._ended()
        if found is None and silent is not None:
            found = f"training process {silent} does not answer any more"
        return found

    def _end(self, reason: str) -> None:
        """End this process: process 0 saves first, if it is not in the middle of an update, or is not ended at all."""
        if self._group.rank.rank:
            self._on_loss(with_repair(reason))
            os._exit(1)
        until = time.monotonic() + NOTICE_SECONDS
        while time.monotonic() < until:
            if self._closed.wait(BEAT_SECONDS) or self._group.reported:
                return  # the main thread reports the loss
        if self._group.talking_since is not None:  # it would wait without end
            self._on_loss(with_repair(reason))
            os._exit(1)
        if self._stop:
            self._on_loss(reason)
            os.kill(os.getpid(), signal.SIGTERM)


def tell_failure(group: ProcessGroup, message: str) -> None:
    """Tell process 0 why this process ends."""
    with suppress(RuntimeError):
        group.store.set(f"{FAILURE}/{group.rank.rank}", message)
