"""Checks what must hold before a run is made or resumed: the place, the checkpoint, the settings,
the text.

Nothing here changes anything on the disk.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.config import Config
from charloom.errors import (
    CharloomError,
    DamagedError,
    NotAModelError,
    ReadError,
    RunExistsError,
    TextError,
    UnknownCharacterError,
)
from charloom.messages import Placeholder, argument, command
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.store.canonical import parse_object
from charloom.store.checkpoint import Checkpoint, is_count, is_number
from charloom.store.files import TEMPORARY, file_above
from charloom.store.layout import (
    BUILTIN,
    CHECKPOINTS,
    CONFIG,
    CONTROL,
    EVENTS,
    GRADCHECK,
    LATEST,
    LOCK,
    METRICS,
    SAMPLES,
    STATUS,
    TEXT,
    checkpoint_path,
    is_run,
    load_at,
    newest_whole,
    read_about,
    read_pointer,
    require_own_directories,
    saved_updates,
)
from charloom.store.newer import refuse_newer_run
from charloom.store.steering import FACTOR_LIMIT, read_status
from charloom.store.tail import last_lines
from charloom.text import Corpus

EXTENDABLE: Final = ("epochs", "updates")
STEERING_EVENTS: Final = ("learning_rate_factor", "rolled_back")
# What a creation that was interrupted may have left behind: before its config.json was there, and
# after that, before anything was learnt.
BEFORE_CONFIG: Final = frozenset({LOCK, TEXT, CHECKPOINTS})
BEFORE_TRAINING: Final = BEFORE_CONFIG | {
    CONFIG, METRICS, SAMPLES, EVENTS, GRADCHECK, STATUS, CONTROL
}  # fmt: skip
FIRST_CHECKPOINT: Final = "0"


def refuse_existing(path: Path) -> None:
    """Refuse a path where something is that a new run would disturb."""
    if not path.exists():
        return
    if not path.is_dir():
        raise RunExistsError(
            f"{path} is a file; give {argument('run')} a directory that does not exist yet."
        )
    if is_run(path) and read_pointer_or_none(path) is not None:
        raise RunExistsError(
            f"{path} already holds a run: go on with it by {command('resume', path)}, "
            f"or give another {argument('run')}."
        )
    learnt = update_told(path) if is_run(path) else 0
    if learnt:
        raise RunExistsError(
            f"{path} holds the records of a run up to update {learnt:,}, whose checkpoints are gone; "
            f"give another {argument('run')}."
        )
    if not is_interrupted_creation(path):
        raise RunExistsError(
            f"{path} exists and holds other things; give {argument('run')} a directory that does not "
            f"exist yet."
        )


def refuse_file_above(path: Path) -> None:
    """Refuse a path one of whose directories is a file."""
    above = file_above(path)
    if above is not None:
        raise RunExistsError(
            f"{argument('run')} is {path}, but {above} is a file, not a directory; give "
            f"{argument('run')} a place in a directory."
        )


def is_interrupted_creation(path: Path) -> bool:
    """Whether a directory is empty, or holds only what the making of a run leaves that was interrupted.

    Without a config.json that a run wrote, files of our names are a user's own.
    """
    names, folder = lasting_names(path), path / CHECKPOINTS
    saved: set[str] = set()
    if CHECKPOINTS in names:
        if folder.is_symlink() or not folder.is_dir():
            return False
        saved = lasting_names(folder)
    if CONFIG in names:
        return names <= BEFORE_TRAINING and saved <= {FIRST_CHECKPOINT} and is_ours(path)
    return names <= BEFORE_CONFIG and not saved and (LOCK in names or TEXT not in names)


def lasting_names(path: Path) -> set[str]:
    """What lies in a directory, but for temporary files."""
    return {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)}


def is_ours(path: Path) -> bool:
    """Whether the config.json of a directory is one that a run wrote."""
    try:
        read_about(path)
    except (DamagedError, NotAModelError):
        return False
    return True


def read_pointer_or_none(path: Path) -> int | None:
    """The latest update, if that can be told; 0 where `latest` is there and damaged."""
    try:
        return read_pointer(path, LATEST)
    except DamagedError:
        return 0


def require_about(path: Path) -> tuple[Config, dict[str, Any], str]:
    """What `read_about` says; the error of a damaged config.json also says how to recover.

    Raises:
        The same as `read_about`.
    """
    try:
        return read_about(path)
    except (DamagedError, NotAModelError) as error:
        whole = newest_whole(path)
        way = "" if whole is None else f" {ways_on(path, whole.learner.update)}"
        raise type(error)(f"{error.message}{way}") from None


def open_about(
    path: Path, moved: Sequence[str | Path] | None, allow_anew: bool
) -> tuple[Config, dict[str, Any], str, str]:
    """What `read_about` says, and an empty sentence.

    Where config.json is damaged or gone: what the newest whole checkpoint says, of the text only its
    fingerprint and the size of its vocabulary, and what is damaged; if that is allowed and the text is at
    hand, else the error says how to go on.

    Raises:
        NotAModelError: the directory is no run.
        NewerFormatError: a later charloom wrote something in it.
        DamagedError: config.json is not as it was written.
    """
    refuse_newer_run(path)
    try:
        return (*read_about(path), "")
    except (DamagedError, NotAModelError) as error:
        whole = newest_whole(path)
        if whole is None:
            raise
        if not allow_anew or not (moved or (path / TEXT).is_file()):
            raise type(error)(f"{error.message} {ways_on(path, whole.learner.update)}") from None
        text: dict[str, Any] = {
            "name": TEXT,
            "sources": [],
            "characters": None,
            "fingerprint": whole.fingerprint,
            "vocabulary_size": len(whole.learner.vocabulary),
        }
        told = f"{error.message} It is made anew from the checkpoint of update {whole.learner.update:,}."
        return whole.learner.config, text, "", told


@dataclass(frozen=True)
class Opened:
    """What a run holds that training goes on with.

    Attributes:
        config: the run's settings.
        about: what config.json says of the text.
        version: the charloom that made the run; empty where that is not known any more.
        anew: why config.json is made anew, as a sentence; empty where it is whole.
        checkpoint: the one to go on from.
        damage: why that is not the latest, as a sentence; empty where it is.
        corpus: the text.
    """

    config: Config
    about: dict[str, Any]
    version: str
    anew: str
    checkpoint: Checkpoint
    damage: str
    corpus: Corpus

    @property
    def learner(self) -> Learner:
        """The checkpoint's learner."""
        return self.checkpoint.learner


