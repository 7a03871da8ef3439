"""Shows a trace as plain text: every value with its equation, in the order of the computation."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.formatting import capitalized, counted
from charloom.network_trace.small_network import Problem
from charloom.network_trace.traced_value import Array, TracedValue

PLACES: Final = 6  # decimals of a number
SMALL: Final = 1e-4  # an array of smaller numbers only is shown with powers of ten
LEAST: Final = 5e-7  # a smaller number would have six decimals of 0
MOST_SHOWN: Final = 12  # rows and columns of an array that are shown
WIDTH: Final = 34  # columns of the equations


def trace_lines(problem: Problem, values: Sequence[TracedValue]) -> Iterator[str]:
    """Yield the lines of a trace: what the network is, and then the values with a heading for each step."""
    yield problem_title(problem)
    for block in trace_blocks(problem, values):
        yield ""
        yield from block


def trace_blocks(problem: Problem, values: Sequence[TracedValue]) -> Iterator[list[str]]:
    """Yield the lines of each part and step of a trace, with its heading."""
    for (part, step), group in groupby(values, key=lambda value: (value.part, value.step)):
        lines = [line for value in group for line in value_lines(value)]
        yield [part_title(problem, part, step), *lines]


def problem_title(problem: Problem) -> str:
    """Return a line about a network: its cell, its sizes and where its parameters are from."""
    sizes = ", ".join(f"{name} = {n}" for name, n in problem.sizes.items() if name != "L" or n > 1)
    title = CELLS[problem.cell].title
    return f"{capitalized(title)}: {sizes}; {problem.origin}."


def part_title(problem: Problem, part: str, step: int | None) -> str:
    """Return the heading of a part of a trace, such as "Forward, step 1: reads 'a' (id 0), …"."""
    if part == "forward" and step is not None:
        read, wanted = (symbol(problem, ids[step - 1]) for ids in (problem.x, problem.y))
        return f"Forward, step {step}: reads {read}, must predict {wanted}"
    if part == "backward":
        return "Backward: after the last step" if step is None else f"Backward, step {step}"
    return {
        "given": "Given: ids count from 0; vectors are columns, shown as rows",
        "forward": "The loss of the window",
        "gradients": "The gradient of each parameter: the sums over the steps",
    }[part]


def symbol(problem: Problem, number: int) -> str:
    """Return an id as text, with its character if there is one: "id 2", or "'a' (id 2)"."""
    if problem.characters is None:
        return f"id {number}"
    return f"{problem.characters[number]!r} (id {number})"


def value_lines(value: TracedValue) -> Iterator[str]:
    """Yield the lines of a value: its equation and its numbers, a line for each row of a matrix."""
    rows = rows_of(value.numbers)
    if len(value.statement) > WIDTH and value.numbers.ndim:
        yield f"  {value.statement}"
        yield from (f"  {'':{WIDTH}} {row}" for row in rows)
        return
    for place, row in enumerate(rows):
        yield f"  {value.statement if place == 0 else '':{WIDTH}} {row}"


def rows_of(numbers: Array) -> list[str]:
    """Return an array as text, a line for each row. A large array is cut, with … at the end."""
    rows = np.atleast_2d(numbers)
    lines = [
        " ".join(texts_of(row[:MOST_SHOWN], numbers)) + (" …" if len(row) > MOST_SHOWN else "")
        for row in rows[:MOST_SHOWN]
    ]
    left = len(rows) - MOST_SHOWN
    return [*lines, f"… {counted(left, 'more row')}"] if left > 0 else lines


def texts_of(row: Array, numbers: Array) -> list[str]:
    """Return the numbers in a row of the array `numbers` as text.

    A small number among larger ones has six decimals, too. If all numbers are small, they have powers of ten.
    """
    small = np.abs(numbers).max(initial=0.0) < SMALL
    return [number_text(number, SMALL if small else LEAST) for number in row]


def number_text(number: Any, least: float) -> str:
    """Return a number with six decimals, or with a power of ten if it is below `least`; an id without decimals."""
    if isinstance(number, np.integer):
        return f"{number:>3}"
    number += 0.0  # so that -0 is shown as 0
    if number and not least <= abs(number) < 1e6:
        return f"{number:>11.3e}"
    return f"{number:>11.{PLACES}f}"
