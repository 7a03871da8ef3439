"""The writer of a run directory: one process, one lock, and every file whole (spec/formats.md:
Runs).

The checkpoint that `latest` names is the truth. Whatever else an interrupted process left is cut
back to it when the run is opened again, so that the resumed run ends with the same bytes. This
module knows nothing of how training works.
"""

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from filelock import FileLock, Timeout

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
from charloom.store.canonical import canonical_json
from charloom.store.checkpoint import (
    Checkpoint,
    is_count,
    require_finite,
    save_checkpoint,
)
from charloom.store.files import (
    ABANDONED_SECONDS,
    make_directories,
    read_file,
    reading,
    remove_directory,
    remove_temporaries,
    replace_file,
    sync_directory,
    writing,
)
from charloom.store.formats import GRADCHECK_FORMAT
from charloom.store.journal import Journal, sound_lines
from charloom.store.layout import (
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
from charloom.store.lengths import RECORDS_LOST, kept_lengths, last_seconds
from charloom.store.newer import refuse_newer_run
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
from charloom.store.steering import Control, read_control, read_status, write_status
from charloom.store.tail import kept_length
from charloom.text import Corpus

NEWEST_KEPT: Final = 2
GLANCE_SECONDS: Final = (
    0.2  # for which a lock may be held by a process that only looks whether it is free
)
FRESH_SECONDS: Final = 10.0  # how old a heartbeat may be that still tells who trains

T = TypeVar("T")

# What tells the end of a run, in updates, once the learner and its text are there.
Measured = Callable[[Learner, Corpus], int]


class RunWriter:
    """The one process that writes a run; made by `create` or `resume`, ended by `close`.

    Use it in a `with` statement.

    Attributes:
        path: the run directory.
        metrics: the journal of records.
        samples: the journal of samples.
        events: the journal of what happened.
        seconds: how long the run had been trained when it was opened.
        command: the last command to the run when it was opened.
        engine: what trained the run before it was opened, in words; None where nothing tells.
        saved_update: the update of the checkpoint that `latest` names.
        finished: whether the run had reached its end when it was opened.
        warnings: sentences about what was found amiss and mended.
    """

    def __init__(
        self, path: Path, lock: FileLock, corpus: Corpus, lengths: dict[str, int], command: Control
    ) -> None:
        self.path = path
        self._lock = lock
        self._fingerprint = corpus.fingerprint
        self._best: Checkpoint | None = None
        self._kept = lengths  # bytes of the journals, those that go with the latest checkpoint
        self._unsure = False  # whether `latest` may name another checkpoint than the last one saved
        with ExitStack() as opened:
            self.metrics = opened.enter_context(Journal(path / METRICS, lengths[METRICS]))
            self.samples = opened.enter_context(Journal(path / SAMPLES, lengths[SAMPLES]))
            # Events tell what happened to the run, interruptions included: resuming adds to them
            # and takes nothing back. They hold clock times, so no checkpoint counts them.
            self.events = opened.enter_context(Journal(path / EVENTS, lengths[EVENTS]))
            with writing(path):
                sync_directory(path)  # where the journals may be new names
            self._journals = opened.pop_all()
        self.seconds = 0.0
        self.command = command
        self.engine: str | None = None
        self.saved_update: int | None = None
        self.finished = False
        self.warnings: list[str] = []

    @classmethod
    def create(cls, path: str | Path, learner: Learner, corpus: Corpus) -> Self:
        """Make a new run directory, with the checkpoint of the learner as it is.

        Raises:
            RunExistsError: something is there already.
            NewerFormatError: a later charloom wrote something there.
            RunInUseError: another process is making it at this moment.
            TextError: the text is shorter than one window.
            ReadError: the disk refused to tell what is there.
            WriteError: the disk refused.
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
                # A text that no file holds is kept, so that the run can always be resumed.
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
        """Open a run to go on from its last checkpoint.

        Args:
            path: the run directory.
            text: where the text is now, if it was moved; it must be the same text.
            epochs: a new end for the run.
            updates: a new end for the run, in updates, or what tells it once the learner and its text
                are there; it goes before `epochs`.
            allow_older: whether to go on from the newest whole checkpoint where the last one is
                damaged, and with what is left of records and samples; what is damaged is told among
                the warnings and set aside, what is lost too.

        Raises:
            NotAModelError: no run is there, or one whose creation was interrupted.
            RunInUseError: another process writes it.
            NewerFormatError: a later charloom wrote something in it; nothing was changed.
            ReadError: the disk refused a read; nothing was changed.
            DamagedError: its last checkpoint or its files are not what was written.
            TextError: the text is gone, or is another one now.
            ConfigError: the new end is not ahead of where the run is.
            WriteError: the disk refused.
        """
        path = Path(path)
        with reading(path):
            unless_in_use(path, lambda: open_about(path, text, allow_older))
        lock = acquire(path)
        try:
            with reading(path):
                opened = open_to_learn(path, text, allow_older)
            # Outside of `reading`: what the system refuses while somebody measures is no refused read.
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
        """`resume`, once the lock is held and the end known: first look at the rest, then change anything."""
        learner, corpus, damage, anew = opened.learner, opened.corpus, opened.damage, opened.anew
        learner.config = extended(opened.config, epochs, updates)
        schedule = Schedule.of(learner.config, len(corpus))
        if epochs or updates:
            if schedule.updates <= learner.update:
                raise ConfigError(
                    f"{path} is at update {learner.update:,} and would end at {schedule.updates:,}; "
                    f"give more epochs or updates."
                )
            learner.judgements_since_best = 0  # whoever asks for more is patient anew
        told, broken = sound_lines(path / EVENTS)
        events = [event for _, event in told]
        lengths, lost = kept_lengths(path, opened.checkpoint, events, allow_older)
        seconds = last_seconds(path / METRICS, lengths[METRICS])
        warnings = [anew, *lost] if anew else [*lost]
        named = None
        try:
            named = read_pointer(path, BEST)
        except DamagedError as error:
            if not allow_older:
                raise DamagedError(
                    f"{error.message} The last checkpoint says which one was best: to go on with that, "
                    f"{command('resume', path, allow_older=True)}."
                ) from None
            warnings.append(error.message)
        if damage:
            warnings.append(
                f"training goes on from the checkpoint of update {learner.update:,}: {damage}"
            )
        unusable = why_unusable(path, learner.best_update)
        if unusable is not None:
            warnings.append(
                f"the best checkpoint cannot be used, so the best is judged anew from update "
                f"{learner.update:,} on: {unusable}"
            )
            learner.best_loss = learner.best_update = None
        adopt_steering(learner, events)
        engine = last_engine(events)
        steered, status = read_control(path), read_status(path) or {}
        said = about_of(learner.config, corpus, opened.version or charloom_version())
        # Its settings are new, or an earlier charloom wrote it, in an earlier format.
        stale = bool(anew) or read_file(path / CONFIG, MOST_ABOUT) != said
        newer = [later for later in saved_updates(path) if later > learner.update]
        ended = (path / PASSAGE).exists()
        if broken:
            warnings.append(
                f"{path / EVENTS} is damaged: {len(broken)} of {len(told) + len(broken)} lines cannot be "
                f"read and are kept in {DAMAGED_EVENTS}; whether they steered the run is unknown."
            )

        for name in (CONFIG, STATUS, TEXT, GRADCHECK, PASSAGE):
            remove_temporaries(path, name)
        remove_temporaries(path / CHECKPOINTS)
        # Commands and reports are written by others, who may be at it.
        remove_temporaries(path, older_than=ABANDONED_SECONDS)
        lengths[EVENTS] = kept_length(path / EVENTS, None)
        if broken:
            set_aside(path, [line for line, _ in told], broken)
            lengths[EVENTS] = sum(len(line) for line, _ in told)
        writer = cls(path, lock, corpus, lengths, steered)
        try:
            writer.seconds, writer.saved_update, writer.warnings = seconds, learner.update, warnings
            if damage:
                writer._set_aside(newer)
                writer._point(LATEST, learner.update)
            writer.engine = engine
            if lost:
                # The checkpoint, which never changes, does not know.
                writer.tell(RECORDS_LOST, learner.update, durable=True, lengths=lengths)
            if not damage:
                writer._remove(newer)  # left by an interrupted save
            if opened.about["sources"] and not corpus.sources:
                # The text was moved to where it can be read only once.
                replace_file(path / TEXT, corpus.kept_bytes())
            if stale:
                replace_file(path / CONFIG, said)
            writer._restore_best(named, learner.best_update)
            if not schedule.over(learner):
                # It is of a model that is learning on.
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
        """Whether the lock is no longer held."""
        return not self._lock.is_locked

    def keep_best(self, learner: Learner) -> None:
        """Hold a copy of the learner, now the best one, until the next save."""
        self._best = Checkpoint(copy_learner(learner), self._lengths(), self._fingerprint)

    def save(self, learner: Learner) -> Path:
        """Save the best learner held and this one, and make this one the latest.

        Returns the checkpoint's directory. A learner at the update of the latest checkpoint is
        that checkpoint already.

        Raises:
            DivergedError: a number in the learner is not finite; nothing was saved.
            WriteError: the disk refused; the checkpoints before are whole, and the best learner
                is still held, so that the next save can make up for this one.
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
            # On the disk now, under a name that `latest` or this state has: never made again.
            self._best = None
        if learner.best_update is not None:
            self._point(BEST, learner.best_update)
        self._prune(learner.best_update)
        return directory

    def roll_back(self) -> Learner:
        """The learner of the latest checkpoint; the journals become what they were then.

        Raises:
            DamagedError: the checkpoint is not what was written.
            WriteError: the disk refused, or the run was moved or removed.
        """
        self._require_place()
        assert self.saved_update is not None, "a run has a checkpoint from its making on"
        self._point_back()
        checkpoint = load_at(self.path, self.saved_update)
        self.metrics.cut(self._kept[METRICS])
        self.samples.cut(self._kept[SAMPLES])
        self._best = None
        self._remove(later for later in saved_updates(self.path) if later > self.saved_update)
        return checkpoint.learner

    def load_best(self) -> Learner:
        """The best learner saved, or the latest where none was judged yet.

        Raises:
            DamagedError: the checkpoint is not what was written.
        """
        best = read_pointer(self.path, BEST)
        update = self.saved_update if best is None else best
        assert update is not None, "a run has a checkpoint from its making on"
        return load_at(self.path, update).learner

    def flush(self) -> None:
        """Let other processes see all records, samples and events.

        Raises:
            WriteError: the disk refused; the lines go on waiting.
        """
        for journal in (self.metrics, self.samples, self.events):
            journal.flush()

    def tell(self, event: str, update: int, durable: bool = False, **details: Any) -> None:
        """Add an event; one that the disk refuses waits for the next flush.

        Args:
            durable: whether to wait until it would survive a power cut, for what no checkpoint tells.
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
            WriteError: the disk refused.
        """
        self._require_place()
        write_status(self.path, state, update, updates, reason)

    def remove_status(self) -> None:
        """Remove status.json, which can be done on a full disk too."""
        with suppress(OSError, WriteError):
            self._require_place()
            (self.path / STATUS).unlink(missing_ok=True)

    def write_passage(self, text: str) -> None:
        """Replace passage.txt.

        Raises:
            WriteError: the disk refused.
        """
        self._require_place()
        replace_file(self.path / PASSAGE, text.encode("utf-8", "surrogatepass"))

    def write_gradcheck(self, checks: list[dict[str, Any]]) -> None:
        """Replace gradcheck.json: the results of gradient checks, as plain data.

        Raises:
            WriteError: the disk refused.
        """
        self._require_place()
        replace_file(
            self.path / GRADCHECK, canonical_json({"format": GRADCHECK_FORMAT, "checks": checks})
        )

    def close(self) -> None:
        """Write what waits, and let go of the run."""
        for journal in (self.metrics, self.samples, self.events):
            with suppress(WriteError):
                journal.flush()
        self._journals.close()
        self._lock.release()

    def _require_place(self) -> None:
        """Write nothing where another run is now, or none, or a journal is that nobody writes.

        Raises:
            WriteError: the run was moved or removed, or one of its journals.
        """
        journals = (self.metrics, self.samples, self.events)
        gone = [journal.path for journal in journals if not journal.in_place]
        if gone:
            what = self.path if len(gone) == len(journals) else gone[0]
            raise WriteError(
                f"{what} cannot be written: it was moved or removed. Move it back where it was; a copy "
                f"is another file."
            )

    def _lengths(self) -> dict[str, int]:
        """Bytes of the journals that a checkpoint cuts back to."""
        return {METRICS: self.metrics.length, SAMPLES: self.samples.length}

    def _put(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint that no pointer names yet; replaces what a failed save left."""
        directory = checkpoint_path(self.path, checkpoint.learner.update)
        if os.path.lexists(directory):
            remove_directory(directory)
        save_checkpoint(directory, checkpoint.learner, checkpoint.lengths, checkpoint.fingerprint)

    def _point(self, name: str, update: int) -> None:
        """Replace `latest` or `best`."""
        replace_file(self.path / CHECKPOINTS / name, pointer_line(self.path, name, update))

    def _point_back(self) -> None:
        """Make `latest` name the last checkpoint saved, where a disk that refused has left it between
        that one and another, which can then be made anew."""
        if self._unsure and self.saved_update is not None:
            self._point(LATEST, self.saved_update)
            self._unsure = False

    def _remove(self, updates: Iterable[int]) -> None:
        """Remove the checkpoints of some updates; no pointer names them."""
        for update in updates:
            remove_directory(checkpoint_path(self.path, update))

    def _set_aside(self, updates: Iterable[int]) -> None:
        """Give the checkpoints of some updates, which are damaged, names that nothing reads: there may
        be something in them yet for whoever looks at the bytes."""
        for update in updates:
            aside = self.path / CHECKPOINTS / f"{DAMAGED}{update}"
            if os.path.lexists(aside):
                remove_directory(aside)
            with writing(aside):
                checkpoint_path(self.path, update).rename(aside)

    def _prune(self, best_update: int | None) -> None:
        """Remove all checkpoints but the newest ones and the best."""
        saved: list[int] = []
        with suppress(ReadError):
            saved = saved_updates(self.path)
        for update in saved[:-NEWEST_KEPT]:
            if update != best_update:
                # One that cannot be removed now harms nobody; the next save tries again.
                with suppress(WriteError):
                    remove_directory(checkpoint_path(self.path, update))

    def _restore_best(self, named: int | None, best_update: int | None) -> None:
        """Make `best`, which names an update or cannot be read, name the best one, of which there may be
        none: it may be of before `best` was replaced."""
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
    """Why the checkpoint of an update of a run cannot be used; None where it can, or there is no update."""
    try:
        if update is not None:
            load_at(path, update)
    except (DamagedError, NotAModelError) as error:
        return error.message
    return None


def charloom_version() -> str:
    """The version of the installed charloom."""
    try:
        return importlib.metadata.version("charloom")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def acquire(path: Path) -> FileLock:
    """The lock of a run, held."""
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
    """What a look at a run without its lock gives. Where it fails because another process is making or
    training the run at this moment, that is what is said.

    Raises:
        RunInUseError: another process holds the run's lock.
        StoreError: as the look does.
    """
    try:
        return look()
    except StoreError:
        lock = path / LOCK
        # Opening a lock empties the file: one that is not empty is a user's own.
        if lock.is_file() and not lock.is_symlink() and not lock.stat().st_size:
            with suppress(WriteError):
                acquire(path).release()
        raise


def who_trains(path: Path) -> str:
    """Who holds the lock of a run, as far as its status can tell: one that is old, or of a training
    that ended, is another process's."""
    try:
        status = read_status(path) or {}
    except NewerFormatError:
        return "a process of a later charloom"
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
    """Put the lines of events.jsonl that cannot be read into a file of their own, so that it is a
    journal again and nothing is lost.

    Raises:
        DamagedError: what lies in that file's place is none.
        WriteError: the disk refused.
    """
    before = read_file(path / DAMAGED_EVENTS) or b""
    for name, kept in ((DAMAGED_EVENTS, [before, *broken]), (EVENTS, sound)):
        replace_file(path / name, b"".join(kept))


def about_of(config: Config, corpus: Corpus, version: str) -> bytes:
    """The bytes of config.json for these settings and this text."""
    text = {
        "name": corpus.name,
        "sources": list(corpus.sources),
        "characters": len(corpus),
        "fingerprint": corpus.fingerprint,
        "vocabulary_size": len(corpus.vocabulary),
    }
    return about_bytes(config, text, version)
