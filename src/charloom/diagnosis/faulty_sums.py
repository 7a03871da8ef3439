"""Computes the gradients of the parameters from the gradients of the steps, with known mistakes.

The gradient of a parameter is a sum over all steps. The argument `switches` of the functions says
which mistakes of `mistakes.py` are made. Without mistakes, the gradients are exact
(spec/mathematics.md: The cells; The network).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.faulty_cells import Step, candidate_slope
from charloom.diagnosis.limited_variants import BETWEEN
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
    if "output-gradient-from-other" in switches:
        other = switches["output-gradient-from-other"]
        hidden = np.array([other_state(other, step) for step in steps])
    read = y if "input-gradient-from-target" in switches else x
    if "input-gradient-from-last-input" in switches:
        read = np.full(T, x[-1])
    onehot = inputs(read, K, switches)
    of_U, of_V = (
        included_steps(f"{name}-gradient-not-summed", T, switches) for name in ("input", "output")
    )
    of_W = included_steps("recurrent-gradient-not-summed", T, switches)
    for_U = summed("dU", cell, steps, da, dr, switches)
    for_W = summed("dW", cell, steps, dr, dr, switches)
    for_b = summed("db", cell, steps, da, dr, switches)
    if "hidden-bias-after-product" in switches:
        for_b = da @ theta["W"]
    gradients = {
        "U": for_U[of_U].T @ onehot[of_U],
        "W": for_W[of_W].T @ before[of_W],
        "b": bias_sum("hidden-bias-not-summed", for_b, switches),
        "V": of_output("V", do, switches, y)[of_V].T @ hidden[of_V],
        "c": bias_sum("output-bias-not-summed", of_output("c", do, switches, y), switches),
    }
    if CELLS[cell].second_bias:
        gradients["d"] = dq.sum(axis=0)
    if switches.get("reset-before-product") == "product":
        reset, H = np.array([step.cache[1] for step in steps]), h.shape[1]
        if switches.get("reset-gate-not-in-gradient") not in ("", "W"):
            gradients["W"][2 * H :] = for_W[of_W, 2 * H :].T @ (reset * before)[of_W]
    elif switches.get("reset-gate-not-in-gradient", "").startswith("W"):
        H = h.shape[1]
        gradients["W"][2 * H :] = da[of_W, 2 * H :].T @ before[of_W]
    if "gate-gradient-not-summed" in switches:
        factors = {"U": (for_U, onehot), "W": (for_W, before), "b": (for_b, np.ones((T, 1)))}
        not_summed(cell, gradients, factors, switches["gate-gradient-not-summed"])
    for name in switches.get("gradient-averaged", "").split(", "):
        if name:
            gradients[name[1:]] = gradients[name[1:]] / T
    return without_unused(gradients, rows, switches)


def not_summed(
    cell: str, gradients: Arrays, factors: Mapping[str, tuple[Array, Array]], variants: str
) -> None:
    """Replace the sums of a gate in `gradients` by the term of a single step, or by zero.

    `factors` has the two factors of each term, with one row for each step, by the name of the parameter.
    """
    for variant in variants.split(BETWEEN):
        names, _, rest = variant.rpartition(" of ")
        gate, which = rest.split(", ")
        for name, (one, other) in factors.items():
            wanted = (one.shape[1], other.shape[1])
            if f"d{name}" not in names or gradients[name].size != wanted[0] * wanted[1]:
                continue
            rows = CELLS[cell].rows(gate, one.shape[1] // len(CELLS[cell].blocks))
            t = -1 if which == "last" else 0
            term = 0 * one[t, rows] if which == "zero" else one[t, rows]
            gradients[name][rows] = np.outer(term, other[t]).reshape(gradients[name][rows].shape)


def of_output(name: str, do: Array, switches: Switches, y: Array) -> Array:
    """Return the gradients of the logits (T, K) from which the gradient of V or c is summed.

    Without mistakes these are `do`. `y` (T,) are the targets, `name` is "V" or "c".
    """
    if switches.get("softmax-target-missing") != f"d{name} alone":
        return do
    found = do.copy()
    found[np.arange(len(y)), y] += 1
    return found


def summed(
    name: str, cell: str, steps: Sequence[Step], da: Array, dr: Array, switches: Switches
) -> Array:
    """Return the gradients of the steps (T, G·H) from which the gradient `name`, such as "dU", is summed.

    Without mistakes these are `da`. `dr` are those of W h_prev.
    """
    if name != "dW" and name in switches.get("sum-of-recurrent-part", ""):
        return dr
    found = da
    for variant in switches.get("sum-before-derivative", "").split(BETWEEN):
        names, _, gate = variant.partition(" of ")
        if name in names:
            found = before_derivative(cell, steps, found, gate, switches)
    for variant in switches.get("sum-of-other-gate", "").split(BETWEEN):
        names, _, gates = variant.partition(" of ")
        if name in names:
            gate, _, other = gates.partition(" from ")
            H = da.shape[1] // len(CELLS[cell].blocks)
            found = found.copy()
            found[:, CELLS[cell].rows(gate, H)] = da[:, CELLS[cell].rows(other, H)]
    return found


def before_derivative(
    cell: str, steps: Sequence[Step], da: Array, gate: str, switches: Switches
) -> Array:
    """Return `da` (T, G·H) before the multiplication by the derivative of tanh or σ in one gate.

    If `gate` is "", it is that of all gates.
    """
    found = da.copy()
    for t, step in enumerate(steps):
        for one, slope in slopes_of(cell, step, switches).items():
            rows = CELLS[cell].rows(one, len(slope))
            if gate in ("", one):
                with np.errstate(all="ignore"):
                    found[t, rows] = np.where(slope == 0, 0, found[t, rows] / slope)
    return found


def slopes_of(cell: str, step: Step, switches: Switches) -> Arrays:
    """Return the derivative (H,) of the function of each gate of a step."""
    if cell == "rnn":
        return {CELLS[cell].blocks: candidate_slope(step.cache[0], step.state["h"], switches)}
    if cell == "lstm":
        a, i, f, g, o, _ = step.cache
        slope = candidate_slope(np.split(a, 4)[2], g, switches)
        return {"i": i * (1 - i), "f": f * (1 - f), "g": slope, "o": o * (1 - o)}
    a, r, z, n, _ = step.cache
    return {"r": r * (1 - r), "z": z * (1 - z), "n": candidate_slope(a, n, switches)}


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
    other = switches.get("recurrent-gradient-from-other")
    if other is not None:
        return np.array([other_state(other, step) for step in steps])
    if "recurrent-gradient-from-last-state" in switches:
        return np.broadcast_to(h[-1], h.shape)
    if "initial-state-dropped" in switches or "index-wraps" in switches:
        states = h_prev.copy()
        states[0] = h[-1] if "index-wraps" in switches else 0
        return states
    return h_prev


def other_state(name: str, step: Step) -> Array:
    """Return the array (H,) of a step that code uses instead of a hidden state.

    `name` is its name in spec/mathematics.md (The cells), such as "s_{t-1}".
    """
    if name == "a_t":
        return step.cache[0]
    if name == "r_t ∘ h_{t-1}":
        return np.asarray(step.cache[1] * step.prev["h"])
    if name == "n_t":
        return step.cache[3]
    found = (step.prev if "s_{t-1}" in name else step.state)["cell"]
    return np.tanh(found) if name.startswith("tanh") else found


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
    return {
        "first": slice(0, 1),
        "last": slice(T - 1, T),
        "without the first": slice(1, T),
        "without the last": slice(0, T - 1),
    }.get(switches.get(mistake, ""), slice(None))
