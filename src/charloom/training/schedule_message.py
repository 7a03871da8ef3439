"""Says in a sentence that a run ends before its warm-up or before the first step of its learning rate."""

from contextlib import suppress

from charloom.config import Config
from charloom.errors import TextError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.model.schedule import Schedule
from charloom.recipes import RECIPES


def late_schedule(schedule: Schedule) -> str | None:
    """Return a message that a part of the schedule lies beyond the end of the run, and what the learning rate does.

    Return None if the warm-up ends, and the first step of the schedule `step` is taken, within the run.
    """
    config, end = schedule.config, schedule.updates
    ends = f"the run ends after {counted(end, 'update')}"
    if schedule.warmup > end:
        after = (
            " The schedule begins only after the warm-up." if config.schedule != "constant" else ""
        )
        highest = schedule.learning_rates(end - 1, 1)[0]
        return (
            f"{ends}, but its warm-up has {counted(schedule.warmup, 'update')}: the learning rate rises to "
            f"{highest:.3g} and never reaches {config.learning_rate:g}.{after} Give a shorter "
            f"{argument(schedule.chosen('warmup'))}, or a later end."
        )
    if config.schedule == "step" and schedule.first_step >= end:
        return (
            f"{ends}, but the first step of its learning rate is after {counted(schedule.first_step, 'update')}: the "
            f"learning rate stays {config.learning_rate:g}. Give a smaller {argument(schedule.chosen('step_after'))}, or a "
            f"later end."
        )
    return None


def unwanted_schedule(config: Config, characters: int) -> str | None:
    """Return the message of `late_schedule` if the user gave the late part; None if it is that of the recipe.

    Return None also if a text of so many characters is too short: training itself refuses it.
    """
    recipe = RECIPES.get(config.recipe)
    if recipe is not None and times_of(config) == times_of(recipe.config):
        return None
    with suppress(TextError):
        return late_schedule(Schedule.of(config, characters))
    return None


def times_of(config: Config) -> tuple[object, ...]:
    """Return the settings that say when the learning rate changes."""
    names = ("schedule", "warmup", "warmup_epochs", "step_after", "step_after_updates")
    return tuple(getattr(config, name) for name in names)
