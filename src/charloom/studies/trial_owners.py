"""Says which process runs a trial of a search, and whether it still does.

Optuna's own heartbeats exist only for databases, not for its journal file. So a trial stores its owner.
"""

import platform
import time
from typing import Any, Final

from charloom.live_processes import is_alive, process_start_time

BEAT_SECONDS: Final = 60.0  # time between two signs of life of a trial
# A trial on another machine was given up if its last sign of life is older. It is much longer than the time between
# two signs, because the clocks of machines differ, and because a storage may not answer for minutes.
SILENT_SECONDS: Final = 1_200.0

Owner = dict[str, Any]


def owner_of(pid: int, worker: str) -> Owner:
    """Return the owner of the trials of a worker process.

    Args:
        pid: the process that runs the search. Its worker processes end when it ends.
        worker: the name of the worker process, which no other one has, on any machine.
    """
    return {
        "host": platform.node(),
        "pid": pid,
        "birth": process_start_time(pid),
        "worker": worker,
    }


def is_here(owner: Owner) -> bool:
    """Return True if the process of an owner ran on this machine."""
    return bool(owner["host"] == platform.node())


def is_gone(owner: Owner) -> bool:
    """Return True if the process of an owner ran on this machine and has ended."""
    if not is_here(owner):
        return False
    return not is_alive(owner["pid"]) or process_start_time(owner["pid"]) != owner["birth"]


def is_given_up(owner: Owner, beat: float, now: float | None = None) -> bool:
    """Return True if the process that runs a trial has ended.

    Args:
        owner: the owner of the trial.
        beat: the time of its last sign of life, in Unix time.
        now: the present time; None asks the clock.
    """
    if is_here(owner):
        return is_gone(owner)
    return (time.time() if now is None else now) - beat > SILENT_SECONDS
