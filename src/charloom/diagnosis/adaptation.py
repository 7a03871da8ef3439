"""Writes a wrapper around a user's functions, without checking them.

A wrapper is Python source with a function `checked(params, x, y, h0)`, which the user can read, change and
check (`diagnosis/forms/`).
"""

from pathlib import Path
from typing import NamedTuple

from charloom.cell_table import CELL_NAMES
from charloom.config import require_number, require_one_of
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.runner import Job
from charloom.diagnosis.sandbox import parse_function, run_in_process


class Wrapper(NamedTuple):
    """The source of a wrapper, and sentences about what was recognised."""

    text: str
    notes: tuple[str, ...]

    @property
    def blanks(self) -> int:
        """The number of lines that the user must fill in."""
        return len(self.lines_to_fill_in())

    def lines_to_fill_in(self) -> list[tuple[int, str]]:
        """Return the number and the text of each line that the user must fill in."""
        lines = enumerate(self.text.splitlines(), 1)
        return [(number, line.strip()) for number, line in lines if "# fill in" in line]


def adapt(
    function: str, path: Path, *, cell: str | None = None, time_limit: float = 60.0
) -> Wrapper:
    """Return a wrapper around the functions of a file, in the form that `doctor` checks.

    Args:
        function: the file, or FILE.py:FUNCTION if several functions of it could be checked.
        path: where the wrapper will be, so that it can find the user's file. It is not written.
        cell: "rnn", "lstm" or "gru"; None finds out the cell.
        time_limit: largest number of seconds of processor time that the user's code may use.

    Raises:
        ConfigError: an argument has a value that is not valid.
        DoctorError: the file does not exist, or has nothing that looks like a gradient, or several
            functions that do.
    """
    if cell is not None:
        require_one_of("cell", cell, CELL_NAMES)
    seconds = require_number("time_limit", time_limit, above=0.0, below=1e9)
    name = parse_function(function)
    job = Job(Options(cell=cell or ""), adapt=str(path.resolve()))
    outcome = run_in_process(name, None, job, seconds).outcome
    return Wrapper(outcome.wrapper, tuple(outcome.notes))
