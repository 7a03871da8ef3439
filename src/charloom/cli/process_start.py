"""Finds out when the process of a command started, from which its minutes count."""

import time
from contextvars import ContextVar
from typing import Final

# The time of `time.monotonic` at which the process started, if it was started to run a command. It is not set if
# another program, such as a test, runs the command.
START: Final[ContextVar[float]] = ContextVar("START")
# The results and the end of a process take about this fraction of the time of its imports. On an idle core, they take
# 0.12 s and 0.44 s of processor time; on a busy machine, both take longer.
ENDING_SHARE: Final = 0.3


def seconds_since_start() -> float | None:
    """Return for how many seconds the process of the running command has existed; None if another program runs the command."""
    start = START.get(None)
    return None if start is None else time.monotonic() - start


def command_start() -> float:
    """Return the time of `time.monotonic` from which the minutes of the running command count.

    This is the start of its process, and earlier by as long as the process will probably need to end after
    training. Call this function after the imports, which show how fast the machine is. If another program runs
    the command, return the present time.
    """
    now = time.monotonic()
    start = START.get(now)
    return start - ENDING_SHARE * (now - start)
