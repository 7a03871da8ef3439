"""Estimates how long a training run takes, from the durations of its parts.

This module measures nothing.
"""

from dataclasses import dataclass
from math import ceil, log2

from charloom.config import Config
from charloom.model.schedule import Schedule
from charloom.training.progress_records import FINAL_EVALUATION_SHARE
from charloom.training.run_saving import FIRST_SAVE_SECONDS


@dataclass(frozen=True)
class Costs:
    """The durations of the parts of a training run, in seconds.

    Attributes:
        update: seconds for one update.
        validation: seconds for one validation loss during training, and for the measurement of the starts
            after it.
        whole: seconds for the loss on the whole validation part at the end; 0 if every validation loss
            during training uses the whole part.
        sample: seconds for writing one sample.
        passage: seconds for writing the long sample at the end.
        save: seconds for saving one checkpoint.
    """

    update: float
    validation: float = 0.0
    whole: float = 0.0
    sample: float = 0.0
    passage: float = 0.0
    save: float = 0.0

    def times(self, factor: float) -> "Costs":
        """Return costs in which each part takes `factor` times as long."""
        return Costs(**{name: factor * seconds for name, seconds in vars(self).items()})

    def seconds(
        self, schedule: Schedule, updates: int, done: int = 0, trained: float = 0.0
    ) -> float:
        """Return how many seconds it takes to continue a run from update `done` to its end.

        Args:
            schedule: the settings of the run and the division of its text.
            updates: the update at which the run ends.
            done: number of updates that the run has done already.
            trained: how many seconds the run was trained until update `done`.
        """
        config = schedule.config
        learning = (updates - done) * self.update
        # The number of validation losses: one at each multiple of `every` updates, and one at the end.
        judged = ceil(updates / schedule.evaluation_interval) if config.validation else 0
        judged -= evaluations(schedule, done)
        sampled = 1 + regular_samples(updates, config) - regular_samples(done, config)
        seconds = learning + judged * self.validation + sampled * self.sample + self.passage
        if self.whole <= FINAL_EVALUATION_SHARE * (trained + learning):
            seconds += self.whole
        every = config.save_every
        exact = updates // every - done // every if every else 0
        return seconds + (exact + saves(seconds, config.save_seconds)) * self.save

    def seconds_between(self, schedule: Schedule, first: int, last: int) -> float:
        """Return how many seconds a run takes from update `first` to update `last`, which is not its end.

        The result leaves out checkpoints.
        """
        judged = evaluations(schedule, last) - evaluations(schedule, first)
        sampled = regular_samples(last, schedule.config) - regular_samples(first, schedule.config)
        return (last - first) * self.update + judged * self.validation + sampled * self.sample

    def updates_within(
        self, seconds: float, schedule: Schedule, done: int = 0, trained: float = 0.0
    ) -> int:
        """Return the update at which a run must end so that its remaining updates take at most `seconds`.

        The result is at least `done` + 1, even if one update takes longer than `seconds`.

        Args:
            seconds: time for the remaining updates, validation losses, samples and checkpoints.
            schedule: the settings of the run and the division of its text.
            done: number of updates that the run has done already.
            trained: how many seconds the run was trained until update `done`.
        """
        low, high = done + 1, done + 2 + int(seconds / self.update)
        while high - low > 1:
            middle = (low + high) // 2
            within = self.seconds(schedule, middle, done, trained) <= seconds
            low, high = (middle, high) if within else (low, middle)
        return low


def evaluations(schedule: Schedule, update: int) -> int:
    """Return how many validation losses a run computes up to `update`, if `update` is not its end."""
    return update // schedule.evaluation_interval if schedule.config.validation else 0


def regular_samples(update: int, config: Config) -> int:
    """Return the approximate number of samples that a run with these settings writes up to `update`."""
    return min(update, config.sample_until) // config.sample_every


def saves(seconds: float, interval: float) -> float:
    """Return about how many checkpoints a run of `seconds` saves, including the checkpoint at its end.

    `interval` is the longest time between two checkpoints in seconds, the setting `save_seconds`.
    """
    first = min(FIRST_SAVE_SECONDS, interval)
    return 1 + min(log2(1 + seconds / first), log2(1 + interval / first)) + seconds / interval
