"""Lists the runs and model files in one folder, and finds a run or model file by its key.

Clients give keys, and the server never uses a path from a client. `indexed_run.py` reads a single run.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from charloom.errors import CharloomError
from charloom.formatting import shortened
from charloom.store.run_settings import TextDescription
from charloom.web.error_responses import NotFoundError
from charloom.web.file_descriptors import Shortage, is_shortage
from charloom.web.indexed_run import IndexedRun, run_of_job
from charloom.web.runs_folder import Location, RunsFolder, ScanResult
from charloom.web.schemas import Run
from charloom.web.training_jobs import Jobs

READ_AT_ONCE: Final = 200  # largest number of new runs that are read in one reading of the folder
# How many runs whose directories have not changed are checked file by file in each reading of the folder.
CHECKED_AT_ONCE: Final = 500
# `read_list` returns the last list again, without reading the folder, if the list is at most this old.
STALE_SECONDS: Final = 0.4
# If reading the folder took s seconds, `read_list` returns the last list again while the list is at most RESTS * s
# seconds old. Otherwise reading a large folder could take all of the processor's time.
RESTS: Final = 3

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RunList:
    """The result of reading the folder once.

    Attributes:
        places: the locations of the runs by key.
        files: the locations of the model files by key.
        runs: the entries of the runs whose files have been read, most recently changed first; also an entry
            for each training process that has not created its run directory yet.
        unread: the number of runs whose files have not been read yet. Each time the server reads the folder,
            it reads some of these runs.
        time: when reading the folder began, in seconds of `time.monotonic`.
    """

    places: dict[str, Location]
    files: dict[str, Location]
    runs: list[Run]
    unread: int
    time: float

    @property
    def total(self) -> int:
        """Return the number of all runs, including the runs whose files have not been read yet."""
        return len(self.runs) + self.unread


class RunIndex:
    """The list of the runs and model files of a folder.

    Args:
        folder: the folder. It may not exist yet.
        jobs: the training processes that this server started.
        shortage: is notified when there is no free file descriptor.
    """

    def __init__(self, folder: Path, jobs: Jobs, shortage: Shortage | None = None) -> None:
        self.folder = folder
        self.jobs = jobs
        self._shortage = shortage or Shortage()
        self._reading = threading.Lock()  # held while the folder is read
        self._folder = RunsFolder(folder)
        self._indexed: dict[str, IndexedRun] = {}
        # Keys of the runs that clients have requested. The next reading of the folder reads these runs first.
        self._wanted: set[str] = set()
        # An index in the list of the runs' keys. The next reading of the folder checks the files of
        # CHECKED_AT_ONCE runs, beginning with the run at this index.
        self._next_check = 0
        self._reading_seconds = 0.0  # how long the last reading of the folder took
        self._last_list = RunList({}, {}, [], 0, -math.inf)

    def read_list(self, refresh: bool = False) -> RunList:
        """Return the list of runs and model files.

        If `refresh` is True, read the folder now. Otherwise the list may be up to 0.4 seconds old. If reading the
        folder takes long, the list may be older: if the last reading took one second, the list may be up to three
        seconds old.
        """
        now = time.monotonic()
        since = now if refresh else now - max(STALE_SECONDS, RESTS * self._reading_seconds)
        if self._last_list.time < since:
            with self._reading:
                # Compare again: another thread may have read the folder while this thread waited for the lock.
                if self._last_list.time < since:
                    self._last_list = self._read_or_keep()
                    self._reading_seconds = time.monotonic() - self._last_list.time
        return self._last_list

    def _read_or_keep(self) -> RunList:
        """Read the folder, and return the new list of runs and model files.

        If no file descriptor is free, return the previous list instead. If there is no previous list either,
        raise the error that reports the lack of file descriptors.
        """
        try:
            return self._read()
        except (OSError, CharloomError) as error:
            if not is_shortage(error) or self._last_list.time == -math.inf:
                raise
            self._shortage.met()
            return replace(self._last_list, time=time.monotonic())

    def place(self, key: str) -> Location:
        """Return the location of the run with the key `key`.

        Raises:
            NotFoundError: no run has this key.
        """
        return self._look_up(key, lambda listed: listed.places.get(key))

    def path(self, key: str) -> Path:
        """Return the directory of the run with the key `key`, even if the directory does not exist yet.

        Raises:
            NotFoundError: no run has this key.
        """
        place = self.place_if_any(key)
        if place is not None:
            return place.path
        self.run(key)
        return self.folder / key

    def place_if_any(self, key: str) -> Location | None:
        """Return the location of the run with the key `key`; None if the run has no directory yet."""
        try:
            return self.place(key)
        except NotFoundError:
            return None

    def run(self, key: str) -> Run:
        """Return the entry of the list for the run with the key `key`.

        Raises:
            NotFoundError: no run has this key.
        """
        # A requested run is read in the next reading of the folder, even if there are many new runs.
        self._wanted.add(key)
        return self._look_up(
            key, lambda listed: next((run for run in listed.runs if run.key == key), None)
        )

    def _look_up(self, key: str, find: Callable[[RunList], T | None]) -> T:
        """Return what the function `find` finds in the list for the run with the key `key`.

        If `find` returns None, read the folder again, and call `find` with the new list.

        Raises:
            NotFoundError: `find` returned None for the new list, too.
        """
        for refresh in (False, True):
            if (found := find(self.read_list(refresh))) is not None:
                return found
        raise NotFoundError(f"there is no run {shortened(key)}; GET /api/runs lists the runs.")

    def texts(self) -> list[tuple[Run, Path, TextDescription]]:
        """Return a tuple for each run whose text is known: the run, its directory, and its text's description."""
        listed, indexed = self.read_list(), self._indexed
        return [
            (run, listed.places[run.key].path, text)
            for run in listed.runs
            if run.key in indexed and (text := indexed[run.key].text) is not None
        ]

    def model(self, key: str) -> tuple[Location, str | None]:
        """Return the location of the run or file that has the model `key`, and which model of the run it is.

        For a model file, the second value is "file". For a model of a run, the second value is "latest",
        "best" or an update as a string; None means the run's default model.

        Raises:
            NotFoundError: no run or model file has a model with this key.
        """
        name, _, which = key.partition("@")
        listed = self._last_list
        if name not in listed.places and name not in listed.files:
            # Read the folder only if the list does not have the run or model file: reading takes time, and a request
            # to a listed model must not wait for it.
            listed = self.read_list(refresh=True)
        if name in listed.places:
            return listed.places[name], which or None
        if name in listed.files and not which:
            return listed.files[name], "file"
        raise NotFoundError(
            f"there is no model {shortened(key)}; GET /api/models and GET /v1/models list the models."
        )

    def _read(self) -> RunList:
        """Read the folder once, and return the list.

        Read the runs that are new or whose directories have changed. A file can change without changing its
        directory, so each call also checks the files of some runs whose directories have not changed: of the
        runs that changed last, and of several hundred others by turns.
        """
        began = time.monotonic()
        found = self._folder.scan()
        jobs = self.jobs.remove_old_jobs(found.runs)
        self._indexed = {
            key: self._indexed.get(key) or IndexedRun(place.path)
            for key, place in found.runs.items()
        }
        runs, unread = [], self._left_out(found)
        checked = self._to_check(list(found.runs))
        for key, place in found.runs.items():
            if key not in unread:
                indexed, job = self._indexed[key], jobs.get(key)
                unchanged = None if key in checked else indexed.unchanged(job, found.stamps[key])
                runs.append(unchanged or indexed.read(place, job, found.stamps[key]))
        runs += [run_of_job(job) for key, job in jobs.items() if key not in found.runs]
        runs.sort(key=lambda run: (-run.changed, run.key))
        return RunList(found.runs, found.files, runs, len(unread), began)

    def _left_out(self, found: ScanResult) -> set[str]:
        """Return the keys of the new runs in `found` that are left for a later reading of the folder.

        One reading of the folder reads at most `READ_AT_ONCE` new runs: first the runs that a client has
        requested, then the runs that changed last.
        """
        new = [key for key, indexed in self._indexed.items() if not indexed.known]
        new.sort(key=lambda key: (key in self._wanted, found.stamps[key]), reverse=True)
        self._wanted.clear()
        return set(new[READ_AT_ONCE:])

    def _to_check(self, keys: list[str]) -> set[str]:
        """Return the keys of the runs whose files are checked even if their directories have not changed.

        These are the runs that changed last, and `CHECKED_AT_ONCE` runs in `keys`. Each call continues in
        `keys` where the previous call ended, and begins again after the last key.
        """
        checked = {run.key for run in self._last_list.runs[:READ_AT_ONCE]}
        start = self._next_check if self._next_check < len(keys) else 0
        self._next_check = start + CHECKED_AT_ONCE
        return checked | set(keys[start : self._next_check])
