"""The processes that train one run together, from the view of one of them (spec/mathematics.md: Several processes).

Process 0 leads, and the others follow. Messages between them travel through gloo, sums of gradients on GPUs through
nccl. Nothing here has a time limit: process 0 may be paused for days. `rank_watch` notices a process that died.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from threading import RLock
from typing import Any, Final

import torch
import torch.distributed as dist

from charloom.engines.torch.message_bytes import from_bytes, to_bytes
from charloom.errors import EngineError
from charloom.messages import terminal_command
from charloom.process_rank import ProcessRank

NO_LIMIT: Final = timedelta(days=3650)
MEETING_LIMIT: Final = timedelta(minutes=10)  # to reach the port where all processes meet
LOOK_SECONDS: Final = 0.05
# An error of a broken connection may come earlier than the news which process died.
NEWS_SECONDS: Final = 2.0
LOOPBACK: Final = "127.0.0.1"
SIOCGIFADDR: Final = 0x8915  # asks Linux for the IPv4 address of a network interface

# The keys of the store.
READY: Final = "ready"  # with a rank: the process is about to join
GO: Final = "go"  # all processes are ready
END: Final = "end"  # process 0 has ended, so the others end too
FAILURE: Final = "failure"  # with a rank: why that process ends


class ProcessGroup:
    """The processes that train one run.

    Args:
        rank: the place of this process.
        store: holds a few small values that all processes can read.

    Attributes:
        lost: why the processes cannot continue, such as a process that died; None if they can.
        talking_since: the time of `time.monotonic` at which the present exchange with other processes began; None
            between two exchanges.
        reported: True if an error has told this process's main thread that the processes cannot continue.
    """

    def __init__(self, rank: ProcessRank, store: dist.Store) -> None:
        self.rank, self.store = rank, store
        self.lost: str | None = None
        self.talking_since: float | None = None
        self.reported = False
        self.lock = RLock()  # so that the messages of two threads do not mix
        self.later: list[object] = []  # messages to all other processes that have time
        self._joined = False

    def join(self) -> None:
        """Connect this process with all others, unless it is connected already. Wait until they are ready.

        Raises:
            EngineError: another process ended before it was ready.
        """
        if self._joined:
            return
        self.store.set(f"{READY}/{self.rank.rank}", "")
        if self.rank.rank == 0:
            self._wait_for([f"{READY}/{rank}" for rank in range(self.rank.size)])
            self.store.set(GO, "")
        else:
            self._wait_for([GO])
        choose_interface(self.rank)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with self._talking():
            dist.init_process_group(
                backend,
                store=dist.PrefixStore("group", self.store),
                rank=self.rank.rank,
                world_size=self.rank.size,
                timeout=NO_LIMIT,
            )
        self._joined = True

    def leave(self) -> None:
        """Close the connections to the other processes. After a loss, nccl would wait for them, so leave it to the system."""
        if self._joined and (self.lost is None or not torch.cuda.is_available()):
            with suppress(RuntimeError):
                dist.destroy_process_group()
        self._joined = False
        self.lost = self.lost or "the training processes have ended"

    def _wait_for(self, keys: list[str]) -> None:
        """Wait until the store has all keys."""
        while not self.store.check(keys):
            self.require_all()
            time.sleep(LOOK_SECONDS)

    def require_all(self) -> None:
        """Raise EngineError if a process was lost."""
        if self.lost is not None:
            self.reported = True
            raise EngineError(f"{with_repair(self.lost)}.")

    def send(self, to: int, value: object) -> None:
        """Send a message to another process, which must call `receive`. Messages that had time go first."""
        if self.rank.rank == 0 and self.later:
            waiting, self.later = self.later, []
            for other in range(1, self.rank.size):
                for message in waiting:
                    self._send(other, message)
        self._send(to, value)

    def _send(self, to: int, value: object) -> None:
        """Send a message to another process."""
        body = to_bytes(value)
        with self._talking():
            dist.send(torch.tensor([len(body)]), to)
            dist.send(torch.frombuffer(body, dtype=torch.uint8), to)

    def receive(self, source: int) -> Any:
        """Wait for a message from another process, which must call `send`, and return it.

        Raises:
            EngineError: a connection broke, or the other process has another version of charloom.
        """
        size = torch.zeros(1, dtype=torch.int64)
        with self._talking():
            dist.recv(size, source)
            body = torch.empty(int(size), dtype=torch.uint8)
            dist.recv(body, source)
        return from_bytes(body.numpy().tobytes())

    def add_up(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by the sum of the tensors of all processes, with the same bits in each of them.

        The order of the sum depends only on the number of processes and the shape.
        """
        with self._talking():
            dist.all_reduce(tensor)

    def copy_from_first(self, tensor: torch.Tensor) -> None:
        """Replace the tensor of each process by that of process 0."""
        with self._talking():
            dist.broadcast(tensor, 0)

    def collect(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensors of all processes, joined along the first axis. Their shapes must be the same."""
        parts = [torch.empty_like(tensor) for _ in range(self.rank.size)]
        with self._talking():
            dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Note that this process waits for others, and raise EngineError if a connection to them breaks."""
        self.require_all()
        self.talking_since = time.monotonic()
        try:
            yield
        except RuntimeError:
            self._wait_for_news()
            self.require_all()
        finally:
            self.talking_since = None

    def _wait_for_news(self) -> None:
        """Wait a little for the reason why a connection broke, and set `lost`."""
        until = time.monotonic() + NEWS_SECONDS
        while self.lost is None and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        if self.lost is None:
            self.lost = (
                "the connection to another training process broke: the process or its machine ended"
            )


def with_repair(reason: str) -> str:
    """Return why the processes cannot continue, and how to continue the run, without a full stop."""
    return (
        f"{reason}. To continue a run from its last checkpoint, use {terminal_command('resume')}; the number of "
        f"processes may differ"
    )


# The group of this process, if it trains together with others; other threads train alone.
PRESENT_GROUP: Final[ContextVar[ProcessGroup | None]] = ContextVar("PRESENT_GROUP", default=None)


def current_group() -> ProcessGroup | None:
    """Return the processes that train together with this process; None if it trains alone."""
    return PRESENT_GROUP.get()


@contextmanager
def in_group(group: ProcessGroup) -> Iterator[ProcessGroup]:
    """Let the engine torch of this process train together with a group of processes."""
    token = PRESENT_GROUP.set(group)
    try:
        yield group
    finally:
        PRESENT_GROUP.reset(token)


def meet(rank: ProcessRank) -> dist.Store:
    """Return the store where all processes of a run meet. Process 0 opens it if the launcher has not.

    Raises:
        EngineError: the store cannot be reached or opened.
    """
    serves = rank.serves and rank.rank == 0
    try:
        store = dist.TCPStore(
            rank.host, rank.port, None, serves, timeout=MEETING_LIMIT, wait_for_workers=False
        )
    except RuntimeError as error:
        raise EngineError(
            f"the processes cannot meet at {rank.host}, port {rank.port}: {first_line(error)}. Check that this "
            f"machine can reach that address, or choose another port."
        ) from None
    return dist.PrefixStore(f"charloom/{rank.attempt}", store)


def own_connection(store: dist.Store) -> dist.Store:
    """Return the same store with a connection of its own, so that a thread can use it at any time."""
    return store.clone()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without its final full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def choose_interface(rank: ProcessRank) -> None:
    """Let gloo and nccl use the network interface that leads to process 0, unless the user chose one.

    By themselves they look up the machine's own name, which on many machines leads nowhere.
    """
    name = interface_towards(rank.host, rank.port)
    if name is not None:
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", name)


def interface_towards(host: str, port: int) -> str | None:
    """Return the network interface through which this machine reaches a host; None if not known."""
    if sys.platform != "linux":
        return None
    import fcntl

    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))  # sends nothing
        own = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an IPv4 address
                found = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(found[20:24]) == own:
                    return name
    return None
