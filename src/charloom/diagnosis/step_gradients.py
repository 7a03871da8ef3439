"""Divides a function's gradients into the parts of the steps, and compares each step with the step after it.

In the trial "separate steps", dU shows the function's own gradient of each step. With it, each step can
be judged alone: what would this step compute if everything that it receives is as the function has it?
So a mistake shows at the gates and the steps where it is made, and not at the steps that it spoils. This
module does not know the names of mistakes.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.faulty_cells import STEP_BACKWARD, Step, peepholes
from charloom.diagnosis.problem import Array, Arrays, Switches

LIMIT: Final = 1e-6  # largest relative distance of a step's gradient from the one that follows
AGREED: Final = 1e-4  # largest relative distance of two values of ds or dh that are the same
LIMIT32: Final = 2e-3  # the same if the function computes in a precision below float64


class Forward(NamedTuple):
    """The forward pass of the function's network.

    Attributes:
        cell: the cell.
        theta: the parameters that the network uses.
        steps: the T steps.
        switches: the differences of the network, as switches of `faulty_cells.py`.
    """

    cell: str
    theta: Arrays
    steps: list[Step]
    switches: Switches

    @property
    def gates(self) -> str:
        """The letters of the blocks of rows of U, W and b."""
        return CELLS[self.cell].blocks

    def rows(self, gate: str) -> slice:
        """Return the rows of a gate."""
        return CELLS[self.cell].rows(gate, self.theta["W"].shape[1])


class Judged(NamedTuple):
    """A function's gradients da of all steps, and the ones that follow from what each step receives.

    Attributes:
        da: the function's gradients of the steps, (T, G·H).
        above: the gradients of each hidden state that its own step's loss contributes, (T, H).
        received: for each step, the gradients of the states that the step after it passes back.
        expected: the gradients that follow at each step without a mistake, (T, G·H).
    """

    da: Array
    above: Array
    received: list[Arrays]
    expected: Array

    def wrong_steps(self, rows: slice, limit: float) -> tuple[int, ...]:
        """Return the steps (from 0) at which the gradient of the gate with these rows does not follow."""
        size = float(np.abs(self.expected).max(initial=0.0))
        return tuple(
            t
            for t in range(len(self.da))
            if not near(self.da[t, rows], self.expected[t, rows], limit, size)
        )

    def is_zero(self, t: int, rows: slice) -> bool:
        """Return True if the gradient of a gate at step t is zero, and should be."""
        return not self.da[t, rows].any() and not self.expected[t, rows].any()


def near(given: Array, wanted: Array, limit: float, size: float) -> bool:
    """Return True if two arrays are equal up to `limit`; numbers far below `size` count as zero."""
    far = float(np.linalg.norm(given - wanted))
    return far <= limit * max(float(np.linalg.norm(wanted)), 1e-3 * size)


def judged(forward: Forward, da: Array, above: Array) -> Judged:
    """Judge each step of a function's gradients `da` by what it receives from the step after it.

    `above` (T, H) are the gradients of the hidden states from the output layer.
    """
    T = len(da)
    zeros = {name: np.zeros_like(s) for name, s in forward.steps[0].prev.items()}
    received: list[Arrays] = [zeros] * T
    expected = np.zeros_like(da)
    for t in reversed(range(T)):
        expected[t] = expected_step(forward, t, above[t], received[t], da[t])
        if t > 0:
            received[t - 1] = PASSED_BACK[forward.cell](forward, t, above[t], received[t], da[t])
    return Judged(da, above, received, expected)


def expected_step(forward: Forward, t: int, above: Array, received: Arrays, da: Array) -> Array:
    """Return the gradients da of step t, (G·H), that follow from what the step receives.

    In a GRU, the gradient of r follows from the function's own gradient of n, `da`.
    """
    back = STEP_BACKWARD[forward.cell]
    found, *_ = back(forward.theta, forward.steps[t], above, received, forward.switches)
    if forward.cell == "gru":
        found = found.copy()
        found[forward.rows("r")] = reset_gradient(forward, t, da[forward.rows("n")])
    if forward.cell == "lstm":
        # With a peephole, the gradients of i, f and g follow from the function's own gradient of o.
        rows = forward.rows("o")
        more = (da[rows] - found[rows]) * peepholes(forward.switches, len(above))[2]
        unit = unit_gradients(forward, t)
        found = found + np.concatenate([np.tile(more, 3), np.zeros_like(more)]) * unit
    return found


def unit_gradients(forward: Forward, t: int) -> Array:
    """Return the gradients da of step t, (G·H), if it receives only ones.

    In an LSTM, it receives them as the gradient of the cell, in other cells as that of the state.
    """
    H = forward.theta["W"].shape[1]
    ones, zeros = np.ones(H), np.zeros(H)
    lstm = forward.cell == "lstm"
    received = {name: ones if name == "cell" else zeros for name in forward.steps[t].prev}
    found, *_ = STEP_BACKWARD[forward.cell](
        forward.theta, forward.steps[t], zeros if lstm else ones, received, forward.switches
    )
    return found


def reset_gradient(forward: Forward, t: int, da_n: Array) -> Array:
    """Return the gradient da of the gate r of a GRU that follows from the gradient `da_n` of n."""
    step = forward.steps[t]
    _, r, _, _, q = step.cache
    if forward.switches.get("reset-before-product") == "product":
        through = forward.theta["W"][forward.rows("n")].T @ da_n * step.prev["h"]
    else:
        through = da_n * q
    return np.asarray(through * r * (1 - r))


def rnn_passed_back(
    forward: Forward, _t: int, _above: Array, _received: Arrays, da: Array
) -> Arrays:
    """Return what step t of a plain RNN passes back, from the function's own gradient `da` of the step."""
    return {"h": forward.theta["W"].T @ da}


