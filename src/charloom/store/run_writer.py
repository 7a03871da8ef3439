"""Writes a run directory. One process holds the lock, and every file is complete (spec/formats.md: Runs).

When an interrupted run is opened again, everything after the checkpoint that `latest` names is removed.
So the resumed run ends with the same bytes as an uninterrupted one. This module does not know how training
works.
"""

import importlib.metadata
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock

from charloom.canonical_form import canonical_json
from charloom.config import Config
from charloom.errors import ConfigError, ReadError, WriteError
from charloom.model import Learner, copy_learner
from charloom.model.schedule import Schedule
from charloom.run_file_names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    DAMAGED,
    DAMAGED_EVENTS,
    EVENTS,
    GRADCHECK,
    LATEST,
    METRICS,
    PASSAGE,
    SAMPLES,
    STATUS,
    TEXT,
)
from charloom.store.atomic_files import (
    make_directories,
    read_file,
    reading,
    remove_directory,
    remove_temporaries,
    replace_file,
    sync_directory,
    writing,
)
from charloom.store.checkpoint import Checkpoint, save_checkpoint
from charloom.store.checkpoint_directory import read_header
from charloom.store.checkpoint_pointer import pointer_line
from charloom.store.control_files import Control, read_control, write_status
from charloom.store.damage import intact
from charloom.store.format_versions import GRADCHECK_FORMAT
from charloom.store.journal import Journal
from charloom.store.journal_lengths import RECORDS_LOST
from charloom.store.journal_tail import kept_length
from charloom.store.new_run import refuse_existing, require_free
from charloom.store.resume_plan import ResumePlan, TrainingEnd, extended
from charloom.store.run_checkpoints import load_at, read_pointer
from charloom.store.run_directory import checkpoint_path, saved_updates
from charloom.store.run_inspection import RunInspection
from charloom.store.run_lock import acquire, held_again
from charloom.store.run_settings import RunSettings, TextDescription, settings_bytes
from charloom.store.training_state import require_finite
from charloom.temporary_names import ABANDONED_SECONDS
from charloom.text import Corpus

NEWEST_KEPT: Final = 2
SAME_END: Final = TrainingEnd()


