"""Decides whether a call that trains a run continues an existing one, and compares its settings with those of the run."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from charloom.api.run_changes import RunChanges
from charloom.api.text_arguments import Text, as_path
from charloom.api.training_plan import initial_config, planned_minutes, text_to_learn
from charloom.config import MACHINE_SETTINGS, Config, require_one_of, without_effect
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument, words_by_face
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.recipes import DEFAULT_RECIPE
from charloom.run_file_names import CHECKPOINTS, LATEST
from charloom.store.atomic_files import reading
from charloom.store.damage import attempt
from charloom.store.resume_plan import TrainingEnd, extended
from charloom.store.run_checkpoints import read_pointer
from charloom.store.run_directory import is_run, updates_in
from charloom.store.run_settings import RunSettings, read_settings

# What to do if the run of a call exists already.
EXIST: Final = ("refuse", "resume")
ENDS: Final = ("epochs", "updates")
# How messages name the argument for the text: it has no option in the command that trains a run.
TEXT_ARGUMENT: Final = words_by_face(in_python="text", elsewhere="the argument TEXT")


def run_to_continue(run: str | Path | None, exist: str) -> Path | None:
    """Return the path of an existing run that must be continued; None if a new run must be trained.

    Args:
        run: the run directory that the user gave.
        exist: "refuse" or "resume": what to do if the run exists.

    Raises:
        ConfigError: `exist` has another value, or is "resume" and `run` is None.
    """
    require_one_of("exist", exist, EXIST)
    if exist == "refuse":
        return None
    if run is None:
        raise ConfigError(
            f"{argument('exist')} is 'resume', but no run is named; give {argument('run')} the run directory."
        )
    path = as_path(run, "run")
    with reading(path):
        found = is_run(path) and (
            attempt(lambda: read_pointer(path, LATEST)) is not None
            or bool(attempt(lambda: updates_in(path / CHECKPOINTS)))
        )
    return path if found else None


class GivenTraining(NamedTuple):
    """The arguments with which a user asks to train a model.

    Attributes:
        text: the paths of the text, or its name.
        string: the text itself, instead of `text`.
        model: the model from which a new run would start; None if it would train a new network.
        minutes: the minutes; None if the user gave none.
        find_learning_rate: True if the user asked for a search.
        settings: the settings that the user gave.
    """

    text: Text | None
    string: str | None
    model: Learner | None
    minutes: float | None
    find_learning_rate: bool
    settings: Mapping[str, Any]


def changes_to_continue(run: Path, given: GivenTraining) -> RunChanges:
    """Return the changes with which an existing run continues, after comparing what the user gave with the run.

    The engine, the device, the threads and the seconds between two checkpoints may differ, and the end may be later. Minutes and a
    search for a learning rate planned the run when it began, so they are not repeated. Given paths of a text are compared
    when the run is opened.

    Raises:
        ConfigError: settings differ; the message names each of them with both values. Or a setting is not valid.
        DamagedError: the settings of the run are damaged.
    """
    text, string, model, minutes, find_learning_rate, settings = given
    config = initial_config(DEFAULT_RECIPE, model, **settings)
    own = read_settings(run)
    planned_minutes(config, minutes, **settings)  # raises ConfigError if two ends are given
    end = TrainingEnd(settings.get("epochs"), settings.get("updates"))
    left_out = {"learning_rate"} if find_learning_rate else set[str]()
    differences = [*differing(own.config, config, left_out), *earlier_end(own, end)]
    if string is not None or text is None:
        corpus = text_to_learn(text, string, model=model, **settings)
        if corpus.fingerprint != own.text.fingerprint:
            differences.append(
                f"the text is {named(own.text.characters, own.text.fingerprint)} in the run and "
                f"{named(len(corpus), corpus.fingerprint)} now"
            )
    if differences:
        raise ConfigError(
            f"{run} cannot be continued with these settings: {'; '.join(differences)}. Give the settings of the "
            f"run, or another {argument('run')}."
        )
    later = change_of_end(own, end) > 0
    return RunChanges(
        text=text,
        epochs=end.epochs if later else None,
        updates=end.updates if later else None,
        engine=settings.get("engine"),
        device=settings.get("device"),
        threads=settings.get("threads"),
        save_seconds=settings.get("save_seconds"),
        text_argument=TEXT_ARGUMENT,
    )


def differing(own: Config, given: Config, left_out: set[str]) -> Iterator[str]:
    """Yield a part of a sentence for each setting that has another value in a run than in the given settings.

    Leaves out settings of the machine, the end of the run, settings without an effect, and those in `left_out`.
    """
    for name in (field.name for field in fields(Config)):
        before, now = getattr(own, name), getattr(given, name)
        idle = without_effect(own, [name]) and without_effect(given, [name])
        if before != now and not idle and name not in {*MACHINE_SETTINGS, *ENDS, *left_out}:
            yield f"{argument(name)} is {shown(before)} in the run and {shown(now)} now"


def change_of_end(own: RunSettings, end: TrainingEnd) -> int:
    """Return by how many updates the given end of a run is later than its own; 0 if no end is given."""
    later, before = (
        Schedule.of(config, own.text.characters).updates
        for config in (extended(own.config, end), own.config)
    )
    return later - before


def earlier_end(own: RunSettings, end: TrainingEnd) -> Iterator[str]:
    """Yield a part of a sentence if the given end is earlier than the run's."""
    change, before = change_of_end(own, end), Schedule.of(own.config, own.text.characters).updates
    if change < 0:
        name, value = ("epochs", end.epochs) if end.updates is None else ("updates", end.updates)
        yield (
            f"the end is update {before:,} in the run and update {before + change:,} now "
            f"({argument(name, value)}), which is earlier"
        )


def named(size: int, fingerprint: str) -> str:
    """Return a short description of a text by its length and its fingerprint."""
    return f"one of length {size:,} and SHA-256 {fingerprint[:12]}…"


def shown(value: object) -> str:
    """Return the value of a setting for a message."""
    return f"{value:,}" if type(value) is int else shortened(value)
