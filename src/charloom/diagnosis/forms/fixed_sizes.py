"""Finds the sizes H and K that a user's functions fix, such as the 62 in `np.zeros((62, 1))`.

It reads only the source. Which number is which size, the calls show.
"""

import ast
import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from charloom.diagnosis.forms.derived_globals import assignments
from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts

Sizes = tuple[int | None, int | None]
LIMITS: Final = (2, 600)  # the smallest and the largest size that is tried
MOST: Final = 4  # largest number of different constants that are tried


def possible_sizes(contents: Contents, reached: Sequence[FunctionFacts]) -> Iterator[Sizes]:
    """Yield the pairs (H, K) that functions can fix; None for a size that they do not fix."""
    read = {name for f in reached for name in f.read_globals}
    values = [one.value for one in assignments(contents) if one.name in read]
    nodes = [n for f in reached for n in ast.walk(f.node)] + [
        n for v in values for n in ast.walk(v)
    ]
    found = [
        n.value
        for n in nodes
        if isinstance(n, ast.Constant) and type(n.value) is int and LIMITS[0] < n.value <= LIMITS[1]
    ]
    numbers = list(dict.fromkeys(found))[:MOST]
    for one in numbers:
        yield None, one
        yield one, None
    yield from itertools.permutations(numbers, 2)
