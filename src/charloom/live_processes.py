"""Tells whether a process of this machine still runs, and when it started."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

# Constants of the Windows functions that say whether a process still runs.
SYNCHRONIZE: Final = 0x0010_0000
WAIT_TIMEOUT: Final = 0x102
ERROR_ACCESS_DENIED: Final = 5


def process_start_time(pid: int) -> int | None:
    """Return when the process `pid` started, in ticks since the system started; None if not known."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return None


def is_alive_on_windows(pid: int) -> bool:
    """Return True if there is a running process with the id `pid`. Only Windows can be asked in this way."""
    system = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    system.OpenProcess.restype = ctypes.c_void_p
    handle = system.OpenProcess(SYNCHRONIZE, False, pid)
    if not handle:
        denied: bool = ctypes.get_last_error() == ERROR_ACCESS_DENIED  # type: ignore[attr-defined]
        return denied  # the process exists, but belongs to another user
    try:
        return bool(system.WaitForSingleObject(ctypes.c_void_p(handle), 0) == WAIT_TIMEOUT)
    finally:
        system.CloseHandle(ctypes.c_void_p(handle))


def is_alive(pid: Any) -> bool:
    """Return True if there is a running process with the id `pid`."""
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    if os.name == "nt":
        return is_alive_on_windows(pid)  # on Windows, os.kill(pid, 0) would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # the process exists, but belongs to another user
    with suppress(OSError):
        # State Z: the process has ended, but its parent process has not read its exit code.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return True
