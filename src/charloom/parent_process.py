"""Ends this process when its parent process ends, so that no child process is left behind."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import IO, Final

PR_SET_PDEATHSIG: Final = 1  # an option of prctl, which only Linux has


def end_with_parent(parent: int | None = None) -> None:
    """Let the operating system kill this process when its parent process ends.

    Does nothing on a system that cannot do this; only Linux can.

    Args:
        parent: the process number of the parent. If the parent has already ended, this process ends now. None
            does not check this.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def take_stdout() -> IO[str]:
    """Return the standard output, and let everything that is printed from now on go to the standard error."""
    taken = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return taken


def take_stdin() -> int:
    """Return a file descriptor of the pipe that is the standard input, and read nothing from now on as the standard input.

    No child process inherits the pipe.
    """
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def end_with_pipe(pipe: int) -> None:
    """Wait until the other end of `pipe` is closed, then kill this process and its process group.

    `pipe` is a file descriptor whose other end only the parent process holds. Call this function in
    a thread. It cannot act while user code holds Python's global lock without releasing it. On Windows, which
    has no process groups, it ends only this process.
    """
    with suppress(OSError):
        os.read(pipe, 1)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
