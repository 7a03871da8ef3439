"""Makes the plan for resuming a run: the settings, the checkpoint, the text and the journals to use.

Raises an error for damage with which training cannot continue, and makes a warning for other damage. This
module does not change anything on the disk.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

from charloom.config import Config
from charloom.errors import CharloomError, DamagedError, NotAModelError
from charloom.messages import argument, command
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.run_file_names import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    DAMAGED_EVENTS,
    EVENTS,
    LATEST,
    METRICS,
    TEXT,
)
from charloom.store.atomic_files import reading, require_directory
from charloom.store.checkpoint import Checkpoint
from charloom.store.checkpoint_directory import USE_ANOTHER
from charloom.store.control_files import FACTOR_LIMIT
from charloom.store.damage import Damage, attempt, require
from charloom.store.end_events import END_CHANGED, with_last_end
from charloom.store.journal import JournalLines
from charloom.store.journal_lengths import JOURNAL_CONTENTS, JournalEnd, journal_end, last_due
from charloom.store.json_numbers import is_count, is_number
from charloom.store.lost_checkpoints import why_no_latest
from charloom.store.new_run import is_interrupted_creation
from charloom.store.run_inspection import RunInspection
from charloom.store.run_lock import is_fresh, refuse_if_locked
from charloom.store.run_settings import TextDescription, TextIdentity
from charloom.store.run_text import open_text
from charloom.text import Corpus

EXTENDABLE: Final = ("epochs", "updates")
FACTOR_CHANGED: Final = "learning_rate_factor"  # by a command
ROLLED_BACK: Final = "rolled_back"
STEERING_EVENTS: Final = (FACTOR_CHANGED, ROLLED_BACK, END_CHANGED)


@dataclass(frozen=True)
class TrainingEnd:
    """A new end of a run. If both attributes are None, the run keeps its end.

    Attributes:
        epochs: number of epochs from the start of the run.
        updates: number of updates from the start of the run. If it is given, `epochs` is ignored.
    """

    epochs: int | None = None
    updates: int | None = None


@dataclass(frozen=True, kw_only=True)
class ResumePlan:
    """The plan for resuming a run: everything that training continues with.

    Attributes:
        inspection: the run as it was when the plan was made.
        learner: the learner of the checkpoint, with two changes. Its settings come from config.json. Its
            end, learning-rate factor and number of rollbacks come from the last events that changed them.
        lasting_factor: the learning-rate factor that the learner gets if a user gives the run a new end.
        checkpoint: the checkpoint to continue from.
        corpus: the text of the run.
        version: the version of charloom that created the run; None if config.json must be restored.
        fell_back: True if `checkpoint` is an older checkpoint, because the file `latest` or the checkpoint
            that it names is damaged or missing.
        journals: how much of metrics.jsonl and of samples.jsonl to keep, by file name.
        warnings: sentences about damage that is repaired or accepted when the run is resumed.
    """

    inspection: RunInspection
    learner: Learner
    lasting_factor: float
    checkpoint: Checkpoint
    corpus: Corpus
    version: str | None
    fell_back: bool
    journals: Mapping[str, JournalEnd]
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How many seconds the run was trained until its last record that is kept."""
        return self.journals[METRICS].seconds


@dataclass(frozen=True)
class Basis:
    """The settings of a run and the identity of its text.

    They come from config.json or, if this file is damaged, from a checkpoint.

    Attributes:
        config: the settings.
        text: the identity of the text that the run was trained on.
        version: the version of charloom that created the run; None if config.json is damaged.
        restored: a sentence saying that config.json is damaged and will be restored; None if it is intact.
    """

    config: Config
    text: TextIdentity
    version: str | None
    restored: str | None


@dataclass(frozen=True)
class Start:
    """The checkpoint to continue a run from.

    Attributes:
        checkpoint: the checkpoint.
        problem: a sentence saying why the checkpoint that the file `latest` names is not used; None if it
            is used.
    """

    checkpoint: Checkpoint
    problem: str | None