def open_to_learn(path: Path, moved: Sequence[str | Path] | None, allow_older: bool) -> Opened:
    """Return what a run holds that training goes on with; arguments and errors as `RunWriter.resume`.

    Raises:
        DamagedError: also where the settings, the text and the checkpoint contradict each other.
    """
    config, about, version, anew = open_about(path, moved, allow_older)
    checkpoint, damage = load_latest(path, config, about["fingerprint"], allow_older)
    learner = checkpoint.learner
    require_same_settings(path, config, learner.config)
    corpus = open_text(path, about, moved, learner)
    if corpus.fingerprint != checkpoint.fingerprint:
        raise DamagedError(f"{path} is damaged: config.json and {LATEST} name different texts.")
    if about["characters"] not in (None, len(corpus)):
        raise DamagedError(
            f"{path} is damaged: {CONFIG} says that its text has {about['characters']} "
            f"{learner.config.tokens}; it has {len(corpus)}."
        )
    if len(learner.vocabulary) != about["vocabulary_size"]:
        raise DamagedError(
            f"{path} is damaged: {CONFIG} says that its vocabulary has "
            f"{about['vocabulary_size']} entries; it has {len(learner.vocabulary)}."
        )
    require_place(path, learner, len(corpus))
    return Opened(config, about, version, anew, checkpoint, damage, corpus)


def ways_on(path: Path, update: int) -> str:
    """How to go on where the checkpoint of an update is whole, and config.json is not."""
    text = {} if (path / TEXT).is_file() else {"text": Placeholder("TEXT")}
    resume = command("resume", path, allow_older=True, **text)
    train = command("train", Placeholder("TEXT"), from_model=checkpoint_path(path, update))
    return (
        f"The checkpoint of update {update:,} is whole: {resume} makes {CONFIG} anew from it and goes on; "
        f"{train} takes its weights into a new run."
    )