class RunWriter:
    """The writer of a run; only one can exist at a time, in any process.

    `create` and `reopen` return one, and `close` ends it. Use it in a `with` statement.

    Attributes:
        path: the run directory.
        metrics: the journal of records.
        samples: the journal of samples.
        events: the journal of events.
        seconds: training time of the run when it was opened, in seconds.
        command: the last command in control.json when the run was opened.
        engine: description of the engine that trained the run before; None if it is not known.
        saved_update: the update of the checkpoint that `latest` names.
        finished: True if the run had reached its end when it was opened.
        warnings: sentences about damage that was found and repaired.
    """

    def __init__(
        self, path: Path, lock: FileLock, corpus: Corpus, lengths: dict[str, int], command: Control
    ) -> None:
        self.path = path
        self._lock = lock
        self._fingerprint = corpus.fingerprint
        self._best: Checkpoint | None = None
        self._kept = lengths  # bytes of the journals at the latest checkpoint
        self._unsure = False  # True if `latest` may not name the last saved checkpoint
        with ExitStack() as opened:
            self.metrics = opened.enter_context(Journal(path / METRICS, lengths[METRICS]))
            self.samples = opened.enter_context(Journal(path / SAMPLES, lengths[SAMPLES]))
            # Events include interruptions, so resuming adds events and removes none. They contain clock
            # times, so checkpoints do not store their length.
            self.events = opened.enter_context(Journal(path / EVENTS, lengths[EVENTS]))
            with writing(path):
                sync_directory(path)  # the journals may be new files
            self._journals = opened.pop_all()
        self.seconds = 0.0
        self.command = command
        self.engine: str | None = None
        self.saved_update: int | None = None
        self.finished = False
        self.warnings: list[str] = []

    @classmethod
    def create(cls, path: str | Path, learner: Learner, corpus: Corpus) -> Self:
        """Create a run directory with a first checkpoint of the learner.

        Raises:
            RunExistsError: the path exists and is not empty.
            NewerFormatError: a later version of charloom wrote a file there.
            RunInUseError: another process is creating the run.
            TextError: the text is shorter than one window.
            ReadError: the disk failed while reading.
            WriteError: the disk failed while writing.
        """
        path = Path(path)
        Schedule.of(learner.config, len(corpus))
        require_free(path)
        with writing(path):
            for directory in (path, path / CHECKPOINTS):
                make_directories(directory)
        lock = acquire(path)
        try:
            with reading(path):
                refuse_existing(path)
            for leftover in saved_updates(path):
                remove_directory(checkpoint_path(path, leftover))
            if not corpus.sources:
                # Keep a text that has no file, so that the run can always be resumed.
                replace_file(path / TEXT, corpus.kept_bytes())
            replace_file(path / CONFIG, settings_of(learner.config, corpus, None))
            lengths = {METRICS: 0, SAMPLES: 0, EVENTS: kept_length(path / EVENTS, None)}
            writer = cls(path, lock, corpus, lengths, read_control(path))
        except BaseException:
            lock.release()
            raise
        try:
            writer.save(learner)
        except BaseException:
            writer.close()
            raise
        writer.tell("created", learner.update)
        return writer

    @classmethod
    def reopen(
        cls, plan: ResumePlan, end: TrainingEnd = SAME_END, lock: FileLock | None = None
    ) -> Self:
        """Open a run to continue it from its last checkpoint. The learner of the plan gets the new end.

        Damaged files are set aside. `warnings` are those of the plan.

        Args:
            plan: what to continue with. The run must not have changed since it was inspected.
            end: the new end of the run.
            lock: the lock of the run if the caller holds it; the writer then holds it too. None
                acquires it.

        Raises:
            RunInUseError: another process writes the run, or has written it since the inspection.
            ConfigError: the new end is not after the run's present update.
            ReadError: the disk failed while reading; nothing was changed.
            WriteError: the disk failed while writing.
        """
        learner, path = plan.learner, plan.inspection.path
        config = extended(learner.config, end)
        schedule = Schedule.of(config, len(plan.corpus))
        if end != SAME_END:
            if schedule.updates <= learner.update:
                raise ConfigError(
                    f"{path} is at update {learner.update:,} and would end at {schedule.updates:,}; "
                    f"give more epochs or updates."
                )
            learner.judgements_since_best = 0  # a new end starts counting again for early stopping
        learner.config = config
        lock = acquire(path) if lock is None else held_again(lock)
        try:
            plan.inspection.require_unchanged()
            with reading(path):
                lengths = clean_up(plan)
                writer = cls(path, lock, plan.corpus, lengths, plan.inspection.control)
        except BaseException:
            lock.release()
            raise
        try:
            with reading(path):
                writer._continue(plan, lengths)
        except BaseException:
            writer.close()
            raise
        writer.finished = schedule.over(learner) and has_ended(plan.inspection, learner)
        return writer

    def _continue(self, plan: ResumePlan, lengths: Mapping[str, int]) -> None:
        """Make all files agree with the checkpoint of the plan."""
        inspection, learner, path = plan.inspection, plan.learner, self.path
        newer = [update for update in inspection.checkpoints.updates if update > learner.update]
        self.seconds, self.engine = plan.journals[METRICS].seconds, inspection.engine
        self.saved_update, self.warnings = learner.update, list(plan.warnings)
        if plan.fell_back:
            self._set_aside(newer)
            self._point(LATEST, learner.update)
        if any(end.lost for end in plan.journals.values()):
            # The checkpoint never changes and has the old lengths, so an event records the new ones.
            self.tell(RECORDS_LOST, learner.update, durable=True, lengths=lengths)
        if not plan.fell_back:
            self._remove(newer)  # checkpoints of an interrupted save
        if inspection.had_sources and not plan.corpus.sources:
            # The new source of the text, such as a pipe, can be read only once.
            replace_file(path / TEXT, plan.corpus.kept_bytes())
        settings = settings_of(learner.config, plan.corpus, plan.version)
        if inspection.config_data != settings:
            # Settings changed, the file is damaged, or an earlier version of charloom wrote it.
            replace_file(path / CONFIG, settings)
        self._restore_best(inspection.best, learner.best_update)
        if not Schedule.of(learner.config, len(plan.corpus)).over(learner):
            # The passage is by a model that is now trained further.
            with writing(path / PASSAGE):
                (path / PASSAGE).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Return True if the lock is no longer held."""
        return not self._lock.is_locked

    def keep_best(self, learner: Learner) -> None:
        """Keep a copy of the learner in memory as the new best one; the next save writes it."""
        self._best = Checkpoint(copy_learner(learner), self._lengths(), self._fingerprint)

    def save(self, learner: Learner) -> Path:
        """Save the best learner in memory and this learner, and make this one the latest.

        If the latest checkpoint has the learner's update, nothing is saved again.

        Returns:
            The directory of the learner's checkpoint.

        Raises:
            DivergedError: a number in the learner is not finite; nothing was saved.
            WriteError: the disk failed. Earlier checkpoints are intact, and the best learner stays in
                memory, so that the next save can write it.
        """
        self._require_place()
        directory = checkpoint_path(self.path, learner.update)
        if learner.update != self.saved_update:
            require_finite(learner)
            self._point_back()
            for journal in (self.metrics, self.samples, self.events):
                journal.sync()
            if self._best is not None and self._best.learner.update != learner.update:
                self._put(self._best)
            self._put(Checkpoint(learner, self._lengths(), self._fingerprint))
            self._unsure = True
            self._point(LATEST, learner.update)
            self._unsure = False
            self.saved_update, self._kept = learner.update, self._lengths()
            # The best learner is on the disk now.
            self._best = None
        if learner.best_update is not None:
            self._point(BEST, learner.best_update)
        self._prune(learner.best_update)
        return directory

    def roll_back(self) -> Learner:
        """Return the learner of the latest checkpoint, and cut the journals back to that checkpoint.

        Raises:
            DamagedError: the checkpoint is damaged.
            WriteError: the disk failed, or the run was moved or removed.
        """
        self._require_place()
        assert self.saved_update is not None, "a run has a checkpoint from its creation on"
        self._point_back()
        checkpoint = load_at(self.path, self.saved_update)
        self.metrics.cut(self._kept[METRICS])
        self.samples.cut(self._kept[SAMPLES])
        self._best = None
        self._remove(later for later in saved_updates(self.path) if later > self.saved_update)
        return checkpoint.learner

    def load_best(self) -> Learner:
        """Return the best saved learner, or the latest before the first validation.

        Raises:
            DamagedError: the checkpoint is damaged.
        """
        best = read_pointer(self.path, BEST)
        update = self.saved_update if best is None else best
        assert update is not None, "a run has a checkpoint from its creation on"
        return load_at(self.path, update).learner

    def flush(self) -> None:
        """Write all records, samples and events, so that other processes see them.

        Raises:
            WriteError: the disk failed; the lines stay in memory.
        """
        for journal in (self.metrics, self.samples, self.events):
            journal.flush()

    def tell(self, event: str, update: int, durable: bool = False, **details: Any) -> None:
        """Add an event; if the disk fails, it stays in memory until the next flush.

        Args:
            event: name of the event.
            update: update at which it happened.
            durable: True to wait until it would survive a power cut. Needed for events with
                information that no checkpoint has.
            **details: further fields.
        """
        self.events.append({"event": event, "update": update, "time": time.time(), **details})
        with suppress(WriteError):
            if durable:
                self.events.sync()
            else:
                self.events.flush()

    def status(self, state: str, update: int, updates: int, reason: str | None = None) -> None:
        """Replace status.json.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        write_status(self.path / STATUS, state, update, updates, reason)

    def remove_status(self) -> None:
        """Remove status.json, which also works on a full disk."""
        with suppress(OSError, WriteError):
            self._require_place()
            (self.path / STATUS).unlink(missing_ok=True)

    def write_passage(self, text: str) -> None:
        """Replace passage.txt.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        replace_file(self.path / PASSAGE, text.encode("utf-8", "surrogatepass"))

    def write_gradcheck(self, checks: list[dict[str, Any]]) -> None:
        """Replace gradcheck.json with the results of gradient checks as plain data.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        replace_file(
            self.path / GRADCHECK, canonical_json({"format": GRADCHECK_FORMAT, "checks": checks})
        )

    def close(self) -> None:
        """Write the lines in memory, close the journals and release the lock."""
        for journal in (self.metrics, self.samples, self.events):
            with suppress(WriteError):
                journal.flush()
        self._journals.close()
        self._lock.release()

    def _require_place(self) -> None:
        """Raise WriteError if the run or one of its journals was moved, removed or replaced."""
        journals = (self.metrics, self.samples, self.events)
        gone = [journal.path for journal in journals if not journal.in_place]
        if gone:
            what = self.path if len(gone) == len(journals) else gone[0]
            raise WriteError(
                f"{what} cannot be written: it was moved or removed. Move it back; a copy of it is not "
                f"enough."
            )

    def _lengths(self) -> dict[str, int]:
        """Return the journals' lengths in bytes, for a checkpoint."""
        return {METRICS: self.metrics.length, SAMPLES: self.samples.length}

    def _put(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint that no pointer names yet; replace one that a failed save left."""
        directory = checkpoint_path(self.path, checkpoint.learner.update)
        if os.path.lexists(directory):
            remove_directory(directory)
        save_checkpoint(directory, checkpoint.learner, checkpoint.lengths, checkpoint.fingerprint)

    def _point(self, name: str, update: int) -> None:
        """Make the pointer `name` ("latest" or "best") name the checkpoint of an update."""
        manifest = intact(read_header(checkpoint_path(self.path, update)).manifest)
        replace_file(self.path / CHECKPOINTS / name, pointer_line(name, update, manifest))

    def _point_back(self) -> None:
        """Make `latest` name the last saved checkpoint, if it may name another one after a disk error.

        The checkpoint after it can then be written again.
        """
        if self._unsure and self.saved_update is not None:
            self._point(LATEST, self.saved_update)
            self._unsure = False

    def _remove(self, updates: Iterable[int]) -> None:
        """Remove the checkpoints of these updates. No pointer may name one of them."""
        for update in updates:
            remove_directory(checkpoint_path(self.path, update))

    def _set_aside(self, updates: Iterable[int]) -> None:
        """Rename the damaged checkpoints of these updates, so that they are ignored but not lost.

        A user may still recover data from their bytes.
        """
        for update in updates:
            aside = self.path / CHECKPOINTS / f"{DAMAGED}{update}"
            if os.path.lexists(aside):
                remove_directory(aside)
            with writing(aside):
                checkpoint_path(self.path, update).rename(aside)

    def _prune(self, best_update: int | None) -> None:
        """Remove all checkpoints except the newest two and the best."""
        saved: list[int] = []
        with suppress(ReadError):
            saved = saved_updates(self.path)
        for update in saved[:-NEWEST_KEPT]:
            if update != best_update:
                # A checkpoint that cannot be removed does no harm; the next save tries again.
                with suppress(WriteError):
                    remove_directory(checkpoint_path(self.path, update))

    def _restore_best(self, named: int | None, best_update: int | None) -> None:
        """Make the pointer `best` name the best checkpoint, or remove it if there is none.

        Args:
            named: the update that `best` names; None if it is missing or damaged. It may be outdated.
            best_update: the update of the best checkpoint; None if there is none.
        """
        if best_update is None:
            with writing(self.path / CHECKPOINTS / BEST):
                (self.path / CHECKPOINTS / BEST).unlink(missing_ok=True)
        elif named != best_update:
            self._point(BEST, best_update)


def charloom_version() -> str:
    """Return the version of the installed charloom."""
    try:
        return importlib.metadata.version("charloom")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def clean_up(plan: ResumePlan) -> dict[str, int]:
    """Remove temporary files of an interrupted writer, and move unreadable events aside.

    Returns:
        How many bytes of each journal to keep, by its name.

    Raises:
        DamagedError: damaged-events.jsonl is not a plain file.
        WriteError: the disk failed.
    """
    path, lines = plan.inspection.path, plan.inspection.lines
    for name in (CONFIG, STATUS, TEXT, GRADCHECK, PASSAGE):
        remove_temporaries(path, name)
    remove_temporaries(path / CHECKPOINTS)
    # Other processes may be writing control.json or a report, so only old temporary files are removed.
    remove_temporaries(path, older_than=ABANDONED_SECONDS)
    lengths = {name: end.length for name, end in plan.journals.items()}
    lengths[EVENTS] = 0 if lines is None else lines.length
    if lines is not None and lines.broken:
        set_aside(path, lines.sound, lines.broken)
        lengths[EVENTS] = sum(map(len, lines.sound))
    return lengths


def has_ended(inspection: RunInspection, learner: Learner) -> bool:
    """Return True if a run wrote its passage and its last status after the learner's update."""
    status = inspection.status
    wrote = inspection.passage is not None or PASSAGE in inspection.problems
    return (
        wrote
        and status is not None
        and status.state == "finished"
        and status.update == learner.update
    )


def set_aside(path: Path, sound: Sequence[bytes], broken: Sequence[bytes]) -> None:
    """Move the unreadable lines of events.jsonl to damaged-events.jsonl, so that nothing is lost.

    Raises:
        DamagedError: damaged-events.jsonl is not a plain file.
        WriteError: the disk failed.
    """
    before = read_file(path / DAMAGED_EVENTS) or b""
    for name, kept in ((DAMAGED_EVENTS, [before, *broken]), (EVENTS, sound)):
        replace_file(path / name, b"".join(kept))


def settings_of(config: Config, corpus: Corpus, version: str | None) -> bytes:
    """Return the contents of config.json. If `version` is None, it gets the version of this charloom."""
    settings = RunSettings(
        config=config,
        text=TextDescription.of(corpus),
        version=charloom_version() if version is None else version,
    )
    return settings_bytes(settings)
