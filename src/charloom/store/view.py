"""Reads a run or a model while another process may be writing it.

Nothing is locked. What is being replaced at this moment is read as it was or as it becomes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from charloom.config import Config
from charloom.errors import ConfigError, DamagedError, NotAModelError
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.spelling import counted, shortened
from charloom.store.checkpoint import MANIFEST, load_checkpoint, load_model_file
from charloom.store.files import read_file, reading
from charloom.store.journal import Watch, each_line, read_lines, unwatched
from charloom.store.layout import (
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
from charloom.store.lengths import SavedLengths, saved_lengths
from charloom.store.lines import is_event
from charloom.store.newer import refuse_newer_run
from charloom.store.opening import checkpoints_gone, last_engine, require_about, update_told
from charloom.store.steering import read_status, require_status

Which = Literal["best", "latest"]
WHICH: Final[tuple[Which, ...]] = ("latest", "best")
Part = TypeVar("Part")

# A writer may replace a pointer and remove the old checkpoint between two reads of ours.
ATTEMPTS: Final = 5


@dataclass(frozen=True, kw_only=True)
class RunOutline:
    """What a run directory says but for its records and samples, as plain data.

    Attributes:
        path: the directory.
        config: the settings.
        text: name, sources, characters, fingerprint, vocabulary_size.
        version: the charloom that made the run.
        events: what happened, one dict each.
        status: the last status, or None.
        passage: the long passage, or None.
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
        """Which of its checkpoints is its model."""
        return which_of(self.config)

    @property
    def updates(self) -> int:
        """Updates in the whole run, once it is finished."""
        return Schedule.of(self.config, self.text["characters"]).updates

    @property
    def engine(self) -> str | None:
        """The engine that trained last, in words."""
        return last_engine(self.events)


@dataclass(frozen=True, kw_only=True)
class RunView(RunOutline):
    """Everything that a run directory says, as plain data.

    Attributes:
        metrics: the records, one dict each.
        samples: the samples, one dict each.
    """

    metrics: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def read_run(path: str | Path) -> RunView:
    """Everything that a run directory says now, all of it in memory.

    Raises:
        NotAModelError: the path is no run directory.
        NewerFormatError: a later charloom wrote something in it.
        ReadError: the disk refused.
        DamagedError: a file in it is not as it was written.
    """
    path = Path(path)
    outline = outline_of(path, Strict())
    metrics, samples = read_lines(path / METRICS), read_lines(path / SAMPLES)
    return RunView(**vars(outline), metrics=metrics, samples=samples)


def read_outline(path: str | Path, damage: list[str]) -> RunOutline:
    """What a run directory says now but for its records and samples, as far as it is whole.

    Args:
        path: the directory.
        damage: gets a sentence about whatever is damaged or missing beside config.json.

    Raises:
        NotAModelError: the path is no run directory.
        NewerFormatError: a later charloom wrote something in it.
        DamagedError: its config.json is not as it was written.
    """
    return outline_of(Path(path), Forgiving(damage))


def outline_of(path: Path, read: "Strict") -> RunOutline:
    """What a run directory says but for its records and samples, its parts read by a reader."""
    with reading(path):
        return outline_in(path, read)


def lengths_of(view: RunOutline) -> SavedLengths | None:
    """How long the journals of records and samples of a run must be at least; None where nothing tells.

    Raises:
        ReadError: the disk refused.
    """
    return saved_lengths(view.path, view.latest, view.events)


def lengths_at(run: Path) -> SavedLengths | None:
    """The same of the run at a path, of which no outline was read."""
    try:
        latest = read_pointer(run, LATEST)
    except DamagedError:
        latest = None
    return saved_lengths(run, latest, list(sound_objects(run / EVENTS, is_event, [])))


def outline_in(path: Path, read: "Strict") -> RunOutline:
    """`outline_of`, where no disk refuses."""
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
    """Reads the parts of a run; damage is an error."""

    def events(self, path: Path) -> list[dict[str, Any]]:
        """The lines of the journal of events."""
        return read_lines(path)

    def status(self, path: Path) -> dict[str, Any] | None:
        """The last status; one that cannot be read counts as none, for it may be years old."""
        return read_status(path)

    def part(self, read: Callable[[], Part | None]) -> Part | None:
        """What a function reads."""
        return read()


class Forgiving(Strict):
    """Reads the parts of a run that are whole; of what is not, it keeps a sentence."""

    def __init__(self, damage: list[str]) -> None:
        self._damage = damage

    def events(self, path: Path) -> list[dict[str, Any]]:
        before = len(self._damage)
        events = list(sound_objects(path, is_event, self._damage))
        if not events and len(self._damage) == before and size_of(path):
            self._damage.append(f"{path} is damaged: no whole line is left; all events are lost.")
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
    """Yield the lines of a journal that are what it is for, one after another.

    Args:
        path: the journal.
        fits: whether the object of a line is what the journal is for.
        damage: gets a sentence, at the end, where lines were left out or lost, or the journal is missing.
        watch: called now and then with how far the reading is.
        saved: how long the journal must be at least, looked up before; None where nothing tells.

    Raises:
        ReadError: the disk refused.
    """
    size, last = size_of(path), None
    lines = broken = 0
    told: list[str] = []
    try:
        for line in each_line(path, watch):
            lines += 1
            if line is None or not fits(line):
                broken += 1
            else:
                last = line["update"]
                yield line
    except DamagedError as error:
        told.append(error.message)
    if size is None:
        told.append(f"{path} is missing.")
    if broken:
        told.append(f"{path} is damaged: {left_out(broken, lines)}.")
    lost = saved and saved.missing(path, size, last)
    if lost:
        told = [lost, f"Besides, {left_out(broken, lines)}."] if broken else [lost]
    if told:
        damage.append(" ".join(told))


