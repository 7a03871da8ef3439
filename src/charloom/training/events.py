"""The events of a training run, each as a frozen dataclass."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from charloom.messages import for_python
from charloom.model import StartLosses


@dataclass(frozen=True)
class Record:
    """The figures of a training run after an update (spec/formats.md: Records). Losses are in nats.

    Attributes:
        update: number of applied updates.
        epoch: number of passes over the text, such as 1.5.
        characters: characters read so far, in all streams.
        seconds: training time, without interruptions and pauses.
        loss: the loss of the last window, summed over its steps and averaged over the streams.
        smooth_loss: the exponential moving average of the losses.
        train_nats: training loss per character, averaged since the last record.
        learning_rate: the learning rate of the last update.
        gradient_norm: the norm of the gradient of the last update, before clipping.
        characters_per_second: the speed of training since the last record.
        validation_nats: validation loss per character; None if it was not computed.
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
        """Return the record as plain data, without `validation_nats` if it is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def to_line(self) -> bytes:
        """Return the bytes of the record's line in metrics.jsonl.

        The line is canonical JSON, except that `seconds` and `characters_per_second` are padded to a fixed
        width. So the length of the file, which checkpoints store, does not depend on the clock.
        """
        validation = (
            "" if self.validation_nats is None else f',"validation_nats":{self.validation_nats!r}'
        )
        return (
            f'{{"characters":{self.characters},'
            f'"characters_per_second":{self.characters_per_second:14.1f},'
            f'"epoch":{self.epoch!r},"gradient_norm":{self.gradient_norm!r},'
            f'"learning_rate":{self.learning_rate!r},"loss":{self.loss!r},'
            f'"seconds":{self.seconds:14.3f},"smooth_loss":{self.smooth_loss!r},'
            f'"train_nats":{self.train_nats!r},"update":{self.update}{validation}}}'
        ).encode("ascii")


@dataclass(frozen=True)
class Sample:
    """A text that the model wrote after an update, as a continuation of the text that it had just read."""

    update: int
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return the sample as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """The event that an update is complete. The update's records and samples were yielded before.

    Attributes:
        update: number of applied updates.
        updates: number of updates in the whole run.
        state: "training" or "paused". During a pause, an event with the state "paused" comes several times
            a second. If training continues after the pause, one event with the state "training" comes.
        smooth_loss: the smooth loss in nats per window, as in `Record`; None before the first update
            and in a pause.
        cause: why training is paused, "command" or "disk"; None if it is not paused.
    """

    update: int
    updates: int
    state: str = "training"
    smooth_loss: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class EvaluationProgress:
    """The progress of the final evaluation on the whole validation part.

    Attributes:
        update: the update of the model that is evaluated.
        read: characters read so far.
        characters: characters to read in all.
    """

    update: int
    read: int
    characters: int


@dataclass(frozen=True)
class FinalEvaluation:
    """The result of the final evaluation on the whole validation part.

    A run has a final evaluation only if its evaluations during training do not read the whole validation part.

    Attributes:
        update: the update of the model that was evaluated: the best model, or the latest model if the best
            one cannot be read.
        nats: validation loss per character.
        characters: number of predicted characters.
    """

    update: int
    nats: float
    characters: int


@dataclass(frozen=True)
class Saved:
    """The event that a checkpoint was written to disk."""

    update: int
    best_update: int | None
    path: Path


@dataclass(frozen=True)
class LearningRateChanged:
    """The event that a command changed the learning-rate factor. Only later updates use the new factor.

    Attributes:
        update: number of applied updates.
        factor: the new factor, which multiplies the learning rate of the settings.
    """

    update: int
    factor: float


@dataclass(frozen=True)
class EndChanged:
    """The event that the end of a run moved, so that a command keeps to its minutes.

    Attributes:
        update: number of applied updates.
        updates: the new number of updates of the whole run.
        before: the number of updates of the whole run until now.
        factor: the learning-rate factor from the next update on. It keeps the learning rate from rising.
    """

    update: int
    updates: int
    before: int
    factor: float

    @property
    def reason(self) -> str:
        """A sentence without a full stop that says why and where the end moved."""
        speed = "slower" if self.updates < self.before else "faster"
        return (
            f"training is {speed} than planned: to keep to its minutes, the run now ends at update "
            f"{self.updates:,} instead of {self.before:,}"
        )


@dataclass(frozen=True)
class Warned:
    """A warning: something went wrong, but training continues.

    `marked` is the message, with placeholders for the names of arguments (see `charloom.messages`).
    """

    update: int
    marked: str

    @property
    def message(self) -> str:
        """The message with the names of arguments as they are in Python."""
        return for_python(self.marked)


@dataclass(frozen=True)
class Ended:
    """The last event of a run.

    Attributes:
        update: number of applied updates.
        state: "finished", "interrupted" or "stopped".
        reason: why the run ended early; None if it did not.
        start_losses: how well the run's model predicts its text from the states in which it can begin to write.
            None if the run is not finished, or if this was not measured.
    """

    update: int
    state: str
    reason: str | None = None
    start_losses: StartLosses | None = field(default=None, compare=False)


TrainingEvent = (
    Record
    | Sample
    | Progress
    | EvaluationProgress
    | FinalEvaluation
    | Saved
    | LearningRateChanged
    | EndChanged
    | Warned
    | Ended
)

# `Judging`, `Judged` and `Item` are earlier names, which old programs may still import.
Judging, Judged, Item = EvaluationProgress, FinalEvaluation, TrainingEvent