def load_latest(
    path: Path, config: Config, fingerprint: str, allow_older: bool = False
) -> tuple[Checkpoint, str]:
    """The checkpoint that `latest` names, and an empty sentence.

    Where that one cannot be had: the newest whole one and what is damaged, if that is allowed, else
    the error says which one it would be. Only one of the run's settings and text can be meant.

    Raises:
        NotAModelError: nothing was learnt yet.
        DamagedError: the latest is damaged, and the newest whole one is not allowed or is not there.
    """
    require_own_directories(path)
    try:
        latest = read_pointer(path, LATEST)
    except DamagedError as error:
        problem = error.message
    else:
        if latest is None:
            require_checkpoints(path)
            problem = f"{path / CHECKPOINTS / LATEST} is missing."
        else:
            try:
                return load_at(path, latest), ""
            except (DamagedError, NotAModelError) as error:
                problem = f"{error.message} {path / CHECKPOINTS / LATEST} names it."
    whole = newest_whole(
        path,
        lambda checkpoint: (
            not differing(config, checkpoint.learner.config)
            and checkpoint.fingerprint == fingerprint
        ),
    )
    if whole is None:
        raise DamagedError(
            f"{problem} No checkpoint of {path} is whole: put one back from a copy, or train again "
            f"with another {argument('run')}."
        )
    if not allow_older:
        raise DamagedError(
            f"{problem} The checkpoint of update {whole.learner.update:,} is whole: to go on from "
            f"there, {command('resume', path, allow_older=True)}."
        )
    return whole, problem


def require_checkpoints(path: Path) -> None:
    """Refuse a run without `latest` where no checkpoint is from which training could go on.

    Raises:
        NotAModelError: nothing was learnt yet.
        DamagedError: something was, and the checkpoints are gone.
    """
    saved, learnt = saved_updates(path), update_told(path)
    if learnt and not saved:
        raise DamagedError(checkpoints_gone(path, learnt))
    if not learnt and max(saved, default=0) == 0:
        mend = "the same" if is_interrupted_creation(path) else "another"
        raise NotAModelError(
            f"{path} has no checkpoint: its making was interrupted before anything was learnt. "
            f"Train again with {mend} {argument('run')}."
        )


def checkpoints_gone(path: Path, learnt: int) -> str:
    """What to say of a run that was trained up to an update and has no checkpoint."""
    return (
        f"{path} was trained up to update {learnt:,}, and its checkpoints are gone: nothing lies in "
        f"{path / CHECKPOINTS}. Put them back from a copy, or train again with another "
        f"{argument('run')}."
    )


def update_told(path: Path) -> int:
    """The last update that records and status of a run tell of, whatever its checkpoints are; 0 where
    they tell of none."""
    told = [last_recorded(path), (read_status(path) or {}).get("update")]
    return max(filter(is_count, told), default=0)


def last_recorded(path: Path) -> object:
    """The update of the last record of a run that is one; None where there is none."""
    with suppress(DamagedError):  # it is no plain file
        for line in last_lines(path / METRICS):
            with suppress(DamagedError):
                if is_count(found := parse_object(line, METRICS).get("update")):
                    return found
    return None


def require_same_settings(path: Path, config: Config, saved: Config) -> None:
    """Refuse a config.json that differs from the checkpoint in more than the run's end."""
    names = differing(config, saved)
    if names:
        raise DamagedError(
            f"{path} is damaged: {CONFIG} and the last checkpoint disagree about {', '.join(names)}."
        )


def differing(one: Config, two: Config) -> list[str]:
    """The settings in which two configs differ, but for those of a run's end."""
    return [
        name
        for name, value in one.to_dict().items()
        if name not in EXTENDABLE and value != getattr(two, name)
    ]