def size_of(path: Path) -> int | None:
    """The bytes of a file; None where there is none.

    Raises:
        ReadError: the disk refused.
    """
    with reading(path):
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None


def left_out(broken: int, lines: int) -> str:
    """How many lines of a journal cannot be read: 1 of 30 lines cannot be read and is left out."""
    verb = "is" if broken == 1 else "are"
    return f"{broken:,} of {counted(lines, 'line')} cannot be read and {verb} left out"


def read_passage(path: Path) -> str | None:
    """The long passage of a run; None where there is none.

    Raises:
        DamagedError: it is not a text in UTF-8.
    """
    data = read_file(path / PASSAGE)
    try:
        return None if data is None else data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise DamagedError(
            f"{path / PASSAGE} is damaged: byte {error.start} is not UTF-8."
        ) from None


def damaged_models(view: RunOutline) -> list[str]:
    """A sentence about each of a run's latest and best model that cannot be opened."""
    told: list[str] = []
    for which in WHICH if view.latest is None or view.best != view.latest else WHICH[:1]:
        try:
            load_model(view.path, which)
        except DamagedError as error:
            if error.message not in told:
                told.append(error.message)
        except NotAModelError:
            pass  # none was saved yet
    return told


def which_of(config: Config) -> Which:
    """Which checkpoint of a run is its model: with a validation part the best, else the latest."""
    return BEST if config.validation else LATEST


def which_of_run(path: Path) -> Which:
    """Which checkpoint of the run at a path is its model; where config.json is damaged, the newest whole
    checkpoint has the settings."""
    try:
        return which_of(read_about(path)[0])
    except (DamagedError, NotAModelError):
        whole = newest_whole(path)
        return LATEST if whole is None else which_of(whole.learner.config)


def load_model(path: str | Path, which: Which | None = None) -> Learner:
    """The learner of a run directory, a checkpoint directory or a single model file.

    Args:
        path: any of the three.
        which: of a run, its latest checkpoint, or its best (the latest where none was judged yet);
            None takes the best of a run with a validation part, else the latest.

    Raises:
        NotAModelError: the path is none of the three.
        NewerFormatError: a later charloom wrote it.
        ReadError: the disk refused.
        DamagedError: it is one, and damaged.
    """
    path = Path(path)
    if which not in ("best", "latest", None):
        raise ConfigError(f"{argument('which')} is {shortened(which)}; it must be best or latest.")
    with reading(path):
        return load_from_anywhere(path, which)


def load_from_anywhere(path: Path, which: Which | None) -> Learner:
    """The learner of whatever lies at a path."""
    if is_run(path):
        return load_from_run(path, which or which_of_run(path))
    if path.is_dir():
        if (path / CHECKPOINTS).is_dir():
            raise NotAModelError(
                f"{path} has checkpoints and no {CONFIG}, without which it is no run; give one of its "
                f"checkpoints, or put {CONFIG} back.{another(path)}"
            )
        if not (path / MANIFEST).exists():
            raise NotAModelError(
                f"{shortened(path)} is neither a run directory nor a checkpoint directory; "
                f"give one of these, or a model file."
            )
        return load_checkpoint(path).learner
    if not path.exists():
        raise NotAModelError(
            f"{shortened(path)}: nothing is there; give a run directory, a checkpoint or a model file."
        )
    return load_model_file(path)


def load_from_run(path: Path, which: Which) -> Learner:
    """The learner that a run's pointer names, however often its writer moves it."""
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
                told = "" if named is None else f" {path / CHECKPOINTS / which} names it."
                raise DamagedError(f"{error.message}{told}{another(path)}") from None
            continue
        if max(saved_updates(path), default=0) > 0:
            missing = path / CHECKPOINTS / LATEST
            raise DamagedError(f"{path} is damaged: {missing} is missing.{another(path)}")
        learnt = update_told(path)
        if learnt:
            raise DamagedError(checkpoints_gone(path, learnt))
        raise NotAModelError(
            f"{path} has no checkpoint yet. Where it is being made, wait a moment; where its making was "
            f"interrupted, train again with the same {argument('run')}."
        )
    raise AssertionError("unreachable")


def best_of_latest(path: Path) -> int | None:
    """The update of a run's best checkpoint where no `best` tells it: `latest` is replaced first, and
    what it names knows. The latest itself where none was judged."""
    latest = read_pointer(path, LATEST)
    if latest is None:
        return None
    best = load_at(path, latest).learner.best_update
    return latest if best is None else best


def another(path: Path) -> str:
    """Which checkpoint of a run is whole, as a sentence to follow one about damage."""
    whole = newest_whole(path)
    if whole is None:
        return ""
    return f" This one is whole, and a model: {checkpoint_path(path, whole.learner.update)}."
