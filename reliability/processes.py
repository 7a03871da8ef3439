"""Starts processes that race or are killed: forks of this process, which start immediately.

A patch in this process also applies in its forks, so tests can plant faults in them.
"""

import mmap
import os
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# What commands import when they run: copies shall have it from the start.
import charloom.api
import charloom.cli.progress
import charloom.training.stop_signals  # noqa: F401
from charloom.cli import main
from charloom.parent_process import end_with_parent

PATIENCE = 300.0  # seconds, for a process that must come to its own end

ACCOUNT = struct.Struct("d")

Tell = Callable[[bytes], object]


class Forked:
    """A fork of this process that does some work and ends.

    Args:
        work: the work, a function that gets a function to send bytes to this process. A SystemExit
            sets the exit code. After any other exception the exit code is 1, and `close` returns the
            traceback.
    """

    def __init__(self, work: Callable[[Tell], object]) -> None:
        self._hear, write_end = os.pipe()
        # A file and not a pipe, because a process blocks when it writes much to a pipe that is not read.
        with tempfile.TemporaryFile() as errors:
            self._errors = os.dup(errors.fileno())
        self._status: int | None = None
        self._said: str | None = None
        self._account = mmap.mmap(-1, 8)  # its own last word on it, which copies share
        with warnings.catch_warnings():
            # The copy has this thread alone, and uses no other.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            os.close(self._hear)
            _do(work, write_end, self._errors, self._account)
        os.close(write_end)

    def hear(self, timeout: float = PATIENCE) -> bytes:
        """Wait for bytes from the process and return them.

        The result is empty if the process ended or sent nothing for `timeout` seconds.
        """
        if not select.select([self._hear], [], [], timeout)[0]:
            return b""
        return os.read(self._hear, 1 << 16)

    def send(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process if it still runs."""
        if self.code(0) is None:
            os.kill(self.pid, number)

    def account(self) -> float:
        """Return the `own_time` of the process; after its end, the `own_time` at its end."""
        (ended,) = ACCOUNT.unpack(self._account[:])
        return float(ended) or own_time(self.pid)

    def computed(self) -> float:
        """Return the processor seconds that the process has used; 0 after its end."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return 0.0

    def let_live(self, seconds: float) -> None:
        """Wait for this many seconds of the process's `own_time`, or until it ends."""
        until = self.account() + seconds
        while self.code(0) is None and (left := until - self.account()) > 0:
            time.sleep(min(left, 0.01))

    def code(self, timeout: float = PATIENCE) -> int | None:
        """Return the exit code, negative for a signal; None if the process still runs after `timeout`."""
        until = time.monotonic() + timeout
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= until:
                return None
            else:
                time.sleep(0.001)
        return self._status

    def close(self) -> str:
        """End the process if it still runs, and return what it wrote to standard error."""
        if self._said is None:
            self.send()
            self.code()
            os.close(self._hear)
            os.lseek(self._errors, 0, os.SEEK_SET)
            with os.fdopen(self._errors, errors="replace") as errors:
                self._said = errors.read()
        return self._said


def own_time(pid: int | None = None) -> float:
    """Return a process's clock in seconds, which stops while the process waits for a processor.

    So the other load of the machine does not count. The default is this process.
    """
    try:
        fields = Path(f"/proc/{pid or os.getpid()}/schedstat").read_text().split()
        return time.monotonic() - int(fields[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return time.monotonic()  # the system does not have these figures


def _do(
    work: Callable[[Tell], object], write_end: int, errors: int, account: mmap.mmap
) -> NoReturn:
    """Run the work in the fork, and exit."""
    code = 1
    try:
        end_with_parent()
        # The parent may ignore SIGINT, as background processes do; the fork must not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(errors, 2)
        sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        work(lambda data: _tell(write_end, data))
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        account[:] = ACCOUNT.pack(own_time())
        os._exit(code)


def _tell(write_end: int, data: bytes) -> None:
    with suppress(BrokenPipeError):
        os.write(write_end, data)


def command(*arguments: object) -> None:
    """Run the command `charloom` with these arguments; ends with SystemExit."""
    sys.argv = ["charloom", *map(str, arguments)]
    main()
