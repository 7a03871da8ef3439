"""Follows one study directory: reads only the lines that were added to its journals, and curves only on request.

The values in the files are checked, because any program may have written them. This module knows no requests.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from charloom.errors import CharloomError, DamagedError, StoreError
from charloom.formatting import counted
from charloom.store.atomic_files import open_plain
from charloom.studies import Study
from charloom.studies.plan import PlannedRun
from charloom.studies.results import CURVE, FAILED, FINISHED, PRUNED, RunResult
from charloom.studies.study_files import HEADER, PLAN, RESULTS, StudyFiles, StudyHeader

STATES: Final = (FINISHED, FAILED, PRUNED)
LARGEST: Final = 1e300  # a larger number is damage
# What Python raises if a file has other values than charloom writes.
WRONG_VALUES: Final = (TypeError, ValueError, LookupError, AttributeError, RecursionError)

Stamp = tuple[int, int, int]  # the modification time, the inode and the size of a file


@dataclass(frozen=True)
class ReadFiles(StudyFiles):
    """The files of a study directory whose plan and results were read before. They do not change with the files.

    Attributes:
        read_header: the contents of study.json.
        read_plan: the runs of plan.jsonl.
        read_results: the results in all journals.
    """

    read_header: StudyHeader
    read_plan: list[PlannedRun]
    read_results: list[RunResult]

    def header(self) -> StudyHeader:
        """Return the contents of study.json."""
        return self.read_header

    def plan(self) -> list[PlannedRun]:
        """Return the runs of the plan."""
        return self.read_plan

    def each_result(self) -> Iterator[RunResult]:
        """Yield the results in all journals."""
        return iter(self.read_results)


@dataclass
class WatchedJournal:
    """The results in one journal, without their curves.

    Attributes:
        path: the journal.
        results: the results so far.
        places: where the lines of each run begin in the file, by the key of the run.
        damaged: the number of whole lines that are not results.
        unread: whether the file has more lines than were read.
        changed: the modification time of the file in Unix time.
        version: grows when something new was read.
    """

    path: Path
    results: list[RunResult] = field(default_factory=list)
    places: dict[str, list[int]] = field(default_factory=dict)
    damaged: int = 0
    unread: bool = False
    changed: float = 0.0
    version: int = 0
    _inode: int = -1
    _seen: int = -1  # the size of the file when it was last read
    _read: int = 0  # the number of bytes of the lines that were read

    def follow(self, room: int) -> int:
        """Read the lines that were added, until `room` bytes are exceeded. Return the number of bytes read.

        If the file was replaced or has become shorter, it is read from its beginning.
        """
        about = self.path.stat()
        self.changed = about.st_mtime
        if about.st_ino != self._inode or about.st_size < self._seen:
            self._forget(about.st_ino)
        if about.st_size == self._seen and not self.unread:
            return 0
        begin = self._read
        with open_plain(self.path) as file:
            if file is None:
                return 0
            file.seek(begin)
            self._seen, self.unread = about.st_size, False
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if self._read - begin > room:
                    self.unread = True
                    break
                self._add(line)
        self.version += self._read > begin
        return self._read - begin

    def _forget(self, inode: int) -> None:
        """Drop what was read. `inode` is the file that is read from now on."""
        self.results, self.places = [], {}
        self.damaged, self.unread = 0, False
        self._inode, self._seen, self._read = inode, -1, 0
        self.version += 1

    def _add(self, line: bytes) -> None:
        """Store the result in a whole line."""
        result = result_of(line)
        if result is None:
            self.damaged += 1
        else:
            # A curve needs far more memory than the rest.
            self.results.append(replace(result, curve=None))
            self.places.setdefault(result.key, []).append(self._read)
        self._read += len(line)

    def whole_results(self, keys: Iterable[str]) -> Iterator[RunResult]:
        """Yield the results of the runs with these keys again, with their curves."""
        starts = sorted(start for key in keys for start in self.places.get(key, ()))
        if not starts:
            return
        with open_plain(self.path) as file:
            if file is None:
                return
            for start in starts:
                file.seek(start)
                result = result_of(file.readline())
                if result is not None:
                    yield result


class WatchedStudy:
    """A study directory that is read again and again.

    Args:
        path: the directory.

    Attributes:
        version: grows when something new was read.
        unread: whether some journals have more lines than were read.
        problem: the error because of which the study cannot be shown; None if there is none.
        changed: when the study last changed, in Unix time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = 0
        self.unread = False
        self.problem: CharloomError | None = None
        self.changed = 0.0
        self.journals: dict[str, WatchedJournal] = {}
        self._unreadable: set[str] = set()  # names of journals
        self._versions: dict[str, int] = {}  # the versions of the journals when they were last read
        self._stamps: tuple[Stamp | None, Stamp | None] | None = None
        self._planned: tuple[StudyHeader, list[PlannedRun]] | None = None
        self._study: tuple[int, Study] | None = None

    def follow(self, room: int) -> int:
        """Read what was added, until `room` bytes of journals are exceeded. Return the number of bytes read.

        A damaged study raises nothing here: it has a `problem`.
        """
        self._follow_plan()
        read, self.unread = 0, False
        paths = {path.name: path for path in StudyFiles(self.path).journals()}
        self.journals = {
            name: self.journals.get(name) or WatchedJournal(path) for name, path in paths.items()
        }
        self._unreadable.clear()
        for name, journal in self.journals.items():
            try:
                read += journal.follow(max(0, room - read))
            except (OSError, StoreError):
                self._unreadable.add(name)
            self.unread |= journal.unread
            self.changed = max(self.changed, journal.changed)
        versions = {name: journal.version for name, journal in self.journals.items()}
        self.version += versions != self._versions
        self._versions = versions
        return read

    def _follow_plan(self) -> None:
        """Read study.json and plan.jsonl, if they have changed."""
        stamps = (stamp_of(self.path / HEADER), stamp_of(self.path / PLAN))
        if stamps == self._stamps:
            return
        self._stamps, self._planned, self.problem = stamps, None, None
        self.version += 1
        self.changed = max(stamp[0] / 1e9 if stamp else 0.0 for stamp in stamps)
        try:
            self._planned = checked_plan(StudyFiles(self.path))
        except CharloomError as error:
            self.problem = error

    @property
    def damage(self) -> str | None:
        """A sentence about what cannot be read in the journals; None if there is nothing."""
        lines = sum(journal.damaged for journal in self.journals.values())
        files = len(self._unreadable)
        counts = ((lines, "line"), (files, "file"))
        parts = [counted(number, noun) for number, noun in counts if number]
        if not parts:
            return None
        are = "is" if lines + files == 1 else "are"
        return f"{' and '.join(parts)} in {RESULTS}/ cannot be read and {are} left out."

    def study(self) -> Study:
        """Return the study with the results that were read, without curves.

        Raises:
            CharloomError: `problem`.
        """
        if self._study is None or self._study[0] != self.version:
            results = [one for journal in self.journals.values() for one in journal.results]
            self._study = (self.version, self._with(results))
        return self._study[1]

    def whole_study(self) -> Study:
        """Return the study with the results that were read, with their curves, after reading all lines again.

        Raises:
            CharloomError: `problem`.
        """
        return self._with(list(self.whole_results(None)))

    def whole_results(self, keys: Iterable[str] | None) -> Iterator[RunResult]:
        """Yield the results of the runs with these keys, or of all runs, with their curves."""
        chosen = None if keys is None else list(keys)
        for journal in self.journals.values():
            with suppress(StoreError):  # the journal has just disappeared
                yield from journal.whole_results(journal.places if chosen is None else chosen)

    def _with(self, results: list[RunResult]) -> Study:
        """Return the study with these results."""
        if self._planned is None:
            raise self.problem or DamagedError(f"{self.path.name} is no study any more.")
        header, plan = self._planned
        return Study(ReadFiles(self.path, header, plan, results))


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file; None if it does not exist."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_ino, about.st_size


