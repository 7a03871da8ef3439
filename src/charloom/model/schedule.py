"""When things are due in a training: records, samples, the end. A pure function of the update.

Nothing here depends on the clock, so that two runs of the same settings have the same records.
"""

from dataclasses import dataclass

from charloom.config import Config
from charloom.text.windows import Windows


@dataclass(frozen=True)
class Schedule:
    """The schedule of one run over the windows of its text."""

    config: Config
    windows: Windows

    @classmethod
    def of(cls, config: Config, characters: int) -> "Schedule":
        """The schedule for a text of so many characters.

        Raises:
            TextError: the text is shorter than one window and its last target.
        """
        return cls(config, Windows(characters, config.seq_length))

    @property
    def updates(self) -> int:
        """Updates in the whole run."""
        return self.config.updates or self.config.epochs * self.windows.per_epoch

    def record_due(self, update: int) -> bool:
        """Whether a record belongs to this update."""
        return (
            update == 1
            or update % self.config.report_every == 0
            or update % self.windows.per_epoch == 0
            or update == self.updates
        )

    def sample_due(self, update: int) -> bool:
        """Whether a sample belongs to this update."""
        first, every = self.config.sample_first, self.config.sample_every
        regular = update <= self.config.sample_until and (
            update == first or (update > first and update % every == 0)
        )
        return update == 0 or regular or update == self.updates

    def next_due(self, update: int) -> int:
        """The first update after this one at which a record or a sample may be due."""
        config = self.config
        ahead = [
            next_multiple(update, config.report_every),
            next_multiple(update, config.sample_every),
            next_multiple(update, self.windows.per_epoch),
            self.updates,
            config.sample_first,
            1,
        ]
        return min(due for due in ahead if due > update)


def next_multiple(number: int, step: int) -> int:
    """The smallest multiple of a step that is greater than a number."""
    return (number // step + 1) * step
