"""Processes to race and to kill: copies of this one, so that they need no time to start.

What is patched here is patched there, which is how a planted fault reaches them.
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
import charloom.training.signals  # noqa: F401
from charloom.cli import main
from charloom.doctor.child import end_with_parent

PATIENCE = 300.0  # seconds, for a process that must come to its own end

ACCOUNT = struct.Struct("d")

Tell = Callable[[bytes], object]


class Forked:
    """A copy of this process that does some work and ends.

    Args:
        work: what it does; it is given a function by which it tells us bytes. An exit code that
            it raises by SystemExit is its exit code; any other exception is 1, told by `errors`.
    """

    def __init__(self, work: Callable[[Tell], object]) -> None:
        self._hear, told = os.pipe()
        # A file, for a pipe that nobody reads lets a process wait that says much.
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
            _do(work, told, self._errors, self._account)
        os.close(told)

    def hear(self, timeout: float = PATIENCE) -> bytes:
        """What it told since the last time; waits until there is something. Empty: it ended, or
        told nothing for so many seconds."""
        if not select.select([self._hear], [], [], timeout)[0]:
            return b""
        return os.read(self._hear, 1 << 16)

    def send(self, number: int = signal.SIGKILL) -> None:
        """A signal, if it still runs."""
        if self.code(0) is None:
            os.kill(self.pid, number)

    def account(self) -> float:
        """Its `own_time`; once it has come to its own end, that of that moment."""
        (ended,) = ACCOUNT.unpack(self._account[:])
        return float(ended) or own_time(self.pid)

    def computed(self) -> float:
        """Seconds of a processor that it has used, as long as it lives; afterwards 0."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return 0.0

    def let_live(self, seconds: float) -> None:
        """Wait until it has lived so much longer, by its `own_time`, or ended."""
        until = self.account() + seconds
        while self.code(0) is None and (left := until - self.account()) > 0:
            time.sleep(min(left, 0.01))

    def code(self, timeout: float = PATIENCE) -> int | None:
        """Its exit code, negative for the signal that ended it; None where it runs on."""
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
        """End it, if it has not; what went wrong in it."""
        if self._said is None:
            self.send()
            self.code()
            os.close(self._hear)
            os.lseek(self._errors, 0, os.SEEK_SET)
            with os.fdopen(self._errors, errors="replace") as errors:
                self._said = errors.read()
        return self._said


def own_time(pid: int | None = None) -> float:
    """Seconds since some moment, without those in which a process, by default this one, waited for a
    processor that others had: a machine's other work is not its fault."""
    try:
        told = Path(f"/proc/{pid or os.getpid()}/schedstat").read_text().split()
        return time.monotonic() - int(told[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return time.monotonic()  # the system does not tell


def _do(work: Callable[[Tell], object], told: int, errors: int, account: mmap.mmap) -> NoReturn:
    """The life of a copy."""
    code = 1
    try:
        end_with_parent()
        # Whoever started us may be deaf to Ctrl-C, as what runs in the background is.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(errors, 2)
        sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        work(lambda data: _tell(told, data))
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


def _tell(told: int, data: bytes) -> None:
    with suppress(BrokenPipeError):
        os.write(told, data)


def command(*arguments: object) -> None:
    """The command `charloom` with these arguments; ends by SystemExit."""
    sys.argv = ["charloom", *map(str, arguments)]
    main()
