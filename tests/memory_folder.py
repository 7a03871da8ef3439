"""Let pytest keep the tests' temporary files in memory, where this system has room for them.

The tests write some 25,000 files and wait for the disk at each save of a run. In memory they need less than half
the time. What a disk does wrong is simulated (reliability/disk.py and reliability/power.py), never waited for.
"""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 2**30  # bytes; the files of passed tests are removed, so that a tenth of it is in use


def keep_temporary_files_in_memory(environment=os.environ, folder=MEMORY):
    """Name `folder` as the place of temporary files if it has room, unless the user named another.

    Containers often have a small /dev/shm, or one from which no program can be run: some tests run scripts.
    """
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return
    system = os.statvfs(folder)
    if system.f_bavail * system.f_frsize >= ENOUGH and not system.f_flag & os.ST_NOEXEC:
        environment.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))
