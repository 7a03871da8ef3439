"""How well a model predicts its text from the states in which it can begin to write.

This module only holds the measured losses, and says which of them are bad.
"""

from dataclasses import dataclass
from typing import Final, Literal

from charloom.config import require_one_of

Start = Literal["text", "zero"]
STARTS: Final[tuple[Start, ...]] = ("text", "zero")
DEFAULT_START: Final[Start] = "text"
# A model writes badly from a state if it predicts the beginnings of lines worse by more than this many nats per
# character than in the best case.
BAD_EXCESS: Final = 0.5


@dataclass(frozen=True)
class StartLosses:
    """How well a model predicts the beginnings of lines of its text from several states.

    Each loss is the mean over the same characters, in nats per character.

    Attributes:
        context: the loss after the characters before the line.
        text: the loss from the learner's state, after the id of `start_id`.
        zero: the loss from the zero state, as after a prompt.
        zero_alone: the loss from the zero state after the id of `start_id`, as without a prompt.
    """

    context: float
    text: float
    zero: float
    zero_alone: float

    def loss(self, start: Start, prompt: bool) -> float:
        """Return the loss from the state in which a text begins.

        Args:
            start: the chosen start.
            prompt: True if the text has a prompt.
        """
        if start == "text":
            return self.text
        return self.zero if prompt else self.zero_alone

    def is_bad(self, start: Start, prompt: bool) -> bool:
        """Return True if the model writes badly from this start. The arguments are those of `loss`."""
        return self.loss(start, prompt) > self.lowest + BAD_EXCESS

    @property
    def lowest(self) -> float:
        """The lowest of the losses."""
        return min(self.context, self.text, self.zero, self.zero_alone)


def require_start(start: object) -> Start:
    """Return `start`; raise ConfigError if it is neither "text" nor "zero"."""
    require_one_of("start", start, STARTS)
    return start  # type: ignore[return-value]
