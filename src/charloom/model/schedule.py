"""The schedule of a training run: its learning rates, and when a record, evaluation or sample is due.

A record is a line in metrics.jsonl. The schedule depends only on the number of the update, never
on the clock. So two runs with the same settings and the same text have records at the same updates.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charloom.config import OTHER_UNIT, Config
from charloom.model.learner import Learner
from charloom.model.optimizers import AVERAGED_EVERY
from charloom.text.all_ids import AllIds
from charloom.text.window_order import WindowOrder
from charloom.text.windows import Windows, windows_of


@dataclass(frozen=True)
class Schedule:
    """The schedule of one training run with the settings `config` over the windows of its text."""

    config: Config
    windows: Windows

    @classmethod
    def of(cls, config: Config, characters: int) -> "Schedule":
        """Return the schedule for a text of `characters` characters.

        Raises:
            TextError: the text is too short to be divided as `config` says.
        """
        windows = Windows.of(config, characters)
        WindowOrder.of(config, windows)  # raises TextError if the text is too short for it
        return cls(config, windows)

    @classmethod
    def of_text(cls, config: Config, ids: AllIds) -> "Schedule":
        """Return the schedule for a text, with the true parts of a collection of items. The errors are those of `of`."""
        return replace(cls.of(config, len(ids)), windows=windows_of(config, ids))

    @cached_property
    def order(self) -> WindowOrder:
        """The order in which the windows of an epoch are read."""
        return WindowOrder.of(self.config, self.windows)

    @cached_property
    def updates(self) -> int:
        """Return the number of updates in the whole run."""
        return self.config.updates or self.config.epochs * self.windows.per_epoch

    def learning_rates(self, first: int, count: int) -> NDArray[np.float64]:
        """Return the learning rates of the `count` updates that follow update `first`, shape (count,).

        See spec/mathematics.md: Learning rates.
        """
        if count == 1:
            return np.array([self._learning_rate(first)])
        return np.array([self._learning_rate(done) for done in range(first, first + count)])

    def _learning_rate(self, done: int) -> float:
        """Return the learning rate of the next update after `done` updates were applied."""
        config = self.config
        rate, warmup = config.learning_rate, self.warmup
        if done < warmup:
            return rate * (done + 1) / warmup
        if config.schedule == "step":
            late = done - self.first_step
            every = self._updates_of("step_every")
            return rate * config.step_factor ** (late // every + 1 if late >= 0 else 0)
        if config.schedule == "cosine":
            way = (done - warmup) / max(1, self.updates - warmup)
            share = 0.5 * (1 + math.cos(math.pi * min(way, 1.0)))
            return rate * (config.cosine_end + (1 - config.cosine_end) * share)
        return rate

    @cached_property
    def warmup(self) -> int:
        """The number of updates over which the learning rate rises."""
        epochs = self.config.warmup_epochs
        if epochs is None:
            return self.config.warmup
        return math.floor(epochs * self.windows.per_epoch + 0.5)

    @property
    def first_step(self) -> int:
        """The number of updates before the first decay of the schedule "step"."""
        return self._updates_of("step_after")

    def chosen(self, name: str) -> str:
        """Return the setting that gives a time of the schedule: `name`, or the one in another unit that replaces it."""
        other = OTHER_UNIT[name]
        return name if getattr(self.config, other) is None else other

    def _updates_of(self, name: str) -> int:
        """Return a time of the schedule in updates: a setting in epochs, or the one in updates that replaces it."""
        updates: int | None = getattr(self.config, OTHER_UNIT[name])
        if updates is not None:
            return updates
        epochs: int = getattr(self.config, name)
        return epochs * self.windows.per_epoch

    def is_finished(self, learner: Learner) -> bool:
        """Return True if the run is complete: all its updates are applied, or its patience ran out.

        Patience runs out after `patience` evaluations without a new lowest validation loss.
        """
        return learner.update >= self.updates or self.early_end_reason(learner) is not None

    def early_end_reason(self, learner: Learner) -> str | None:
        """Return why training ends before the last update of the run; None if it does not end early."""
        patience = self.config.patience
        if not patience or learner.judgements_since_best < patience:
            return None
        return f"no better validation loss in {patience} evaluation{'s' if patience > 1 else ''}"

    def record_due(self, update: int) -> bool:
        """Return True if a record is due after update `update`."""
        return (
            update == 1
            or update % self.config.report_every == 0
            or self.evaluation_due(update)
            or update % self.windows.per_epoch == 0
            or update == self.updates
        )

    def evaluation_due(self, update: int) -> bool:
        """Return True if the validation loss must be computed after update `update`."""
        regular = update % self.evaluation_interval == 0
        return self.config.validation > 0 and (regular or update == self.updates)

    @property
    def evaluation_interval(self) -> int:
        """The number of updates between two validation losses.

        Without `judge_every`, this is an epoch. If the weights are averaged, it is as many epochs as have at
        least 16 updates, because the average moves only then: the same model would have the same loss again.
        """
        if self.config.judge_every:
            return self.config.judge_every
        epoch = self.windows.per_epoch
        return epoch * -(-AVERAGED_EVERY // epoch) if self.config.averaging else epoch

    def sample_due(self, update: int) -> bool:
        """Return True if a sample is due after update `update`. Update 0 stands for the start of training."""
        first, every = self.config.sample_first, self.config.sample_every
        regular = update <= self.config.sample_until and (
            update == first or (update > first and update % every == 0)
        )
        return update == 0 or regular or update == self.updates

    def save_due(self, update: int) -> bool:
        """Return True if a checkpoint is due exactly after update `update`."""
        every = self.config.save_every
        return every > 0 and update > 0 and update % every == 0

    def last_record(self, update: int) -> int:
        """Return the number of the last update up to `update` that has a record; 0 if none has one."""
        if update == self.updates:
            return update
        steps = [self.config.report_every, self.windows.per_epoch]
        if self.config.validation and self.config.judge_every:
            steps.append(self.config.judge_every)
        return max(min(update, 1), *(update - update % step for step in steps))

    def last_sample(self, update: int) -> int:
        """Return the number of the last update up to `update` that has a sample.

        The result is 0 for the sample before training.
        """
        if update == self.updates:
            return update
        first, last = self.config.sample_first, min(update, self.config.sample_until)
        if last < first:
            return 0
        return max(first, last - last % self.config.sample_every)

    def next_due(self, update: int) -> int:
        """Return the last update that a call of the engine may apply if it starts after update `update`.

        No record, no sample and no checkpoint at an exact update is due between `update` and the result.
        """
        config = self.config
        ahead = [
            next_multiple(update, config.report_every),
            next_multiple(update, config.sample_every),
            next_multiple(update, self.evaluation_interval),
            next_multiple(update, self.windows.per_epoch),
            self.updates,
            config.sample_first,
            1,
        ]
        if config.save_every:
            ahead.append(next_multiple(update, config.save_every))
        return min(due for due in ahead if due > update)


def next_multiple(number: int, step: int) -> int:
    """Return the smallest multiple of `step` that is greater than `number`."""
    return (number // step + 1) * step