def checked_plan(files: StudyFiles) -> tuple[StudyHeader, list[PlannedRun]]:
    """Return the header and the plan of a study.

    Raises:
        NotAModelError: the directory holds no study.
        DamagedError: a file is damaged, also if it has values that charloom does not write.
        NewerFormatError: a later charloom planned the study.
    """
    try:
        header = files.header()
        plan = files.plan()
        if not (texts_are_names(header) and all(fits(run, header) for run in plan)):
            raise TypeError("a value has a wrong type")
    except WRONG_VALUES as error:
        raise DamagedError(
            f"{HEADER} or {PLAN} is damaged: {error}. Start the study again with its specification."
        ) from None
    return header, plan


def texts_are_names(header: StudyHeader) -> bool:
    """Return True if the names in the header of a study are strings."""
    names = [header.recipe, header.tokens, *header.varied, *(text.name for text in header.texts)]
    return all(isinstance(name, str) for name in names) and bool(header.texts)


def fits(run: PlannedRun, header: StudyHeader) -> bool:
    """Return True if the values of a planned run have the right types."""
    return (
        isinstance(run.key, str)
        and type(run.number) is int
        and type(run.text) is int
        and 0 <= run.text < len(header.texts)
        and isinstance(run.settings, dict)
    )


def result_of(line: bytes) -> RunResult | None:
    """Return the result in a line of a journal; None if the line is not a result, or if a value is wrong.

    A curve with wrong values is left out.
    """
    try:
        result = RunResult.from_dict(json.loads(line))
        if not is_sound(result):
            return None
        if result.curve is not None and not is_curve(result.curve):
            return replace(result, curve=None)
    except WRONG_VALUES:
        return None
    return result


def is_sound(result: RunResult) -> bool:
    """Return True if the values of a result, except its curve, have the right types."""
    return (
        result.state in STATES
        and all(map(is_number, (result.updates, result.seconds, result.characters)))
        and all(
            one is None or is_number(one) for one in (result.train_nats, result.validation_nats)
        )
        and all(one is None or isinstance(one, str) for one in (result.reason, result.search))
        and (result.trial is None or type(result.trial) is int)
        and (result.settings is None or isinstance(result.settings, dict))
    )


def is_curve(curve: Any) -> bool:
    """Return True if the columns of a curve have the same length, and hold numbers."""
    if not isinstance(curve, dict) or "update" not in curve:
        return False
    columns = [curve[name] for name in CURVE if name in curve]
    return (
        all(isinstance(column, list) for column in columns)
        and len({len(column) for column in columns}) == 1
        and all(map(is_number, curve["update"]))
        and all(value is None or is_number(value) for column in columns for value in column)
    )


def is_number(value: Any) -> bool:
    """Return True if a value from JSON is a finite number of a usual size."""
    return type(value) in (int, float) and abs(value) < LARGEST
