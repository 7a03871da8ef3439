"""Inspects a run: reads each of its files once, and remembers the contents and the damage that it found.

The code that resumes a run, the report and the page use the same inspection. The inspection writes nothing
and holds no lock, so another process may be writing the run. This module does not decide which damage
matters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

from charloom.config import Config
from charloom.errors import DamagedError, RunInUseError
from charloom.messages import Placeholder, command
from charloom.model.schedule import Schedule
from charloom.run_file_names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    CONTROL,
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
from charloom.store.atomic_files import read_file, reading
from charloom.store.checkpoint_pointer import follow_pointer
from charloom.store.control_files import Control, Status, control_in, require_status
from charloom.store.damage import Damage, attempt
from charloom.store.intact_checkpoints import IntactCheckpoints
from charloom.store.journal import JournalLines, parse_lines
from charloom.store.journal_lengths import SavedLengths, saved_lengths
from charloom.store.journal_lines import is_event, last_engine, left_out
from charloom.store.lost_checkpoints import intact_checkpoint, why_no_latest
from charloom.store.newer_formats import refuse_newer_file
from charloom.store.run_checkpoints import RunCheckpoints
from charloom.store.run_directory import checkpoint_path
from charloom.store.run_model import Which, which_of
from charloom.store.run_settings import (
    MOST_SETTINGS,
    RunSettings,
    TextDescription,
    parse_settings,
    schedule_of,
)

# If one of these files or directories has changed, another process has written the run.
WATCHED: Final = (
    CONFIG, STATUS, METRICS, SAMPLES, EVENTS, PASSAGE, TEXT, CHECKPOINTS, f"{CHECKPOINTS}/{LATEST}",
    f"{CHECKPOINTS}/{BEST}",
)  # fmt: skip

Stamp = tuple[int, int, int]  # a file's time of change in nanoseconds, size in bytes and inode

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """The contents of the small files of a run, such as config.json and status.json.

    Attributes:
        path: the run directory.
        stamps: time of change, size and inode of each file in WATCHED, by file name; None for a file that
            does not exist. They were read before all contents, so a later change can be detected.
        problems: the reason why a file could not be used, by file name, such as "config.json" or "latest".
            A file that can be used has no entry.
        config_data: the bytes of config.json; None if the file is missing or could not be read.
        found_settings: the settings in config.json; None if the file is missing or damaged.
        status: the contents of status.json; None if the file is missing or damaged.
        control: the command in control.json; `Control()` if the file is missing or damaged.
        checkpoints: the object that reads the checkpoints of the run.
        latest: the update that the pointer `latest` names; None if the pointer is missing or damaged.
        best: the update that the pointer `best` names; None if the pointer is missing or damaged.
    """

    path: Path
    stamps: Mapping[str, Stamp | None]
    problems: Mapping[str, Damage]
    config_data: bytes | None
    found_settings: RunSettings | None
    status: Status | None
    control: Control
    checkpoints: RunCheckpoints
    latest: int | None
    best: int | None

    def require_settings(self) -> RunSettings:
        """Return the settings in config.json.

        Raises:
            NotAModelError: the directory is not a run.
            DamagedError: config.json is damaged.
        """
        if self.found_settings is None:
            self.problems[CONFIG].refuse(self.ways_to_recover())
        return self.found_settings

    @property
    def had_sources(self) -> bool:
        """True if config.json names sources of the text, so that the run need not contain the text."""
        return self.found_settings is not None and bool(self.found_settings.text.sources)

    def ways_to_recover(self) -> str:
        """Return a sentence with commands that continue a run whose config.json is damaged or missing.

        The commands use the newest intact checkpoint. Returns "" if no checkpoint is intact.
        """
        newest = self.checkpoints.newest_intact()
        if newest is None:
            return ""
        update = newest.learner.update
        text = {} if (self.path / TEXT).is_file() else {"text": Placeholder("TEXT")}
        resume = command("resume", self.path, allow_older=True, **text)
        checkpoint = checkpoint_path(self.path, update)
        train = command("train", Placeholder("TEXT"), from_model=checkpoint)
        return (
            f"The checkpoint of update {update:,} is intact: {resume} restores {CONFIG} from it and "
            f"continues; {train} starts a new run with its weights."
        )

    @property
    def config(self) -> Config:
        """The training settings of the run. Raises the errors of `require_settings`."""
        return self.require_settings().config

    @property
    def text(self) -> TextDescription:
        """The description of the run's text. Raises the errors of `require_settings`."""
        return self.require_settings().text

    @property
    def version(self) -> str:
        """The version of charloom that created the run. Raises the errors of `require_settings`."""
        return self.require_settings().version

    def changed_files(self) -> list[str]:
        """Return the names of the files in WATCHED that have changed since the run was inspected.

        Raises:
            ReadError: the disk failed while reading.
        """
        now = stamps_of(self.path)
        return [name for name, stamp in self.stamps.items() if now[name] != stamp]

    def require_unchanged(self) -> None:
        """Raise RunInUseError if the run has changed since it was inspected.

        Raises:
            RunInUseError: another process has written the run since it was inspected.
            ReadError: the disk failed while reading.
        """
        changed = self.changed_files()
        if changed:
            raise RunInUseError(
                f"{self.path} is in use: another process changed {', '.join(changed)} while the run was "
                f"being opened. Try again."
            )


