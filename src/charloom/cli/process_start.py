"""Finds out when the process of a command started, so that imports count among the command's minutes."""

import time
from contextvars import ContextVar
from typing import Final

# The time of `time.monotonic` at which the process started, if it was started to run a command. It is not set if
# another program, such as a test, runs the command.
START: Final[ContextVar[float]] = ContextVar("START")


def command_start() -> float:
    """Return the time of `time.monotonic` at which the process of the running command started.

    If another program runs the command, return the present time.
    """
    return START.get(time.monotonic())
