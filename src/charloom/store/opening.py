"""Checks the directory, the checkpoint, the settings and the text before a run is created or resumed.

This module does not change anything on the disk.
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
from charloom.store.atomic_files import file_above
from charloom.store.checkpoint import Checkpoint, is_count, is_number
from charloom.store.control_files import FACTOR_LIMIT, read_status
from charloom.store.journal_tail import last_lines
from charloom.store.json_format import parse_object
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.run_directory import (
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
from charloom.temporary_names import TEMPORARY
from charloom.text import Corpus, UnknownPolicy

EXTENDABLE: Final = ("epochs", "updates")
STEERING_EVENTS: Final = ("learning_rate_factor", "rolled_back")
# Names that the interrupted creation of a run may have left: before it wrote config.json, and after
# that but before the first update.
BEFORE_CONFIG: Final = frozenset({LOCK, TEXT, CHECKPOINTS})
BEFORE_TRAINING: Final = BEFORE_CONFIG | {
    CONFIG, METRICS, SAMPLES, EVENTS, GRADCHECK, STATUS, CONTROL
}  # fmt: skip
FIRST_CHECKPOINT: Final = "0"


def refuse_existing(path: Path) -> None:
    """Raise RunExistsError if a new run at this path would overwrite something."""
    if not path.exists():
        return
    if not path.is_dir():
        raise RunExistsError(
            f"{path} is a file; give {argument('run')} a directory that does not exist yet."
        )
    if is_run(path) and read_pointer_or_none(path) is not None:
        raise RunExistsError(
            f"{path} already contains a run: continue it with {command('resume', path)}, "
            f"or give another {argument('run')}."
        )
    learned = update_told(path) if is_run(path) else 0
    if learned:
        raise RunExistsError(
            f"{path} contains the records of a run up to update {learned:,}, but its checkpoints are "
            f"missing; give another {argument('run')}."
        )
    if not is_interrupted_creation(path):
        raise RunExistsError(
            f"{path} exists and contains other files; give {argument('run')} a directory that does not "
            f"exist yet."
        )


def refuse_file_above(path: Path) -> None:
    """Raise RunExistsError if one of the directories in the path is a file."""
    above = file_above(path)
    if above is not None:
        raise RunExistsError(
            f"{argument('run')} is {path}, but {above} is a file, not a directory; give "
            f"{argument('run')} a place in a directory."
        )


def is_interrupted_creation(path: Path) -> bool:
    """Return True if a directory is empty or has only files of a run's interrupted creation.

    Without a config.json that charloom wrote, files with a run's names belong to the user.
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
    """Return the names in a directory, without temporary files."""
    return {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)}


def is_ours(path: Path) -> bool:
    """Return True if charloom wrote the config.json of a directory."""
    try:
        read_about(path)
    except (DamagedError, NotAModelError):
        return False
    return True


def read_pointer_or_none(path: Path) -> int | None:
    """Return the update that `latest` names; None without `latest`, 0 if it is damaged."""
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
    """Return the results of `read_about` and an empty sentence.

    If config.json is damaged or missing, return what the newest intact checkpoint contains and a
    sentence about the damage. The text's description then has only the fingerprint and the vocabulary
    size. This requires `allow_anew` and a text, given or kept in the run; otherwise the error says how
    to continue.

    Args:
        path: the run directory.
        moved: where the text is now, if the user gave that.
        allow_anew: True to restore a damaged config.json from a checkpoint.

    Raises:
        NotAModelError: the directory is not a run.
        NewerFormatError: a later version of charloom wrote a file in it.
        DamagedError: config.json was changed after it was written.
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
        sentence = f"{error.message} It is restored from the checkpoint of update {whole.learner.update:,}."
        return whole.learner.config, text, "", sentence


@dataclass(frozen=True)
class Opened:
    """The parts of a run that training continues with.

    Attributes:
        config: the run's settings.
        about: the description of the text in config.json.
        version: the version of charloom that created the run; empty if it is no longer known.
        anew: a sentence saying why config.json must be restored; empty if it is intact.
        checkpoint: the checkpoint to continue from.
        damage: a sentence saying why this is not the latest checkpoint; empty if it is.
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
        """Return the checkpoint's learner."""
        return self.checkpoint.learner


