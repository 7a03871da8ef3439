"""Says in a file of the study how many workers train its runs while they do, so that other programs can show it.

The process that runs the study writes its file again now and then, and removes it at the end. If it was killed, its
process number or the age of the file shows that it has ended (spec/formats.md: Studies).
"""

import json
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from charloom.canonical_form import canonical_json
from charloom.errors import StoreError
from charloom.store.atomic_files import make_directories, read_file, replace_file
from charloom.studies.trial_owners import is_gone, is_here, owner_of

WORKERS: Final = "workers"  # the folder of the files
AGAIN_SECONDS: Final = 20.0  # time between two writings
# A file of another machine counts if it was written within this time. The clocks of machines differ.
COUNTED_SECONDS: Final = 120.0
LARGEST_FILE: Final = 4_096  # bytes
MOST_WORKERS: Final = 1_000_000

HaltCheck = Callable[[], str | None]


class WorkerCount:
    """Tells other programs how many workers train the runs of a study, from the entry of the context to its end.

    A disk that is full does not end the study: the number is then missing.

    Args:
        study: the directory of the study.
        count: returns the number of workers.
    """

    def __init__(self, study: Path, count: Callable[[], int]) -> None:
        self._folder, self._count = study / WORKERS, count
        self._path = self._folder / f"{uuid.uuid4().hex}.json"
        self._told, self._written = -1, 0.0

    def beating(self, halt: HaltCheck) -> HaltCheck:
        """Return a function that does what `halt` does, and writes the file again when it is due."""

        def halt_and_tell() -> str | None:
            self._tell()
            return halt()

        return halt_and_tell

    def _tell(self) -> None:
        """Write the file if the number has changed, or if it was written long ago."""
        number, now = self._count(), time.monotonic()
        if number == self._told and now - self._written < AGAIN_SECONDS:
            return
        self._told, self._written = number, now
        owner = owner_of(os.getpid(), self._path.stem)
        with suppress(StoreError, OSError):
            replace_file(self._path, canonical_json({**owner, "workers": number}), durable=False)

    def __enter__(self) -> Self:
        with suppress(OSError):
            make_directories(self._folder)
            now = time.time()
            for path in self._folder.glob("*.json"):
                if not workers_in_file(path, now):
                    path.unlink(missing_ok=True)
        self._tell()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def living_workers(study: Path, now: float) -> int:
    """Return how many workers train the runs of a study.

    Args:
        study: the directory of the study.
        now: the time, in Unix time.
    """
    return sum(workers_in_file(path, now) for path in (study / WORKERS).glob("*.json"))


def workers_in_file(path: Path, now: float) -> int:
    """Return the number of workers that a file names; 0 if its process has ended, or if the file is damaged."""
    try:
        changed = path.stat().st_mtime
        values: dict[str, Any] = json.loads(read_file(path, LARGEST_FILE) or b"")
        number = values["workers"]
        if type(number) is not int or not 0 <= number <= MOST_WORKERS:
            return 0
        # Only Linux says when a process started. Elsewhere, a number of a process may have been given again.
        known = is_here(values) and type(values["birth"]) is int
        alive = not is_gone(values) and (known or now - changed < COUNTED_SECONDS)
    except (OSError, StoreError, ValueError, LookupError, TypeError, RecursionError):
        return 0
    return number if alive else 0
