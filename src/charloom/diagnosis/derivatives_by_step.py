"""Differentiates a function's own loss step by step, to say where its gradient goes wrong in any network.

In the trial "separate steps" each step has a character of its own, so each column of U belongs to one step, and the
derivative in it is the gradient of this step's gates. This module knows no network: a wrong gradient of a step makes
those of all earlier steps wrong, so only the latest wrong step shows which gates are wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.blocks import Block, blocks_of
from charloom.diagnosis.loss_derivative import DOUBT, rounding_of, slopes_along, step_of
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.places import Place
from charloom.diagnosis.problem import Array, Arrays, Problem
from charloom.random import normals

SAME_STEP: Final = 1e-6  # largest difference of a step's gradient from its derivative, relative to the largest derivative
HIDDEN: Final = ("U", "W", "b")


def step_derivatives(
    call: Callable[[Problem], Call], problem: Problem, near: Sequence[Call]
) -> list[Call]:
    """Return the derivatives of the loss in a direction of each gate of each step, for the step s and for 2 s.

    The gradients of each `Call` have a key for each gate, such as "U f", and an entry for each step. The list is empty
    if a character stands in two steps, or if the function returns no finite loss. `near` is as in `derivatives`.
    """
    step = step_of(near)
    if step is None or len(set(problem.x.tolist())) < len(problem.x):
        return []
    U = problem.parameters["U"]
    both: tuple[Arrays, Arrays] = ({}, {})
    for block, rows in blocks_of(problem.cell, {"U": U}):
        slopes = []
        for t, column in enumerate(problem.x):
            along = np.zeros_like(U)
            along[rows, column] = direction_of(len(U[rows]), t)
            slopes.append(slopes_along(call, problem, {"U": along}, step))
        for arrays, values in zip(both, zip(*slopes, strict=True), strict=True):
            arrays[" ".join(block)] = np.array(values)
    return [Call(near[0].loss, arrays, (), {}, False) for arrays in both]


def direction_of(size: int, t: int) -> Array:
    """Return the random direction in which the rows of a gate move for one step."""
    return np.asarray(normals(0, "gradcheck", size, stream=150, time=t))


class WrongSteps(NamedTuple):
    """At which steps the gradients are wrong.

    Attributes:
        by_gate: for each gate, or "" in a plain RNN, the wrong steps, from 1.
        seq_length: number of steps.
    """

    by_gate: Mapping[str, tuple[int, ...]]
    seq_length: int

    @property
    def latest(self) -> int:
        """The latest step at which a gate is wrong; 0 if none is."""
        return max((max(steps, default=0) for steps in self.by_gate.values()), default=0)


def wrong_steps(
    problem: Problem, gradients: Arrays, both: Sequence[Call], near: Sequence[Call]
) -> WrongSteps:
    """Compare the function's dU with the results of `step_derivatives`."""
    found = {}
    size = max(float(np.abs(d).max()) for d in both[0].gradients.values())
    rounding = rounding_of(near)
    for block, rows in blocks_of(problem.cell, {"U": gradients["U"]}):
        one, two = (call.gradients[" ".join(block)] for call in both)
        given = gradients["U"][rows][:, problem.x]
        along = np.array([given[:, t] @ direction_of(len(given), t) for t in range(len(one))])
        allowed = np.maximum(
            max(SAME_STEP, rounding.gradient) * size + rounding.slope, DOUBT * np.abs(one - two)
        )
        found[block.gate] = tuple(
            t + 1 for t, far in enumerate(np.abs(along - one) > allowed) if far
        )
    return WrongSteps(found, len(problem.x))


def places_of(cell: str, wrong: Sequence[Block], steps: WrongSteps | None) -> list[Place]:
    """Return where the gradients go wrong, as far as the derivatives of the blocks and of the steps show it.

    Args:
        cell: the cell.
        wrong: the blocks that are not the derivative of the function's own loss.
        steps: the wrong steps; None if they are not known.
    """
    names = {block.parameter for block in wrong}
    T = steps.seq_length if steps else 0
    if {"V", "c", *HIDDEN} <= names:
        return [Place("logits", (), (), T, None)]
    found = []
    if set(HIDDEN) <= names and steps is not None and steps.latest:
        found.append(place_in_steps(cell, steps))
        names -= set(HIDDEN)
    for name in sorted(names, key="UWbdVc".index):
        gates = tuple(block.gate for block in wrong if block.parameter == name and block.gate)
        found.append(Place(f"d{name}", gates, (), T, None))
    return found


def place_in_steps(cell: str, steps: WrongSteps) -> Place:
    """Return the place within the steps: which gates are wrong at the latest wrong step, and which steps are wrong."""
    T, latest = steps.seq_length, steps.latest
    at = tuple(gate for gate, ones in steps.by_gate.items() if latest in ones and gate)
    every = tuple(sorted({t for ones in steps.by_gate.values() for t in ones}))
    # If the last step is wrong, the earlier ones may be wrong only because of it.
    shown = every if latest < T or every == (T,) else ()
    if len(at) == len([gate for gate in steps.by_gate if gate]):
        return Place("gates" if latest == T and cell == "rnn" else "dh", (), shown, T, None)
    if cell == "lstm" and set(at) == set("ifg"):
        return Place("ds", (), shown, T, None)
    return Place("gates", at, shown, T, None)
