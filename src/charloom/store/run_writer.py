"""The writer of a run directory: one process, one lock, and every file whole (spec/formats.md:
Runs).

When an interrupted run is opened again, everything after the checkpoint that `latest` names is removed.
So the resumed run ends with the same bytes as an uninterrupted one. This module does not know how training
works.
"""

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from filelock import FileLock, Timeout

from charloom.canonical_form import canonical_json
from charloom.config import Config
from charloom.errors import (
    ConfigError,
    DamagedError,
    NewerFormatError,
    NotAModelError,
    ReadError,
    RunInUseError,
    StoreError,
    WriteError,
)
from charloom.messages import argument, command
from charloom.model import Learner, copy_learner
from charloom.model.schedule import Schedule
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
from charloom.store.checkpoint import (
    Checkpoint,
    is_count,
    require_finite,
    save_checkpoint,
)
from charloom.store.control_files import Control, read_control, read_status, write_status
from charloom.store.format_versions import GRADCHECK_FORMAT
from charloom.store.journal import Journal, sound_lines
from charloom.store.journal_lengths import RECORDS_LOST, kept_lengths, last_seconds
from charloom.store.journal_tail import kept_length
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.opening import (
    Opened,
    adopt_steering,
    extended,
    last_engine,
    open_about,
    open_to_learn,
    refuse_existing,
    refuse_file_above,
)
from charloom.store.run_directory import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    DAMAGED,
    DAMAGED_EVENTS,
    EVENTS,
    GRADCHECK,
    LATEST,
    LOCK,
    METRICS,
    MOST_ABOUT,
    PASSAGE,
    SAMPLES,
    STATUS,
    TEXT,
    about_bytes,
    checkpoint_path,
    load_at,
    pointer_line,
    read_pointer,
    saved_updates,
)
from charloom.temporary_names import ABANDONED_SECONDS
from charloom.text import Corpus

NEWEST_KEPT: Final = 2
GLANCE_SECONDS: Final = 0.2  # a process that only checks whether the lock is free holds it so long
FRESH_SECONDS: Final = 10.0  # a status with an older heartbeat does not show who trains the run

T = TypeVar("T")

# A function that returns the end of a run in updates from the learner and its text.
Measured = Callable[[Learner, Corpus], int]


