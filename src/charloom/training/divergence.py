"""Sets a learner back to an earlier state, with half the learning rate, after a non-finite number.

This happens at most three times in a run (spec/mathematics.md: The non-finite rule). The caller keeps
the earlier state.
"""

from typing import Final

from charloom.errors import DivergedError
from charloom.model import Learner, restore_learner
from charloom.training.divergence_advice import advice

MOST_ROLLBACKS: Final = 3


def require_another_try(learner: Learner, error: DivergedError) -> None:
    """Raise DivergedError if the learner already went back to an earlier state three times.

    Args:
        learner: the learner, which counts how often it went back.
        error: the new error, which says which number is not finite.

    Raises:
        DivergedError: the message quotes `error` and says which setting to change.
    """
    if learner.rollbacks >= MOST_ROLLBACKS:
        raise DivergedError(
            f"{error.message} Training went back {learner.rollbacks} times, each time with half the "
            f"learning rate, and still diverges. {advice(learner)}"
        ) from error


def go_back(learner: Learner, earlier: Learner, error: DivergedError) -> str:
    """Set `learner` in place to the state of `earlier`, but with half the present learning rate of `learner`.

    Returns:
        The message of a warning. It quotes `error` and says from which update training continues.
    """
    rollbacks, factor = learner.rollbacks + 1, learner.learning_rate_factor / 2
    restore_learner(learner, earlier)
    learner.rollbacks, learner.learning_rate_factor = rollbacks, factor
    return (
        f"{error.message} Training continues from update {learner.update:,} with half the learning rate "
        f"({rollbacks} of {MOST_ROLLBACKS} times)."
    )
