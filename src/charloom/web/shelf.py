"""Lists the runs and model files of one folder, with the key of each and the state of each run.

A key comes from the list and leads to what is in the list; nothing here takes a path from a client.
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
from charloom.messages import for_page
from charloom.model.schedule import Schedule
from charloom.spelling import number_of, shortened
from charloom.store import read_status, which_of
from charloom.store.layout import (
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
from charloom.store.lengths import RECORDS_LOST, SavedLengths, saved_lengths
from charloom.store.lines import is_event, is_record
from charloom.store.newer import refuse_newer_run
from charloom.store.view import size_of
from charloom.training.judging import characters_judged
from charloom.web.best import BestLoss
from charloom.web.contract import ModelAbout, Run, State
from charloom.web.descriptors import Shortage, is_shortage
from charloom.web.folder import Folder, Found, Place, Stamp, printable
from charloom.web.jobs import Job, Jobs, is_alive
from charloom.web.mistakes import NotHereError
from charloom.web.tail import Tail

READ_AT_ONCE: Final = 200  # runs of which nothing is known yet, in one look
CHECKED_AT_ONCE: Final = 500  # runs that nothing trains and that seem unchanged, in one look
STALE_SECONDS: Final = 0.4  # how old a list may be that is given again
RESTS: Final = (
    3  # times as long as a look took, before the next one: a large folder is no full-time job
)
SILENT_SECONDS: Final = (
    3.0  # without a heartbeat, after which a process that is gone counts as gone
)
LOST_SECONDS: Final = 600.0  # after which any does: its number may be another process's by now
YOUNG_SECONDS: Final = 30.0  # of a run that nothing is known of yet
MOST_NUMBER: Final = 1e300
UNREADABLE: Final = ("damaged", "newer")
AT_WORK: Final = ("training", "paused")
OVER: Final = ("finished", "interrupted", "stopped", "failed")  # nothing trains it
# Everything of a run that the list tells is in these.
TELLING: Final = (
    CONFIG, STATUS, METRICS, SAMPLES, EVENTS, CHECKPOINTS, f"{CHECKPOINTS}/{LATEST}",
    f"{CHECKPOINTS}/{BEST}",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Seen:
    """What a look at the folder found; nobody changes it.

    Attributes:
        places: of the runs, by key.
        files: of the model files, by key.
        runs: those that changed last first, as far as they have been read.
        unread: how many runs have not been read yet: each look reads some of these.
        time: when the look began, by the monotonic clock.
    """

    places: dict[str, Place]
    files: dict[str, Place]
    runs: list[Run]
    unread: int
    time: float

    @property
    def total(self) -> int:
        """How many runs there are."""
        return len(self.runs) + self.unread


class ModelId(NamedTuple):
    """A model of the list: there may be tens of thousands, of which few are shown."""

    id: str
    run: Run | None
    which: str
    update: int | None
    name: str

    @property
    def created(self) -> int:
        """When its run changed last, Unix time; 0 for a file."""
        return int(self.run.changed) if self.run else 0

    def about(self) -> ModelAbout:
        """It, as a list shows it."""
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


class Shelf:
    """The runs and model files of a folder.

    Args:
        folder: it need not be there yet.
        jobs: trainings that were started from here.
        shortage: what is told when no file can be opened.
    """

    def __init__(self, folder: Path, jobs: Jobs, shortage: Shortage | None = None) -> None:
        self.folder = folder
        self.jobs = jobs
        self._shortage = shortage or Shortage()
        self._looking = threading.Lock()  # who only wants to know where something is needs it not
        self._folder = Folder(folder)
        self._watched: dict[str, Watched] = {}
        self._wanted: set[str] = set()  # keys that were asked for, to be read first
        self._checked = 0  # how far the looks have come that check what seems unchanged
        self._took = 0.0  # seconds, by the last look
        self._seen = Seen({}, {}, [], 0, -math.inf)

    def look(self, anew: bool = False) -> Seen:
        """What there is, seen a moment ago; or `anew`, from now on."""
        asked = time.monotonic()
        since = asked if anew else asked - max(STALE_SECONDS, RESTS * self._took)
        if self._seen.time < since:
            with self._looking:
                # Who had to wait for another's look takes what that one found.
                if self._seen.time < since:
                    self._seen = self._read_or_keep()
                    self._took = time.monotonic() - self._seen.time
        return self._seen

    def _read_or_keep(self) -> Seen:
        """Read the folder; where no file can be opened, keep what was seen last."""
        try:
            return self._read()
        except (OSError, CharloomError) as error:
            if not is_shortage(error) or self._seen.time == -math.inf:
                raise
            self._shortage.met()
            return replace(self._seen, time=time.monotonic())

    def runs(self) -> list[Run]:
        """All runs, those that changed last first."""
        return self.look().runs

    def place(self, key: str) -> Place:
        """Where the run of a key lies.

        Raises:
            NotHereError: no run has it.
        """
        for anew in (False, True):
            if (place := self.look(anew).places.get(key)) is not None:
                return place
        raise NotHereError(f"there is no run {shortened(key)}; GET /api/runs lists the runs.")

    def path(self, key: str) -> Path:
        """Where the run of a key lies, or will lie once its training has made it.

        Raises:
            NotHereError: no run has it.
        """
        place = self.place_if_any(key)
        if place is not None:
            return place.path
        self.run(key)
        return self.folder / key

    def place_if_any(self, key: str) -> Place | None:
        """Where the run of a key lies; None where it has no directory yet."""
        try:
            return self.place(key)
        except NotHereError:
            return None

    def run(self, key: str) -> Run:
        """A run as the list shows it; errors as `place`."""
        self._wanted.add(key)  # where the list is still being read, this one comes first
        for anew in (False, True):
            for run in self.look(anew).runs:
                if run.key == key:
                    return run
        raise NotHereError(f"there is no run {shortened(key)}; GET /api/runs lists the runs.")

    def texts(self) -> list[tuple[Run, Path, dict[str, Any]]]:
        """The runs that have been read, each with its directory and what it says of its text."""
        seen, watched = self.look(), self._watched
        return [
            (run, seen.places[run.key].path, text)
            for run in seen.runs
            if run.key in watched and (text := watched[run.key].text) is not None
        ]

    def model(self, key: str) -> tuple[Place, str | None]:
        """Where a model of the list lies, and which of a run it is: latest, best, an update, file; None
        where the key is the run's alone.

        Raises:
            NotHereError: there is no such model.
        """
        name, _, which = key.partition("@")
        seen = self._seen
        if name not in seen.places and name not in seen.files:
            # One that is known needs no new look at all the others: a writing begins at once.
            seen = self.look(anew=True)
        if name in seen.places:
            return seen.places[name], which or None
        if name in seen.files and not which:
            return seen.files[name], "file"
        raise NotHereError(
            f"there is no model {shortened(key)}; GET /api/models and /v1/models list them."
        )

    def _read(self) -> Seen:
        """Read the folder: what is new, what changes, and some of the rest in turn."""
        began = time.monotonic()
        found = self._folder.look()
        jobs = self.jobs.tidy(found.runs)
        self._watched = {
            key: self._watched.get(key) or Watched(place.path) for key, place in found.runs.items()
        }
        told, unread = [], self._to_read(found)
        checked = self._to_check(list(found.runs))
        for key, place in found.runs.items():
            if key not in unread:
                watched, job = self._watched[key], jobs.get(key)
                settled = None if key in checked else watched.settled(job, found.stamps[key])
                told.append(settled or watched.tell(place, job, found.stamps[key]))
        told += [of_job(job) for key, job in jobs.items() if key not in found.runs]
        told.sort(key=lambda run: (-run.changed, run.key))
        return Seen(found.runs, found.files, told, len(unread), began)

    def _to_read(self, found: Found) -> set[str]:
        """The keys of the runs to be read by a later look: all that were never read, but those that
        are wanted now and those that changed last."""
        new = [key for key, watched in self._watched.items() if not watched.known]
        new.sort(key=lambda key: (key in self._wanted, found.stamps[key]), reverse=True)
        self._wanted.clear()
        return set(new[READ_AT_ONCE:])

    def _to_check(self, keys: list[str]) -> set[str]:
        """The keys of the runs whose files are all looked at, though nothing seems to have changed:
        those that changed last, and others in turn."""
        checked = {run.key for run in self._seen.runs[:READ_AT_ONCE]}
        start = self._checked if self._checked < len(keys) else 0
        self._checked = start + CHECKED_AT_ONCE
        return checked | set(keys[start : self._checked])


@dataclass(frozen=True)
class Settled:
    """A run that nothing trains: its job, the stamps of its directory and files, what was told then."""

    job: Job | None
    directory: Stamp
    files: list[tuple[int, int, int] | None]
    run: Run


class Watched:
    """A run that is looked at again and again; only what is new in it is read.

    Args:
        path: the run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._metrics = Tail(path / METRICS, is_record)
        self._events = Tail(path / EVENTS, is_event)
        self._stamp: tuple[int, int] | None = None
        self._about: tuple[Config, dict[str, Any]] | None = None
        self._updates: int | None = None
        self._part: tuple[int, int] | None = None  # characters that are judged, of those held out
        self._last: dict[str, Any] = {}
        self._judged: dict[str, Any] = {}
        self._best = BestLoss()
        self._event: dict[str, Any] = {}
        self._records_lost: dict[str, Any] | None = None
        self._saved: SavedLengths | None = None  # how long the journals must be at least
        self._factor = 1.0
        self._begun = 0  # the update from which the last training began or went on
        self._settled: Settled | None = None
        self.known = False  # whether it was ever told

    @property
    def text(self) -> dict[str, Any] | None:
        """What its settings say of its text; None where they were never read."""
        return self._about and self._about[1]

    def settled(self, job: Job | None, directory: Stamp) -> Run | None:
        """The run as it was told last, if nothing trains it and its directory has not changed since:
        whoever begins to train a run replaces files in it."""
        settled = self._settled
        if settled is None or (settled.job, settled.directory) != (job, directory):
            return None
        return settled.run

    def tell(self, place: Place, job: Job | None, directory: Stamp) -> Run:
        """The run as it is now; `job` is its training, if it was started from here.

        Of one that nothing trains the files are read anew only when one of them has changed.
        """
        self.known = True
        files = [stamp_of(self.path / name) for name in TELLING]
        settled = self._settled
        if settled is not None and (settled.job, settled.files) == (job, files):
            self._settled = replace(settled, directory=directory)
            return settled.run
        self._settled = None
        try:
            run = self._tell(place, job)
        except (CharloomError, OSError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            if is_shortage(error):
                raise
            # A stranger's files may hold anything: such a run is shown, with what is wrong.
            reason = printable(for_page(message_of(error)))[:500]
            newer = isinstance(error, NewerFormatError)
            state: State = "newer" if newer else "damaged"
            return Run(key=place.key, name=place.name, state=state, reason=reason)
        behind = self._metrics.behind or self._events.behind
        if run.state in OVER and not behind and (job is None or not job.alive):
            self._settled = Settled(job, directory, files, run)
        return run

    def _tell(self, place: Place, job: Job | None) -> Run:
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
        # A record of before this training, or of its first update alone, says nothing of its speed.
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
        """Settings and text, read anew only when their file has changed."""
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
        """What is new in the journals, summed up; `best` is the update of the best checkpoint."""
        fresh, records = self._metrics.look()
        if fresh:
            self._last, self._judged, self._best = {}, {}, BestLoss()
        for record in records:
            self._last = record
            if "validation_nats" in record:
                self._judged = record
            self._best.add(record, best)
        fresh, events = self._events.look()
        for event in events:
            self._event = event
            self._note_lost(event)
            self._factor = number(event.get("learning_rate_factor"), self._factor)
            if event.get("event") in ("started", "resumed"):
                self._begun = int(number(event.get("update")))

    def _note_lost(self, event: dict[str, Any]) -> None:
        """Keep what an event tells of the lengths of journals from which something was lost."""
        if event["event"] == RECORDS_LOST:
            self._records_lost, self._saved = event, None
        elif self._records_lost and event["update"] < self._records_lost["update"]:
            self._records_lost, self._saved = (
                None,
                None,
            )  # training resumed from an earlier checkpoint

    def _left_out(self, latest: int | None) -> str | None:
        """Which journals have lines that cannot be read, or lost some; None where all is well."""
        told = [
            f"{tail.path.name} is damaged: {number_of(tail.broken, 'line')} left out"
            for tail in (self._metrics, self._events)
            if tail.broken
        ]
        return "; ".join([*told, *self._lost_since(latest)]) or None

    def _lost_since(self, latest: int | None) -> Iterator[str]:
        """Say which journals are shorter than when the latest checkpoint was saved."""
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
        """The state of the run and why, from its status and its last event."""
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


def models_in(seen: Seen) -> list[ModelId]:
    """Every model that can write: those of the runs, and then the model files."""
    found = [model for run in seen.runs for model in models_of(run)]
    return found + [
        ModelId(file.key, None, "file", None, file.name) for file in seen.files.values()
    ]


def models_of(run: Run) -> list[ModelId]:
    """The models of a run: first the one that is its model, then the other of latest and best, then its
    checkpoints."""
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
    """Why a run whose process is gone is interrupted."""
    if latest is None:
        return "its process ended before it saved a checkpoint"
    return f"its process ended without giving a reason; resuming continues from update {latest:,}"


def of_job(job: Job) -> Run:
    """A training that was started and has no run directory yet, or never made one."""
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
    """A number out of a file, or what to take where it is none, or not finite."""
    if not isinstance(value, (int, float)) or not -MOST_NUMBER < value < MOST_NUMBER:
        return otherwise
    return float(value)


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What changes where a file does; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def bits(nats: float | None) -> float | None:
    """Nats in bits."""
    return None if nats is None else nats / math.log(2)
