"""Computes the gradients of the parameters from the gradients of the steps, with known mistakes.

The gradient of a parameter is a sum over all steps. The argument `switches` of the functions says
which mistakes of `mistakes.py` are made. Without mistakes, the gradients are exact
(spec/mathematics.md: The cells; The network).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.faulty_cells import Step
from charloom.diagnosis.problem import Array, Arrays, Switches


class StepGradients(NamedTuple):
    """The gradients of each step, one row for each step (spec/mathematics.md: The cells; The network).

    Attributes:
        da: the gradients of the sums inside the cell, (T, G·H).
        dr: the gradients of the parts of W h_prev, (T, G·H). Only in a GRU do they differ from `da`.
        dq: the gradients of a GRU's second bias d, (T, H); zero in other cells.
        do: the gradients of the logits, (T, K).
    """

    da: Array
    dr: Array
    dq: Array
    do: Array


def sums(
    cell: str,
    theta: Arrays,
    ids: tuple[Array, Array],
    steps: Sequence[Step],
    of_steps: StepGradients,
    switches: Switches,
) -> Arrays:
    """Sum the gradients of the steps over time, and return the gradient of each parameter.

    `theta` has the parameters, `ids` are x and y, and `steps` are the steps of the forward pass.
    """
    (x, y), (da, dr, dq, do) = ids, of_steps
    T, K, rows = len(x), do.shape[1], da.shape[1]
    h = np.array([step.state["h"] for step in steps])
    h_prev = np.array([step.prev["h"] for step in steps])
    before = previous_states(steps, h, h_prev, switches)
    hidden = h_prev if "output-gradient-from-previous-state" in switches else h
    onehot = inputs(y if "input-gradient-from-target" in switches else x, K, switches)
    of_U, of_W, of_V = (
        included_steps(f"{name}-gradient-not-summed", T, switches)
        for name in ("input", "recurrent", "output")
    )
    of_b = da @ theta["W"] if "hidden-bias-after-product" in switches else da
    gradients = {
        "U": da[of_U].T @ onehot[of_U],
        "W": dr[of_W].T @ before[of_W],
        "b": bias_sum("hidden-bias-not-summed", of_b, switches),
        "V": do[of_V].T @ hidden[of_V],
        "c": bias_sum("output-bias-not-summed", do, switches),
    }
    if CELLS[cell].second_bias:
        gradients["d"] = dq.sum(axis=0)
    if switches.get("reset-before-product") == "product":
        reset, H = np.array([step.cache[1] for step in steps]), h.shape[1]
        gradients["W"][2 * H :] = dr[of_W, 2 * H :].T @ (reset * before)[of_W]
    return without_unused(gradients, rows, switches)


def without_unused(gradients: Arrays, rows: int, switches: Switches) -> Arrays:
    """Return the gradients, with zeros for the biases that code with the mistakes in `switches` leaves out."""
    gradients = dict(gradients)
    if switches.get("hidden-bias-left-out") in ("", "d too"):
        gradients["b"] = np.zeros(rows)
        if switches["hidden-bias-left-out"] == "d too":
            gradients["d"] = np.zeros_like(gradients["d"])
    if "second-bias-left-out" in switches:
        gradients["d"] = np.zeros_like(gradients["d"])
    if switches.get("output-bias-left-out") == "":
        gradients["c"] = np.zeros_like(gradients["c"])
    return gradients


def previous_states(steps: Sequence[Step], h: Array, h_prev: Array, switches: Switches) -> Array:
    """Return the hidden states (T, H) that the gradient of W is computed from.

    Without mistakes these are `h_prev`, the states before each step. `h` are the states after each step.
    """
    if "recurrent-gradient-from-sums" in switches:
        return np.array([h_prev[0], *(step.cache[0] for step in steps[:-1])])
    if "recurrent-gradient-from-current-state" in switches:
        return h
    if "recurrent-gradient-from-last-state" in switches:
        return np.broadcast_to(h[-1], h.shape)
    if "initial-state-dropped" in switches or "index-wraps" in switches:
        states = h_prev.copy()
        states[0] = h[-1] if "index-wraps" in switches else 0
        return states
    return h_prev


def inputs(ids: Array, K: int, switches: Switches) -> Array:
    """Return the one-hot inputs (T, K) of `ids` (T,).

    With the mistake input-gradient-repeats-lost, an id that occurs in several steps is encoded only
    in the first of these steps (variant "first") or only in the last (variant "last"). In the other
    steps, the row is zero.
    """
    onehot = np.zeros((len(ids), K))
    onehot[np.arange(len(ids)), ids] = 1
    kept = switches.get("input-gradient-repeats-lost")
    if kept is not None:
        for k in np.unique(ids):
            (at,) = np.nonzero(ids == k)
            onehot[at, k] = 0
            onehot[at[0] if kept == "first" else at[-1], k] = 1
    return onehot


def bias_sum(mistake: str, gradients: Array, switches: Switches) -> Array:
    """Return the gradient of a bias (n,): the sum over time of `gradients` (T, n).

    If `switches` has the mistake with the id `mistake`, the sum includes only one step, or there is
    no sum and the returned array is (n, T).
    """
    T = len(gradients)
    if switches.get(mistake) == "apart" and T > 1:
        return gradients.T
    return np.asarray(gradients[included_steps(mistake, T, switches)].sum(axis=0))


def included_steps(mistake: str, T: int, switches: Switches) -> slice:
    """Return a slice that selects the steps that a sum over time includes.

    Usually it selects all `T` steps. If `switches` has the mistake with the id `mistake`, it selects
    only the first step or only the last step, as the variant of the mistake says.
    """
    return {"first": slice(0, 1), "last": slice(T - 1, T)}.get(
        switches.get(mistake, ""), slice(None)
    )
