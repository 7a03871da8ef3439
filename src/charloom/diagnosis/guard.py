"""Runs the work of a submission in a process that is separated, limited and watched.

On Linux, three processes run one below another:

- the guard, which the parent process started. It ends everything when the parent process ends;
- the watcher, which counts the processes, the memory, the files and the processor time of the submission. If namespaces
  are allowed, it is the first process of a process namespace, so that all others end with it;
- the worker, which has the limits of `resource_limits.py` and runs the submission's code.

Without namespaces, the guard is the watcher too, and Landlock restricts the worker if the kernel has it. On
other systems, the work runs in this process, with the limits that the system offers.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from charloom.diagnosis import landlock, namespaces
from charloom.diagnosis import linux_calls as linux
from charloom.diagnosis.process_tree import adopt_orphans, descendants, kill_descendants, memory_of
from charloom.diagnosis.resource_limits import limit_resources, without_core_dumps
from charloom.diagnosis.sandbox_settings import MEGABYTE, SandboxSettings
from charloom.diagnosis.system_call_filter import forbid_processes
from charloom.diagnosis.time_watch import TimeWatch, use_of
from charloom.diagnosis.work_folder import box_of, bytes_below, fill
from charloom.formatting import count
from charloom.parent_process import end_with_parent, end_with_pipe

WATCH_SECONDS: Final = 0.02  # time between two looks at the processes
NOT_SEPARATED: Final = 77  # exit code of a process for which the system does not allow namespaces

# How a submission is separated from the rest of the system.
NAMESPACES: Final = "namespaces"
LANDLOCK: Final = "landlock"
LIMITS: Final = "limits"


class Excess(NamedTuple):
    """How a submission exceeds a limit.

    Attributes:
        reason: the words after "the function was ended because", or after "the function" if it took too long.
        slow: whether it took too long.
    """

    reason: str
    slow: bool = False


class Guard:
    """Runs the work of one submission.

    Args:
        settings: the limits, and the files that the work gets.
        folder: an empty directory, in which the sandbox is made.
        seconds: the limit of the processor time.
        needed: paths that must stay readable, although a directory above them is hidden.
        over: function that is called with an `Excess` when the submission exceeds a limit.
        work: the work. It is called with the kind of separation: `NAMESPACES`, `LANDLOCK` or `LIMITS`.
    """

    def __init__(
        self,
        settings: SandboxSettings,
        folder: Path,
        seconds: float,
        needed: Sequence[str],
        over: Callable[["Excess"], None],
        work: Callable[[str], None],
    ) -> None:
        self.settings, self.folder, self.seconds = settings, folder, seconds
        self.needed, self.over, self.work = needed, over, work

    def run(self, pipe: int) -> NoReturn:
        """Do the work, and end this process in the way in which the work's process ended.

        `pipe` is a file descriptor whose other end only the parent process holds. When it is closed,
        everything ends.
        """
        without_core_dumps()
        if not adopt_orphans():
            threading.Thread(target=end_with_pipe, args=(pipe,), daemon=True).start()
            fill(self.folder, self.settings.files)
            self._be_worker(LIMITS)
        code = self._run_in_namespaces(pipe)
        if code is None:
            fill(self.folder, self.settings.files)
            code = self._watch_worker(
                LIMITS, lambda: end_with(pipe, lambda: kill_descendants(os.getpid()))
            )
            kill_descendants(os.getpid())
        end_like(code)

    def _run_in_namespaces(self, pipe: int) -> int | None:
        """Do the work in namespaces; return its exit code, or None if the system does not allow them."""
        result, theirs = os.pipe()
        holder = os.fork()
        if holder == 0:
            os.close(result)
            self._hold_namespaces(theirs)
        os.close(theirs)
        ready = os.read(result, 1)  # empty if there are no namespaces
        if ready:
            end_with(pipe, lambda: os.kill(holder, signal.SIGKILL))
        text = b""
        while block := os.read(result, 100):
            text += block
        os.close(result)
        os.waitpid(holder, 0)
        if not ready:
            return None
        return int(text) if text else -signal.SIGKILL

    def _hold_namespaces(self, result: int) -> NoReturn:
        """Enter namespaces, start their first process, and wait for it."""
        end_with_parent()
        try:
            namespaces.enter_namespaces()
            namespaces.mount_memory(str(self.folder), self.settings.written)
            fill(self.folder, self.settings.files)
            namespaces.hide(self.settings.hidden, (*self.needed, str(self.folder)))
            namespaces.only_writable(str(self.folder))
        except (OSError, AttributeError):
            os._exit(NOT_SEPARATED)
        first = os.fork()
        if first == 0:
            self._be_first_process(result)
        os.close(result)
        os.waitpid(first, 0)
        os._exit(0)

    def _be_first_process(self, result: int) -> NoReturn:
        """Watch the worker as the first process of the namespaces, and write its exit code to `result`."""
        end_with_parent()
        try:
            namespaces.show_own_processes()
        except OSError:
            os._exit(NOT_SEPARATED)
        os.write(result, b" ")
        linux.prctl(
            linux.SET_DUMPABLE, 0
        )  # so that the submission cannot read or change this process
        code = self._watch_worker(NAMESPACES, lambda: None, result)
        os.write(result, str(code).encode())
        os._exit(0)

    def _watch_worker(self, kind: str, started: Callable[[], None], result: int = -1) -> int:
        """Start the worker, watch it, and return its exit code.

        `started` is called when the worker runs. The worker closes the file descriptor `result`.
        """
        ended = {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, ended)
        worker = os.fork()
        if worker == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ended)
            if result >= 0:
                os.close(result)
            end_with_parent()
            self._be_worker(kind)
        started()
        watch = TimeWatch(self.seconds)
        while True:
            signal.sigtimedwait(ended, WATCH_SECONDS)
            code = exit_code(worker)
            if code is not None:
                return code
            if excess := self._excess(kind, watch):
                self.over(excess)
                return -signal.SIGKILL

    def _excess(self, kind: str, watch: TimeWatch) -> Excess | None:
        """Return the limit that the submission exceeds, or None."""
        settings = self.settings
        most = 1 + settings.processes  # the worker, and what it starts
        processes = descendants(os.getpid(), most + 1)
        if len(processes) > most:
            return Excess(f"it started {more_than(settings.processes)}")
        if sum(map(memory_of, processes)) > settings.memory:
            return Excess(f"it used more than {count(settings.memory // MEGABYTE)} MB of memory")
        # In namespaces, the directory is in memory and has a fixed size.
        if kind == LIMITS and bytes_below(self.folder) > settings.written:
            return Excess(f"it wrote more than {count(settings.written // MEGABYTE)} MB to files")
        slow = watch.excess(use_of(processes))
        return Excess(slow, slow=True) if slow else None

    def _be_worker(self, kind: str) -> NoReturn:
        """Limit this process, do the work in the working directory of the sandbox, and end the process."""
        if sys.platform == "linux":
            if kind == LIMITS and self._restricted_by_landlock():
                kind = LANDLOCK
            give_up_privileges(kind, self.settings.processes == 0)
        limit_resources(self.settings, self.seconds, own_user=kind == NAMESPACES)
        os.chdir(box_of(self.folder).work)
        self.work(kind)
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        os._exit(0)  # do not wait for threads of the user's code that still run

    def _restricted_by_landlock(self) -> bool:
        """Restrict this process by Landlock, and return True; return False if the system does not have it."""
        with suppress(OSError, AttributeError):
            landlock.restrict(str(self.folder), self.settings.hidden, self.needed)
            return True
        return False


def more_than(processes: int) -> str:
    """Return the words for more processes than are allowed."""
    return f"more than {count(processes)} processes" if processes else "another process"


def give_up_privileges(kind: str, alone: bool) -> None:
    """Give up what this process may do beyond the user's own rights, as far as the system allows it.

    If `alone` is True, the process can start no other processes from now on.
    """
    with suppress(OSError, AttributeError):
        if kind == NAMESPACES:
            linux.drop_privileges()
            linux.prctl(linux.SET_DUMPABLE, 1)
        else:
            linux.prctl(linux.NO_NEW_PRIVILEGES, 1)
    if alone:
        with suppress(OSError, AttributeError):
            forbid_processes()


def end_with(pipe: int, end: Callable[[], None]) -> None:
    """Start a thread that waits until the other end of `pipe` is closed, and then ends everything.

    `end` ends the submission's processes; afterwards this process ends.
    """

    def wait() -> None:
        with suppress(OSError):
            os.read(pipe, 1)
        with suppress(OSError):
            end()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def exit_code(worker: int) -> int | None:
    """Return the exit code of the worker, or None if it still runs; forget other processes that ended.

    A negative code is the number of the signal that ended the worker.
    """
    with suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == worker:
                return os.waitstatus_to_exitcode(status)
            if process == 0:
                return None
    return None


def end_like(code: int) -> NoReturn:
    """End this process with an exit code, or by a signal if `code` is negative."""
    if code < 0:
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 1)