class RunWriter:
    """The writer of a run; only one can exist at a time, in any process.

    `create` and `resume` return one, and `close` ends it. Use it in a `with` statement.

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
            replace_file(path / CONFIG, about_of(learner.config, corpus, charloom_version()))
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
    def resume(
        cls,
        path: str | Path,
        *,
        text: Sequence[str | Path] | None = None,
        epochs: int | None = None,
        updates: int | Measured | None = None,
        allow_older: bool = False,
    ) -> tuple[Self, Learner, Corpus]:
        """Open a run to continue it from its last checkpoint.

        Args:
            path: the run directory.
            text: where the text is now, if it was moved; it must be the same text.
            epochs: a new end of the run in epochs.
            updates: a new end of the run in updates, or a function that returns it from the learner
                and its text. It takes precedence over `epochs`.
            allow_older: True to continue from the newest intact checkpoint if the last one is
                damaged, with the records and samples that are left. Damaged files are set aside.
                Damage and losses are reported in `warnings`.

        Raises:
            NotAModelError: the path is not a run, or the creation of the run was interrupted.
            RunInUseError: another process writes the run.
            NewerFormatError: a later version of charloom wrote a file in it; nothing was changed.
            ReadError: the disk failed while reading; nothing was changed.
            DamagedError: the last checkpoint or another file is damaged.
            TextError: the text is missing or has changed.
            ConfigError: the new end is not after the run's present update.
            WriteError: the disk failed while writing.
        """
        path = Path(path)
        with reading(path):
            unless_in_use(path, lambda: open_about(path, text, allow_older))
        lock = acquire(path)
        try:
            with reading(path):
                opened = open_to_learn(path, text, allow_older)
            # Outside of `reading`, because an OSError in `updates` is not a failed read of the run.
            end = updates(opened.learner, opened.corpus) if callable(updates) else updates
            with reading(path):
                writer = cls._resume(path, lock, opened, epochs, end, allow_older)
        except BaseException:
            lock.release()
            raise
        return writer, opened.learner, opened.corpus

    @classmethod
    def _resume(
        cls,
        path: Path,
        lock: FileLock,
        opened: Opened,
        epochs: int | None,
        updates: int | None,
        allow_older: bool,
    ) -> Self:
        """Do the rest of `resume` with the lock held: first read everything, then change files."""
        learner, corpus, damage, anew = opened.learner, opened.corpus, opened.damage, opened.anew
        learner.config = extended(opened.config, epochs, updates)
        schedule = Schedule.of(learner.config, len(corpus))
        if epochs or updates:
            if schedule.updates <= learner.update:
                raise ConfigError(
                    f"{path} is at update {learner.update:,} and would end at {schedule.updates:,}; "
                    f"give more epochs or updates."
                )
            learner.judgements_since_best = 0  # a new end restarts the patience
        sound, broken = sound_lines(path / EVENTS)
        events = [event for _, event in sound]
        lengths, lost = kept_lengths(path, opened.checkpoint, events, allow_older)
        seconds = last_seconds(path / METRICS, lengths[METRICS])
        warnings = [anew, *lost] if anew else [*lost]
        named = None
        try:
            named = read_pointer(path, BEST)
        except DamagedError as error:
            if not allow_older:
                raise DamagedError(
                    f"{error.message} The last checkpoint records which one was best: to continue with that one, use "
                    f"{command('resume', path, allow_older=True)}."
                ) from None
            warnings.append(error.message)
        if damage:
            warnings.append(
                f"training continues from the checkpoint of update {learner.update:,}: {damage}"
            )
        unusable = why_unusable(path, learner.best_update)
        if unusable is not None:
            warnings.append(
                f"the best checkpoint cannot be used, so the best model is determined again from update "
                f"{learner.update:,} on: {unusable}"
            )
            learner.best_loss = learner.best_update = None
        adopt_steering(learner, events)
        engine = last_engine(events)
        steered, status = read_control(path), read_status(path) or {}
        said = about_of(learner.config, corpus, opened.version or charloom_version())
        # config.json differs if settings changed or an earlier version of charloom wrote it.
        stale = bool(anew) or read_file(path / CONFIG, MOST_ABOUT) != said
        newer = [later for later in saved_updates(path) if later > learner.update]
        ended = (path / PASSAGE).exists()
        if broken:
            warnings.append(
                f"{path / EVENTS} is damaged: {len(broken)} of {len(sound) + len(broken)} lines cannot be "
                f"read and are kept in {DAMAGED_EVENTS}; whether they steered the run is unknown."
            )

        for name in (CONFIG, STATUS, TEXT, GRADCHECK, PASSAGE):
            remove_temporaries(path, name)
        remove_temporaries(path / CHECKPOINTS)
        # Other processes may be writing control.json or a report, so only old temporary files are removed.
        remove_temporaries(path, older_than=ABANDONED_SECONDS)
        lengths[EVENTS] = kept_length(path / EVENTS, None)
        if broken:
            set_aside(path, [line for line, _ in sound], broken)
            lengths[EVENTS] = sum(len(line) for line, _ in sound)
        writer = cls(path, lock, corpus, lengths, steered)
        try:
            writer.seconds, writer.saved_update, writer.warnings = seconds, learner.update, warnings
            if damage:
                writer._set_aside(newer)
                writer._point(LATEST, learner.update)
            writer.engine = engine
            if lost:
                # The checkpoint never changes and has the old lengths, so an event records the new ones.
                writer.tell(RECORDS_LOST, learner.update, durable=True, lengths=lengths)
            if not damage:
                writer._remove(newer)  # checkpoints of an interrupted save
            if opened.about["sources"] and not corpus.sources:
                # The new source of the text, such as a pipe, can be read only once.
                replace_file(path / TEXT, corpus.kept_bytes())
            if stale:
                replace_file(path / CONFIG, said)
            writer._restore_best(named, learner.best_update)
            if not schedule.over(learner):
                # The passage is by a model that is now trained further.
                with writing(path / PASSAGE):
                    (path / PASSAGE).unlink(missing_ok=True)
        except BaseException:
            writer.close()
            raise
        writer.finished = (
            schedule.over(learner)
            and status.get("state") == "finished"
            and status.get("update") == learner.update
            and ended
        )
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Return True if the lock is no longer held."""
        return not self._lock.is_locked

    def keep_best(self, learner: Learner) -> None:
        """Keep a copy of the learner, the new best one, in memory until the next save."""
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
        write_status(self.path, state, update, updates, reason)

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
        replace_file(self.path / CHECKPOINTS / name, pointer_line(self.path, name, update))

    def _point_back(self) -> None:
        """Make `latest` name the last saved checkpoint, if a disk error left unclear which one it names.

        The checkpoint after it can then be written again.
        """
        if self._unsure and self.saved_update is not None:
            self._point(LATEST, self.saved_update)
            self._unsure = False

    def _remove(self, updates: Iterable[int]) -> None:
        """Remove the checkpoints of these updates, which no pointer names."""
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


