"""Limits the memory, the files and the processes of this process, as far as the system allows.

Works on Linux and macOS; does nothing on Windows, which has no such limits.
"""

import math
import sys
from contextlib import suppress
from typing import Final

from charloom.diagnosis.sandbox_settings import SandboxSettings

THREADS: Final = 128  # the system counts each thread as a process
SPARE_SECONDS: Final = 5  # processor time of a process above its time limit


def without_core_dumps() -> None:
    """Let no crash of this process or of its children write its memory to a file."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_resources(settings: SandboxSettings, seconds: float, own_user: bool) -> None:
    """Limit this process and the processes that it starts.

    Args:
        settings: the limits.
        seconds: the time limit; a process gets a little more processor time.
        own_user: whether the sandbox counts the user's processes apart from those outside. If not, the
            number of processes is not limited here, because the limit would count the processes of
            other programs too.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        "RLIMIT_CPU": math.ceil(min(seconds, 1e8)) + SPARE_SECONDS,
        "RLIMIT_FSIZE": settings.written,
        "RLIMIT_NOFILE": settings.open_files,
        # RLIMIT_AS would also count what a library such as PyTorch maps and never uses.
        "RLIMIT_DATA": settings.memory,
    }
    if own_user:
        limits["RLIMIT_NPROC"] = settings.processes + THREADS
    if sys.platform == "win32":
        return
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        # At the soft limit of the time, the process gets SIGXCPU, and at the hard one it is killed.
        most = value + (name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, most))
