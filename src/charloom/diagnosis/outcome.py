"""Holds what a user's function returned in each of the doctor's calls, as plain data."""

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.problem import Arrays
from charloom.diagnosis.trials import Fixed

# The names of the fields of an `Outcome` that are lists of calls.
SCRIPTS: Final = (
    "trials",
    "windows",
    "repeats",
    "fresh",
    "moved",
    "numerical",
    "nearby",
    "derivatives",
    "slopes",
    "steps",
    "probes",
    "separate",
    "prefixes",
    "batch",
    "texts",
    "later",
)

# The ids of the mistakes in which a call changes its arguments.
CHANGES: Final = ("initial-state-changed", "parameters-changed", "inputs-changed")


class Call(NamedTuple):
    """The result of one call.

    Attributes:
        loss: the returned loss; None if the function returned none.
        gradients: the returned gradients as float64, in charloom's shapes.
        changed: the ids in `CHANGES` that name what the call changed.
        after: the parameters after the call, if the call changed them; otherwise empty.
        float32: whether all returned gradients are float32 arrays.
    """

    loss: float | None
    gradients: Arrays
    changed: tuple[str, ...]
    after: Arrays
    float32: bool

    def is_finite(self) -> bool:
        """Return True if the loss and all gradients are finite numbers."""
        loss = 0.0 if self.loss is None else self.loss
        return math.isfinite(loss) and all(np.isfinite(g).all() for g in self.gradients.values())


@dataclass
class Outcome:
    """The results of all calls.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        sizes: what the function fixes of the trials, such as H and K.
        convention: how the function was called, in words.
        trials: one call for each trial.
        windows: T calls with the first 1, 2, …, T steps of the first trial's window of T steps.
        repeats: three calls with the first trial's arguments, then one call with other arguments.
            The function is not loaded again between these four calls.
        fresh: one call with the arguments of the last call in `repeats`. If the function can be
            loaded again, this is its first call after it is loaded.
        moved: two calls on the first trial, with parameters that are changed slightly, by the `MOVES` of
            `trials.py`.
        nearby: calls on the smallest trial with weights at tiny distances (`loss_derivative.py`). Empty if
            the function is right or slow.
        derivatives: for each of the `DERIVATIVE_TRIALS` of `loss_derivative.py`, two results whose
            gradients are derivatives of the function's own loss, for two steps. Empty if the function is
            right, is slow or returns no loss.
        slopes: two results for each trial, whose gradient is the derivative of the function's own loss when
            all parameters move, for two steps; empty like `derivatives`.
        steps: two results whose gradients are the derivatives of the function's own loss in each gate of each step
            of the trial of `separate_trial`; empty like `derivatives`, and if each dU is right.
        probes: calls that show constants in the gates of an LSTM (`peephole_probes.py`); empty for other
            cells, and like `nearby`.
        separate: one call on the trial of `separate_trial` in `trials.py`; empty if there is no such trial.
        prefixes: calls with the first 1, 2, … steps of the window of each trial, which show the loss and the
            gradient of each step. Empty like `derivatives`, and if the gradients are those of the loss.
        batch: calls on each text of a batch alone, and then one on the batch (`batch_calls.py`). Empty if the
            code takes no batch, or not one with the right loss.
        texts, later: what a batch of several texts and the second iteration show in a program that is watched
            (`watching/own_derivatives.py`). Empty if they show nothing wrong.
        numerical: calls of the user's numerical gradient on the `NUMERICAL_TRIALS` of `runner.py`;
            empty if the user gave none.
        complex_step: whether the derivatives were taken by the complex step; otherwise they are central
            differences.
        notes: sentences about how the function was found and called.
        wrapper: the source of the wrapper that was called; "" if the function was called as it is.
        fails: whether the recognised form raises an error in every way; known only if nothing was checked.
    """

    cell: str
    sizes: Fixed
    convention: str
    trials: list[Call] = field(default_factory=list)
    windows: list[Call] = field(default_factory=list)
    repeats: list[Call] = field(default_factory=list)
    fresh: list[Call] = field(default_factory=list)
    moved: list[Call] = field(default_factory=list)
    numerical: list[Call] = field(default_factory=list)
    separate: list[Call] = field(default_factory=list)
    nearby: list[Call] = field(default_factory=list)
    derivatives: list[Call] = field(default_factory=list)
    slopes: list[Call] = field(default_factory=list)
    steps: list[Call] = field(default_factory=list)
    prefixes: list[Call] = field(default_factory=list)
    batch: list[Call] = field(default_factory=list)
    texts: list[Call] = field(default_factory=list)
    later: list[Call] = field(default_factory=list)
    probes: list[Call] = field(default_factory=list)
    complex_step: bool = False
    notes: list[str] = field(default_factory=list)
    wrapper: str = ""
    fails: bool = False
