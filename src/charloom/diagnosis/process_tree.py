"""Lists, measures and kills the processes that descend from a process. Linux only.

A process that ended its parent, or left its session, still descends from the process that adopts it
(`adopt_orphans`).
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from charloom.diagnosis import linux_calls as linux

KILOBYTE: Final = 1024
PATIENCE: Final = 10.0  # seconds after which `kill_descendants` gives up
PRIVATE: Final = ("RssAnon:", "RssShmem:")  # kinds of memory that no file holds


def adopt_orphans() -> bool:
    """Become the parent of descendants whose parents end. Return False if the system cannot do this."""
    if sys.platform != "linux" or not hasattr(os, "fork"):
        return False
    with suppress(OSError, AttributeError):
        linux.prctl(linux.SET_SUBREAPER, 1)
        return Path("/proc/self/task").is_dir()
    return False


def descendants(process: int, most: int = 100_000) -> list[int]:
    """Return the process ids of the descendants of a process, at most `most` of them."""
    found: list[int] = []
    todo = [process]
    while todo and len(found) < most:
        for child in children(todo.pop()):
            found.append(child)
            todo.append(child)
    return found


def children(process: int) -> Iterator[int]:
    """Yield the process ids of the children of a process."""
    with suppress(OSError):
        for task in os.scandir(f"/proc/{process}/task"):
            with suppress(OSError):
                text = Path(task.path, "children").read_text(encoding="ascii")
                yield from map(int, text.split())


def memory_of(process: int) -> int:
    """Return the number of bytes of memory that a process uses for itself; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return KILOBYTE * sum(
        int(line.split()[1]) for line in lines.splitlines() if line.startswith(PRIVATE)
    )


def kill_descendants(process: int) -> None:
    """Kill all descendants of this process, also those that they start meanwhile.

    They are stopped first, because a stopped process starts no others.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        alive = descendants(process)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for each in alive:
                with suppress(OSError):
                    os.kill(each, number)
        reap()
        if not alive:
            return


def reap() -> None:
    """Remove children that have ended from the list of processes."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
