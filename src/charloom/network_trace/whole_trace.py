"""The trace of a network: all its values over one window, as an object that users and faces read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from charloom.config import require_number
from charloom.network_trace.given_numbers import numbers_by_name, read_numbers
from charloom.network_trace.number_check import NumberCheck, check_numbers
from charloom.network_trace.small_network import Problem
from charloom.network_trace.trace_text import problem_title, trace_blocks, trace_lines
from charloom.network_trace.traced_value import Array, TracedValue
from charloom.network_trace.window_values import values_of_window
from charloom.notebook_html import card, code

MOST_TOLERANCE: Final = 1e6


@dataclass(frozen=True, eq=False)
class Trace:
    """Every value of a network over one window, forward and backward, in the order of their computation.

    `trace["h_1"]` is the array with the name h_1; `print(trace)` shows all values with their equations.

    Attributes:
        problem: the network and the window.
        values: the values in the order of their computation.
    """

    problem: Problem
    values: tuple[TracedValue, ...] = field(repr=False)

    @cached_property
    def by_name(self) -> dict[str, TracedValue]:
        """The values by their names."""
        return {value.name: value for value in self.values}

    @property
    def names(self) -> list[str]:
        """The names of all values in the order of their computation."""
        return list(self.by_name)

    @property
    def loss(self) -> float:
        """The loss of the window in nats: the sum over its steps."""
        return float(self["loss"])

    @property
    def gradients(self) -> dict[str, Array]:
        """The gradient of each parameter by name: dU, dW, db and so on."""
        return {value.name: value.numbers for value in self.values if value.part == "gradients"}

    def __getitem__(self, name: str) -> Array:
        """Return the numbers of the value with this name; KeyError if there is none."""
        return self.by_name[name].numbers

    def __repr__(self) -> str:
        return f"<Trace of {problem_title(self.problem)} Loss {self.loss:.6f}>"

    def _repr_html_(self) -> str:
        """Return every value with its equation, as HTML for a notebook."""
        pieces = [code(*lines) for lines in trace_blocks(self.problem, self.values)]
        return card(problem_title(self.problem), *pieces)

    def __str__(self) -> str:
        return "\n".join(trace_lines(self.problem, self.values))

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as plain data for JSON: the sizes, the numbers and the equations by name."""
        problem = self.problem
        sizes = problem.sizes
        return {
            "cell": problem.cell,
            "layers": sizes["L"],
            "hidden_size": sizes["H"],
            "seq_length": sizes["T"],
            "vocabulary_size": sizes["K"],
            "origin": problem.origin,
            "characters": None if problem.characters is None else list(problem.characters),
            "numbers": {value.name: value.numbers.tolist() for value in self.values},
            "equations": {value.name: value.statement for value in self.values if value.equation},
        }

    def check(
        self,
        numbers: str | Path | Mapping[str, Any],
        tolerance: float | None = None,
    ) -> NumberCheck:
        """Compare a student's own numbers with this trace.

        Args:
            numbers: a dict of numbers or arrays by name, or the path of a .json, .npz or .csv file.
            tolerance: the largest difference of a right number. None chooses it by the number of digits that are
                there, and by the dtype.

        Raises:
            ConfigError: the file has another ending or contents, or `tolerance` is out of its range.
            ReadError: the file cannot be read.
        """
        if tolerance is not None:
            tolerance = require_number("tolerance", tolerance, above=0, below=MOST_TOLERANCE)
        given = (
            read_numbers(Path(numbers))
            if isinstance(numbers, (str, Path))
            else numbers_by_name(numbers)
        )
        return check_numbers(self.values, given, tolerance)


def trace_problem(problem: Problem) -> Trace:
    """Return the trace of a network over a window."""
    values = values_of_window(problem.parameters, problem.cell, problem.x, problem.y, problem.state)
    return Trace(problem, values)
