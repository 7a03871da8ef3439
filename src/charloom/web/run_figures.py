"""Computes a run's losses, epoch, learning rate and speed at its current update, for the list of runs.

A record is a line of metrics.jsonl. The current update can be later than the update of the last record. This module
reads no file: the caller passes the last record, and the counters in the latest checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charloom.model.schedule import Schedule
from charloom.store.json_numbers import is_number


@dataclass(frozen=True)
class RunFigures:
    """The epoch, the smooth loss and the learning rate of a run at an update. An unknown value is None.

    Attributes:
        epoch: passes over the training text, with a fraction.
        smooth_loss: the smooth loss in nats per window.
        learning_rate: the learning rate, multiplied by the factor that a command has set.
    """

    epoch: float | None
    smooth_loss: float | None
    learning_rate: float | None


def figures_at(
    update: int | None,
    schedule: Schedule,
    factor: float,
    record: Mapping[str, Any],
    counters: Mapping[str, Any],
) -> RunFigures:
    """Return the epoch, the smooth loss and the learning rate of a run at its update `update`.

    Args:
        update: the run's current update; None or 0 before the first update.
        schedule: gives the learning rate and the length of an epoch.
        factor: the factor, set by a command, that multiplies the learning rate of the schedule.
        record: the run's last record; empty if there is none.
        counters: the counters in the run's latest checkpoint; empty if there is none. The smooth loss comes
            from these counters if the checkpoint was saved at `update`, otherwise from `record`.
    """
    smooth = counters.get("smooth_loss") if counters.get("update") == update else None
    if not is_number(smooth):
        smooth = record.get("smooth_loss")
    rate = epoch = None
    if update:
        rate = float(schedule.learning_rates(update - 1, 1)[0]) * factor
        epoch = update / schedule.windows.per_epoch
    return RunFigures(epoch, smooth, rate)


def mean_speed(record: Mapping[str, Any]) -> float | None:
    """Return the mean speed of a run from its beginning to `record`, in characters per second.

    `record` is a line of metrics.jsonl. Return None if its characters or seconds are missing or 0.
    """
    characters, seconds = record.get("characters"), record.get("seconds")
    return characters / seconds if characters and seconds else None
