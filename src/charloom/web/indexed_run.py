"""Reads a run for the list of runs; each later call reads only what has changed in the run directory.

This module does not search for runs, and it knows nothing about other runs.
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from charloom.config import Config
from charloom.errors import CharloomError, NewerFormatError, UnregisteredCellError, message_of
from charloom.formatting import capitalized
from charloom.live_processes import is_alive
from charloom.messages import for_page
from charloom.model.schedule import Schedule
from charloom.run_file_names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    LATEST,
    METRICS,
    SAMPLES,
    STATUS,
)
from charloom.store import RunHead, Status, inspect_head, which_of
from charloom.store.control_files import AT_WORK, OVER
from charloom.store.end_events import END_CHANGED
from charloom.store.journal_lengths import RECORDS_LOST, SavedLengths, saved_lengths
from charloom.store.journal_lines import is_event, is_record, is_sample
from charloom.store.journal_objects import damage_of, lost_lines_of, size_of
from charloom.store.lost_checkpoints import why_no_latest
from charloom.store.lost_lines import LostLines
from charloom.store.model_start import START_NATS, read_start_losses
from charloom.store.run_settings import RunSettings, TextDescription, schedule_of
from charloom.store.run_summary import size_of_run
from charloom.store.training_loss import TrainingLoss
from charloom.training.divergence_message import divergence_sentence
from charloom.training.overfitting_check import OverfittingCheck
from charloom.training.overfitting_message import overfitting_sentence
from charloom.training.progress_records import characters_evaluated
from charloom.training.schedule_message import late_schedule
from charloom.training.start_message import bad_starts
from charloom.web.best_loss import BestLoss
from charloom.web.file_descriptors import is_shortage
from charloom.web.journal_follower import Tail
from charloom.web.run_figures import figures_at, mean_speed
from charloom.web.runs_folder import Location, Stamp, printable
from charloom.web.schemas import Run, State
from charloom.web.training_jobs import Job

# If the process named in status.json no longer runs, a run gets the state `interrupted` after this time
# without a change.
SILENT_SECONDS: Final = 3.0
# After this time without a change, a run gets the state `interrupted` even if a process has the id in
# status.json: the system may have given the id to another process.
LOST_SECONDS: Final = 600.0
# A run that has no status.json yet gets the state `starting` for this time after its last change.
YOUNG_SECONDS: Final = 30.0
MOST_NUMBER: Final = 1e300
MOST_REASON: Final = 500  # largest length of the reason for a state, in characters
UNREADABLE: Final = ("damaged", "newer", "unreadable")
# The files and folders in a run directory that are read for the list of runs.
LISTED_FILES: Final = (
    CONFIG, STATUS, METRICS, SAMPLES, EVENTS, CHECKPOINTS, f"{CHECKPOINTS}/{LATEST}",
    f"{CHECKPOINTS}/{BEST}",
)  # fmt: skip


@dataclass(frozen=True)
class UnchangedRun:
    """The entry of a run that no process trains, with the times and sizes that its files had when they were read.

    Attributes:
        job: the process with which this server trained the run; None if this server did not train it.
        directory: modification time and inode of the run directory.
        files: modification time, size and inode of each of `LISTED_FILES`; None for a missing file.
        run: the entry for the list of runs.
    """

    job: Job | None
    directory: Stamp
    files: list[tuple[int, int, int] | None]
    run: Run


class IndexedRun:
    """A run that the server reads repeatedly. Each time, it reads only what has changed since the last time.

    Args:
        path: the run directory.

    Attributes:
        known: whether the run has been read at least once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._metrics = Tail(path / METRICS, is_record)
        self._events = Tail(path / EVENTS, is_event)
        self._settings: RunSettings | None = None
        self._schedule: Schedule | None = None
        # how many characters of the validation part each evaluation predicts, and how many the whole
        # validation part has; None if the run has no validation part
        self._part: tuple[int, int] | None = None
        self._last: dict[str, Any] = {}
        self._judged: dict[str, Any] = {}
        self._best = BestLoss()
        self._overfitting = OverfittingCheck()
        self._training = TrainingLoss()
        self._event: dict[str, Any] = {}
        self._records_lost: dict[str, Any] | None = None
        # the lengths of the journals when the latest checkpoint was saved; a journal that is shorter now has lost lines
        self._saved: SavedLengths | None = None
        self._factor = 1.0
        self._end_change: str | None = None  # why the present process moved the end of the run
        self._begun = 0  # the update from which the run was last started or resumed
        self._unchanged: UnchangedRun | None = None
        self.known = False

    @property
    def text(self) -> TextDescription | None:
        """Return the description of the run's text; None if the settings could not be read yet."""
        return None if self._settings is None else self._settings.text

    def unchanged(self, job: Job | None, directory: Stamp) -> Run | None:
        """Return the entry that the last call of `read` returned; None if the run may have changed since that call.

        The run may have changed if a process trained it during that call, if that call did not read the journals
        to their ends, or if that call had another `job` or `directory`. A process that starts to train the run
        changes `directory`, because it replaces files there.

        Args:
            job: the process with which this server trained the run; None if this server did not train it.
            directory: modification time and inode of the run directory.
        """
        unchanged = self._unchanged
        if unchanged is None or (unchanged.job, unchanged.directory) != (job, directory):
            return None
        return unchanged.run

    def read(self, place: Location, job: Job | None, directory: Stamp) -> Run:
        """Return the run's entry for the list of runs, with the present state of the run.

        If no process trains the run, its files are read again only when one of them or `job` has changed. If
        the run cannot be read, its state in the entry is "damaged", or "newer" if a later version of
        charloom wrote it, or "unreadable" if its cell is not registered.

        Args:
            place: the key and the name of the run.
            job: the process with which this server trained the run; None if this server did not train it.
            directory: modification time and inode of the run directory.
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
            # If another program wrote files of the run, reading them can raise any of these errors. Show the error
            # as the reason of the run's state, so that the list of runs stays complete.
            reason = printable(for_page(message_of(error)))[:MOST_REASON]
            state: State = "newer" if isinstance(error, NewerFormatError) else "damaged"
            if isinstance(error, UnregisteredCellError):
                state = "unreadable"
            size = size_of_run(self.path)
            return Run(key=place.key, name=place.name, state=state, reason=reason, bytes=size)
        behind = self._metrics.behind or self._events.behind
        if run.state in OVER and not behind and (job is None or not job.alive):
            self._unchanged = UnchangedRun(job, directory, files, run)
        return run

    def _read(self, place: Location, job: Job | None) -> Run:
        head = inspect_head(self.path)
        schedule = self._note_settings(head)
        config, text, status, latest, best = (
            head.config, head.text, head.status, head.latest, head.best
        )  # fmt: skip
        self._read_journals(best)
        last = self._last
        changed = max(
            number(status.heartbeat) if status else 0.0,
            number(self._event.get("time")),
            (self.path / CONFIG).stat().st_mtime,
        )
        state, reason = self._state(status, changed)
        if job is not None:
            state, reason = job.state(state, reason, status)
        damage = self._damage(head)
        reason = reason or damage
        if reason is None and state == "interrupted":
            reason = lost(latest)
        update = status.update if status else last.get("update", latest)
        updates = status.updates if status and state != "finished" else schedule.updates
        speed = self._speed(state)
        each = config.seq_length * config.batch_size
        left = None
        if state == "training" and speed and update is not None and updates is not None:
            left = max(0, updates - update) * each / speed
        judged = bits(self._judged.get("validation_nats"))
        figures = figures_at(update, schedule, self._factor, last, counters_of(head))
        return Run(
            key=place.key,
            name=place.name,
            state=state,
            reason=reason,
            damage=damage,
            end_change=self._end_change if state in AT_WORK else None,
            here=state in AT_WORK,
            resumable=latest is not None and state in OVER,
            recipe=config.recipe,
            cell=config.cell,
            hidden_size=config.hidden_size,
            layers=config.layers,
            ngram_order=config.ngram_order,
            input_pairs=config.input_pairs,
            seq_length=config.seq_length,
            text=text.name,
            characters=text.characters,
            vocabulary_size=text.vocabulary_size,
            update=update,
            updates=updates,
            epoch=figures.epoch,
            bits=bits(self._training.nats) if judged is None else judged,
            train_bits=bits(self._training.nats),
            train_bits_of=self._training.name,
            validation_bits=judged,
            best_bits=bits(self._best.of(best) if config.validation else self._training.nats),
            overfitting=self._overfits(best) if state == "finished" and config.validation else None,
            start_warning=self._bad_starts() if state == "finished" else None,
            schedule_warning=None
            if (late := late_schedule(schedule)) is None
            else page_sentence(late),
            divergence=self._diverged(config, text.vocabulary_size) if state in OVER else None,
            smooth_loss=figures.smooth_loss,
            learning_rate=figures.learning_rate,
            learning_rate_factor=self._factor,
            characters_per_second=speed,
            seconds=last.get("seconds"),
            seconds_left=left,
            changed=changed,
            bytes=size_of_run(self.path),
            checkpoints=list(head.checkpoints.updates),
            judged_characters=self._part and self._part[0],
            held_out=self._part and self._part[1],
            best=best,
            latest=latest,
            model=which_of(config),
        )

    def _note_settings(self, head: RunHead) -> Schedule:
        """Store the settings in `head`, and return the schedule of the run: its updates and learning rates.

        Compute the schedule again only if the settings have changed. If the settings could not be read, raise an
        error that says why.
        """
        if head.found_settings is None:
            head.problems[CONFIG].refuse()
        if head.found_settings != self._settings or self._schedule is None:
            self._settings = head.found_settings
            schedule = self._schedule = Schedule.of(head.config, head.text.characters)
            self._part = (
                characters_evaluated(head.config, schedule.windows)
                if head.config.validation
                else None
            )
        return self._schedule

    def _speed(self, state: State) -> float | None:
        """Return the speed of the run in characters per second; None if it is not known.

        While a process trains the run, this is the current speed. Otherwise it is the mean speed since the
        run began.
        """
        if state not in AT_WORK:
            return mean_speed(self._last)
        # The last record does not show the current speed if a process wrote it that no longer runs, or if it
        # belongs to the first update of the process that runs now.
        if number(self._last.get("update")) <= self._begun + 1:
            return None
        return self._last.get("characters_per_second")

    def _read_journals(self, best: int | None) -> None:
        """Read the lines that were added to metrics.jsonl and events.jsonl since the last call.

        `best` is the update of the best checkpoint; None if there is no best checkpoint.
        """
        fresh, records = self._metrics.new_lines()
        if fresh:
            self._last, self._judged, self._best = {}, {}, BestLoss()
            self._overfitting, self._training = OverfittingCheck(), TrainingLoss()
        for record in records:
            self._last = record
            if "validation_nats" in record:
                self._judged = record
            self._best.add(record, best)
            fields = (record[name] for name in ("update", "epoch", "characters", "train_nats"))
            self._training.add(*fields)
            self._overfitting.add(
                record["update"], record["train_nats"], record.get("validation_nats")
            )
        fresh, events = self._events.new_lines()
        for event in events:
            self._event = event
            self._note_lost(event)
            self._factor = number(event.get("learning_rate_factor"), self._factor)
            if event.get("event") in ("started", "resumed"):
                self._begun = int(number(event.get("update")))
                self._end_change = None
            if event.get("event") == END_CHANGED:
                self._end_change = as_sentence(event.get("reason"))

    def _overfits(self, best: int | None) -> str | None:
        """Return a sentence saying that the model overfits; None if the model does not overfit.

        `best` is the update of the best checkpoint.
        """
        found = self._overfitting.result()
        if found is None:
            return None
        return page_sentence(overfitting_sentence(found, best, "Playground"))

    def _bad_starts(self) -> str | None:
        """Return a sentence saying that the model writes badly from a state in which it can begin.

        Return None if it writes well, or if this was not measured.
        """
        found = bad_starts(read_start_losses(self._event.get(START_NATS)))
        return None if found is None else page_sentence(found)

    def _diverged(self, config: Config, vocabulary_size: int) -> str | None:
        """Return a sentence saying that training diverged; None if it did not, or if the run has no record."""
        update, nats = self._last.get("update"), self._last.get("train_nats")
        if update is None or nats is None:
            return None
        found = divergence_sentence(config, vocabulary_size, update, nats, self._factor)
        return None if found is None else page_sentence(found)

    def _note_lost(self, event: dict[str, Any]) -> None:
        """Store `event` if it says that training was resumed although lines of the journals were lost.

        The stored event has the lengths of the shortened journals. If `event` is of a lower update than the
        stored event, drop the stored event: training was resumed once more, from a checkpoint before the loss.
        """
        if event["event"] == RECORDS_LOST:
            self._records_lost, self._saved = event, None
        elif self._records_lost and event["update"] < self._records_lost["update"]:
            self._records_lost, self._saved = None, None

    def _damage(self, head: RunHead) -> str | None:
        """Return a message about the damaged files of the run; None if no file is damaged.

        The message consists of the sentences with which `charloom report` describes the damage.
        """
        names = (STATUS, LATEST, BEST)
        messages = [head.problems[name].message for name in names if name in head.problems]
        if head.latest is None and LATEST not in head.problems:
            problem = why_no_latest(self.path, head.checkpoints, head.status)
            messages += [] if problem.missing else [problem.message]
        if head.latest is not None:
            messages += self._journal_damage(head)
        return printable(for_page(" ".join(messages)))[:MOST_REASON] or None

    def _journal_damage(self, head: RunHead) -> list[str]:
        """Return one message for each damaged or missing journal: metrics.jsonl, events.jsonl or samples.jsonl."""
        if self._saved is None or self._saved.update != head.latest:
            events = [self._records_lost] if self._records_lost else []
            schedule = schedule_of(head.found_settings)
            self._saved = saved_lengths(head.checkpoints, head.latest, events, schedule)
        samples = self.path / SAMPLES
        size = size_of(samples)
        # Reading samples.jsonl of every run takes too long. Read it only if the file is now shorter than when the
        # latest checkpoint was saved.
        lines = LostLines()
        if self._saved is not None and (size or 0) < self._saved.lengths.get(SAMPLES, 0):
            lines = lost_lines_of(samples, is_sample)
        found = [
            damage_of(tail.path, size_of(tail.path), tail.lines, saved)
            for tail, saved in ((self._metrics, self._saved), (self._events, None))
        ]
        found.append(damage_of(samples, size, lines, self._saved))
        return [message for message in found if message is not None]

    def _state(self, status: Status | None, changed: float) -> tuple[Any, str | None]:
        """Return the state of the run, and a sentence saying why; None instead of the sentence if no reason is known.

        Args:
            status: the content of status.json. None if there is no status.json: then the last event in
                events.jsonl and `changed` determine the state.
            changed: when the run last changed, in Unix time.
        """
        silent = time.time() - changed
        if status is not None and status.state in AT_WORK:
            gone = silent > SILENT_SECONDS and not is_alive(status.pid)
            if gone or silent > LOST_SECONDS:
                return "interrupted", None
        if status is not None:
            return status.state, status.reason
        event = self._event.get("event")
        if event in OVER:
            return event, self._event.get("reason")
        return ("starting" if silent < YOUNG_SECONDS else "interrupted"), None


def counters_of(head: RunHead) -> dict[str, Any]:
    """Return the counters in the latest checkpoint; an empty dict if the checkpoint is missing or unreadable."""
    if head.latest is None:
        return {}
    return head.checkpoints.header(head.latest).counters


def page_sentence(message: str) -> str:
    """Return a message of the training package as a sentence for the page, with a capital letter at its start."""
    return capitalized(printable(for_page(message)))


def as_sentence(reason: object) -> str | None:
    """Return the reason in an event as a sentence for the page; None if it is not a string."""
    return f"{page_sentence(reason)}." if isinstance(reason, str) else None


def lost(latest: int | None) -> str:
    """Return a reason for the state `interrupted` of a run whose process ended without writing a reason.

    `latest` is the update of the latest checkpoint; None if there is no checkpoint.
    """
    if latest is None:
        return "its process ended before it saved a checkpoint"
    return f"its process ended without giving a reason; resuming continues from update {latest:,}"


def run_of_job(job: Job) -> Run:
    """Return an entry for the list of runs for a training process that has not created its run directory.

    The process has just been started, or it failed or was stopped before it could create the directory.
    """
    state, reason = job.state("starting", None, None)
    return Run(
        key=job.run,
        name=job.run,
        state=state,
        reason=reason,
        text=job.text,
        recipe=job.recipe,
        changed=number(job.time),
        dismissible=state in ("failed", "stopped"),
    )


def number(value: Any, otherwise: float = 0.0) -> float:
    """Return `value`, which was read from a file, as a float.

    If `value` is not a number, or not between -MOST_NUMBER and MOST_NUMBER, return `otherwise`.
    """
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
    """Convert nats to bits; return None for None."""
    return None if nats is None else nats / math.log(2)
