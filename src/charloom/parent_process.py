"""Ends this process when its parent process ends, so that no child process is left behind."""

import ctypes
import os
import signal
from contextlib import suppress
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # an option of prctl, which only Linux has


def end_with_parent() -> None:
    """Let the operating system kill this process when its parent process ends.

    Does nothing on a system that cannot do this; only Linux can.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_pipe(pipe: int) -> None:
    """Wait until the other end of `pipe` is closed, then kill this process and its process group.

    `pipe` is a file descriptor whose other end only the parent process holds. Call this function in
    a thread. It cannot act while user code holds Python's global lock without releasing it.
    """
    with suppress(OSError):
        os.read(pipe, 1)
        os.killpg(0, signal.SIGKILL)