def open_to_learn(path: Path, moved: Sequence[str | Path] | None, allow_older: bool) -> Opened:
    """Return the parts of a run that training continues with.

    Arguments and errors are those of `RunWriter.resume`. DamagedError is also raised if the settings, the
    text and the checkpoint contradict each other.
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
    """Return a sentence on how to continue if config.json is damaged and a checkpoint is intact."""
    text = {} if (path / TEXT).is_file() else {"text": Placeholder("TEXT")}
    resume = command("resume", path, allow_older=True, **text)
    train = command("train", Placeholder("TEXT"), from_model=checkpoint_path(path, update))
    return (
        f"The checkpoint of update {update:,} is intact: {resume} restores {CONFIG} from it and continues; "
        f"{train} starts a new run with its weights."
    )


def load_latest(
    path: Path, config: Config, fingerprint: str, allow_older: bool = False
) -> tuple[Checkpoint, str]:
    """Return the checkpoint that `latest` names, and an empty sentence.

    If that checkpoint is damaged and `allow_older` is True, return the newest intact checkpoint and a
    sentence about the damage. Only checkpoints with the run's settings and text count.

    Raises:
        NotAModelError: the run has not done any update yet.
        DamagedError: the latest checkpoint is damaged, and no other is intact or `allow_older` is
            False; then the message names the newest intact one.
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
            f"{problem} No checkpoint of {path} is intact: restore one from a copy, or train again "
            f"with another {argument('run')}."
        )
    if not allow_older:
        raise DamagedError(
            f"{problem} The checkpoint of update {whole.learner.update:,} is intact: to continue from "
            f"it, use {command('resume', path, allow_older=True)}."
        )
    return whole, problem


def require_checkpoints(path: Path) -> None:
    """Raise if a run without `latest` has no checkpoint that training could continue from.

    Raises:
        NotAModelError: the run has not done any update yet.
        DamagedError: the run was trained, but its checkpoints are missing.
    """
    saved, learned = saved_updates(path), update_told(path)
    if learned and not saved:
        raise DamagedError(checkpoints_gone(path, learned))
    if not learned and max(saved, default=0) == 0:
        which = "the same" if is_interrupted_creation(path) else "another"
        raise NotAModelError(
            f"{path} has no checkpoint: its creation was interrupted before the first update. "
            f"Train again with {which} {argument('run')}."
        )


def checkpoints_gone(path: Path, learned: int) -> str:
    """Return the message for a run that was trained up to an update but has no checkpoint."""
    return (
        f"{path} was trained up to update {learned:,}, but its checkpoints are missing: there are none in "
        f"{path / CHECKPOINTS}. Restore them from a copy, or train again with another "
        f"{argument('run')}."
    )


def update_told(path: Path) -> int:
    """Return the last update in a run's records and status, or 0; ignores the checkpoints."""
    updates = [last_recorded(path), (read_status(path) or {}).get("update")]
    return max(filter(is_count, updates), default=0)


def last_recorded(path: Path) -> object:
    """Return the update of a run's last valid record; None if it has none."""
    with suppress(DamagedError):  # metrics.jsonl is not a plain file
        for line in last_lines(path / METRICS):
            with suppress(DamagedError):
                if is_count(found := parse_object(line, METRICS).get("update")):
                    return found
    return None


def require_same_settings(path: Path, config: Config, saved: Config) -> None:
    """Raise DamagedError if config.json and the checkpoint differ in more than epochs and updates."""
    names = differing(config, saved)
    if names:
        raise DamagedError(
            f"{path} is damaged: {CONFIG} and the last checkpoint disagree about {', '.join(names)}."
        )


def differing(one: Config, two: Config) -> list[str]:
    """Return the settings in which two configs differ, except epochs and updates."""
    return [
        name
        for name, value in one.to_dict().items()
        if name not in EXTENDABLE and value != getattr(two, name)
    ]


