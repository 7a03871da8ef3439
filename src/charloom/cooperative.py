"""Work in slices: generators that yield after each part of the work and return the result at the end.

A slice is the work between two yields. The caller can do other work between two slices, or close
the generator to cancel the work. This module does not depend on the kind of work.
"""

from collections.abc import Generator
from typing import Any, Final, Generic, TypeVar

# Largest product of weights and tokens in a part of the work, so that the part takes only some
# hundredths of a second.
MOST_WEIGHTS: Final = 1 << 27
# Least number of tokens in a part of the work, even for a very large network.
LEAST_TOKENS: Final = 16

Y = TypeVar("Y")
T = TypeVar("T")
Slices = Generator[None, None, T]


class SliceLoop(Generic[Y, T]):
    """Runs a generator in a `for` loop, and keeps the value that the generator returns.

    The generator yields after each part of its work. Then the body of the loop runs, with the
    yielded value. To end the work early, leave the loop.

    Args:
        slices: the generator that does the work.

    Attributes:
        result: the value that the generator returned. It exists only after the loop has ended.
    """

    result: T

    def __init__(self, slices: Generator[Y, None, T]) -> None:
        self._slices = slices

    def __iter__(self) -> Generator[Y]:
        self.result = yield from self._slices


def run_all_slices(slices: Generator[Any, None, T]) -> T:
    """Run the generator `slices` to its end, and return the value that the generator returns."""
    loop = SliceLoop(slices)
    for _ in loop:
        pass
    return loop.result


def tokens_of_a_slice(weights: int, most: int) -> int:
    """Return how many tokens a network with `weights` weights can read in some hundredths of a second.

    Long work is done in parts of this size, so that it can be cancelled quickly. The result
    is from 16 to `most`.
    """
    return max(LEAST_TOKENS, min(most, MOST_WEIGHTS // weights))