def require_place(path: Path, learner: Learner, characters: int) -> None:
    """Refuse counters that do not follow from the update: windows come one after another."""
    windows = Schedule.of(learner.config, characters).windows
    done = learner.update % windows.per_epoch
    if learner.update and not done:
        done = windows.per_epoch  # the epoch's end is left when the next epoch begins
    wanted = (done * windows.seq_length, learner.update // windows.per_epoch)
    if (learner.position, learner.epoch) != wanted:
        raise DamagedError(
            f"{path} is damaged: its checkpoint is at character {learner.position} of epoch "
            f"{learner.epoch}; after update {learner.update:,} it must be {wanted[0]} of {wanted[1]}."
        )


def extended(config: Config, epochs: int | None, updates: int | None) -> Config:
    """The config with a new end; without one, as it is."""
    if updates is not None:
        return config.replace(updates=updates)
    if epochs is not None:
        return dataclasses.replace(config, epochs=epochs, updates=None)
    return config


def open_text(
    path: Path, about: dict[str, Any], moved: Sequence[str | Path] | None, learner: Learner
) -> Corpus:
    """The text of a run, the same as ever."""
    name, sources, config = about["name"], moved or about["sources"], learner.config
    policy = {"unknown": config.unknown, "replacement": config.replacement}
    where = ", ".join(map(str, sources)) or str(path / TEXT)
    if not sources and (path / TEXT).is_symlink():
        raise DamagedError(f"{path / TEXT} is no plain file but a link; it is not followed.")
    try:
        require_plain([] if moved else sources or [path / TEXT])
        if sources:
            corpus = Corpus.open(sources, learner.vocabulary, verify=True, **policy)
        else:
            corpus = Corpus.from_kept(path / TEXT, name, learner.vocabulary, **policy)
    except UnknownCharacterError:
        now = "one with other characters"
    except CharloomError as error:
        if not sources and refused_by_disk(error):
            raise ReadError(f"the text of {path} cannot be read: {error.message}") from error
        if not sources:
            raise DamagedError(
                f"{path} is damaged: its text cannot be read: {error.message}"
            ) from None
        raise TextError(
            f"the text of {path} cannot be read any more: {error.message} "
            f"If it was moved, say where it is now with {argument('text')}."
        ) from None
    else:
        if corpus.fingerprint == about["fingerprint"]:
            return corpus
        now = named(len(corpus), config.tokens, corpus.fingerprint)
    before = named(about["characters"], config.tokens, about["fingerprint"])
    raise TextError(
        f"{where} is not the text that {path} was trained on: it was {before}, and now {now} is there. "
        f"Put the old text back, or say where it is with {argument('text')}; to learn another text, "
        f"train anew."
    )


def refused_by_disk(error: CharloomError) -> bool:
    """Whether an error tells that a file is there and the disk refused to read it."""
    reason = error.__cause__ or error.__context__
    missing = FileNotFoundError, NotADirectoryError, IsADirectoryError
    return isinstance(reason, OSError) and not isinstance(reason, missing)


def named(size: int | None, tokens: str, fingerprint: str) -> str:
    """A text by its size, where that is known, and the beginning of its fingerprint."""
    return f"one of {'' if size is None else f'{size:,} {tokens} and '}SHA-256 {fingerprint[:12]}…"


def require_plain(sources: Sequence[str | Path]) -> None:
    """Refuse to read, as the text that a run directory names, what is no plain file.

    The run may be a stranger's: a device or a pipe never ends, a directory may hold anything, a pattern
    looks through the whole disk.
    """
    for source in map(str, sources):
        if source.startswith(BUILTIN):
            continue
        if not Path(source).exists():
            raise TextError(f"{source}: no such file.")
        if not Path(source).is_file():
            raise TextError(f"{source} is no plain file.")


def last_engine(events: list[dict[str, Any]]) -> str | None:
    """The engine that trained a run last, in words; None where no event tells."""
    engines = [event["engine"] for event in events if isinstance(event.get("engine"), str)]
    return engines[-1] if engines else None


def adopt_steering(learner: Learner, events: list[dict[str, Any]]) -> None:
    """Give a learner the learning-rate factor that it had last, though no checkpoint says so.

    A command or a number that was not finite may have changed it after the last save, or at the
    update of the last save: then the events tell (spec/formats.md: Steering).
    """
    factor, rollbacks = None, None
    for event in reversed(events):
        if event.get("event") not in STEERING_EVENTS:
            continue
        update = event.get("update")
        if not is_count(update) or update < learner.update:
            break  # what was before the checkpoint is in it
        factor = event.get("learning_rate_factor") if factor is None else factor
        rollbacks = event.get("rollbacks") if rollbacks is None else rollbacks
    if is_number(factor) and 0 < factor < FACTOR_LIMIT:
        learner.learning_rate_factor = factor
    if is_count(rollbacks):
        learner.rollbacks = max(learner.rollbacks, rollbacks)