@dataclass(frozen=True, kw_only=True)
class RunInspection(RunHead):
    """The contents of a run, without its records and samples, which may be too many for memory.

    Attributes:
        lines: the lines of events.jsonl; None if the file is missing or not a plain file.
        passage: the long sample at the end of the run; None if it is missing or damaged.
        lengths: the lengths that metrics.jsonl and samples.jsonl must have; None if no checkpoint holds
            them.
        models: the reason why the latest checkpoint (key "latest") or the best checkpoint (key "best")
            cannot be opened. A checkpoint that can be opened has no entry.
        advice: a sentence that names an intact checkpoint, if the latest or the best one is damaged; "" if
            neither is damaged, or if no checkpoint is intact.
    """

    lines: JournalLines | None
    passage: str | None
    lengths: SavedLengths | None
    models: Mapping[str, Damage]
    advice: str

    @cached_property
    def events(self) -> list[Mapping[str, Any]]:
        """The valid events of the run in the order in which they were written."""
        return [] if self.lines is None else list(filter(is_event, self.lines.objects))

    @property
    def which(self) -> Which:
        """The checkpoint that is the run's model: "best" if there is a validation part, else "latest"."""
        return which_of(self.config)

    @property
    def updates(self) -> int:
        """The number of updates that the finished run will have."""
        return Schedule.of(self.config, self.text.characters).updates

    @property
    def engine(self) -> str | None:
        """The description of the engine that last trained the run; None if no event names an engine."""
        return last_engine(self.events)

    @property
    def damage(self) -> list[str]:
        """Messages about damaged files and models, except about config.json, records and samples."""
        files = [self.problems[name].message for name in (STATUS, PASSAGE) if name in self.problems]
        models = [
            f"{model.message} {self.advice}".rstrip()
            for model in self.models.values()
            if not model.missing  # a missing model is not damage: the run has not saved one yet
        ]
        return [*self._event_damage(), *files, *dict.fromkeys(models)]

    def _event_damage(self) -> list[str]:
        """Return a list with a message about unreadable or missing events; empty if all can be read."""
        path, lines = self.path / EVENTS, self.lines
        if EVENTS in self.problems:
            return [self.problems[EVENTS].message]
        if lines is None:
            return [f"{path} is missing."]
        if lines.torn and not lines.total:
            return [f"{path} is damaged: it has no whole line; all events are lost."]
        broken = lines.total - len(self.events)
        return [f"{path} is damaged: {left_out(broken, lines.total)}."] if broken else []


def inspect_head(path: Path) -> RunHead:
    """Return the contents of the small files of a run, such as config.json and status.json.

    If a file is damaged, the attribute `problems` of the result says why; no error is raised.

    Raises:
        NewerFormatError: a later version of charloom wrote one of the files or a checkpoint.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        inspector = Inspector(path)
        return inspector.head(inspector.named)


def inspect_run(path: Path, known: IntactCheckpoints | None = None) -> RunInspection:
    """Return the contents of a run without its records and samples. Check its latest and best checkpoint.

    Args:
        path: the run directory. For any other path, `require_settings` of the result raises
            NotAModelError.
        known: checkpoints that are known to be intact. A known checkpoint is checked only if it has
            changed. A checkpoint that is found to be intact is added to `known`. With None, no checkpoint
            is known.

    Raises:
        NewerFormatError: a later version of charloom wrote a file or a checkpoint.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        return Inspector(path, known).inspection()


