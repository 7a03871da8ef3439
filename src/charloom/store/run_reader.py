"""Reads a run or a model while another process may be writing it.

Nothing is locked. A file that is being replaced is read either in its old or in its new version.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeVar

from charloom.config import Config
from charloom.errors import ConfigError, DamagedError, NotAModelError
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.store.atomic_files import read_file, reading
from charloom.store.checkpoint import MANIFEST, load_checkpoint, load_model_file
from charloom.store.control_files import read_status, require_status
from charloom.store.journal import Watch, each_line, read_lines, unwatched
from charloom.store.journal_lengths import SavedLengths, saved_lengths
from charloom.store.journal_lines import is_event
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.opening import checkpoints_gone, last_engine, require_about, update_told
from charloom.store.run_directory import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    LATEST,
    METRICS,
    PASSAGE,
    SAMPLES,
    checkpoint_path,
    is_run,
    load_at,
    newest_whole,
    read_about,
    read_pointer,
    saved_updates,
)

Which = Literal["best", "latest"]
WHICH: Final[tuple[Which, ...]] = ("latest", "best")
Part = TypeVar("Part")

# Between reading a pointer and its checkpoint, a writer may replace the pointer and remove the checkpoint.
ATTEMPTS: Final = 5


@dataclass(frozen=True, kw_only=True)
class RunOutline:
    """The contents of a run directory without records and samples, as plain data.

    Attributes:
        path: the directory.
        config: the settings.
        text: name, sources, characters, fingerprint, vocabulary_size.
        version: the version of charloom that created the run.
        events: the events, one dict each.
        status: the last status, or None.
        passage: the long sample at the end of the run, or None.
        latest: the update of the latest checkpoint, or None.
        best: the update of the best checkpoint, or None.
    """

    path: Path
    config: Config
    text: dict[str, Any]
    version: str
    events: list[dict[str, Any]]
    status: dict[str, Any] | None
    passage: str | None
    latest: int | None
    best: int | None

    @property
    def which(self) -> Which:
        """Return which checkpoint is the run's model."""
        return which_of(self.config)

    @property
    def updates(self) -> int:
        """Return the number of updates that the finished run will have."""
        return Schedule.of(self.config, self.text["characters"]).updates

    @property
    def engine(self) -> str | None:
        """Return the description of the engine that trained last."""
        return last_engine(self.events)


@dataclass(frozen=True, kw_only=True)
class RunView(RunOutline):
    """The contents of a run directory as plain data.

    Attributes:
        metrics: the records, one dict each.
        samples: the samples, one dict each.
    """

    metrics: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def read_run(path: str | Path) -> RunView:
    """Return the present contents of a run directory, completely in memory.

    Raises:
        NotAModelError: the path is not a run directory.
        NewerFormatError: a later version of charloom wrote a file in it.
        ReadError: the disk failed while reading.
        DamagedError: a file in it is damaged.
    """
    path = Path(path)
    outline = outline_of(path, Strict())
    metrics, samples = read_lines(path / METRICS), read_lines(path / SAMPLES)
    return RunView(**vars(outline), metrics=metrics, samples=samples)


def read_outline(path: str | Path, damage: list[str]) -> RunOutline:
    """Return the intact part of a run directory, without records and samples.

    Args:
        path: the directory.
        damage: list to which a sentence is added for each damaged or missing file but config.json.

    Raises:
        NotAModelError: the path is not a run directory.
        NewerFormatError: a later version of charloom wrote a file in it.
        DamagedError: its config.json is damaged.
    """
    return outline_of(Path(path), Forgiving(damage))


def outline_of(path: Path, read: "Strict") -> RunOutline:
    """Return the outline of a run, reading its parts with `read`; raise ReadError for a disk error."""
    with reading(path):
        return outline_in(path, read)


def lengths_of(view: RunOutline) -> SavedLengths | None:
    """Return the minimum lengths of a run's records and samples; None if no checkpoint has them.

    Raises:
        ReadError: the disk failed while reading.
    """
    return saved_lengths(view.path, view.latest, view.events)


def lengths_at(run: Path) -> SavedLengths | None:
    """Return `lengths_of` for the run at a path without reading its outline."""
    try:
        latest = read_pointer(run, LATEST)
    except DamagedError:
        latest = None
    return saved_lengths(run, latest, list(sound_objects(run / EVENTS, is_event, [])))


