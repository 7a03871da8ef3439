"""Computes loss and gradients of one window as code with known mistakes would compute them.

It has one plain forward and backward pass for one layer and one stream (spec/mathematics.md: The
cells; The network). The argument `switches` of the functions says which mistakes of `mistakes.py`
are made. Without mistakes the result is exact; a test compares it with the reference engine. This
module does not run or explain a user's code. Shapes are those of `problem.py`.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.faulty_cells import STEP_BACKWARD, STEP_FORWARD, Step, reorder_gates
from charloom.diagnosis.faulty_gradients import (
    after_the_sums,
    decayed,
    divided_loss,
    divisors,
    scaled_loss,
)
from charloom.diagnosis.faulty_output import output
from charloom.diagnosis.faulty_sums import StepGradients, sums
from charloom.diagnosis.limited_variants import at_step, has_limit
from charloom.diagnosis.problem import Answer, Array, Arrays, Problem, Switches

NO_MISTAKES: Final[Switches] = MappingProxyType({})


def answer(problem: Problem, switches: Switches = NO_MISTAKES) -> Answer:
    """Return the loss and the gradients that code with the mistakes in `switches` would compute.

    Without mistakes they are exact.
    """
    cell, given, x, y, _ = problem
    theta, steps, o = logits(problem, switches)
    loss, do = output(o, x, y, o.shape[1], switches)
    T = len(x)
    steps = overwritten(steps, switches)
    do, of_states = without_step(do, np.eye(o.shape[1])[y], switches)
    da, dr, dq = backward(cell, theta, steps, of_states @ theta["V"], switches)
    gradients = sums(cell, theta, (x, y), steps, StepGradients(da, dr, dq, do), switches)
    loss, gradients = after_the_sums(cell, loss, gradients, T, switches)
    if "weight-decay-added" in switches:
        loss, gradients = decayed(given, loss, gradients, switches["weight-decay-added"])
    return Answer(loss, {name: gradients[name] for name in given})


def overwritten(steps: list[Step], switches: Switches) -> list[Step]:
    """Return the steps of a forward pass, with the last state everywhere if the code overwrites its states."""
    if "states-overwritten" not in switches:
        return steps
    last, kept = steps[-1].state, switches["states-overwritten"] == "h_0 kept"
    return [
        step._replace(prev=step.prev if step.first and kept else last, state=last) for step in steps
    ]


def without_step(do: Array, targets: Array, switches: Switches) -> tuple[Array, Array]:
    """Return the gradients of the logits (T, K) as the sums of the output use them, and as the states do.

    Both are `do`, unless `switches` has the mistake step-left-out: then they are zero at this step.
    `targets` (T, K) are the one-hot targets, which the states may not subtract.
    """
    if switches.get("softmax-target-missing") == "dh alone":
        return do, do + targets
    if "loss-of-step-missing" in switches:
        only_last = np.zeros_like(do)
        only_last[-1] = do[-1]
        return do, only_last
    step = left_out(switches, len(do))
    if step is None:
        return do, do
    left = do.copy()
    left[step] = 0
    return (do if " of the states" in switches["step-left-out"] else left), left


def left_out(switches: Switches, T: int) -> int | None:
    """Return the step (from 0) of `T` steps that the mistake step-left-out leaves out; None if there is none."""
    variant = switches.get("step-left-out", "")
    if not variant or (variant.endswith("if not alone") and T == 1):
        return None
    place = {"first": 0, "last": T - 1, "second-last": T - 2}[variant.partition(" ")[0]]
    return place if place >= 0 else None


def logits(problem: Problem, switches: Switches) -> tuple[Arrays, list[Step], Array]:
    """Return the parameters that the code uses, the T steps of its forward pass, and its logits (T, K)."""
    cell, given, x, _, state = problem
    theta = used_parameters(cell, given, switches)
    steps = forward(cell, theta, x, used_state(state, switches), switches)
    h = np.array([step.state["h"] for step in steps])
    return theta, steps, h @ theta["V"].T + theta["c"]


def loss_alone(problem: Problem, o: Array, switches: Switches) -> float:
    """Return the loss in nats that code with the mistakes in `switches` computes from the logits `o`.

    Weight decay is left out. Computes no gradient of a parameter.
    """
    _, given, x, y, _ = problem
    loss, _ = output(o, x, y, len(given["c"]), switches)
    loss, _ = scaled_loss(loss, len(x), switches)
    return divided_loss(loss, divisors(given, len(x)), switches)[0]


def exact_loss(problem: Problem) -> float:
    """Return the exact loss of the window in nats. Does not compute gradients."""
    return loss_alone(problem, logits(problem, NO_MISTAKES)[2], NO_MISTAKES)


def exact_state(problem: Problem) -> Arrays:
    """Return the exact states after the last step of the window, each of shape (H,)."""
    cell, theta, x, _, state = problem
    return forward(cell, theta, x, state, NO_MISTAKES)[-1].state


def used_parameters(cell: str, given: Arrays, switches: Switches) -> Arrays:
    """Return the parameters with which code that has the mistakes in `switches` computes.

    For example, a bias that the code ignores is zero. `given` has the right parameters, which the
    doctor passes to the code.
    """
    theta = dict(given)
    if "gate-order" in switches:
        for name in ("U", "W", "b"):
            theta[name] = reorder_gates(given[name], switches["gate-order"], CELLS[cell].blocks)
    if "forget-bias-twice" in switches:
        H = given["W"].shape[1]
        theta["b"] = theta["b"].copy()
        forget = slice(H, 2 * H)
        constant, _, added = switches["forget-bias-twice"].partition(" ")
        theta["b"][forget] += float(constant) if added == "added" else theta["b"][forget]
    if "hidden-bias-left-out" in switches:
        theta["b"] = np.zeros_like(theta["b"])
        if switches["hidden-bias-left-out"] == "d too":
            theta["d"] = np.zeros_like(theta["d"])
    if "hidden-bias-twice" in switches:
        theta["b"] = 2 * theta["b"]
    if "second-bias-left-out" in switches:
        theta["d"] = np.zeros_like(theta["d"])
    if "output-bias-left-out" in switches:
        theta["c"] = np.zeros_like(theta["c"])
    return theta


def used_state(state: Arrays, switches: Switches) -> Arrays:
    """Return the initial states from which code that has the mistakes in `switches` starts.

    They are the states in `state`, but zero if the code ignores them.
    """
    zeroed = {"": tuple(state), "h": ("h",), "cell": ("cell",)}.get(
        switches.get("initial-state-ignored", "none"), ()
    )
    return {name: np.zeros_like(s) if name in zeroed else s for name, s in state.items()}


def forward(cell: str, theta: Arrays, x: Array, state: Arrays, switches: Switches) -> list[Step]:
    """Compute the forward pass of the window, and return its T steps (spec/mathematics.md: The cells)."""
    step_forward = STEP_FORWARD[cell]
    read = theta["U"][:, x].T + theta["b"]
    steps: list[Step] = []
    prev = state
    for t in range(len(x)):
        after, cache = step_forward(theta, read[t], prev, switches)
        steps.append(Step(prev, after, cache, t == 0))
        prev = state if "state-not-carried" in switches else after
    return steps


def backward(
    cell: str, theta: Arrays, steps: list[Step], dh: Array, switches: Switches
) -> tuple[Array, Array, Array]:
    """Compute the backward pass, and return three arrays with one row for each step: da, dr and dq.

    da (T, G·H) is the gradient of U x + b, and dr (T, G·H) is the gradient of W h_prev. Only in a
    GRU do they differ. dq (T, H) is the gradient of a GRU's bias d, and zero in other cells.
    `dh` (T, H) is the part of the gradient of each hidden state that its own step's loss contributes
    through the output layer.
    """
    T = len(steps)
    kind, _, depth = switches.get("truncated", "").partition(" ")
    k = int(depth or 0)
    if kind in ("depth", "last") and k >= T:
        kind = ""
    # If the truncation is "depth", the loss of each step has its own backward pass, which goes back at
    # most k steps.
    if kind == "depth":
        parts = []
        for t in range(T):
            dh_t = np.zeros_like(dh)
            dh_t[t] = dh[t]
            span = range(max(0, t - k), t + 1)
            parts.append(walk_back(cell, theta, steps, dh_t, switches, span))
        da, dr, dq = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
        return da, dr, dq
    if kind == "last":
        return walk_back(cell, theta, steps, dh, switches, range(max(0, T - k), T))
    cuts: frozenset[int] = frozenset()
    if kind == "chunks":
        cuts = frozenset(range(k, T, k))
    elif kind == "ends":
        cuts = frozenset(range(T - k, 0, -k))
    return walk_back(cell, theta, steps, dh, switches, range(T), cuts)


def walk_back(
    cell: str,
    theta: Arrays,
    steps: list[Step],
    dh: Array,
    switches: Switches,
    span: range,
    cuts: frozenset[int] = frozenset(),
) -> tuple[Array, Array, Array]:
    """Compute the backward pass through the steps in `span`; return da, dr and dq (see `backward`).

    In these three arrays, the rows of steps outside `span` are zero. No gradient passes from a step
    in `cuts` to the step before it. `switches` has the mistakes to make.
    """
    T, H = len(steps), dh.shape[1]
    rows = len(theta["b"])
    da, dr, dq = np.zeros((T, rows)), np.zeros((T, rows)), np.zeros((T, H))
    for t, *of_step in walk(cell, theta, steps, dh, switches, span, cuts):
        da[t], dr[t], dq[t] = of_step
    return da, dr, dq


def walk(
    cell: str,
    theta: Arrays,
    steps: list[Step],
    dh: Array,
    switches: Switches,
    span: range | None = None,
    cuts: frozenset[int] = frozenset(),
) -> Iterator[tuple[int, Array, Array, Array]]:
    """Yield each step of a backward pass, from the last one: its index, and its da, dr and dq.

    The arguments are those of `walk_back`; without `span`, it is that of all steps.
    """
    back = STEP_BACKWARD[cell]
    T, H = len(steps), dh.shape[1]
    zeros = {name: np.zeros(H) for name in steps[0].prev}
    carried = last = zeros
    reversal = switches.get("time-carry-reversed")
    every = range(T) if span is None else span
    order = every if reversal == "" else reversed(every)
    kind, _, limit = switches.get("clipped", "").partition(" ")
    passed_limit = float(limit) if kind == "passed" else 0.0
    limits, skipped = has_limit(switches), left_out(switches, T)
    for t in order:
        if t == skipped:
            carried = zeros
            continue
        here = at_step(switches, t, T) if limits else switches
        missing = here.get("time-carry-missing")
        da, dr, dq, carried = back(theta, steps[t], dh[t], carried, here)
        yield t, da, dr, dq
        if passed_limit:
            carried = {name: np.clip(g, -passed_limit, passed_limit) for name, g in carried.items()}
        if missing == "" or t in cuts or "state-not-carried" in switches:
            carried = zeros
        elif missing in carried:
            carried = {**carried, missing: zeros[missing]}
        # Code that reads da[t-1] too early reads a zero, because da[t-1] is not computed yet. Only
        # step 0 reads a number: da[-1] is the da of the last step.
        if reversal == "read too early":
            last = carried if t == T - 1 else last
            carried = last if t == 1 else zeros
