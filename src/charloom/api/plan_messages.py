"""Writes the messages about the plan of a training run with a time limit: how long its parts take.

This module measures nothing.
"""

from typing import Final

from charloom.formatting import counted, duration
from charloom.messages import argument
from charloom.training.run_costs import Costs

# If starting, opening the text or counting takes less than this time, the message about the speed does not mention it.
SHORT_SECONDS: Final = 1.0
# If one part of a run takes more than this fraction of the requested time, the message about too few minutes
# names the part.
LARGE_SHARE: Final = 0.25


def speed_message(
    updates: int, seconds: float, opened: float, searching: float, counting: float
) -> str:
    """Return the message about the measured speed.

    Args:
        updates: number of updates that the run will do.
        seconds: duration of the whole command.
        opened: seconds that the process took to start and to open the text.
        searching: seconds that it took to find the learning rate; 0 if it was not searched.
        counting: seconds that it took to count the n-grams of the text.
    """
    parts = {
        "to start and to open the text": opened,
        "to find the learning rate": searching,
        "to count its n-grams": counting,
    }
    long = [f"{duration(s)} {purpose}" for purpose, s in parts.items() if s >= SHORT_SECONDS]
    including = f", including {' and '.join(long)}" if long else ""
    return (
        f"measured on this machine: {counted(updates, 'update')} will take about {duration(seconds)} in "
        f"total{including}"
    )


def long_counting_message(counting: float, seconds: float) -> str | None:
    """Return a message that counting n-grams takes longer than the requested time; None if it does not.

    Args:
        counting: seconds that counting takes at least.
        seconds: the requested duration of the command.
    """
    if counting <= seconds:
        return None
    return (
        f"counting the n-grams of the text takes at least about {duration(counting)} here, but the run was given "
        f"{duration(seconds)}, so it will do only one update. Give more {argument('minutes')}, or train a new "
        f"model with {argument('ngram_order', 0)}"
    )


def too_few_minutes_message(costs: Costs, seconds: float, left: float) -> str | None:
    """Return a message about the parts that make a run of one update too long; None if no part is that long.

    Args:
        costs: how long the parts of the run take.
        seconds: the requested duration of the command.
        left: the seconds of them that are left for the run.
    """
    smaller = {"a validation loss": "judged_characters", "the passage": "passage_length"}
    parts = {
        "an update": costs.update,
        "a validation loss": costs.validation,
        "the passage": costs.passage,
        "a sample": costs.sample,
        "a checkpoint": costs.save,
    }
    long = [name for name, s in parts.items() if s > LARGE_SHARE * seconds]
    if sum(parts.values()) <= left or not long:
        return None
    takes = ", ".join(f"{name} takes {duration(parts[name])}" for name in long)
    settings = [argument(smaller[name]) for name in long if name in smaller]
    advice = f", or smaller values of {' and '.join(settings)}" if settings else ""
    return (
        f"{duration(seconds)} are not enough for this run: on this machine {takes}. Give more "
        f"{argument('minutes')}{advice}"
    )