def plan_to_resume(
    inspection: RunInspection,
    *,
    text: Sequence[str | Path] | None = None,
    allow_older: bool = False,
    locked: bool = False,
    text_argument: str = argument("text"),
) -> ResumePlan:
    """Return the plan for resuming a run, with its text opened.

    Args:
        inspection: the inspected run.
        text: the new paths of the run's text, if the text was moved. The text itself must be the same.
            None uses the paths that the run stores.
        allow_older: True accepts damage. If the last checkpoint is damaged, training continues from the
            newest intact checkpoint. If records or samples are lost, training continues with the rest.
        locked: True if the caller holds the lock of the run, so that no other process can write it.
        text_argument: the argument for the new paths of the text, as messages name it.

    Raises:
        NotAModelError: the path is not a run, or the creation of the run was interrupted.
        RunInUseError: another process trains the run, or has written it since it was inspected.
        NewerFormatError: the last checkpoint is damaged, and a later version of charloom wrote an older
            checkpoint that would be used instead.
        ReadError: the disk failed while reading.
        DamagedError: the last checkpoint or another file is damaged, or the settings, the text and the
            checkpoint contradict each other.
        TextError: the text is missing or has changed.
    """
    path = inspection.path
    # Check whether another process uses the run before reading the text, which may take long.
    if locked:
        inspection.require_unchanged()
    elif inspection.status is not None and is_fresh(inspection.status):
        refuse_if_locked(path)
    try:
        with reading(path):
            return planned(inspection, text, allow_older, text_argument)
    except CharloomError:
        # A file can seem damaged while another process writes it. In this case raise RunInUseError.
        if not locked:
            refuse_if_locked(path)
            inspection.require_unchanged()
        raise


def planned(
    inspection: RunInspection,
    moved: Sequence[str | Path] | None,
    allow_older: bool,
    text_argument: str,
) -> ResumePlan:
    """Return the plan for resuming a run. `moved` holds the new paths of its text, if it was moved.

    The other arguments and the errors are those of `plan_to_resume`.
    """
    path, problems = inspection.path, inspection.problems
    basis = basis_of(inspection, moved, allow_older)
    start = start_of(inspection, basis, allow_older)
    checkpoint, learner = start.checkpoint, start.checkpoint.learner
    require_same_settings(path, basis.config, learner.config)
    corpus = open_text(path / TEXT, basis.text, moved, learner, text_argument)
    require_same_text(path, basis.text, checkpoint, corpus)
    require_place(path, learner, len(corpus))
    if EVENTS in problems:
        problems[EVENTS].refuse()
    events = () if inspection.lines is None else inspection.lines.objects
    learner.config = with_last_end(basis.config, events)
    due = last_due(Schedule.of(learner.config, len(corpus)), learner.update)
    journals = {
        name: end_of(path / name, checkpoint, events, due[name], allow_older)
        for name in JOURNAL_CONTENTS
    }
    if BEST in problems and not allow_older:
        problems[BEST].refuse(
            f"The last checkpoint records which one was best: to continue with that one, use "
            f"{command('resume', path, allow_older=True)}."
        )
    warnings = [
        basis.restored,
        *(lost_lines(name, end, learner.update) for name, end in journals.items()),
        problems[BEST].message if BEST in problems else None,
        start.problem
        and f"training continues from the checkpoint of update {learner.update:,}: {start.problem}",
        forget_unusable_best(inspection, learner),
        unreadable_events(inspection),
    ]
    restore_steering(learner, events)
    return ResumePlan(
        inspection=inspection,
        learner=learner,
        lasting_factor=lasting_factor(learner, inspection.lines),
        checkpoint=checkpoint,
        corpus=corpus,
        version=basis.version,
        fell_back=start.problem is not None,
        journals=journals,
        warnings=tuple(filter(None, warnings)),
    )


def basis_of(
    inspection: RunInspection, moved: Sequence[str | Path] | None, allow_older: bool
) -> Basis:
    """Return a run's settings and the identity of its text, from config.json.

    If config.json is damaged or missing, the settings and the identity come from the newest intact
    checkpoint. This requires that `allow_older` is True, and that `moved` is given or the run directory
    has a copy of the text.

    Args:
        inspection: the inspected run.
        moved: the new paths of the text; None if the text was not moved.
        allow_older: True allows the settings to come from a checkpoint.

    Raises:
        NotAModelError: config.json is missing, and the settings cannot come from a checkpoint.
        DamagedError: config.json is damaged, and the settings cannot come from a checkpoint.
    """
    settings, path = inspection.found_settings, inspection.path
    if settings is not None:
        return Basis(settings.config, settings.text, settings.version, None)
    damage, whole = inspection.problems[CONFIG], inspection.checkpoints.newest_intact()
    if whole is None or not allow_older or not (moved or (path / TEXT).is_file()):
        damage.refuse(inspection.ways_to_recover())
    text = TextIdentity(
        name=TEXT,
        sources=(),
        fingerprint=whole.fingerprint,
        vocabulary_size=len(whole.learner.vocabulary),
    )
    update = whole.learner.update
    restored = f"{damage.message} It is restored from the checkpoint of update {update:,}."
    return Basis(whole.learner.config, text, None, restored)


