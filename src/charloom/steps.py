"""Work in steps: a generator that yields after each piece of work and returns the result.

Who runs the steps decides what happens between two of them; closing the generator ends the work. It
knows nothing of what the work is.
"""

from collections.abc import Generator
from typing import Final, TypeVar

MOST_WEIGHTS: Final = 1 << 27  # that a step meets, repeats counted: some hundredths of a second
LEAST_TOKENS: Final = 16  # of a step, however large the network

T = TypeVar("T")
Steps = Generator[None, None, T]


def whole(steps: Steps[T]) -> T:
    """What comes of all steps, one after another without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def tokens_of_a_step(weights: int, most: int) -> int:
    """How many tokens a network of so many weights reads in a step; `most` of a small one."""
    return max(LEAST_TOKENS, min(most, MOST_WEIGHTS // weights))