def require_free(path: Path) -> None:
    """Refuse a path at which no new run can be made; nothing is written.

    Raises:
        RunExistsError: something is there already, or a file is where a directory above it would be.
        NewerFormatError: a later charloom wrote something there.
        RunInUseError: another process is making a run there at this moment.
        ReadError: the disk refused to tell what is there.
    """
    with reading(path):
        refuse_file_above(path)
        refuse_newer_run(path)
        unless_in_use(path, lambda: refuse_existing(path))


def why_unusable(path: Path, update: int | None) -> str | None:
    """Return why the checkpoint of an update cannot be used; None if it can or `update` is None."""
    try:
        if update is not None:
            load_at(path, update)
    except (DamagedError, NotAModelError) as error:
        return error.message
    return None


def charloom_version() -> str:
    """Return the version of the installed charloom."""
    try:
        return importlib.metadata.version("charloom")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def acquire(path: Path) -> FileLock:
    """Acquire the lock of a run and return it; raise RunInUseError if another process holds it."""
    lock = FileLock(path / LOCK, thread_local=False)
    with writing(path / LOCK):
        try:
            lock.acquire(timeout=GLANCE_SECONDS, poll_interval=GLANCE_SECONDS / 10)
        except Timeout:
            raise RunInUseError(
                f"{path} is in use: {who_trains(path)} trains it. Wait for it, stop it, or use another "
                f"{argument('run')}."
            ) from None
    return lock


def unless_in_use(path: Path, look: Callable[[], T]) -> T:
    """Return the result of `look`, which reads a run without its lock.

    If `look` fails while another process creates or trains the run, raise RunInUseError instead.

    Raises:
        RunInUseError: `look` failed, and another process holds the run's lock.
        StoreError: `look` failed.
    """
    try:
        return look()
    except StoreError:
        lock = path / LOCK
        # Acquiring a lock empties its file, so a file with contents must be the user's and is left alone.
        if lock.is_file() and not lock.is_symlink() and not lock.stat().st_size:
            with suppress(WriteError):
                acquire(path).release()
        raise


def who_trains(path: Path) -> str:
    """Return words for the process that holds a run's lock, from the run's status.

    An old status, or that of a run that ended, may be from another process and is not used.
    """
    try:
        status = read_status(path) or {}
    except NewerFormatError:
        return "a process of a later version of charloom"
    except ReadError:
        return "another process"
    beat = status.get("heartbeat")
    if (
        status.get("state") in ("training", "paused")
        and isinstance(beat, int | float)
        and abs(time.time() - beat) < FRESH_SECONDS
        and is_count(status.get("pid"))
    ):
        return f"process {status['pid']}"
    return "another process"


def set_aside(path: Path, sound: Sequence[bytes], broken: Sequence[bytes]) -> None:
    """Move the unreadable lines of events.jsonl to damaged-events.jsonl, so that nothing is lost.

    Raises:
        DamagedError: damaged-events.jsonl is not a plain file.
        WriteError: the disk failed.
    """
    before = read_file(path / DAMAGED_EVENTS) or b""
    for name, kept in ((DAMAGED_EVENTS, [before, *broken]), (EVENTS, sound)):
        replace_file(path / name, b"".join(kept))


def about_of(config: Config, corpus: Corpus, version: str) -> bytes:
    """Return the contents of config.json for these settings and this text."""
    text = {
        "name": corpus.name,
        "sources": list(corpus.sources),
        "characters": len(corpus),
        "fingerprint": corpus.fingerprint,
        "vocabulary_size": len(corpus.vocabulary),
    }
    return about_bytes(config, text, version)
