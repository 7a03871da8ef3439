"""Work in slices: generators that yield after each piece of work and return the result at the end.

The caller can do other things between two slices, or close the generator to cancel the work. This
module does not depend on the kind of work.
"""

from collections.abc import Generator
from typing import Final, TypeVar

# Largest number of weights times tokens in one slice, which takes some hundredths of a second.
MOST_WEIGHTS: Final = 1 << 27
LEAST_TOKENS: Final = 16  # a slice has at least this many tokens, even for a very large network

T = TypeVar("T")
Slices = Generator[None, None, T]


def run_all_slices(slices: Slices[T]) -> T:
    """Run all slices without a pause and return the result."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            return result


def tokens_of_a_slice(weights: int, most: int) -> int:
    """Return how many tokens a network with `weights` weights reads in one slice.

    The result is at most `most`, but at least 16.
    """
    return max(LEAST_TOKENS, min(most, MOST_WEIGHTS // weights))