def start_of(inspection: RunInspection, basis: Basis, allow_older: bool) -> Start:
    """Return the checkpoint to continue from: normally the checkpoint that the file `latest` names.

    If this checkpoint or `latest` is damaged and `allow_older` is True, return the newest intact
    checkpoint that has the settings and the text in `basis`.

    Raises:
        NotAModelError: the run has not done any update yet.
        DamagedError: `latest` or the checkpoint that it names is damaged, and `allow_older` is False or no
            checkpoint is intact. The message names the newest intact checkpoint, if any.
    """
    path, pointer = inspection.path, inspection.path / CHECKPOINTS / LATEST
    require_directory(path / CHECKPOINTS)
    if LATEST in inspection.problems:
        problem = inspection.problems[LATEST].message
    elif inspection.latest is None:
        require_checkpoints(inspection)
        problem = f"{pointer} is missing."
    else:
        latest = inspection.checkpoints.load(inspection.latest)
        if not isinstance(latest, Damage):
            return Start(latest, None)
        problem = f"{latest.message} {pointer} refers to it."

    def fits(checkpoint: Checkpoint) -> bool:
        same = not differing(basis.config, checkpoint.learner.config)
        return same and checkpoint.fingerprint == basis.text.fingerprint

    whole = inspection.checkpoints.newest_intact(fits)
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
    # The run continues from an older checkpoint, so leave out the advice to use another checkpoint.
    return Start(whole, problem.replace(f" {USE_ANOTHER}", ""))


def require_checkpoints(inspection: RunInspection) -> None:
    """Raise an error if a run without the file `latest` cannot be continued from any checkpoint.

    Raises:
        NotAModelError: the run has not done any update yet.
        DamagedError: the run was trained, but its checkpoints are missing.
    """
    path, checkpoints = inspection.path, inspection.checkpoints
    problem = why_no_latest(path, checkpoints, inspection.status)
    if problem.missing:
        which = "the same" if is_interrupted_creation(path) else "another"
        raise NotAModelError(
            f"{path} has no checkpoint: its creation was interrupted before the first update. "
            f"Train again with {which} {argument('run')}."
        )
    if not checkpoints.updates:
        problem.refuse()


def require_same_settings(path: Path, config: Config, saved: Config) -> None:
    """Raise DamagedError if config.json and the checkpoint have different settings.

    The settings `epochs` and `updates` may differ, because a user can change where a run ends.

    Args:
        path: the run directory, for the message.
        config: the settings in config.json.
        saved: the settings in the checkpoint.
    """
    names = differing(config, saved)
    if names:
        raise DamagedError(
            f"{path} is damaged: {CONFIG} and the last checkpoint disagree about {', '.join(names)}."
        )


def differing(one: Config, two: Config) -> list[str]:
    """Return the names of the settings in which two configs differ, except `epochs` and `updates`."""
    return [
        name
        for name, value in one.to_dict().items()
        if name not in EXTENDABLE and value != getattr(two, name)
    ]


def require_same_text(
    path: Path, text: TextIdentity, checkpoint: Checkpoint, corpus: Corpus
) -> None:
    """Raise DamagedError unless config.json and the checkpoint belong to the text in `corpus`.

    Args:
        path: the run directory, for the message.
        text: the identity of the text according to config.json.
        checkpoint: the checkpoint.
        corpus: the text that was opened.
    """
    learner = checkpoint.learner
    if corpus.fingerprint != checkpoint.fingerprint:
        raise DamagedError(f"{path} is damaged: {CONFIG} and {LATEST} name different texts.")
    if isinstance(text, TextDescription) and text.characters != len(corpus):
        raise DamagedError(
            f"{path} is damaged: {CONFIG} says that its text has {text.characters:,} "
            f"{learner.config.tokens}; it has {len(corpus):,}."
        )
    if len(learner.vocabulary) != text.vocabulary_size:
        raise DamagedError(
            f"{path} is damaged: {CONFIG} says that its vocabulary has "
            f"{text.vocabulary_size:,} entries; it has {len(learner.vocabulary):,}."
        )


