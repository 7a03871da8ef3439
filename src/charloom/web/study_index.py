"""Finds the studies beside and inside the folder of runs, and follows them.

A study is a directory with a `study.json`: in the served folder, as deep as runs are searched, the served folder itself,
or in the folder `studies` beside it, which `charloom study` fills by default.
"""

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from charloom.formatting import shortened
from charloom.run_file_names import RUNS_DEPTH
from charloom.studies.study_files import HEADER
from charloom.web.error_responses import NotFoundError
from charloom.web.file_descriptors import is_shortage
from charloom.web.run_index import RESTS, STALE_SECONDS, RunIndex
from charloom.web.runs_folder import Location, key_of, printable
from charloom.web.study_figures import StudyFigures
from charloom.web.watched_study import WatchedStudy

STUDIES: Final = "studies"  # the folder beside the served one in which studies are looked for
READ_AT_ONCE: Final = 4 * 1024 * 1024  # about how many bytes of journals one call reads


class StudyIndex:
    """The studies that the server shows.

    Args:
        run_index: the list of runs. Its folder is searched for studies.

    Attributes:
        lock: held while studies are read. What was read MUST only be used while it is held.
    """

    def __init__(self, run_index: RunIndex) -> None:
        self._run_index = run_index
        self.lock = threading.Lock()
        self._studies: dict[Location, StudyFigures] = {}
        self._time = -math.inf  # when reading last began
        self._seconds = 0.0  # how long it took

    def read_list(self, refresh: bool = False) -> list[StudyFigures]:
        """Return the studies, sorted by key, after reading what was added to them. The caller holds `lock`.

        As with the list of runs, the list can be 0.4 seconds old, or older if reading takes long.
        """
        now = time.monotonic()
        if refresh or now - self._time > max(STALE_SECONDS, RESTS * self._seconds):
            self._time = now
            self._read()
            self._seconds = time.monotonic() - now
        return list(self._studies.values())

    def study(self, key: str) -> StudyFigures:
        """Return the study with the key `key`. The caller holds `lock`.

        Raises:
            NotFoundError: no study has this key.
        """
        for refresh in (False, True):
            for figures in self.read_list(refresh):
                if figures.place.key == key:
                    return figures
        raise NotFoundError(
            f"there is no study {shortened(key)}; GET /api/studies lists the studies."
        )

    def _read(self) -> None:
        """Find the studies, and read what was added to them."""
        self._studies = {
            place: self._studies.get(place) or StudyFigures(place, WatchedStudy(place.path))
            for place in self._found()
        }
        room = READ_AT_ONCE
        for figures in self._studies.values():
            room = max(0, room - figures.watched.follow(room))

    def _found(self) -> list[Location]:
        """Return the studies, sorted by key."""
        folder = self._run_index.folder
        runs = {os.fspath(place.path) for place in self._run_index.read_list().places.values()}
        # If the folder is a link, studies may be beside the link or beside what it leads to.
        parents = dict.fromkeys((folder.absolute().parent, folder.resolve().parent))
        beside = [path for parent in parents for path in study_paths(parent / STUDIES, 1, runs)]
        found: dict[str, Location] = {}
        for path in (*study_paths(folder, RUNS_DEPTH, runs), *beside):
            found.setdefault(os.path.realpath(path), location(path, folder))
        return sorted(found.values(), key=lambda place: place.key)


def location(path: Path, folder: Path) -> Location:
    """Return the location of a study: its name is its path relative to the parent of the served folder."""
    relative = Path(os.path.relpath(path, folder)).as_posix()
    shown = Path(os.path.relpath(path, folder.absolute().parent)).as_posix()
    return Location(key_of(relative), path, printable(shown))


def study_paths(folder: Path, depth: int, runs: set[str]) -> Iterator[Path]:
    """Yield the studies in `folder`, and `folder` itself if it is a study.

    Args:
        folder: the folder to search.
        depth: how many levels of folders to search, including `folder`.
        runs: the paths of run directories, which are not searched.
    """
    if is_study(folder):
        yield folder
        return
    if not depth:
        return
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            )
    except OSError as error:
        if is_shortage(error):
            raise
        return
    for name in names:
        path = folder / name
        if os.fspath(path) not in runs:
            yield from study_paths(path, depth - 1, runs)


def is_study(path: Path) -> bool:
    """Return True if a directory holds a study."""
    try:
        return (path / HEADER).is_file()
    except OSError:
        return False
