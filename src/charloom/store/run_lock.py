"""The lock of a run, which one process at a time holds while it writes the run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from charloom.errors import CharloomError, NewerFormatError, ReadError, RunInUseError, WriteError
from charloom.messages import argument
from charloom.run_file_names import LOCK
from charloom.store.atomic_files import reading, writing
from charloom.store.control_files import AT_WORK, Status, read_status

GLANCE_SECONDS: Final = 0.2  # how long a process may hold the lock only to check whether it is free
FRESH_SECONDS: Final = 10.0  # a status with an older heartbeat does not show who trains the run


def acquire(path: Path) -> FileLock:
    """Acquire the lock of a run and return it; raise RunInUseError if another process holds it."""
    lock = FileLock(path / LOCK, thread_local=False)
    with writing(path / LOCK):
        try:
            lock.acquire(timeout=GLANCE_SECONDS, poll_interval=GLANCE_SECONDS / 10)
        except Timeout:
            raise RunInUseError(
                f"{path} is in use: {who_trains(path)} trains it. Wait for it, stop it, or use another "
                f"{argument('run')}."
            ) from None
    return lock


@contextmanager
def hold_existing_lock(path: Path) -> Iterator[FileLock | None]:
    """Hold the lock of a run in a `with` block; without a lock file, hold nothing and create none.

    Nothing is held either if the disk refuses to open the lock file for writing.

    Returns:
        The lock. A `RunWriter` that gets it holds it after the block. None if nothing is held.

    Raises:
        RunInUseError: another process holds the lock.
    """
    lock = None
    if has_lock_file(path):
        with suppress(WriteError):
            lock = acquire(path)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()


def refuse_if_locked(path: Path) -> None:
    """Raise RunInUseError if another process holds the lock of a run; do not keep the lock."""
    with hold_existing_lock(path):
        pass


def reacquired(lock: FileLock) -> FileLock:
    """Return a lock that this process holds, so that it must be released once more."""
    lock.acquire()
    return lock


def has_lock_file(path: Path) -> bool:
    """Return True if a run has a lock file that charloom created.

    Acquiring a lock empties its file, so a file with contents is the user's.
    """
    lock = path / LOCK
    with reading(lock):
        return lock.is_file() and not lock.is_symlink() and not lock.stat().st_size


@contextmanager
def unless_in_use(path: Path) -> Iterator[None]:
    """Raise RunInUseError instead of any other error of a `with` block if the run is in use.

    The block reads the run without its lock, while another process may create or train the run.

    Raises:
        RunInUseError: the block failed, and another process holds the run's lock.
    """
    try:
        yield
    except CharloomError:
        refuse_if_locked(path)
        raise


def who_trains(path: Path) -> str:
    """Return words for the process that holds a run's lock, from the run's status."""
    try:
        status = read_status(path)
    except NewerFormatError:
        return "a process of a later version of charloom"
    except ReadError:
        return "another process"
    return f"process {status.pid}" if status is not None and is_fresh(status) else "another process"


def is_fresh(status: Status) -> bool:
    """Return True if a process that trains the run wrote its status a moment ago.

    An old status, or that of a run that ended, may be from another process than the one that holds the
    lock.
    """
    return status.state in AT_WORK and abs(time.time() - status.heartbeat) < FRESH_SECONDS