def require_place(path: Path, learner: Learner, characters: int) -> None:
    """Raise DamagedError unless epoch and position are those that follow from the update."""
    windows = Schedule.of(learner.config, characters).windows
    done = learner.update % windows.per_epoch
    if learner.update and not done:
        done = windows.per_epoch  # the position returns to 0 only when the next epoch begins
    wanted = (done * windows.seq_length, learner.update // windows.per_epoch)
    if (learner.position, learner.epoch) != wanted:
        raise DamagedError(
            f"{path} is damaged: its checkpoint is at character {learner.position} of epoch "
            f"{learner.epoch}; after update {learner.update:,} it must be {wanted[0]} of {wanted[1]}."
        )


def extended(config: Config, epochs: int | None, updates: int | None) -> Config:
    """Return the config with new epochs or updates; unchanged if both are None."""
    if updates is not None:
        return config.replace(updates=updates)
    if epochs is not None:
        return dataclasses.replace(config, epochs=epochs, updates=None)
    return config


def open_text(
    path: Path,
    about: dict[str, Any],
    moved: Sequence[str | Path] | None,
    learner: Learner,
    place: str = argument("text"),
) -> Corpus:
    """Return the text of a run; raise if it is not the text that the run was trained on.

    Args:
        path: the run directory.
        about: the description of the text in config.json.
        moved: where the text is now; None reads it from where it was.
        learner: the learner, for its settings and vocabulary.
        place: how the caller is given the new path of a text, for error messages.
    """
    name, sources, config = about["name"], moved or about["sources"], learner.config
    policy = UnknownPolicy(config.unknown, config.replacement)
    where = ", ".join(map(str, sources)) or str(path / TEXT)
    if not sources and (path / TEXT).is_symlink():
        raise DamagedError(f"{path / TEXT} is not a plain file but a link; links are not followed.")
    try:
        require_plain([] if moved else sources or [path / TEXT])
        if sources:
            corpus = Corpus.open(sources, learner.vocabulary, verify=True, policy=policy)
        else:
            corpus = Corpus.from_kept(path / TEXT, name, learner.vocabulary, policy=policy)
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
            f"the text of {path} can no longer be read: {error.message} "
            f"If it was moved, give its new path as {place}."
        ) from None
    else:
        if corpus.fingerprint == about["fingerprint"]:
            return corpus
        now = named(len(corpus), config.tokens, corpus.fingerprint)
    before = named(about["characters"], config.tokens, about["fingerprint"])
    raise TextError(
        f"{where} is not the text that {path} was trained on: it was {before}, but now it is {now}. "
        f"Restore the old text, or give its path as {place}; to learn another text, "
        f"start a new run."
    )


def refused_by_disk(error: CharloomError) -> bool:
    """Return True if the cause of an error is that an existing file could not be read."""
    reason = error.__cause__ or error.__context__
    missing = FileNotFoundError, NotADirectoryError, IsADirectoryError
    return isinstance(reason, OSError) and not isinstance(reason, missing)


def named(size: int | None, tokens: str, fingerprint: str) -> str:
    """Return words for a text: its size, if it is known, and the beginning of its fingerprint."""
    return f"one of {'' if size is None else f'{size:,} {tokens} and '}SHA-256 {fingerprint[:12]}…"


def require_plain(sources: Sequence[str | Path]) -> None:
    """Raise TextError if a text that a run names is missing or is not a plain file.

    The run may be untrusted: a device or a pipe may never end, a directory may contain any files, and a
    file name pattern could search the whole disk.
    """
    for source in map(str, sources):
        if source.startswith(BUILTIN):
            continue
        if not Path(source).exists():
            raise TextError(f"{source}: no such file.")
        if not Path(source).is_file():
            raise TextError(f"{source} is not a plain file.")


def last_engine(events: list[dict[str, Any]]) -> str | None:
    """Return the description of the engine that trained a run last; None if no event has it."""
    engines = [event["engine"] for event in events if isinstance(event.get("engine"), str)]
    return engines[-1] if engines else None


def adopt_steering(learner: Learner, events: list[dict[str, Any]]) -> None:
    """Set the learner's learning-rate factor and rollbacks to the values in the last events.

    A command or a rollback may have changed them after the last save, or at the same update (spec/formats.md:
    Steering).
    """
    factor, rollbacks = None, None
    for event in reversed(events):
        if event.get("event") not in STEERING_EVENTS:
            continue
        update = event.get("update")
        if not is_count(update) or update < learner.update:
            break  # the checkpoint includes earlier changes
        factor = event.get("learning_rate_factor") if factor is None else factor
        rollbacks = event.get("rollbacks") if rollbacks is None else rollbacks
    if is_number(factor) and 0 < factor < FACTOR_LIMIT:
        learner.learning_rate_factor = factor
    if is_count(rollbacks):
        learner.rollbacks = max(learner.rollbacks, rollbacks)
