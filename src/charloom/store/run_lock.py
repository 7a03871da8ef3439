"""The lock of a run, which one process at a time holds while it writes the run."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from charloom.errors import (
    CharloomError,
    NewerFormatError,
    NotAModelError,
    ReadError,
    RunInUseError,
    WriteError,
)
from charloom.messages import argument, command
from charloom.run_file_names import LOCK
from charloom.store.atomic_files import reading, writing
from charloom.store.control_files import AT_WORK, Status, read_status
from charloom.store.run_directory import is_run

# Seconds to wait for the lock: another process may hold it for a moment, only to check whether it is free.
GLANCE_SECONDS: Final = 0.2
# A status that was written more seconds ago than this does not show which process trains the run.
FRESH_SECONDS: Final = 10.0


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
    """Hold the lock of a run in a `with` block.

    Holds no lock if the run has no lock file, or if the lock file cannot be written. Creates no lock file.

    Yields:
        The lock; None if no lock is held. If the block gives the lock to a `RunWriter`, the writer holds
        the lock until the writer is closed.

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


@contextmanager
def hold_lock_of_whole_run(path: Path) -> Iterator[FileLock | None]:
    """Hold the lock of a run in a `with` block that renames or removes the whole run directory.

    Creates the lock file if the run has none, so that no other process starts to train the run.

    Yields:
        The lock; None if the name of the lock file belongs to a link, a directory or a file with contents.
        Then no process trains the run, because it would have replaced the contents.

    Raises:
        RunInUseError: another process holds the lock.
        NotAModelError: another process has just removed or renamed the run.
        WriteError: the lock file cannot be written.
    """
    if os.path.lexists(path / LOCK) and not has_lock_file(path):
        yield None
        return
    try:
        lock = acquire(path)
    except RunInUseError:
        raise RunInUseError(stop_first(path)) from None
    try:
        if not is_run(path):
            # Acquiring the lock has made the directory again.
            with suppress(OSError):
                (path / LOCK).unlink()
                path.rmdir()
            raise NotAModelError(
                f"{path} is not a run: another process has just removed or renamed it."
            )
        yield lock
    finally:
        lock.release()


def stop_first(path: Path) -> str:
    """Return a message that a run must not be renamed or removed while another process trains it."""
    return f"{path} is in use: {who_trains(path)} trains it. Stop it first: {command('control', path, 'stop')}."


def is_trained(path: Path) -> bool:
    """Return True if another process holds the lock of a run. Does not create a lock file."""
    try:
        refuse_if_locked(path)
    except RunInUseError:
        return True
    return False


def refuse_if_locked(path: Path) -> None:
    """Raise RunInUseError if another process holds the lock of a run. Do not keep the lock."""
    with hold_existing_lock(path):
        pass


def has_lock_file(path: Path) -> bool:
    """Return True if a run has a lock file that charloom created.

    Such a file is empty. A file with contents is the user's, and acquiring the lock would empty it.
    """
    lock = path / LOCK
    with reading(lock):
        return lock.is_file() and not lock.is_symlink() and not lock.stat().st_size


@contextmanager
def unless_in_use(path: Path) -> Iterator[None]:
    """Replace an error of a `with` block by RunInUseError if another process holds the run's lock.

    The block reads the run without its lock, while another process may create or train the run.

    Raises:
        RunInUseError: the block raised an error, and another process holds the run's lock.
    """
    try:
        yield
    except CharloomError:
        refuse_if_locked(path)
        raise


def who_trains(path: Path) -> str:
    """Return words for the process that holds a run's lock, such as "process 123" or "another process"."""
    try:
        status = read_status(path)
    except NewerFormatError:
        return "a process of a later version of charloom"
    except ReadError:
        return "another process"
    return f"process {status.pid}" if status is not None and is_fresh(status) else "another process"


def is_fresh(status: Status) -> bool:
    """Return True if `status` is at most ten seconds old and says that a process trains the run.

    An older status may come from an earlier process, and not from the process that holds the lock.
    """
    return status.state in AT_WORK and abs(time.time() - status.heartbeat) < FRESH_SECONDS
