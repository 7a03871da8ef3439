"""Makes the message that a run diverged, because its model predicts far worse than a uniform guess."""

import math
from typing import Final

from charloom.config import Config
from charloom.formatting import decimals, one_of
from charloom.training.divergence_advice import advice_for

# A loss runs away if it is above this multiple of the loss of a uniform prediction.
RUNAWAY: Final = 2.0


def runs_away(nats: float, vocabulary_size: int) -> bool:
    """Return True if a loss of `nats` per character is far above the loss of a uniform prediction."""
    return nats > RUNAWAY * uniform_nats(vocabulary_size)


def uniform_nats(vocabulary_size: int) -> float:
    """Return the loss of a uniform prediction in nats per character."""
    return math.log(max(vocabulary_size, 2))


def divergence_sentence(
    config: Config,
    vocabulary_size: int,
    update: int,
    train_nats: float,
    learning_rate_factor: float = 1.0,
) -> str | None:
    """Return a message that training diverged, with advice; None if the last training loss does not show it.

    The message has placeholders for the names of settings (see `charloom.messages`).

    Args:
        config: the settings of the run.
        vocabulary_size: number K of distinct characters.
        update: the update of the last record.
        train_nats: the training loss of the last record in nats per character.
        learning_rate_factor: factor by which a command or a rollback multiplied the learning rate.
    """
    if not runs_away(train_nats, vocabulary_size):
        return None
    one = one_of(config.tokens)
    return (
        f"training diverged: up to update {update:,}, the model predicts worse than a uniform guess "
        f"({decimals(train_nats, 2)} nats per {one} of the training text; a uniform guess: "
        f"{uniform_nats(vocabulary_size):.2f}). {advice_for(config, update, learning_rate_factor)}"
    )
