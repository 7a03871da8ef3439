"""The events of a training, each as a frozen dataclass."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from charloom.messages import for_python


@dataclass(frozen=True)
class Record:
    """How training stands at an update; spec/formats.md: Records. Losses are nats.

    Attributes:
        update: updates applied.
        epoch: passes over the text, with their fraction.
        characters: characters read, in all streams.
        seconds: of training, interruptions and pauses left out.
        loss: of the last window, summed over its steps, averaged over the streams.
        smooth_loss: the running mean of the losses.
        train_nats: per character, mean since the last record.
        learning_rate: of the last update.
        gradient_norm: of the last update, before clipping.
        characters_per_second: since the last record.
        validation_nats: per character of the validation part; None where it was not judged.
    """

    update: int
    epoch: float
    characters: int
    seconds: float
    loss: float
    smooth_loss: float
    train_nats: float
    learning_rate: float
    gradient_norm: float
    characters_per_second: float
    validation_nats: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data; without `validation_nats` where it was not judged."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def to_line(self) -> bytes:
        """The record's line in metrics.jsonl: canonical JSON but for two padded numbers.

        `seconds` and `characters_per_second` take the same width whatever the clock says, so
        that the lengths of the journal, which checkpoints hold, are the same in every run.
        """
        judged = (
            "" if self.validation_nats is None else f',"validation_nats":{self.validation_nats!r}'
        )
        return (
            f'{{"characters":{self.characters},'
            f'"characters_per_second":{self.characters_per_second:14.1f},'
            f'"epoch":{self.epoch!r},"gradient_norm":{self.gradient_norm!r},'
            f'"learning_rate":{self.learning_rate!r},"loss":{self.loss!r},'
            f'"seconds":{self.seconds:14.3f},"smooth_loss":{self.smooth_loss!r},'
            f'"train_nats":{self.train_nats!r},"update":{self.update}{judged}}}'
        ).encode("ascii")


@dataclass(frozen=True)
class Sample:
    """What the network wrote at an update, from its state and the text's next character."""

    update: int
    text: str

    def to_dict(self) -> dict[str, Any]:
        """The sample as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """All records and samples of an update have come; `state` is training or paused.

    `smooth_loss` is in nats per window, as `Record` has it; None before the first update.
    """

    update: int
    updates: int
    state: str = "training"
    smooth_loss: float | None = None


@dataclass(frozen=True)
class Judging:
    """All of the validation part is being read at the end: so many characters of so many."""

    update: int
    read: int
    characters: int


@dataclass(frozen=True)
class Judged:
    """What all of the validation part came to at the end, where each judgement reads a part of it.

    Attributes:
        update: of the model that was judged, the best one.
        nats: per character.
        characters: that were predicted.
    """

    update: int
    nats: float
    characters: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on the disk."""

    update: int
    best_update: int | None
    path: Path


@dataclass(frozen=True)
class Warned:
    """Something went wrong that training survives; `marked` says what, as `charloom.messages` has it."""

    update: int
    marked: str

    @property
    def message(self) -> str:
        """What went wrong, for people who called a Python function."""
        return for_python(self.marked)


@dataclass(frozen=True)
class Ended:
    """The last item of a run: `state` is finished, interrupted or stopped."""

    update: int
    state: str
    reason: str | None = None


Item = Record | Sample | Progress | Judging | Judged | Saved | Warned | Ended
