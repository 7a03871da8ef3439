"""The changes that a user can make when a run is continued: its end, its text, and machine settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charloom.api.text_arguments import Text, as_sources
from charloom.api.training_plan import require_one_end, with_threads
from charloom.config import MACHINE_SETTINGS, Config
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.schedule import Schedule


@dataclass(frozen=True)
class RunChanges:
    """The changes that a user makes when a run is continued. An attribute that is None changes nothing.

    Attributes:
        text: the new path of the text.
        epochs: a new end of the run, in epochs from its start.
        updates: a new end of the run, in updates from its start.
        minutes: continue for about this many minutes, instead of to a given end.
        engine: the engine to use, such as "native".
        device: the device of the engine torch, such as "cuda".
        threads: the number of threads to use; 0 means one per processor, but at most one per stream.
        save_seconds: seconds between two checkpoints.
        allow_older: True accepts damage. If the last checkpoint is damaged, training continues from the
            newest intact one. If records or samples are lost, it continues with the remaining ones.
        text_argument: the argument for the new path of the text, as messages name it.

    Raises:
        ConfigError: more than one end is given.
    """

    text: Text | None = None
    epochs: int | None = None
    updates: int | None = None
    minutes: float | None = None
    engine: str | None = None
    device: str | None = None
    threads: int | None = None
    save_seconds: float | None = None
    allow_older: bool = False
    text_argument: str = argument("text")

    def __post_init__(self) -> None:
        require_one_end(epochs=self.epochs, updates=self.updates, minutes=self.minutes)

    @property
    def sources(self) -> list[str | Path] | None:
        """The new paths of the text as a list; None if the text was not moved."""
        return None if self.text is None else as_sources(self.text)

    def on_this_machine(self, config: Config) -> Config:
        """Return `config` with the user's changes of the engine, the device, the threads and the checkpoint interval.

        If the setting `threads` is 0, it becomes a number of threads for this machine.
        """
        return with_threads(
            config.replace(**{name: getattr(self, name) for name in MACHINE_SETTINGS})
        )


NO_CHANGES: Final = RunChanges()


def new_cosine_message(
    before: Schedule, after: Schedule, learner: Learner, factor_before: float
) -> str | None:
    """Return a message that a new end of a run changes the learning rates of its cosine schedule.

    Return None if the learning rates do not follow a cosine, or if the end is the same. The message has no
    full stop.

    Args:
        before: the schedule of the run with its old end.
        after: the schedule of the run with its new end.
        learner: the learner that continues the run.
        factor_before: the learning-rate factor with the old end.
    """
    if after.config.schedule != "cosine" or before.updates == after.updates:
        return None
    old, new = (
        schedule.learning_rates(learner.update, 1)[0] * factor
        for schedule, factor in ((before, factor_before), (after, learner.learning_rate_factor))
    )
    return (
        f"the learning rate now follows its cosine to update {after.updates:,} (before: update "
        f"{before.updates:,}), so it continues with {new:.3g} instead of {old:.3g}"
    )
