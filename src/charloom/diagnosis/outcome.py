"""Holds what a user's function returned in each of the doctor's calls, as plain data."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from charloom.diagnosis.faulty_network import Arrays

# The lists of calls in an `Outcome`.
SCRIPTS: Final = ("trials", "windows", "repeats", "fresh", "moved", "numerical")


class Call(NamedTuple):
    """The result of one call.

    Attributes:
        loss: the returned loss; None if the function returned none.
        gradients: the returned gradients as float64, in charloom's shapes.
        changed: ids of the mistakes that the call made by changing its arguments.
        after: the parameters after the call, if it changed them; otherwise empty.
        float32: whether all returned gradients are float32 arrays.
    """

    loss: float | None
    gradients: Arrays
    changed: tuple[str, ...]
    after: Arrays
    float32: bool


@dataclass
class Outcome:
    """The results of all calls.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        sizes: H and K if the function works only with these sizes; otherwise None.
        convention: how the function was called, in words.
        trials: one call for each trial.
        windows: one call for each length 1 … T of the first trial's window.
        repeats: three calls with the first trial's arguments, then one with other arguments, all
            of the same loaded function.
        fresh: one call with those other arguments as the first call after loading.
        moved: one call with the first trial's weights changed slightly.
        numerical: the user's numerical gradients of `NUMERICAL_TRIALS` (`runner.py`).
    """

    cell: str
    sizes: tuple[int | None, int | None]
    convention: str
    trials: list[Call] = field(default_factory=list)
    windows: list[Call] = field(default_factory=list)
    repeats: list[Call] = field(default_factory=list)
    fresh: list[Call] = field(default_factory=list)
    moved: list[Call] = field(default_factory=list)
    numerical: list[Call] = field(default_factory=list)