def require_place(path: Path, learner: Learner, characters: int) -> None:
    """Raise DamagedError unless the learner's epoch and position in the text fit its number of updates.

    Args:
        path: the run directory, for the message.
        learner: the learner of the checkpoint.
        characters: the length of the text in characters or bytes.
    """
    windows = Schedule.of(learner.config, characters).windows
    done = learner.update % windows.per_epoch
    if learner.update and not done:
        # After an epoch, the learner's position stays at the end of the text. It returns to 0 when the next
        # epoch begins.
        done = windows.per_epoch
    wanted = (done * windows.seq_length, learner.update // windows.per_epoch)
    if (learner.position, learner.epoch) != wanted:
        raise DamagedError(
            f"{path} is damaged: its checkpoint is at character {learner.position:,} of epoch "
            f"{learner.epoch:,}; after update {learner.update:,} it must be at character "
            f"{wanted[0]:,} of epoch {wanted[1]:,}."
        )


def end_of(
    path: Path,
    checkpoint: Checkpoint,
    events: Sequence[Mapping[str, Any]],
    due: int,
    allow_older: bool,
) -> JournalEnd:
    """Return how much of the journal at `path` to keep when training resumes from `checkpoint`.

    With `allow_older`, lost lines are accepted. The other arguments are those of `journal_end`.

    Raises:
        DamagedError: lines are lost and `allow_older` is False, or the path is not a plain file.
    """
    end = attempt(lambda: journal_end(path, checkpoint, events, due))
    if allow_older:
        return require(end)
    if not isinstance(end, Damage) and end.lost is None:
        return end
    update = checkpoint.learner.update
    raise DamagedError(
        f"{end.message if isinstance(end, Damage) else end.lost} Put the file back as it was. Or "
        f"continue from the checkpoint of update {update:,} with the remaining {JOURNAL_CONTENTS[path.name]}: "
        f"{command('resume', path.parent, allow_older=True)}."
    )


def lost_lines(name: str, end: JournalEnd, update: int) -> str | None:
    """Return a warning about the lines that a journal lost; None if it lost no line.

    Args:
        name: the file name of the journal.
        end: how much of the journal is kept.
        update: the update of the checkpoint to continue from.
    """
    if end.lost is None:
        return None
    contents = JOURNAL_CONTENTS[name]
    lost = (
        f"The {contents} {end.places}" if end.places else f"Some {contents} up to update {update:,}"
    )
    return f"{end.lost} {lost} are lost."


def forget_unusable_best(inspection: RunInspection, learner: Learner) -> str | None:
    """Remove the learner's `best_loss` and `best_update` if the best checkpoint cannot be used.

    Returns:
        A warning saying that the best model is determined again; None if the best checkpoint can be used,
        or if there is no best checkpoint.
    """
    if learner.best_update is None:
        return None
    best = inspection.checkpoints.load(learner.best_update)
    if not isinstance(best, Damage):
        return None
    learner.best_loss = learner.best_update = None
    return (
        f"the best checkpoint cannot be used, so the best model is determined again from update "
        f"{learner.update:,} on: {best.message}"
    )


def unreadable_events(inspection: RunInspection) -> str | None:
    """Return a warning about lines of events.jsonl that cannot be read; None if all can be read."""
    lines = inspection.lines
    if lines is None or not lines.broken:
        return None
    return (
        f"{inspection.path / EVENTS} is damaged: {len(lines.broken):,} of {lines.total:,} lines cannot be "
        f"read and are kept in {DAMAGED_EVENTS}; charloom cannot know whether they changed the learning rate or the end of the run."
    )


def restore_steering(learner: Learner, events: Sequence[Mapping[str, Any]]) -> None:
    """Set the learner's learning-rate factor and number of rollbacks to the last values in `events`.

    `learner` comes from a checkpoint. A command, a rollback or a new end may have changed these values after the
    checkpoint was saved (spec/formats.md: Steering).
    """
    factor, rollbacks = None, None
    for event in reversed(events):
        if event.get("event") not in STEERING_EVENTS:
            continue
        update = event.get("update")
        if not is_count(update) or update < learner.update:
            break  # the checkpoint is newer than this event and all earlier events
        factor = event.get("learning_rate_factor") if factor is None else factor
        rollbacks = event.get("rollbacks") if rollbacks is None else rollbacks
    if is_factor(factor):
        learner.learning_rate_factor = factor
    if is_count(rollbacks):
        learner.rollbacks = max(learner.rollbacks, rollbacks)


def lasting_factor(learner: Learner, lines: JournalLines | None) -> float:
    """Return the learning-rate factor without the changes that a moving end made (spec/formats.md: Steering).

    This is the factor that a command set last, or 1, with the change that each later rollback made to it. If
    lines of the events were lost, the factor of `learner` is returned, because a lost line may have had the
    command.
    """
    if lines is None or lines.broken:
        return learner.learning_rate_factor
    present = lasting = 1.0
    for event in lines.objects:
        factor = event.get("learning_rate_factor")
        if event.get("event") not in STEERING_EVENTS or not is_factor(factor):
            continue
        if event["event"] == FACTOR_CHANGED:
            lasting = factor
        elif event["event"] == ROLLED_BACK:
            lasting *= factor / present
        present = factor
    return lasting


def is_factor(value: object) -> TypeGuard[float]:
    """Return True if `value` can be a learning-rate factor."""
    return is_number(value) and 0 < value < FACTOR_LIMIT


def extended(config: Config, end: TrainingEnd) -> Config:
    """Return `config` with the epochs or updates of `end`; `config` itself if `end` has neither."""
    if end.updates is not None:
        return config.replace(updates=end.updates)
    if end.epochs is not None:
        return dataclasses.replace(config, epochs=end.epochs, updates=None)
    return config