def outline_in(path: Path, read: "Strict") -> RunOutline:
    """Return the outline of a run; an error of the disk is an OSError here."""
    refuse_newer_run(path)
    config, text, version = require_about(path)
    return RunOutline(
        path=path,
        config=config,
        text=text,
        version=version,
        events=read.events(path / EVENTS),
        status=read.status(path),
        passage=read.part(lambda: read_passage(path)),
        latest=read.part(lambda: read_pointer(path, LATEST)),
        best=read.part(lambda: read_pointer(path, BEST)),
    )


class Strict:
    """Reads the parts of a run; raises DamagedError for damage."""

    def events(self, path: Path) -> list[dict[str, Any]]:
        """Return the events."""
        return read_lines(path)

    def status(self, path: Path) -> dict[str, Any] | None:
        """Return the last status; None if it cannot be read, because it may be outdated anyway."""
        return read_status(path)

    def part(self, read: Callable[[], Part | None]) -> Part | None:
        """Return the result of `read`."""
        return read()


class Forgiving(Strict):
    """Reads the intact parts of a run, and collects a sentence about each damaged part."""

    def __init__(self, damage: list[str]) -> None:
        self._damage = damage

    def events(self, path: Path) -> list[dict[str, Any]]:
        before = len(self._damage)
        events = list(sound_objects(path, is_event, self._damage))
        if not events and len(self._damage) == before and size_of(path):
            self._damage.append(f"{path} is damaged: it has no whole line; all events are lost.")
        return events

    def status(self, path: Path) -> dict[str, Any] | None:
        return self.part(lambda: require_status(path))

    def part(self, read: Callable[[], Part | None]) -> Part | None:
        try:
            return read()
        except DamagedError as error:
            self._damage.append(error.message)
            return None


