"""Ends this process when its parent process ends, so that no child process is left behind."""

import ctypes
import os
import signal
from contextlib import suppress
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # an option of prctl, which only Linux has


def end_with_parent() -> None:
    """Make the system kill this process when its parent process ends, where the system can do that."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_pipe(pipe: int) -> None:
    """Wait until the other end of `pipe` is closed, then kill this process and its process group.

    `pipe` is a file descriptor whose other end only the parent process holds. Call this in a thread.
    User code that never releases Python's global lock blocks that thread.
    """
    with suppress(OSError):
        os.read(pipe, 1)
        os.killpg(0, signal.SIGKILL)
