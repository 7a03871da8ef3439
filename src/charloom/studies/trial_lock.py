"""A lock between the processes that write Optuna's journal file. It needs nothing but rename, so it works over NFS.

Each process has a folder that names it. The process has the lock while its folder has the name `held`: no folder can get
this name while another one has it. If the process that has the lock was killed, another one takes the lock away.
"""

import json
import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.studies.trial_owners import Owner, is_gone, owner_of

HELD, OWNER_FILE = "held", "owner.json"
GRACE_SECONDS: Final = 30.0  # how long a process on another machine may have the lock
PAUSES: Final = (0.0005, 0.05)  # seconds between two attempts, at first and at most
MOST_REFUSALS: Final = 200  # attempts that fail although nobody has the lock


class TrialLock:
    """A lock, with the methods that Optuna wants.

    Args:
        folder: the folder of the lock; it is created if it does not exist.
        owner: names this process; None means the process that runs.

    Raises:
        OSError: the disk failed.
    """

    def __init__(self, folder: Path, owner: Owner | None = None) -> None:
        self._held = folder / HELD
        self._own = folder / uuid.uuid4().hex
        self._owner = {**(owner or owner_of(os.getpid(), "")), "worker": self._own.name}
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            found = owner_in(path)
            if path.name != HELD and found is not None and is_gone(found):
                shutil.rmtree(path, ignore_errors=True)

    def acquire(self) -> bool:
        """Wait for the lock, and return True."""
        seen, since, pause, refusals = None, 0.0, PAUSES[0], 0
        while not self._taken():
            holder = owner_in(self._held)
            refusals = refusals + 1 if holder is None else 0
            if refusals > MOST_REFUSALS:
                self._own.rename(self._held)  # raises the error
            now = time.monotonic()
            if holder != seen:
                seen, since = holder, now
            if holder is not None and (is_gone(holder) or now - since > GRACE_SECONDS):
                self._take_away(holder)
                continue
            time.sleep(pause)
            pause = min(2 * pause, PAUSES[1])
        return True

    def release(self) -> None:
        """Give the lock back, unless another process has taken it away."""
        if owner_in(self._held) == self._owner:
            self._held.rename(self._own)

    def close(self) -> None:
        """Remove the folder of this process."""
        shutil.rmtree(self._own, ignore_errors=True)

    def _taken(self) -> bool:
        """Try to take the lock; return True if this process has it now."""
        if not self._own.exists():
            self._own.mkdir()
            (self._own / OWNER_FILE).write_text(json.dumps(self._owner), encoding="utf-8")
        try:
            self._own.rename(self._held)
        except OSError:
            return False
        return True

    def _take_away(self, holder: dict[str, Any]) -> None:
        """Remove the lock of a process that was killed."""
        away = self._own.with_name(uuid.uuid4().hex)
        with suppress(OSError):
            self._held.rename(away)
            if owner_in(away) == holder:
                shutil.rmtree(away, ignore_errors=True)
            else:  # another process was faster, and a third one has the lock now
                away.rename(self._held)


def owner_in(path: Path) -> dict[str, Any] | None:
    """Return the owner that a folder names; None if it names none."""
    try:
        found = json.loads((path / OWNER_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
