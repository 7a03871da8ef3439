"""Work in slices: generators that yield after each piece of work and return the result at the end.

The caller can do other things between two slices, or close the generator to cancel the work. This
module does not depend on the kind of work.
"""

from collections.abc import Generator
from typing import Any, Final, Generic, TypeVar

# Largest number of weights times tokens in one slice, which takes some hundredths of a second.
MOST_WEIGHTS: Final = 1 << 27
LEAST_TOKENS: Final = 16  # a slice has at least this many tokens, even for a very large network

Y = TypeVar("Y")
T = TypeVar("T")
Slices = Generator[None, None, T]


class SliceLoop(Generic[Y, T]):
    """Runs slices in a `for` loop, whose body does the caller's work after each slice.

    Each round of the loop gets what the slice yielded. To end the work early, leave the loop.

    Args:
        slices: the generator that does the work.

    Attributes:
        result: what `slices` returned. It exists only after the last slice.
    """

    result: T

    def __init__(self, slices: Generator[Y, None, T]) -> None:
        self._slices = slices

    def __iter__(self) -> Generator[Y]:
        self.result = yield from self._slices


def run_all_slices(slices: Generator[Any, None, T]) -> T:
    """Run all slices without a pause and return the result."""
    loop = SliceLoop(slices)
    for _ in loop:
        pass
    return loop.result


def tokens_of_a_slice(weights: int, most: int) -> int:
    """Return how many tokens a network with `weights` weights reads in one slice.

    The result is at most `most`, but at least 16.
    """
    return max(LEAST_TOKENS, min(most, MOST_WEIGHTS // weights))
