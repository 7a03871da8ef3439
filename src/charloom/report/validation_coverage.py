"""Finds how much of a run's validation part each validation loss uses, and the last loss on the whole part."""

from dataclasses import dataclass
from typing import Self

from charloom.model.schedule import Schedule
from charloom.store import RunInspection
from charloom.store.journal_lines import is_finite
from charloom.store.json_numbers import is_count
from charloom.training import FinalEvaluation
from charloom.training.progress_records import characters_evaluated


@dataclass(frozen=True)
class JudgedPart:
    """How much of its validation part a run reads for a validation loss.

    Attributes:
        predicted: number of characters that each validation loss is computed on.
        held_out: number of characters of the validation part that can be predicted.
        whole: the last loss computed on the whole validation part; None if there is none.
    """

    predicted: int
    held_out: int
    whole: FinalEvaluation | None

    @property
    def is_whole(self) -> bool:
        """True if each validation loss uses the whole validation part."""
        return self.predicted == self.held_out

    @classmethod
    def of(cls, view: RunInspection) -> Self | None:
        """Return how much of its validation part a run reads for a validation loss.

        Return None if the run has no validation part.
        """
        if not view.config.validation:
            return None
        windows = Schedule.of(view.config, view.text.characters).windows
        predicted, held_out = characters_evaluated(view.config, windows)
        judged = [event for event in view.events if event["event"] == "judged"]
        last = judged[-1] if judged else {}
        update, nats = last.get("update"), last.get("nats")
        whole = None
        if is_count(update) and is_finite(nats):
            whole = FinalEvaluation(update, nats, held_out)  # type: ignore[arg-type]
        return cls(predicted, held_out, whole)