class Inspector:
    """Reads the files and checkpoints of one run, and collects the damage that it finds."""

    def __init__(self, path: Path, known: IntactCheckpoints | None = None) -> None:
        self._path = path
        self._stamps = stamps_of(path)
        self._problems: dict[str, Damage] = {}
        self._models: dict[str, Damage] = {}
        self._checkpoints = RunCheckpoints(path / CHECKPOINTS, known)

    def head(self, pointed: Callable[[str], int | None]) -> RunHead:
        """Return the contents of config.json, status.json, control.json and the pointers.

        Args:
            pointed: function that takes the name of a pointer, "latest" or "best", and returns the update in
                this pointer; None if the pointer is missing or damaged.
        """
        path = self._path
        data = self._result_of(CONFIG, lambda: read_file(path / CONFIG, MOST_SETTINGS))
        settings = None
        if CONFIG not in self._problems:
            settings = self._result_of(CONFIG, lambda: parse_settings(data, path / CONFIG))
        refuse_newer_file(path / GRADCHECK)
        refuse_newer_file(path / LEARNING_RATES)
        status = self._result_of(STATUS, lambda: require_status(path / STATUS))
        control = control_in(path / CONTROL)
        self._checkpoints.refuse_newer()
        return RunHead(
            path=path,
            stamps=self._stamps,
            problems=self._problems,
            config_data=data,
            found_settings=settings,
            status=status,
            control=control,
            checkpoints=self._checkpoints,
            latest=pointed(LATEST),
            best=pointed(BEST),
        )

    def inspection(self) -> RunInspection:
        """Return the contents of the run without its records and samples."""
        head = self.head(self.verified)
        lines = self._result_of(EVENTS, lambda: read_events(self._path))
        passage = self._result_of(PASSAGE, lambda: read_passage(self._path))
        if head.latest is None and LATEST not in self._problems:
            self._models[LATEST] = why_no_latest(self._path, self._checkpoints, head.status)
        self._check_best_without_pointer(head)
        damaged = any(not model.missing for model in self._models.values())
        events = () if lines is None else lines.objects
        return RunInspection(
            **vars(head),
            lines=lines,
            passage=passage,
            lengths=saved_lengths(
                self._checkpoints, head.latest, events, schedule_of(head.found_settings)
            ),
            models=self._models,
            advice=intact_checkpoint(self._checkpoints) if damaged else "",
        )

    def named(self, name: str) -> int | None:
        """Return the update in the pointer `name`; None if the pointer is missing or damaged."""
        return self._result_of(name, lambda: self._checkpoints.pointer(name))

    def verified(self, name: str) -> int | None:
        """Return the update in the pointer `name`, after checking the checkpoint that the pointer names.

        Returns None if the pointer is missing or damaged. If the pointer or the checkpoint is damaged, the
        `RunInspection` that this inspector makes describes the damage in its attribute `models`.
        """

        def check(update: int | None) -> Damage | None:
            problem = None if update is None else self._checkpoints.problem(update)
            if problem is None:
                return None
            pointer = self._path / CHECKPOINTS / name
            return Damage(f"{problem.message} {pointer} refers to it.")

        followed = follow_pointer(lambda: self._checkpoints.pointer(name), check)
        if isinstance(followed.found, Damage):
            self._models[name] = followed.found
            if followed.update is None:
                self._problems[name] = followed.found
        return followed.update

    def _check_best_without_pointer(self, head: RunHead) -> None:
        """Check the best checkpoint if the pointer `best` is missing.

        The pointer can be missing because a save writes `latest` before `best`. The state.json of the
        latest checkpoint holds the update of the best checkpoint.
        """
        if head.best is not None or head.latest is None or {LATEST, BEST} & {*self._models}:
            return
        update = self._checkpoints.header(head.latest).best_update
        problem = None if update is None else self._checkpoints.problem(update)
        if problem is not None:
            self._models[BEST] = Damage(problem.message)

    def _result_of(self, name: str, read: Callable[[], T]) -> T | None:
        """Return the result of `read`, which reads the file `name` of the run.

        If `read` finds damage, return None, and add the damage to the attribute `problems` of the `RunHead`
        that this inspector makes.
        """
        result = attempt(read)
        if isinstance(result, Damage):
            self._problems[name] = result
            return None
        return result


def read_events(path: Path) -> JournalLines | None:
    """Return the lines of a run's events.jsonl; None if the file does not exist."""
    data = read_file(path / EVENTS)
    return None if data is None else parse_lines(data, path / EVENTS)


def read_passage(path: Path) -> str | None:
    """Return a run's passage, the long sample in passage.txt; None if the file does not exist.

    A run writes its passage when it finishes.

    Raises:
        DamagedError: the file is not UTF-8.
    """
    data = read_file(path / PASSAGE)
    try:
        return None if data is None else data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise DamagedError(
            f"{path / PASSAGE} is damaged: byte {error.start} is not UTF-8."
        ) from None


def stamps_of(path: Path) -> dict[str, Stamp | None]:
    """Return the stamp of each file in WATCHED of the run at `path`, by file name.

    A stamp is the file's time of change, size and inode, so it shows whether the file was changed. It is
    None for a file that does not exist.
    """
    return {name: stamp_of(path / name) for name in WATCHED}


def stamp_of(path: Path) -> Stamp | None:
    """Return the time of change, the size and the inode of a file or directory.

    Returns None if `path` does not exist.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    return found.st_mtime_ns, found.st_size, found.st_ino
