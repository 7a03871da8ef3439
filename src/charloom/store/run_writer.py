"""Writes a run directory. Only the process that holds the run's lock writes it (spec/formats.md: Runs).

When an interrupted run is opened again, all records, samples and checkpoints after the checkpoint that
`latest` names are removed. So the resumed run ends with the same records, samples and checkpoints as an
uninterrupted run. This module does not know how training works.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock

from charloom.canonical_form import canonical_json
from charloom.errors import ConfigError, WriteError
from charloom.model import Learner, copy_learner
from charloom.model.schedule import Schedule
from charloom.run_file_names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    GRADCHECK,
    LATEST,
    LEARNING_RATES,
    METRICS,
    PASSAGE,
    SAMPLES,
    STATUS,
    TEXT,
)
from charloom.store.atomic_files import (
    make_directories,
    reading,
    replace_file,
    sync_directory,
    writing,
)
from charloom.store.checkpoint import Checkpoint
from charloom.store.checkpoint_rotation import CheckpointRotation
from charloom.store.control_files import Control, read_control, write_status
from charloom.store.end_events import END_CHANGED, end_fields
from charloom.store.format_versions import GRADCHECK_FORMAT, LEARNING_RATES_FORMAT
from charloom.store.interrupted_writer import clean_up
from charloom.store.journal import Journal
from charloom.store.journal_lengths import RECORDS_LOST
from charloom.store.journal_tail import length_of_lines
from charloom.store.new_run import refuse_existing, require_free
from charloom.store.resume_plan import ResumePlan, TrainingEnd, extended
from charloom.store.run_checkpoints import load_at, read_pointer
from charloom.store.run_inspection import RunInspection
from charloom.store.run_lock import acquire
from charloom.store.run_settings import RunSettings, settings_bytes
from charloom.store.training_state import require_finite
from charloom.text import Corpus

SAME_END: Final = TrainingEnd()


class RunWriter:
    """The writer of a run. It holds the run's lock, so a run has at most one writer, in any process.

    `create` and `reopen` make a writer, and `close` ends it. Use it in a `with` statement.

    Attributes:
        path: the run directory.
        metrics: the journal of records.
        samples: the journal of samples.
        events: the journal of events.
        seconds: how many seconds the run had been trained when it was opened.
        command: the last command in control.json when the run was opened.
        engine: the description of the engine that trained the run before it was opened; None if no event
            names an engine.
        finished: True if the run had reached its end when it was opened.
        warnings: sentences about damage that was found and repaired.
    """

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        settings: RunSettings,
        lengths: dict[str, int],
        command: Control,
    ) -> None:
        self.path = path
        self._lock = lock
        self._settings = settings
        self._best: Checkpoint | None = None
        self._kept = lengths  # the length of each journal when the latest checkpoint was saved
        config = settings.config
        keep_every = config.save_every if config.keep_saved == "all" else 0
        self._checkpoints = CheckpointRotation(path / CHECKPOINTS, keep_every)
        with ExitStack() as opened:
            self.metrics = opened.enter_context(Journal(path / METRICS, lengths[METRICS]))
            self.samples = opened.enter_context(Journal(path / SAMPLES, lengths[SAMPLES]))
            # Resuming keeps all events, so checkpoints do not store the length of events.jsonl. The length
            # would differ between equal runs, because events contain clock times.
            self.events = opened.enter_context(Journal(path / EVENTS, lengths[EVENTS]))
            with writing(path):
                sync_directory(path)  # if the journals are new files, flush their names to the disk
            self._journals = opened.pop_all()
        self.seconds = 0.0
        self.command = command
        self.engine: str | None = None
        self.finished = False
        self.warnings: list[str] = []

    @classmethod
    def create(cls, path: str | Path, learner: Learner, corpus: Corpus) -> Self:
        """Create a run directory with a first checkpoint of the learner.

        Raises:
            RunExistsError: the path is a file, or a directory with a run or with other files. A directory
                that an interrupted creation of a run left is accepted.
            NewerFormatError: a later version of charloom wrote a file there.
            RunInUseError: another process is creating the run.
            TextError: the text is too short for the learner's config.
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
            leftovers = CheckpointRotation(path / CHECKPOINTS)
            leftovers.remove(leftovers.updates())
            if not corpus.sources:
                # Keep a text that has no file, so that the run can always be resumed.
                replace_file(path / TEXT, corpus.kept_bytes())
            settings = RunSettings.of(learner.config, corpus)
            replace_file(path / CONFIG, settings_bytes(settings))
            lengths = {METRICS: 0, SAMPLES: 0, EVENTS: length_of_lines(path / EVENTS)}
            writer = cls(path, lock, settings, lengths, read_control(path))
        except BaseException:
            lock.release()
            raise
        try:
            writer.save(learner)
        except BaseException:
            writer.close()
            raise
        writer.add_event("created", learner.update)
        return writer

    @classmethod
    def reopen(
        cls, plan: ResumePlan, end: TrainingEnd = SAME_END, lock: FileLock | None = None
    ) -> Self:
        """Make the files of a run agree with a plan, and return a writer that continues the run.

        Damaged files are renamed or replaced. The plan's learner gets the new end, and
        with it the learning-rate factor `plan.lasting_factor`. The
        attribute `warnings` of the writer holds the warnings of the plan.

        Args:
            plan: the plan for resuming the run. The run must not have changed since it was inspected.
            end: the new end of the run.
            lock: the lock of the run, if the caller holds it already. The writer then holds the lock too.
                With None, the writer acquires the lock.

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
            # The run gets a new end, so early stopping starts its count again.
            learner.judgements_since_best = 0
            if schedule.updates != Schedule.of(learner.config, len(plan.corpus)).updates:
                # What a moving end did to the factor belongs to the earlier end.
                learner.learning_rate_factor = plan.lasting_factor
        learner.config = config
        if lock is None:
            lock = acquire(path)
        else:
            # Acquire the lock a second time, so that the run stays locked when the caller releases it.
            lock.acquire()
        try:
            plan.inspection.require_unchanged()
            with reading(path):
                lengths = clean_up(plan)
                settings = RunSettings.of(config, plan.corpus, plan.version)
                writer = cls(path, lock, settings, lengths, plan.inspection.control)
        except BaseException:
            lock.release()
            raise
        try:
            with reading(path):
                writer._continue(plan, lengths, has_new_end=end != SAME_END)
        except BaseException:
            writer.close()
            raise
        writer.finished = schedule.is_finished(learner) and has_ended(plan.inspection, learner)
        return writer

    def _continue(self, plan: ResumePlan, lengths: Mapping[str, int], *, has_new_end: bool) -> None:
        """Make the files of the run agree with the plan's checkpoint.

        Args:
            plan: the plan for resuming the run.
            lengths: how many bytes of each journal are kept, by file name.
            has_new_end: True if the user gave the run a new end.
        """
        inspection, learner, path = plan.inspection, plan.learner, self.path
        checkpoints = self._checkpoints
        newer = [update for update in inspection.checkpoints.updates if update > learner.update]
        self.seconds, self.engine = plan.seconds, inspection.engine
        checkpoints.latest, self.warnings = learner.update, list(plan.warnings)
        if plan.fell_back:
            checkpoints.set_aside(newer)
            checkpoints.point(LATEST, learner.update)
        if any(end.lost for end in plan.journals.values()):
            # A journal has lost lines and is shorter than the checkpoint says. A checkpoint never changes, so
            # an event records the length without these lines.
            self.add_event(RECORDS_LOST, learner.update, durable=True, lengths=lengths)
        if not plan.fell_back:
            # Checkpoints that are newer than `latest` come from an interrupted save.
            checkpoints.remove(newer)
        if inspection.had_sources and not plan.corpus.sources:
            # The user gave the text in a way that can be read only once, such as a pipe, so keep a copy.
            replace_file(path / TEXT, plan.corpus.kept_bytes())
        if has_new_end:
            self._add_end(learner, None)
        settings = settings_bytes(self._settings)
        if inspection.config_data != settings:
            # Replace config.json if the settings have changed, if the file is damaged, or if an earlier
            # version of charloom wrote it.
            replace_file(path / CONFIG, settings)
        checkpoints.restore_best(inspection.best, learner.best_update)
        if not Schedule.of(learner.config, len(plan.corpus)).is_finished(learner):
            # The model that wrote the passage is now trained further, so the passage is outdated.
            with writing(path / PASSAGE):
                (path / PASSAGE).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def saved_update(self) -> int | None:
        """The update of the checkpoint that the file `latest` names; None before the first save."""
        return self._checkpoints.latest

    @property
    def closed(self) -> bool:
        """True if this writer no longer holds the run's lock."""
        return not self._lock.is_locked

    def keep_best(self, learner: Learner) -> None:
        """Keep a copy of `learner` in memory as the best learner.

        The next `save` writes the copy to disk.
        """
        self._best = Checkpoint(
            copy_learner(learner), self._lengths(), self._settings.text.fingerprint
        )

    def save(self, learner: Learner) -> Path:
        """Save `learner` as the latest checkpoint. Also save the best learner if `keep_best` copied it.

        If the latest checkpoint already has the learner's update, no checkpoint is written.

        Returns:
            The directory of the learner's checkpoint.

        Raises:
            DivergedError: a number in the learner is not finite; nothing was saved.
            WriteError: the disk failed. Earlier checkpoints are intact. The copy of the best learner
                stays in memory, so that the next save can write it.
        """
        self._require_place()
        checkpoints = self._checkpoints
        if learner.update != self.saved_update:
            require_finite(learner)
            checkpoints.repair_latest()
            for journal in (self.metrics, self.samples, self.events):
                journal.sync()
            if self._best is not None and self._best.learner.update != learner.update:
                checkpoints.write(self._best)
            checkpoints.write(Checkpoint(learner, self._lengths(), self._settings.text.fingerprint))
            checkpoints.make_latest(learner.update)
            self._kept = self._lengths()
            # The best learner is on the disk now, so its copy in memory is no longer needed.
            self._best = None
        if learner.best_update is not None:
            checkpoints.point(BEST, learner.best_update)
        checkpoints.remove_old(learner.best_update)
        return checkpoints.path(learner.update)

    def roll_back(self) -> Learner:
        """Return the learner of the latest checkpoint, and remove all later records and samples.

        Raises:
            DamagedError: the checkpoint is damaged.
            WriteError: the disk failed, or the run was moved or removed.
        """
        self._require_place()
        assert self.saved_update is not None, "a run has a checkpoint from its creation on"
        self._checkpoints.repair_latest()
        checkpoint = load_at(self.path, self.saved_update)
        self.metrics.cut(self._kept[METRICS])
        self.samples.cut(self._kept[SAMPLES])
        self._best = None
        updates, latest = self._checkpoints.updates(), self.saved_update
        self._checkpoints.remove(update for update in updates if update > latest)
        return checkpoint.learner

    def load_best(self) -> Learner:
        """Return the learner of the best checkpoint or, if there is none yet, of the latest checkpoint.

        Raises:
            DamagedError: the checkpoint is damaged.
        """
        best = read_pointer(self.path, BEST)
        update = self.saved_update if best is None else best
        assert update is not None, "a run has a checkpoint from its creation on"
        return load_at(self.path, update).learner

    def flush(self) -> None:
        """Write all records, samples and events that are in memory, so that other processes see them.

        Raises:
            WriteError: the disk failed; the lines stay in memory.
        """
        for journal in (self.metrics, self.samples, self.events):
            journal.flush()

    def add_event(self, event: str, update: int, durable: bool = False, **details: Any) -> bool:
        """Add an event to events.jsonl; return False if the disk failed.

        The event then stays in memory until the next flush.

        Args:
            event: name of the event.
            update: update at which it happened.
            durable: True to wait until the event would survive a power cut. Needed if the event holds
                information that no checkpoint has.
            **details: further fields of the event.
        """
        self.events.append({"event": event, "update": update, "time": time.time(), **details})
        with suppress(WriteError):
            if durable:
                self.events.sync()
            else:
                self.events.flush()
            return True
        return False

    def change_end(self, learner: Learner, reason: str) -> None:
        """Store the end of the run and the learning-rate factor of `learner`, which training has just changed.

        `reason` is a sentence for the event.

        If the disk fails, the event stays in memory until the next flush, and config.json keeps the earlier
        end; resuming the run replaces it. config.json must never have a new end whose event is lost, because
        only the event has the factor.
        """
        durable = self._add_end(learner, reason)
        self._settings = replace(self._settings, config=learner.config)
        with suppress(WriteError):
            self._require_place()
            if not durable:
                return
            replace_file(self.path / CONFIG, settings_bytes(self._settings))

    def _add_end(self, learner: Learner, reason: str | None) -> bool:
        """Add the event that the run now has the end of `learner`; return True if it is flushed to the disk.

        `reason` is a sentence saying why the end moved during training; None if a user gave the end.
        """
        return self.add_event(
            END_CHANGED,
            learner.update,
            durable=True,
            learning_rate_factor=learner.learning_rate_factor,
            reason=reason,
            **end_fields(learner.config),
        )

    def status(self, state: str, update: int, updates: int, reason: str | None = None) -> None:
        """Write the status of the run to status.json. The arguments are those of `Status`.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        write_status(self.path / STATUS, state, update, updates, reason)

    def remove_status(self) -> None:
        """Remove status.json. This also works if the disk is full. Ignores errors of the disk."""
        with suppress(OSError, WriteError):
            self._require_place()
            (self.path / STATUS).unlink(missing_ok=True)

    def write_passage(self, text: str) -> None:
        """Write `text` to passage.txt, which holds the long sample at the end of the run.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        replace_file(self.path / PASSAGE, text.encode("utf-8", "surrogatepass"))

    def write_gradcheck(self, checks: list[dict[str, Any]]) -> None:
        """Write the results of gradient checks, as plain data, to gradcheck.json.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        replace_file(
            self.path / GRADCHECK, canonical_json({"format": GRADCHECK_FORMAT, "checks": checks})
        )

    def write_learning_rates(self, search: dict[str, Any]) -> None:
        """Write the result of a search for a learning rate, as plain data, to learning_rates.json.

        Raises:
            WriteError: the disk failed.
        """
        self._require_place()
        replace_file(
            self.path / LEARNING_RATES, canonical_json({"format": LEARNING_RATES_FORMAT, **search})
        )

    def close(self) -> None:
        """Write the journal lines that are in memory, close the journals and release the lock."""
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
            place = self.path if len(gone) == len(journals) else gone[0]
            raise WriteError(
                f"{place} cannot be written: it was moved or removed. Move it back. A copy does not help, "
                f"because the run writes only to the original."
            )

    def _lengths(self) -> dict[str, int]:
        """Return the present lengths of metrics.jsonl and samples.jsonl in bytes, by file name."""
        return {METRICS: self.metrics.length, SAMPLES: self.samples.length}


def has_ended(inspection: RunInspection, learner: Learner) -> bool:
    """Return True if the run finished when it had done as many updates as `learner`.

    A finished run has the state "finished" and the number of its last update in status.json. It has also
    written passage.txt, the long sample at the end of the run; the file may be damaged.
    """
    status = inspection.status
    wrote = inspection.passage is not None or PASSAGE in inspection.problems
    return (
        wrote
        and status is not None
        and status.state == "finished"
        and status.update == learner.update
    )