def sound_objects(
    path: Path,
    fits: Callable[[dict[str, Any]], bool],
    damage: list[str],
    watch: Watch = unwatched,
    saved: SavedLengths | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the valid lines of a journal as objects.

    Args:
        path: the journal.
        fits: function that returns True if an object is valid in this journal.
        damage: list to which a sentence is added at the end if lines were skipped or lost, or if the
            journal is missing.
        watch: called repeatedly with the progress.
        saved: the journal's minimum length; None if it is not known.

    Raises:
        ReadError: the disk failed while reading.
    """
    size, last = size_of(path), None
    lines = broken = 0
    sentences: list[str] = []
    try:
        for line in each_line(path, watch):
            lines += 1
            if line is None or not fits(line):
                broken += 1
            else:
                last = line["update"]
                yield line
    except DamagedError as error:
        sentences.append(error.message)
    if size is None:
        sentences.append(f"{path} is missing.")
    if broken:
        sentences.append(f"{path} is damaged: {left_out(broken, lines)}.")
    lost = saved and saved.missing(path, size, last)
    if lost:
        sentences = [lost, f"Besides, {left_out(broken, lines)}."] if broken else [lost]
    if sentences:
        damage.append(" ".join(sentences))


def size_of(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it does not exist.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None


def left_out(broken: int, lines: int) -> str:
    """Return words such as: 1 of 30 lines cannot be read and is left out."""
    verb = "is" if broken == 1 else "are"
    return f"{broken:,} of {counted(lines, 'line')} cannot be read and {verb} left out"


def read_passage(path: Path) -> str | None:
    """Return the long sample at the end of a run; None if there is none.

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


def damaged_models(view: RunOutline) -> list[str]:
    """Return a sentence for each of a run's latest and best model that cannot be opened."""
    sentences: list[str] = []
    for which in WHICH if view.latest is None or view.best != view.latest else WHICH[:1]:
        try:
            load_model(view.path, which)
        except DamagedError as error:
            if error.message not in sentences:
                sentences.append(error.message)
        except NotAModelError:
            pass  # none was saved yet
    return sentences


def which_of(config: Config) -> Which:
    """Return which checkpoint is a run's model: the best with a validation part, else the latest."""
    return BEST if config.validation else LATEST


def which_of_run(path: Path) -> Which:
    """Return which checkpoint is the model of the run at a path.

    If config.json is damaged, the settings come from the newest intact checkpoint.

    Raises:
        DamagedError: config.json is damaged, and no checkpoint is intact.
    """
    try:
        return which_of(read_about(path)[0])
    except NotAModelError:
        whole = newest_whole(path)
        return LATEST if whole is None else which_of(whole.learner.config)
    except DamagedError:
        whole = newest_whole(path)
        if whole is None:
            raise
        return which_of(whole.learner.config)


def load_model(path: str | Path, which: Which | None = None) -> Learner:
    """Return the learner of a run directory, a checkpoint directory or a single model file.

    Args:
        path: the directory or file.
        which: the checkpoint of a run, "latest" or "best". Before the first validation the best is the
            latest. None takes the best if the run has a validation part, else the latest.

    Raises:
        NotAModelError: the path is not a run, a checkpoint or a model file.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: it is damaged.
    """
    path = Path(path)
    if which not in ("best", "latest", None):
        raise ConfigError(f"{argument('which')} is {shortened(which)}; it must be best or latest.")
    with reading(path):
        return load_from_anywhere(path, which)


def load_from_anywhere(path: Path, which: Which | None) -> Learner:
    """Return the learner at a path; an error of the disk is an OSError here."""
    if is_run(path):
        return load_from_run(path, which or which_of_run(path))
    if path.is_dir():
        if (path / CHECKPOINTS).is_dir():
            raise NotAModelError(
                f"{path} has checkpoints but no {CONFIG}, so it is not a run; give one of its "
                f"checkpoints, or restore {CONFIG}.{another(path)}"
            )
        if not (path / MANIFEST).exists():
            raise NotAModelError(
                f"{shortened(path)} is neither a run directory nor a checkpoint directory; "
                f"give one of these, or a model file."
            )
        return load_checkpoint(path).learner
    if not path.exists():
        raise NotAModelError(
            f"{shortened(path)} does not exist; give a run directory, a checkpoint or a model file."
        )
    return load_model_file(path)


def load_from_run(path: Path, which: Which) -> Learner:
    """Return the learner that a run's pointer names, even if its writer moves it meanwhile."""
    refuse_newer_run(path)
    for attempt in range(ATTEMPTS):
        try:
            named = update = read_pointer(path, which)
        except DamagedError as error:
            raise DamagedError(f"{error.message}{another(path)}") from None
        try:
            if named is None and which == BEST:
                update = best_of_latest(path)
            if update is not None:
                return load_at(path, update).learner
        except (NotAModelError, DamagedError) as error:
            if attempt == ATTEMPTS - 1 or read_pointer(path, which) == named:
                pointer = "" if named is None else f" {path / CHECKPOINTS / which} names it."
                raise DamagedError(f"{error.message}{pointer}{another(path)}") from None
            continue
        refuse_without_pointer(path)
    raise AssertionError("unreachable")


def refuse_without_pointer(path: Path) -> NoReturn:
    """Raise the error that explains why a run has no pointer to a checkpoint.

    Raises:
        DamagedError: config.json is damaged, or checkpoints or their pointer were lost.
        NotAModelError: no checkpoint was saved yet.
    """
    if max(saved_updates(path), default=0) > 0:
        missing = path / CHECKPOINTS / LATEST
        raise DamagedError(f"{path} is damaged: {missing} is missing.{another(path)}")
    learned = update_told(path)
    if learned:
        raise DamagedError(checkpoints_gone(path, learned))
    read_about(path)
    raise NotAModelError(
        f"{path} has no checkpoint yet. If it is being created, wait a moment; if its creation was "
        f"interrupted, train again with the same {argument('run')}."
    )


def best_of_latest(path: Path) -> int | None:
    """Return the update of a run's best checkpoint according to its latest one, if `best` is missing.

    A save replaces `latest` first. Before the first validation the best checkpoint is the latest.
    """
    latest = read_pointer(path, LATEST)
    if latest is None:
        return None
    best = load_at(path, latest).learner.best_update
    return latest if best is None else best


def another(path: Path) -> str:
    """Return a sentence that names the newest intact checkpoint of a run; empty if there is none."""
    whole = newest_whole(path)
    if whole is None:
        return ""
    return f" An intact checkpoint is {checkpoint_path(path, whole.learner.update)}."
