"""Lets the tests and their processes keep temporary files in memory, if this system has room for them.

The tests write about 25,000 files and wait for the disk at each save of a run. In memory they need less than
half the time. No test needs a real disk: reliability/disk.py and reliability/power.py simulate disk faults.
"""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 2**30  # bytes; the files of passed tests are removed, so about a tenth of it is in use


def keep_temporary_files_in_memory(environment=os.environ, folder=MEMORY):
    """Let the tests put temporary files into `folder` if it has room, unless the user named another folder.

    These are the files of pytest's fixtures, and those that charloom and the checkers make by `tempfile`.

    Containers often have a small /dev/shm, or one that does not allow running programs; some tests run scripts.
    """
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return
    system = os.statvfs(folder)
    if system.f_bavail * system.f_frsize >= ENOUGH and not system.f_flag & os.ST_NOEXEC:
        for name in ("PYTEST_DEBUG_TEMPROOT", "TMPDIR"):
            environment.setdefault(name, str(folder))
        tempfile.tempdir = None  # so that tempfile reads TMPDIR again