def lstm_passed_back(forward: Forward, t: int, above: Array, received: Arrays, da: Array) -> Arrays:
    """Return what step t of an LSTM passes back, from the function's own gradients `da` of the step.

    The gradient ds of the cell is not among them. Each of the gates i, f and g shows a value of ds; the
    value with which most of the three gates agree is taken.
    """
    unit = unit_gradients(forward, t)
    p_i, p_f, p_o = peepholes(forward.switches, len(above))
    expected_ds = forward_cell_gradient(forward, t, above + received["h"], received["cell"])
    expected_ds = expected_ds + da[forward.rows("o")] * p_o
    shown = [expected_ds]
    for gate in "ifg":
        rows = forward.rows(gate)
        with np.errstate(all="ignore"):
            ds = da[rows] / unit[rows]
        if np.isfinite(ds).all():
            shown.append(ds)
    ds = most_agreed(
        shown, lambda one: [(da[forward.rows(g)], unit[forward.rows(g)] * one) for g in "ifg"]
    )
    through_gates = da[forward.rows("i")] * p_i + da[forward.rows("f")] * p_f
    cell = ds * forget_gate(forward, t) + through_gates
    return {"h": forward.theta["W"].T @ da, "cell": cell}


def forward_cell_gradient(forward: Forward, t: int, dh: Array, carried: Array) -> Array:
    """Return the gradient ds of the cell of step t that follows from `dh` and the carried gradient."""
    _, _, _, _, o, tanh_s = forward.steps[t].cache
    slope = 1.0 if "cell-tanh-missing" in forward.switches else 1 - tanh_s * tanh_s
    return np.asarray(carried + dh * o * slope)


def forget_gate(forward: Forward, t: int) -> Array:
    """Return the value of the forget gate of an LSTM at step t."""
    return forward.steps[t].cache[2]


def gru_passed_back(forward: Forward, t: int, above: Array, received: Arrays, da: Array) -> Arrays:
    """Return what step t of a GRU passes back, from the function's own gradients `da` of the step.

    The gradient dh of the state is not among them. Each of the gates z and n shows a value of dh; the
    value with which most of the two gates agree is taken.
    """
    step = forward.steps[t]
    _, r, z, _, _ = step.cache
    unit = unit_gradients(forward, t)
    shown = [above + received["h"]]
    for gate in "zn":
        rows = forward.rows(gate)
        with np.errstate(all="ignore"):
            dh = da[rows] / unit[rows]
        if np.isfinite(dh).all():
            shown.append(dh)
    dh = most_agreed(
        shown, lambda one: [(da[forward.rows(g)], unit[forward.rows(g)] * one) for g in "zn"]
    )
    W, rows_n = forward.theta["W"], forward.rows("n")
    H = len(above)
    if forward.switches.get("reset-before-product") == "product":
        through_n = (W[rows_n].T @ da[rows_n]) * r
    else:
        through_n = W[rows_n].T @ (da[rows_n] * r)
    kept = dh * ((1 - z) if "update-gate-reversed" in forward.switches else z)
    return {"h": W[: 2 * H].T @ da[: 2 * H] + through_n + kept}


# For each cell, the function that computes what a step passes back.
PASSED_BACK: Final = {"rnn": rnn_passed_back, "lstm": lstm_passed_back, "gru": gru_passed_back}


def agree_on_received(forward: Forward, da: Array, t: int, gates: Sequence[str]) -> bool:
    """Return True if the gates of an LSTM or a GRU show the same value of ds, or of dh, at step t.

    The gates i, f and g of an LSTM show ds; z and n of a GRU show dh. Of other gates, and of a plain RNN,
    nothing is known, so the result is True.
    """
    sharing = {"lstm": "ifg", "gru": "zn"}.get(forward.cell, "")
    shared = [gate for gate in gates if gate in sharing]
    if len(shared) < 2:
        return True
    unit = unit_gradients(forward, t)
    every = [forward.rows(gate) for gate in shared]
    with np.errstate(all="ignore"):
        values = [da[t, rows] / unit[rows] for rows in every if unit[rows].any()]
    return all(near(one, values[0], AGREED, 0.0) for one in values)


def most_agreed(shown: list[Array], pairs: Callable[[Array], list[tuple[Array, Array]]]) -> Array:
    """Return the item of `shown` with which most gates agree; the first one of those with equally many.

    `pairs` returns, for an item, the gradient that each gate has and the one that follows from the item.
    """

    def agreeing(one: Array) -> int:
        return sum(near(given, wanted, LIMIT, 0.0) for given, wanted in pairs(one))

    return max(shown, key=agreeing)
