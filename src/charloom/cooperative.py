"""Work in steps: generators that yield after each piece of work and return the result at the end.

The caller can do other things between two steps, or close the generator to cancel the work. This
module does not depend on the kind of work.
"""

from collections.abc import Generator
from typing import Final, TypeVar

# Largest number of weights times tokens in one step, which takes some hundredths of a second.
MOST_WEIGHTS: Final = 1 << 27
LEAST_TOKENS: Final = 16  # a step has at least this many tokens, even for a very large network

T = TypeVar("T")
Steps = Generator[None, None, T]


def run_all_steps(steps: Steps[T]) -> T:
    """Run all steps without a pause and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def tokens_of_a_step(weights: int, most: int) -> int:
    """Return how many tokens a network with `weights` weights reads in one step.

    The result is at most `most`, but at least 16.
    """
    return max(LEAST_TOKENS, min(most, MOST_WEIGHTS // weights))
