"""Lists the runs and model files of one folder, with the key of each and the state of each run.

Clients name runs and models by these keys. No path from a client is ever used.
"""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from charloom.config import Config
from charloom.errors import CharloomError, NewerFormatError, message_of
from charloom.formatting import number_of, shortened
from charloom.messages import for_page
from charloom.model.schedule import Schedule
from charloom.store import read_status, which_of
from charloom.store.journal_lengths import RECORDS_LOST, SavedLengths, saved_lengths
from charloom.store.journal_lines import is_event, is_record
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.run_directory import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    LATEST,
    METRICS,
    SAMPLES,
    STATUS,
    read_about,
    read_pointer,
    saved_updates,
)
from charloom.store.run_reader import size_of
from charloom.training.progress_records import characters_judged
from charloom.web.best_loss import BestLoss
from charloom.web.error_responses import NotFoundError
from charloom.web.file_descriptors import Shortage, is_shortage
from charloom.web.journal_follower import Tail
from charloom.web.runs_folder import Location, RunsFolder, ScanResult, Stamp, printable
from charloom.web.schemas import ModelAbout, Run, State
from charloom.web.training_jobs import Job, Jobs, is_alive

READ_AT_ONCE: Final = 200  # new runs that one look reads
CHECKED_AT_ONCE: Final = 500  # apparently unchanged runs whose files one look checks
STALE_SECONDS: Final = 0.4  # age up to which the last list is returned again
RESTS: Final = 3  # pause after a look, in durations of that look: a large folder must not keep a processor busy
SILENT_SECONDS: Final = 3.0  # without a heartbeat, after which a missing process counts as ended
LOST_SECONDS: Final = 600.0  # after which it does in any case: its id may belong to another process
YOUNG_SECONDS: Final = 30.0  # for which a run without status or event counts as starting
MOST_NUMBER: Final = 1e300
UNREADABLE: Final = ("damaged", "newer")
AT_WORK: Final = ("training", "paused")
OVER: Final = ("finished", "interrupted", "stopped", "failed")  # no process trains it
# The files and folders from which the list is made.
LISTED_FILES: Final = (
    CONFIG, STATUS, METRICS, SAMPLES, EVENTS, CHECKPOINTS, f"{CHECKPOINTS}/{LATEST}",
    f"{CHECKPOINTS}/{BEST}",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class RunList:
    """The result of one look at the folder.

    Attributes:
        places: the places of the runs by key.
        files: the places of the model files by key.
        runs: the runs that have been read, most recently changed first.
        unread: how many runs have not been read yet. Each look reads some of them.
        time: when the look began, by the monotonic clock.
    """

    places: dict[str, Location]
    files: dict[str, Location]
    runs: list[Run]
    unread: int
    time: float

    @property
    def total(self) -> int:
        """Return the number of runs, read or not."""
        return len(self.runs) + self.unread


class ModelId(NamedTuple):
    """A model in the list. A small type, because there may be tens of thousands."""

    id: str
    run: Run | None
    which: str
    update: int | None
    name: str

    @property
    def created(self) -> int:
        """Return when its run last changed, in Unix time; 0 for a model file."""
        return int(self.run.changed) if self.run else 0

    def about(self) -> ModelAbout:
        """Return the model in the form of a response."""
        if self.run is None:
            return ModelAbout(id=self.id, run=None, which=self.which, name=self.name)
        return ModelAbout(
            id=self.id,
            run=self.run.key,
            which=self.which,
            update=self.update,
            name=self.name,
            state=self.run.state,
            created=self.created,
        )


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
        self._looking = (
            threading.Lock()
        )  # held while the folder is read, not to read the last result
        self._folder = RunsFolder(folder)
        self._indexed: dict[str, IndexedRun] = {}
        self._wanted: set[str] = set()  # keys of requested runs, which are read first
        self._checked = 0  # position of the checks of apparently unchanged runs
        self._took = 0.0  # seconds that the last look took
        self._last_list = RunList({}, {}, [], 0, -math.inf)

    def read_list(self, refresh: bool = False) -> RunList:
        """Return the list. It may be a moment old, unless `refresh` is given."""
        now = time.monotonic()
        since = now if refresh else now - max(STALE_SECONDS, RESTS * self._took)
        if self._last_list.time < since:
            with self._looking:
                # Another thread may have looked while this one waited for the lock.
                if self._last_list.time < since:
                    self._last_list = self._read_or_keep()
                    self._took = time.monotonic() - self._last_list.time
        return self._last_list

    def _read_or_keep(self) -> RunList:
        """Read the folder. Without a free file descriptor, return the last result again."""
        try:
            return self._read()
        except (OSError, CharloomError) as error:
            if not is_shortage(error) or self._last_list.time == -math.inf:
                raise
            self._shortage.met()
            return replace(self._last_list, time=time.monotonic())

    def runs(self) -> list[Run]:
        """Return all runs that have been read, most recently changed first."""
        return self.read_list().runs

    def place(self, key: str) -> Location:
        """Return the place of the run with a key.

        Raises:
            NotFoundError: no run has this key.
        """
        for refresh in (False, True):
            if (place := self.read_list(refresh).places.get(key)) is not None:
                return place
        raise NotFoundError(f"there is no run {shortened(key)}; GET /api/runs lists the runs.")

    def path(self, key: str) -> Path:
        """Return the directory of the run with a key, also if its process has not created it yet.

        Raises:
            NotFoundError: no run has this key.
        """
        place = self.place_if_any(key)
        if place is not None:
            return place.path
        self.run(key)
        return self.folder / key

    def place_if_any(self, key: str) -> Location | None:
        """Return the place of the run with a key; None if it has no directory yet."""
        try:
            return self.place(key)
        except NotFoundError:
            return None

    def run(self, key: str) -> Run:
        """Return a run as the list shows it. Errors are those of `place`."""
        self._wanted.add(key)  # read it first, if the list is not complete yet
        for refresh in (False, True):
            for run in self.read_list(refresh).runs:
                if run.key == key:
                    return run
        raise NotFoundError(f"there is no run {shortened(key)}; GET /api/runs lists the runs.")

    def texts(self) -> list[tuple[Run, Path, dict[str, Any]]]:
        """Return each run that has been read, with its directory and the description of its text."""
        listed, indexed = self.read_list(), self._indexed
        return [
            (run, listed.places[run.key].path, text)
            for run in listed.runs
            if run.key in indexed and (text := indexed[run.key].text) is not None
        ]

    def model(self, key: str) -> tuple[Location, str | None]:
        """Return the place of a model, and which checkpoint of the run it is.

        Returns:
            The place, and "latest", "best" or an update; "file" for a model file; None if the key
            names only the run.

        Raises:
            NotFoundError: there is no such model.
        """
        name, _, which = key.partition("@")
        listed = self._last_list
        if name not in listed.places and name not in listed.files:
            # A known model needs no new look at the folder, so that writing begins immediately.
            listed = self.read_list(refresh=True)
        if name in listed.places:
            return listed.places[name], which or None
        if name in listed.files and not which:
            return listed.files[name], "file"
        raise NotFoundError(
            f"there is no model {shortened(key)}; GET /api/models and GET /v1/models list the models."
        )

    def _read(self) -> RunList:
        """Read the folder: new runs, runs that change, and in turn some of the others."""
        began = time.monotonic()
        found = self._folder.scan()
        jobs = self.jobs.tidy(found.runs)
        self._indexed = {
            key: self._indexed.get(key) or IndexedRun(place.path)
            for key, place in found.runs.items()
        }
        runs, unread = [], self._to_read(found)
        checked = self._to_check(list(found.runs))
        for key, place in found.runs.items():
            if key not in unread:
                indexed, job = self._indexed[key], jobs.get(key)
                unchanged = None if key in checked else indexed.unchanged(job, found.stamps[key])
                runs.append(unchanged or indexed.read(place, job, found.stamps[key]))
        runs += [of_job(job) for key, job in jobs.items() if key not in found.runs]
        runs.sort(key=lambda run: (-run.changed, run.key))
        return RunList(found.runs, found.files, runs, len(unread), began)

    def _to_read(self, found: ScanResult) -> set[str]:
        """Return the keys of new runs that a later look reads.

        This look reads the requested runs and those that changed last.
        """
        new = [key for key, indexed in self._indexed.items() if not indexed.known]
        new.sort(key=lambda key: (key in self._wanted, found.stamps[key]), reverse=True)
        self._wanted.clear()
        return set(new[READ_AT_ONCE:])

    def _to_check(self, keys: list[str]) -> set[str]:
        """Return the keys of runs whose files are checked, though nothing seems to have changed.

        These are the runs that changed last, and others in turn.
        """
        checked = {run.key for run in self._last_list.runs[:READ_AT_ONCE]}
        start = self._checked if self._checked < len(keys) else 0
        self._checked = start + CHECKED_AT_ONCE
        return checked | set(keys[start : self._checked])


@dataclass(frozen=True)
class UnchangedRun:
    """A run that no process trains: its job, the stamps of its directory and files, and its last result."""

    job: Job | None
    directory: Stamp
    files: list[tuple[int, int, int] | None]
    run: Run


class IndexedRun:
    """A run that is read repeatedly. Each time only its changes are read.

    Args:
        path: the run directory.

    Attributes:
        known: whether the run has been read at least once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._metrics = Tail(path / METRICS, is_record)
        self._events = Tail(path / EVENTS, is_event)
        self._stamp: tuple[int, int] | None = None
        self._about: tuple[Config, dict[str, Any]] | None = None
        self._updates: int | None = None
        self._part: tuple[int, int] | None = (
            None  # characters that are evaluated, and characters of the validation part
        )
        self._last: dict[str, Any] = {}
        self._judged: dict[str, Any] = {}
        self._best = BestLoss()
        self._event: dict[str, Any] = {}
        self._records_lost: dict[str, Any] | None = None
        self._saved: SavedLengths | None = None  # the least length of each journal
        self._factor = 1.0
        self._begun = 0  # the update from which the run was last started or resumed
        self._unchanged: UnchangedRun | None = None
        self.known = False

    @property
    def text(self) -> dict[str, Any] | None:
        """Return the description of its text; None if its settings have not been read."""
        return self._about and self._about[1]

    def unchanged(self, job: Job | None, directory: Stamp) -> Run | None:
        """Return the last result if no process trains the run and its directory has not changed.

        A process that starts to train the run replaces files in the directory. None: read it again.
        """
        unchanged = self._unchanged
        if unchanged is None or (unchanged.job, unchanged.directory) != (job, directory):
            return None
        return unchanged.run

    def read(self, place: Location, job: Job | None, directory: Stamp) -> Run:
        """Return the run as it is now; `job` is its process if this server started it.

        If no process trains the run, its files are read again only when one of them has changed.
        """
        self.known = True
        files = [stamp_of(self.path / name) for name in LISTED_FILES]
        unchanged = self._unchanged
        if unchanged is not None and (unchanged.job, unchanged.files) == (job, files):
            self._unchanged = replace(unchanged, directory=directory)
            return unchanged.run
        self._unchanged = None
        try:
            run = self._read(place, job)
        except (CharloomError, OSError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            if is_shortage(error):
                raise
            # Files from elsewhere may contain anything: show the run with the reason.
            reason = printable(for_page(message_of(error)))[:500]
            newer = isinstance(error, NewerFormatError)
            state: State = "newer" if newer else "damaged"
            return Run(key=place.key, name=place.name, state=state, reason=reason)
        behind = self._metrics.behind or self._events.behind
        if run.state in OVER and not behind and (job is None or not job.alive):
            self._unchanged = UnchangedRun(job, directory, files, run)
        return run

    def _read(self, place: Location, job: Job | None) -> Run:
        refuse_newer_run(self.path)
        config, text = self._read_about()
        latest, best = read_pointer(self.path, LATEST), read_pointer(self.path, BEST)
        self._read_journals(best)
        status, last = read_status(self.path) or {}, self._last
        status["heartbeat"] = number(status.get("heartbeat"))
        changed = max(
            status["heartbeat"],
            number(self._event.get("time")),
            (self.path / CONFIG).stat().st_mtime,
        )
        state, reason = self._state(status, latest, changed)
        if job is not None:
            state, reason = job.state(state, reason, status)
        update = status.get("update", last.get("update", latest))
        updates = self._updates if state == "finished" else status.get("updates", self._updates)
        speed = last.get("characters_per_second")
        # A record from before this process, or of its first update, does not show the current speed.
        if state in AT_WORK and number(last.get("update")) <= self._begun + 1:
            speed = None
        each = config.seq_length * config.batch_size
        left = None
        if state == "training" and speed and update is not None and updates is not None:
            left = max(0, updates - update) * each / speed
        train, judged = bits(last.get("train_nats")), bits(self._judged.get("validation_nats"))
        return Run(
            key=place.key,
            name=place.name,
            state=state,
            reason=reason or self._left_out(latest),
            here=state in AT_WORK,
            resumable=latest is not None and state in OVER,
            recipe=config.recipe,
            cell=config.cell,
            hidden_size=config.hidden_size,
            layers=config.layers,
            seq_length=config.seq_length,
            text=text["name"],
            characters=text["characters"],
            vocabulary_size=text["vocabulary_size"],
            update=update,
            updates=updates,
            epoch=last.get("epoch"),
            bits=train if judged is None else judged,
            train_bits=train,
            validation_bits=judged,
            best_bits=bits(self._best.of(best)),
            smooth_loss=last.get("smooth_loss"),
            learning_rate=last.get("learning_rate"),
            learning_rate_factor=self._factor,
            characters_per_second=speed,
            seconds=last.get("seconds"),
            seconds_left=left,
            changed=changed,
            checkpoints=saved_updates(self.path),
            judged_characters=self._part and self._part[0],
            held_out=self._part and self._part[1],
            best=best,
            latest=latest,
            model=which_of(config),
        )

    def _read_about(self) -> tuple[Config, dict[str, Any]]:
        """Return the settings and the description of the text; read them again only if their file changed."""
        stat = (self.path / CONFIG).stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if self._about is None or stamp != self._stamp:
            config, text, _ = read_about(self.path)
            self._about, self._stamp = (config, text), stamp
            schedule = Schedule.of(config, text["characters"])
            self._updates = schedule.updates
            self._part = characters_judged(config, schedule.windows) if config.validation else None
        return self._about

    def _read_journals(self, best: int | None) -> None:
        """Read the new lines of the journals; `best` is the update of the best checkpoint."""
        fresh, records = self._metrics.new_lines()
        if fresh:
            self._last, self._judged, self._best = {}, {}, BestLoss()
        for record in records:
            self._last = record
            if "validation_nats" in record:
                self._judged = record
            self._best.add(record, best)
        fresh, events = self._events.new_lines()
        for event in events:
            self._event = event
            self._note_lost(event)
            self._factor = number(event.get("learning_rate_factor"), self._factor)
            if event.get("event") in ("started", "resumed"):
                self._begun = int(number(event.get("update")))

    def _note_lost(self, event: dict[str, Any]) -> None:
        """Keep an event about lost lines, which has the lengths that the journals now have."""
        if event["event"] == RECORDS_LOST:
            self._records_lost, self._saved = event, None
        elif self._records_lost and event["update"] < self._records_lost["update"]:
            # The run was resumed from an earlier checkpoint.
            self._records_lost, self._saved = None, None

    def _left_out(self, latest: int | None) -> str | None:
        """Return a message about journals with unreadable or lost lines; None if there are none."""
        unreadable = [
            f"{tail.path.name} is damaged: {number_of(tail.broken, 'line')} left out"
            for tail in (self._metrics, self._events)
            if tail.broken
        ]
        return "; ".join([*unreadable, *self._lost_since(latest)]) or None

    def _lost_since(self, latest: int | None) -> Iterator[str]:
        """Yield a message for each journal that is shorter than when the latest checkpoint was saved."""
        if self._saved is None or self._saved.update != latest:
            events = [self._records_lost] if self._records_lost else []
            self._saved = saved_lengths(self.path, latest, events)
        for name, length in (self._saved.lengths if self._saved else {}).items():
            size = size_of(self.path / name)
            if size is None and length:
                yield f"{name} is missing"
            elif size is not None and size < length:
                lost = number_of(length - size, "byte")
                yield f"{name} is damaged: {lost} at its end are lost"

    def _state(
        self, status: dict[str, Any], latest: int | None, changed: float
    ) -> tuple[Any, str | None]:
        """Return the state of the run and its reason, from its status and its last event."""
        silent = time.time() - changed
        state, reason = status.get("state"), status.get("reason")
        if state in AT_WORK:
            gone = silent > SILENT_SECONDS and not is_alive(status.get("pid"))
            if gone or silent > LOST_SECONDS:
                return "interrupted", lost(latest)
            return state, reason
        if state is not None:
            return state, reason
        event = self._event.get("event")
        if event in ("finished", "interrupted", "stopped", "failed"):
            return event, self._event.get("reason")
        return ("starting", None) if silent < YOUNG_SECONDS else ("interrupted", lost(latest))


def models_in(listed: RunList) -> list[ModelId]:
    """Return all models: first those of the runs, then the model files."""
    found = [model for run in listed.runs for model in models_of(run)]
    return found + [
        ModelId(file.key, None, "file", None, file.name) for file in listed.files.values()
    ]


def models_of(run: Run) -> list[ModelId]:
    """Return the models of a run.

    First comes the checkpoint that the run's key alone means, then the other one of latest and best,
    then all checkpoints by update.
    """
    if run.latest is None:
        return []
    updates = {LATEST: run.latest} | ({} if run.best is None else {BEST: run.best})
    first = run.model if run.model in updates else LATEST
    found = [ModelId(run.key, run, first, updates.pop(first), run.name)]
    for which, update in updates.items():
        found.append(ModelId(f"{run.key}@{which}", run, which, update, f"{run.name}, {which}"))
    for update in run.checkpoints:
        name = f"{run.name}, update {update:,}"
        found.append(ModelId(f"{run.key}@{update}", run, str(update), update, name))
    return found


def lost(latest: int | None) -> str:
    """Return the reason of a run whose process has ended without a reason."""
    if latest is None:
        return "its process ended before it saved a checkpoint"
    return f"its process ended without giving a reason; resuming continues from update {latest:,}"


def of_job(job: Job) -> Run:
    """Return the run of a process that has not created a run directory, or never did."""
    state, reason = job.state("starting", None, {})
    return Run(
        key=job.run,
        name=job.run,
        state=state,
        reason=reason,
        text=job.text,
        recipe=job.recipe,
        changed=number(job.time),
        dismissible=state == "failed",
    )


def number(value: Any, otherwise: float = 0.0) -> float:
    """Return a number from a file; `otherwise` if it is not a finite number."""
    if not isinstance(value, (int, float)) or not -MOST_NUMBER < value < MOST_NUMBER:
        return otherwise
    return float(value)


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return the modification time, size and inode of a file; None if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def bits(nats: float | None) -> float | None:
    """Convert nats to bits."""
    return None if nats is None else nats / math.log(2)
