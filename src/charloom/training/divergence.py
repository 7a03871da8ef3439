"""Goes back to an earlier state, with half the learning rate, when a number stops being finite.

It does so three times at most (spec/mathematics.md: The non-finite rule). It does not know where the earlier state was kept.
"""

from typing import Final

from charloom.errors import DivergedError
from charloom.model import Learner, put_back
from charloom.training.advice import advice

MOST_ROLLBACKS: Final = 3


def require_another_try(learner: Learner, error: DivergedError) -> None:
    """Refuse to go back once more than allowed.

    Raises:
        DivergedError: with what happened, and how to mend it.
    """
    if learner.rollbacks >= MOST_ROLLBACKS:
        raise DivergedError(
            f"{error.message} Training went back {learner.rollbacks} times, each time with half the "
            f"learning rate, and still diverges. {advice(learner)}"
        ) from error


def go_back(learner: Learner, earlier: Learner, error: DivergedError) -> str:
    """Make a learner what it was, with half its present learning rate; returns what to tell."""
    rollbacks, factor = learner.rollbacks + 1, learner.learning_rate_factor / 2
    put_back(learner, earlier)
    learner.rollbacks, learner.learning_rate_factor = rollbacks, factor
    return (
        f"{error.message} Training goes on from update {learner.update:,} with half the learning rate "
        f"({rollbacks} of {MOST_ROLLBACKS} times)."
    )
