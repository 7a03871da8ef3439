"""Finds runs and model files in the folder of the runs, and gives each a key.

A directory with a `config.json` is a run. This module looks for that file and reads nothing else of a run. A search
after the first one needs one system call per run, so that a folder of ten thousand runs can be searched twice a second.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from charloom.run_file_names import RUNS_DEPTH
from charloom.store.run_directory import is_run
from charloom.web.file_descriptors import is_shortage

MODEL_FILE: Final = ".safetensors"

Stamp = tuple[int, int]  # the modification time and the inode of a directory


def key_of(relative: str) -> str:
    """Return the key of the run or model file with the path `relative`, relative to the folder.

    The key is `relative` itself if it has only letters, digits, `_`, `-` and `.`, at most 60 characters, no `..`,
    and no `-` or `.` at either end. Otherwise the key is a shortened form of `relative`, in which `.` replaces `/`
    and `-` replaces all other characters that a key cannot have, followed by eight digits of the path's SHA-256.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", relative.replace("/", "."))
    plain = re.sub(r"\.{2,}", ".", plain).strip("-.")[:60]
    if plain == relative:
        return plain
    digest = hashlib.sha256(relative.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{plain or 'run'}-{digest[:8]}"


@dataclass(frozen=True)
class Location:
    """The location of a run or a model file: its key, its path, and the name that the page shows."""

    key: str
    path: Path
    name: str


@dataclass
class ScanResult:
    """The runs and model files in the folder.

    Attributes:
        runs: the locations of the runs by key.
        files: the locations of the model files by key.
        stamps: the modification time and the inode of each run directory, by the key of the run. The
            modification time changes when a file in the directory is created, replaced or removed.
    """

    runs: dict[str, Location] = field(default_factory=dict)
    files: dict[str, Location] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)


class RunsFolder:
    """The folder of the runs, which is searched repeatedly for runs and model files.

    Args:
        path: the folder. It may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # The runs that the last search found: stamp and location, by the path of the run directory.
        self._known: dict[str, tuple[Stamp, Location]] = {}

    def scan(self) -> ScanResult:
        """Return the runs and model files that exist now.

        Raises:
            OSError: there is no free file descriptor.
        """
        found = ScanResult()
        before, self._known = self._known, {}
        for path, stamp in self._within(self.path, RUNS_DEPTH, before):
            if stamp is None:
                place = self._place(path)
                found.files[place.key] = place
                continue
            known = before.get(path)
            place = known[1] if known else self._place(path)
            self._known[path] = (stamp, place)
            found.runs[place.key] = place
            found.stamps[place.key] = stamp
        return found

    def _place(self, path: str) -> Location:
        relative = Path(path).relative_to(self.path).as_posix()
        return Location(key_of(relative), Path(path), printable(relative))

    def _within(
        self, folder: Path | str, depth: int, before: dict[str, tuple[Stamp, Location]]
    ) -> Iterator[tuple[str, Stamp | None]]:
        """Yield a pair for each run and model file in `folder`: its path, and its stamp.

        The stamp of a run is the modification time and the inode of its directory. The stamp of a model file
        is None.

        Args:
            folder: the folder to search.
            depth: how many levels of folders to search, including `folder`.
            before: the stamp and location that the last search found for each run, by the path of the run.
        """
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if is_shortage(error):
                raise
            return
        for entry in entries:
            try:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    about = entry.stat()
                    stamp = (about.st_mtime_ns, about.st_ino)
                    known = before.get(entry.path)
                    if (known and known[0] == stamp) or is_run(Path(entry.path)):
                        yield entry.path, stamp
                    elif depth > 1:
                        yield from self._within(entry.path, depth - 1, before)
                elif entry.name.endswith(MODEL_FILE):
                    yield entry.path, None
            except OSError as error:
                if is_shortage(error):
                    raise
                continue


def printable(text: str) -> str:
    """Return `text` with a question mark for each surrogate, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")
