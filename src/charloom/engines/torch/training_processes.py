"""Starts, leads and follows the processes that train one run together."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import torch.distributed as dist

from charloom.engines.torch.following import Follower
from charloom.engines.torch.process_group import END, LOOPBACK, ProcessGroup, in_group, meet
from charloom.engines.torch.rank_watch import RankWatch, tell_failure
from charloom.errors import CharloomError
from charloom.messages import argument
from charloom.parent_process import end_with_parent
from charloom.process_rank import ProcessRank

Say = Callable[[str], object]

PARENT: Final = "CHARLOOM_PARENT"  # an environment variable: the process that started this one
ENDING_SECONDS: Final = 15.0  # for all other processes to end by themselves


@contextmanager
def leading(rank: ProcessRank, on_loss: Say, stop: bool = True) -> Iterator[ProcessGroup]:
    """Let the engine torch divide its work among the processes that torchrun started. This one is process 0.

    `on_loss` is called with a message, without a full stop, when another process died. `stop` then ends this process
    with SIGTERM if it is between two updates.

    Raises:
        EngineError: the processes cannot meet.
    """
    group = ProcessGroup(rank, meet(rank))
    with leading_group(group, RankWatch(group, on_loss, stop=stop)):
        yield group


@contextmanager
def leading_new(size: int, on_loss: Say, stop: bool = True) -> Iterator[ProcessGroup]:
    """Start processes on this machine, so that there are `size` of them with this one, and lead them as `leading` does.

    No process is left behind, whatever happens to this one.
    """
    store = loopback_store()
    ranks = [ProcessRank(n, size, n, size, LOOPBACK, store.port) for n in range(size)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        started += map(start_follower, ranks[1:])
        group = ProcessGroup(ranks[0], dist.PrefixStore("charloom/0", store))
        watch = RankWatch(group, on_loss, lambda: ended_process(started), stop)
        with leading_group(group, watch):
            yield group
    finally:
        end_all(started)


def loopback_store() -> dist.TCPStore:
    """Return a new store at a free port that only this machine can reach. By itself, PyTorch opens ports to all."""
    listening = socket.create_server((LOOPBACK, 0))
    port = listening.getsockname()[1]
    return dist.TCPStore(
        LOOPBACK, port, None, True, wait_for_workers=False, master_listen_fd=listening.detach()
    )


@contextmanager
def leading_group(group: ProcessGroup, watch: RankWatch) -> Iterator[None]:
    """Lead a group, and let its other processes end at the end of the `with` block."""
    try:
        with in_group(group):
            yield
    finally:
        watch.close()
        with suppress(RuntimeError):  # the launcher and its store may be gone
            group.store.set(END, "")
        group.leave()


def start_follower(rank: ProcessRank) -> subprocess.Popen[bytes]:
    """Start a process that follows process 0, which is this one, on this machine."""
    own = {PARENT: str(os.getpid())}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "charloom", "train"],
        env={**os.environ, **rank.to_environment(), **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def ended_process(started: list[subprocess.Popen[bytes]]) -> str | None:
    """Return a message if one of the started processes has ended; None if all run."""
    for rank, process in enumerate(started, start=1):
        code = process.poll()
        if code is not None:
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            return f"training process {rank} ended unexpectedly {how}"
    return None


def end_all(started: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the processes end, and kill those that have not after ENDING_SECONDS."""
    until = time.monotonic() + ENDING_SECONDS
    for process in started:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def follow(rank: ProcessRank, on_loss: Say) -> int:
    """Do what process 0 says until it ends; return an exit code. The caller has turned off all signals.

    Usually this function ends the process itself, with code 0 when process 0 has ended, or 1 when it died. Then
    `on_loss` is called with a message before.
    """
    if PARENT in os.environ:
        end_with_parent(int(os.environ[PARENT]))
    try:
        group = ProcessGroup(rank, meet(rank))
    except CharloomError as error:
        on_loss(error.message.rstrip("."))
        return 1
    watch = RankWatch(group, on_loss)
    try:
        with in_group(group):
            Follower(group).follow()
    except BaseException as error:
        message = error.message if isinstance(error, CharloomError) else repr(error)
        if isinstance(error, MemoryError):
            message = (
                f"it needs more memory than its device has. Use a smaller {argument('batch_size')}"
            )
        if group.lost is not None and not ends(group):
            on_loss(message.rstrip("."))
        elif group.lost is None:
            tell_failure(group, message)
    watch.close()
    return 0 if ends(group) else 1


def ends(group: ProcessGroup) -> bool:
    """Return True if process 0 said that all processes must end."""
    with suppress(RuntimeError):
        return bool(group.store.check([END]))
    return False
