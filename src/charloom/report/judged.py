"""Says how much of the validation part a run's judgements read, and the loss on all of it.

It knows nothing of sentences: plain figures from the run's settings and events.
"""

from dataclasses import dataclass
from typing import Self

from charloom.model.schedule import Schedule
from charloom.store import RunOutline
from charloom.store.checkpoint import is_count
from charloom.store.lines import is_finite
from charloom.training.judging import characters_judged


@dataclass(frozen=True)
class WholePart:
    """The loss on all of the validation part: nats per character of the model of `update`."""

    update: int
    nats: float


@dataclass(frozen=True)
class JudgedPart:
    """What the figures on the validation part are measured on.

    Attributes:
        predicted: characters that each judgement predicts.
        held_out: characters of the validation part that can be predicted.
        whole: the last judgement of all of them; None where there was none.
    """

    predicted: int
    held_out: int
    whole: WholePart | None

    @property
    def is_whole(self) -> bool:
        """Whether each judgement reads all of the validation part."""
        return self.predicted == self.held_out

    @classmethod
    def of(cls, view: RunOutline) -> Self | None:
        """That of a run; None where nothing is held out."""
        if not view.config.validation:
            return None
        windows = Schedule.of(view.config, view.text["characters"]).windows
        judged = [event for event in view.events if event["event"] == "judged"]
        whole = judged[-1] if judged else {}
        update, nats = whole.get("update"), whole.get("nats")
        found = WholePart(update, nats) if is_count(update) and is_finite(nats) else None  # type: ignore[arg-type]
        return cls(*characters_judged(view.config, windows), found)
