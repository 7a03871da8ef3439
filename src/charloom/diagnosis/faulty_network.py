"""Computes loss and gradients of one window as code with known mistakes would compute them.

It has one plain forward and backward pass for one layer and one stream (spec/mathematics.md: The
cells; The network). A switch turns on each mistake of `mistakes.py`. Without switches the result is
exact; a test compares it with the reference engine. This module does not run or explain a user's
code. The argument `m` of many functions holds the switches: a dict that maps the id of a mistake to
its variant.

Shapes: x, y ids (T,); states (H,); U (G·H, K), W (G·H, H), b (G·H), d (H), V (K, H), c (K).
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charloom.cell_table import CELLS

Array = NDArray[Any]
Arrays = dict[str, Array]
Switches = Mapping[str, str]  # maps the ids of mistakes to their variants

# Wrong formulas for the derivative of tanh, as functions of a, h = tanh(a) and the previous state.
TANH_DERIVATIVES: Final[dict[str, Callable[[Array, Array, Array], Array]]] = {
    "1 - a²": lambda a, _h, _prev: 1 - a * a,
    "1 - tanh(a²)": lambda a, _h, _prev: 1 - np.tanh(a * a),
    "1 - h": lambda _a, h, _prev: 1 - h,
    "1 - tanh(h)²": lambda _a, h, _prev: 1 - np.tanh(h) ** 2,
    "h (1 - h)": lambda _a, h, _prev: h * (1 - h),
    "1 + h²": lambda _a, h, _prev: 1 + h * h,
    "h² - 1": lambda _a, h, _prev: h * h - 1,
    "1 - h_{t-1}²": lambda _a, _h, prev: 1 - prev * prev,
    "(1 - h)²": lambda _a, h, _prev: (1 - h) ** 2,
    "1 where a > 0, else 0": lambda a, _h, _prev: (a > 0).astype(a.dtype),
}
SIGMOID_DERIVATIVES: Final[dict[str, Callable[[Array], Array]]] = {
    "1": lambda s: np.ones_like(s),
    "1 - σ²": lambda s: 1 - s * s,
    "σ": lambda s: s,
    "1 - σ": lambda s: 1 - s,
}
# The right targets y_t, and wrong targets, as functions of x and y.
TARGETS: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "": lambda _x, y: y,
    "y_{t+1}": lambda _x, y: np.append(y[1:], y[-1:]),
    "y_{t+1}, wrapping": lambda _x, y: np.roll(y, -1),
    "y_{t-1}": lambda _x, y: np.append(y[:1], y[:-1]),
    "y_{t-1}, wrapping": lambda _x, y: np.roll(y, 1),
    "x_t": lambda x, _y: x,
}


class Answer(NamedTuple):
    """The result of a function: the loss in nats, and the gradient of each parameter."""

    loss: float
    gradients: Arrays


class Problem(NamedTuple):
    """The input of one call: the cell, the parameters, the window's ids x and y (T,), the initial states.

    The states are "h" and, for an LSTM, "cell", each of shape (H,).
    """

    cell: str
    parameters: Arrays
    x: Array
    y: Array
    state: Arrays


class Step(NamedTuple):
    """A step of the forward pass.

    Attributes:
        prev, state: the states before the step, and after it.
        cache: arrays that the backward pass of the same cell needs.
        first: whether it is the first step of the window.
    """

    prev: Arrays
    state: Arrays
    cache: tuple[Array, ...]
    first: bool


def answer(problem: Problem, switches: Switches | None = None) -> Answer:
    """Return the loss and the gradients that code with the mistakes in `switches` would compute.

    Without switches they are exact.
    """
    m: Switches = switches or {}
    cell, given, x, y, state = problem
    theta = seen_parameters(cell, given, m)
    T, K = len(x), len(given["c"])
    steps = forward(cell, theta, x, seen_state(state, m), m)
    h = np.array([step.state["h"] for step in steps])
    h_prev = np.array([step.prev["h"] for step in steps])
    o = h @ theta["V"].T + theta["c"]
    loss, do = output(o, x, y, K, m)
    dh = do @ theta["V"]
    da, dr, dq = backward(cell, theta, steps, dh, m)
    gradients = sums(cell, (x, y), (h, h_prev), (da, dr, dq, do), m)
    if m.get("reset-before-product") == "product":
        reset = np.array([step.cache[1] for step in steps])
        H = h.shape[1]
        gradients["W"][2 * H :] = dr[:, 2 * H :].T @ (reset * h_prev)
    loss, gradients = finished(cell, loss, gradients, T, m)
    if "weight-decay-added" in m:
        loss, gradients = decayed(given, loss, gradients, m["weight-decay-added"])
    return Answer(loss, {name: gradients[name] for name in given})


def exact_loss(problem: Problem) -> float:
    """Return the exact loss of the window in nats. Does not compute gradients."""
    cell, theta, x, y, state = problem
    h = np.array([step.state["h"] for step in forward(cell, theta, x, state, {})])
    return output(h @ theta["V"].T + theta["c"], x, y, len(theta["c"]), {})[0]


def exact_state(problem: Problem) -> Arrays:
    """Return the exact states after the last step of the window, each of shape (H,)."""
    return forward(problem.cell, problem.parameters, problem.x, problem.state, {})[-1].state


# Mistakes in the use of the parameters and of the initial state.


def seen_parameters(cell: str, given: Arrays, m: Switches) -> Arrays:
    """Change the parameters as the mistakes in `m` do, such as to zeros for an ignored bias.

    `given` are the parameters that the user's code gets. Return the parameters that it computes
    with.
    """
    theta = dict(given)
    if "gate-order" in m:
        for name in ("U", "W", "b"):
            theta[name] = reordered(given[name], m["gate-order"], CELLS[cell].blocks)
    if "forget-bias-twice" in m:
        H = given["W"].shape[1]
        theta["b"] = theta["b"].copy()
        forget = slice(H, 2 * H)
        theta["b"][forget] += 1 if m["forget-bias-twice"] == "1 added" else theta["b"][forget]
    if "hidden-bias-left-out" in m:
        theta["b"] = np.zeros_like(theta["b"])
        if m["hidden-bias-left-out"] == "d too":
            theta["d"] = np.zeros_like(theta["d"])
    if "hidden-bias-twice" in m:
        theta["b"] = 2 * theta["b"]
    if "output-bias-left-out" in m:
        theta["c"] = np.zeros_like(theta["c"])
    return theta


def reordered(array: Array, order: str, wanted: str) -> Array:
    """Return a copy of `array` with its blocks of rows, one per gate, in the order `wanted`.

    `order` is the order of the gates in `array`, such as "ifgo".
    """
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])


def seen_state(state: Arrays, m: Switches) -> Arrays:
    """Change the initial states as the mistakes in `m` do: return zeros for a state that is ignored."""
    zeroed = {"": tuple(state), "h": ("h",), "cell": ("cell",)}.get(
        m.get("initial-state-ignored", "none"), ()
    )
    return {name: np.zeros_like(s) if name in zeroed else s for name, s in state.items()}


# Forward.


def forward(cell: str, theta: Arrays, x: Array, state: Arrays, m: Switches) -> list[Step]:
    """Compute the forward pass of the window, and return its T steps (spec/mathematics.md: The cells)."""
    step_forward = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}[cell]
    read = theta["U"][:, x].T + theta["b"]
    steps: list[Step] = []
    prev = state
    for t in range(len(x)):
        after, cache = step_forward(theta, read[t], prev, m)
        steps.append(Step(prev, after, cache, t == 0))
        prev = state if "state-not-carried" in m else after
    return steps


def rnn_step(
    theta: Arrays, read: Array, prev: Arrays, m: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Compute h = tanh(W h_prev + U x + b), where `read` is U x + b.

    Return the states after the step, and the arrays that `rnn_back` needs.
    """
    a = theta["W"] @ prev["h"] + read
    other = m.get("activation-differs")
    if other is None:
        h = np.tanh(a)
    elif other == "sigmoid":
        h = sigmoid(a)
    elif other == "relu":
        h = np.maximum(a, 0)
    else:
        h = a
    return {"h": h}, (a,)


def lstm_step(
    theta: Arrays, read: Array, prev: Arrays, m: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Compute the gates i, f, g, o, then s = f s_prev + i g and h = o tanh(s). `read` is U x + b.

    Return the states after the step, and the arrays that `lstm_back` needs.
    """
    a = theta["W"] @ prev["h"] + read
    H = len(a) // 4
    i, f, g, o = (
        sigmoid(a[:H]),
        sigmoid(a[H : 2 * H]),
        np.tanh(a[2 * H : 3 * H]),
        sigmoid(a[3 * H :]),
    )
    s = f * prev["cell"] + i * g
    tanh_s = s if "cell-tanh-missing" in m else np.tanh(s)
    return {"h": o * tanh_s, "cell": s}, (a, i, f, g, o, tanh_s)


def gru_step(
    theta: Arrays, read: Array, prev: Arrays, m: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Compute the gates r and z, the candidate n, and h = (1 - z) n + z h_prev. `read` is U x + b.

    Without mistakes, the reset gate r multiplies W_n h_prev + d, not h_prev alone. Return the state
    after the step, and the arrays that `gru_back` needs.
    """
    W, H, h_prev = theta["W"], len(prev["h"]), prev["h"]
    gates = sigmoid(W[: 2 * H] @ h_prev + read[: 2 * H])
    r, z = gates[:H], gates[H:]
    reset = m.get("reset-before-product")
    if reset == "product":
        q = W[2 * H :] @ (r * h_prev) + theta["d"]
        a = read[2 * H :] + q
    elif reset == "bias":
        q = W[2 * H :] @ h_prev
        a = read[2 * H :] + r * q + theta["d"]
    else:
        q = W[2 * H :] @ h_prev + theta["d"]
        a = read[2 * H :] + r * q
    n = np.tanh(a)
    h = z * n + (1 - z) * h_prev if "update-gate-reversed" in m else (1 - z) * n + z * h_prev
    return {"h": h}, (a, r, z, n, q)


# The output.


def output(o: Array, x: Array, y: Array, K: int, m: Switches) -> tuple[float, Array]:
    """Return the loss in nats, and its gradient do (T, K) with respect to the logits `o` (T, K).

    See spec/mathematics.md: The network.
    """
    T = len(y)
    steps = np.arange(T)
    shifted = o - o.max(axis=1, keepdims=True)
    axis = m.get("softmax-axis")
    if axis is None:
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    else:
        over, _, shift = axis.partition(", ")
        seen = shifted if shift else o - o.max()
        log_p = seen - np.log(np.exp(seen).sum(axis=0 if over == "time" else None, keepdims=True))
    p = np.exp(log_p)
    where, _, shift = m.get("target-off-by-one", "").partition(" ")
    moved = TARGETS[shift](x, y)
    counted = slice(T - 1, T) if "last-step-only" in m else slice(None)
    seen_log, slope = epsilon_in_log(log_p[steps, moved if where == "loss" else y], m)
    loss = -seen_log[counted].sum()
    do = p.copy()
    target = m.get("softmax-gradient")
    if target == "only the target's entry":
        do = np.zeros_like(p)
        do[steps, moved] = p[steps, moved] - 1
    elif target == "p (1 - p)":
        do = p * (1 - p)
    elif target == "2 (p - y)":
        do[steps, moved] -= 1
        do *= 2
    elif target == "divided by K":
        do[steps, moved] -= 1
        do /= K
    elif "softmax-target-missing" not in m:
        do[steps, moved] -= 1
    if "softmax-twice" in m:
        q = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
        loss = -np.log(q[steps, y])[counted].sum()
        q[steps, moved] -= 1
        do = p * (q - (p * q).sum(axis=1, keepdims=True))
    do *= slope[:, None]
    if "last-step-only" in m:
        do[:-1] = 0
    return float(loss), do


def epsilon_in_log(log_p: Array, m: Switches) -> tuple[Array, Array]:
    """Return ln p (T,) as the mistake epsilon-in-log changes it, and a factor (T,) for each step's gradient.

    `log_p` (T,) is ln p of each step's target. The mistake takes ln(p + ε) or ln max(p, ε) instead.
    The gradient of a step's logits must be multiplied by the factor of the step. Without the
    mistake, the factors are 1.
    """
    one = np.ones_like(log_p)
    if "epsilon-in-log" not in m:
        return log_p, one
    value, _, where = m["epsilon-in-log"].partition(", ")
    epsilon, p = float(value.removeprefix("ε = ")), np.exp(log_p)
    if where == "maximum":
        return np.log(np.maximum(p, epsilon)), one
    return np.log(p + epsilon), p / (p + epsilon) if where else one


# Backward.


def backward(
    cell: str, theta: Arrays, steps: list[Step], dh: Array, m: Switches
) -> tuple[Array, Array, Array]:
    """Return three gradients of the loss for each step: da, dr and dq.

    The gradients of the parameters are sums over time that use them: da (T, G·H) for U and b, dr
    (T, G·H) for W, and dq (T, H) for d. Only in a GRU does dr differ from da. `dh` (T, H) is the
    gradient of the hidden states that comes from the output.
    """
    T = len(steps)
    kind, _, depth = m.get("truncated", "").partition(" ")
    k = int(depth or 0)
    if kind in ("depth", "last") and k >= T:
        kind = ""
    if kind == "depth":  # a separate backward pass for each step's loss, over at most k steps
        parts = []
        for source in range(T):
            of_source = np.zeros_like(dh)
            of_source[source] = dh[source]
            parts.append(
                walk_back(cell, theta, steps, of_source, m, range(max(0, source - k), source + 1))
            )
        da, dr, dq = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
        return da, dr, dq
    if kind == "last":
        return walk_back(cell, theta, steps, dh, m, range(max(0, T - k), T))
    cuts: frozenset[int] = frozenset()
    if kind == "chunks":
        cuts = frozenset(range(k, T, k))
    elif kind == "ends":
        cuts = frozenset(range(T - k, 0, -k))
    return walk_back(cell, theta, steps, dh, m, range(T), cuts)


def walk_back(
    cell: str,
    theta: Arrays,
    steps: list[Step],
    dh: Array,
    m: Switches,
    span: range,
    cuts: frozenset[int] = frozenset(),
) -> tuple[Array, Array, Array]:
    """Go back through the steps in `span`, and return da, dr and dq as `backward` does.

    Rows of steps outside `span` are zero. No gradient passes from a step in `cuts` to the step
    before it.
    """
    back = {"rnn": rnn_back, "lstm": lstm_back, "gru": gru_back}[cell]
    T, H = len(steps), dh.shape[1]
    rows = len(theta["b"])
    da, dr, dq = np.zeros((T, rows)), np.zeros((T, rows)), np.zeros((T, H))
    nothing = {name: np.zeros(H) for name in steps[0].prev}
    carried = last = nothing
    missing = m.get("time-carry-missing")
    turned = m.get("time-carry-reversed")
    order = span if turned == "" else reversed(span)
    for t in order:
        da[t], dr[t], dq[t], carried = back(theta, steps[t], dh[t], carried, m)
        if missing == "" or t in cuts or "state-not-carried" in m:
            carried = nothing
        elif missing in carried:
            carried = {**carried, missing: nothing[missing]}
        if turned == "read too early":  # da[t-1] is still zero, except da[-1], the last step's
            last = carried if t == T - 1 else last
            carried = last if t == 1 else nothing
    return da, dr, dq


def rnn_back(
    theta: Arrays, step: Step, dh_above: Array, carried: Arrays, m: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """Compute da = dh (1 - h²) and dh_prev = Wᵀ da for one step.

    Return four values: da, dr (equal to da), dq (zeros), and the gradients of the states before the
    step. `dh_above` is the gradient of h that comes from the output. `carried` has the gradients of
    the states that come from the next step.
    """
    (a,), h, prev = step.cache, step.state["h"], step.prev["h"]
    other = m.get("activation-differs")
    if "tanh-derivative-missing" in m:
        slope = np.ones_like(h)
    elif "tanh-derivative" in m:
        slope = TANH_DERIVATIVES[m["tanh-derivative"]](a, h, prev)
    elif other == "sigmoid":
        slope = h * (1 - h)
    elif other == "relu":
        slope = (a > 0).astype(h.dtype)
    elif other == "identity":
        slope = np.ones_like(h)
    else:
        slope = 1 - h * h
    if "carry-after-derivative" in m:
        dh = dh_above + carried["h"]
        da = dh_above * slope + carried["h"]
    else:
        dh = clipped_step(dh_above + carried["h"], m)
        da = dh * slope
    W = theta["W"].T if "carry-not-transposed" not in m else theta["W"]
    back = W @ (dh if "carry-without-derivative" in m else da)
    return da, da, np.zeros_like(h), {"h": back}


def lstm_back(
    theta: Arrays, step: Step, dh_above: Array, carried: Arrays, m: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """Compute da of the four gates, dh_prev = Wᵀ da and ds_prev = ds f (spec/mathematics.md: The cells).

    The arguments and the four returned values are those of `rnn_back`.
    """
    _, i, f, g, o, tanh_s = step.cache
    s_prev = step.prev["cell"]
    if step.first and "initial-cell-dropped" in m:
        s_prev = np.zeros_like(s_prev)
    dh = clipped_step(dh_above + carried["h"], m)
    slope_s = np.ones_like(o) if "cell-tanh-missing" in m else tanh_slope(tanh_s, m)
    if m.get("tanh-derivative-missing") == "state":
        slope_s = np.ones_like(o)
    slope_g = (
        np.ones_like(g) if m.get("tanh-derivative-missing") == "candidate" else tanh_slope(g, m)
    )
    ds = carried["cell"] + dh * o * slope_s
    da = np.concatenate(
        [
            ds * g * sigmoid_slope(i, m),
            ds * s_prev * sigmoid_slope(f, m),
            ds * i * slope_g,
            dh * tanh_s * sigmoid_slope(o, m),
        ]
    )
    back = ds if "forget-gate-not-carried" in m else ds * f
    return da, da, np.zeros_like(dh_above), {"h": theta["W"].T @ da, "cell": back}


def gru_back(
    theta: Arrays, step: Step, dh_above: Array, carried: Arrays, m: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """Compute the gradients of one step of a GRU (spec/mathematics.md: The cells).

    The arguments are those of `rnn_back`. Return four values: first da (3 H,), the gradients of the
    sums inside r, z and n; second dr (3 H,), the gradients of the three parts of W h_prev; third dq
    (H,), the gradient for the bias d; fourth the gradients of the states before the step.
    """
    _, r, z, n, q = step.cache
    W, h_prev, H = theta["W"], step.prev["h"], len(dh_above)
    dh = clipped_step(dh_above + carried["h"], m)
    mixed, kept, update = (
        (dh * z, dh * (1 - z), dh * (n - h_prev))
        if "update-gate-reversed" in m
        else (dh * (1 - z), dh * z, dh * (h_prev - n))
    )
    slope = np.ones_like(n) if m.get("tanh-derivative-missing") == "candidate" else tanh_slope(n, m)
    da_n = mixed * slope
    da_z = update * sigmoid_slope(z, m)
    reset = m.get("reset-before-product")
    if reset == "product":
        back_n = W[2 * H :].T @ da_n
        da_r = back_n * h_prev * sigmoid_slope(r, m)
        dq, dr_n, extra = da_n, da_n, back_n * r
    elif reset == "bias":
        da_r = da_n * q * sigmoid_slope(r, m)
        dq, dr_n = da_n, da_n * r
        extra = W[2 * H :].T @ dr_n
    else:
        da_r = da_n * q * sigmoid_slope(r, m)
        dq = dr_n = da_n if "reset-gate-not-in-gradient" in m else da_n * r
        extra = W[2 * H :].T @ dr_n
    back = W[:H].T @ da_r + W[H : 2 * H].T @ da_z + extra
    if m.get("time-carry-missing") == "gates":
        back = np.zeros_like(back)
    if m.get("time-carry-missing") != "direct":
        back = back + kept
    dr = np.concatenate([da_r, da_z, dr_n])
    return np.concatenate([da_r, da_z, da_n]), dr, dq, {"h": back}


def tanh_slope(h: Array, m: Switches) -> Array:
    """Return the derivative of tanh at a value `h` of tanh, with the mistakes in `m`, in an LSTM or a GRU."""
    if "tanh-derivative-missing" in m and m["tanh-derivative-missing"] == "":
        return np.ones_like(h)
    if "tanh-derivative" in m:
        return np.asarray(TANH_DERIVATIVES[m["tanh-derivative"]](h, h, h))
    return 1 - h * h


def sigmoid_slope(s: Array, m: Switches) -> Array:
    """Return the derivative of the sigmoid at a value `s` of the sigmoid, with the mistakes in `m`."""
    if "sigmoid-derivative" in m:
        return np.asarray(SIGMOID_DERIVATIVES[m["sigmoid-derivative"]](s))
    return np.asarray(s * (1 - s))


def clipped_step(dh: Array, m: Switches) -> Array:
    """Return `dh`, clipped entry by entry if `m` has the mistake to clip in every step."""
    kind, _, limit = m.get("clipped", "").partition(" ")
    return np.clip(dh, -float(limit), float(limit)) if kind == "steps" else dh


# The sums over time, with the mistakes in them and after them.


def sums(
    cell: str,
    ids: tuple[Array, Array],
    states: tuple[Array, Array],
    steps: tuple[Array, Array, Array, Array],
    m: Switches,
) -> Arrays:
    """Sum the gradients of the steps over time, and return the gradient of each parameter.

    `ids` are x and y. `states` are the hidden states after and before each step, (T, H). `steps`
    are da, dr, dq and do, the gradients of each step (spec/mathematics.md: The cells; The network).
    """
    (x, y), (h, h_prev), (da, dr, dq, do) = ids, states, steps
    T, K, rows = len(x), do.shape[1], da.shape[1]
    before = h_prev
    if "recurrent-gradient-from-current-state" in m:
        before = h
    elif "recurrent-gradient-from-last-state" in m:
        before = np.broadcast_to(h[-1], h.shape)
    elif "initial-state-dropped" in m or "index-wraps" in m:
        before = h_prev.copy()
        before[0] = h[-1] if "index-wraps" in m else 0
    seen = h_prev if "output-gradient-from-previous-state" in m else h
    read = y if "input-gradient-from-target" in m else x
    onehot = np.zeros((T, K))
    onehot[np.arange(T), read] = 1
    repeats = m.get("input-gradient-repeats-lost")
    if repeats is not None:
        for k in np.unique(read):
            (at,) = np.nonzero(read == k)
            onehot[at, k] = 0
            onehot[at[0] if repeats == "first" else at[-1], k] = 1
    gradients = {
        "U": da[chosen("input-gradient-not-summed", T, m)].T
        @ onehot[chosen("input-gradient-not-summed", T, m)],
        "W": dr[chosen("recurrent-gradient-not-summed", T, m)].T
        @ before[chosen("recurrent-gradient-not-summed", T, m)],
        "b": da.T if m.get("hidden-bias-not-summed") == "apart" and T > 1
        else da[chosen("hidden-bias-not-summed", T, m)].sum(axis=0),
        "V": do[chosen("output-gradient-not-summed", T, m)].T
        @ seen[chosen("output-gradient-not-summed", T, m)],
        "c": do.T if m.get("output-bias-not-summed") == "apart" and T > 1
        else do[chosen("output-bias-not-summed", T, m)].sum(axis=0),
    }  # fmt: skip
    if CELLS[cell].second_bias:
        gradients["d"] = dq.sum(axis=0)
    if m.get("hidden-bias-left-out") in ("", "d too"):
        gradients["b"] = np.zeros(rows)
        if m["hidden-bias-left-out"] == "d too":
            gradients["d"] = np.zeros_like(gradients["d"])
    if m.get("output-bias-left-out") == "":
        gradients["c"] = np.zeros(K)
    return gradients


def chosen(mistake: str, T: int, m: Switches) -> slice:
    """Return a slice of the steps that a sum over time includes.

    It has all `T` steps. If `m` has the mistake with the id `mistake`, the slice has only the first
    step or only the last step.
    """
    return {"first": slice(0, 1), "last": slice(T - 1, T)}.get(m.get(mistake, ""), slice(None))


def finished(
    cell: str, loss: float, gradients: Arrays, T: int, m: Switches
) -> tuple[float, Arrays]:
    """Apply the mistakes that code makes after the sums over time; return the loss and the gradients.

    These mistakes scale, clip, reorder or transpose gradients.
    """
    gradients = bias_mistakes(cell, gradients, m)
    loss, scale = scaled_loss(loss, T, m)
    if scale != 1:
        gradients = {name: gradient * scale for name, gradient in gradients.items()}
    gradients = clipped(gradients, m)
    for part in m["gradient-scaled"].split(", ") if "gradient-scaled" in m else ():
        factor, _, name = part.partition(" d")
        gradients[name] = float(factor) * gradients[name]
    for mistake, name in (
        ("input-gradient-transposed", "U"),
        ("recurrent-gradient-transposed", "W"),
        ("output-gradient-transposed", "V"),
    ):
        if mistake in m:
            gradients[name] = gradients[name].T
    return loss, gradients


def bias_mistakes(cell: str, gradients: Arrays, m: Switches) -> Arrays:
    """Return the gradients changed by two kinds of mistakes: a wrong gate order, a bias added twice."""
    gradients = dict(gradients)
    if "gate-order" in m:
        for name in ("U", "W", "b"):
            gradients[name] = reordered(gradients[name], CELLS[cell].blocks, m["gate-order"])
    if m.get("forget-bias-twice") == "b_f twice, gradient too":
        H = gradients["V"].shape[1]
        gradients["b"] = gradients["b"].copy()
        gradients["b"][H : 2 * H] *= 2
    if m.get("hidden-bias-twice") == "gradient too":
        gradients["b"] = 2 * gradients["b"]
    return gradients


def scaled_loss(loss: float, T: int, m: Switches) -> tuple[float, float]:
    """Return the scaled loss, and the factor by which the mistakes in `m` multiply every gradient."""
    scale = -1.0 if "gradient-negated" in m else 1.0
    mean, total = m.get("mean-over-time"), m.get("sum-over-time")
    if mean in ("both", "gradient"):
        scale /= T
    if mean in ("both", "loss"):
        loss /= T
    if total in ("both", "gradient"):
        scale *= T
    if total in ("both", "loss"):
        loss *= T
    base = m.get("logarithm-base")
    if base is not None:
        number, _, both = base.partition(" ")
        loss /= math.log(float(number))
        scale /= math.log(float(number)) if both else 1
    return loss, scale


def clipped(gradients: Arrays, m: Switches) -> Arrays:
    """Return the gradients, clipped if `m` has the mistake to clip the finished gradients.

    The variant says what is limited: each entry, the norm of all gradients together, or the norm of
    each.
    """
    kind, _, limit = m.get("clipped", "").partition(" ")
    if kind == "entries":
        bound = float(limit)
        return {name: np.clip(g, -bound, bound) for name, g in gradients.items()}
    if kind not in ("norm", "norms"):
        return gradients
    squares = {name: float((g * g).sum()) for name, g in gradients.items()}
    whole = sum(squares.values())

    def factor(name: str) -> float:
        norm = math.sqrt(squares[name] if kind == "norms" else whole)
        return min(1.0, float(limit) / max(norm, 1e-300))

    return {name: g * factor(name) for name, g in gradients.items()}


def decayed(theta: Arrays, loss: float, gradients: Arrays, variant: str) -> tuple[float, Arrays]:
    """Return the loss and the gradients with weight decay: λ θ is added to the gradient of a parameter θ.

    `variant` names λ and these parameters, such as "λ = 0.1 in U, W, V and the loss". With "the
    loss", λ / 2 times the sum of the squares of these parameters is added to the loss.
    """
    decay, _, where = variant.removeprefix("λ = ").partition(" in ")
    rate, names = float(decay), [name for name in theta if name in re.findall(r"\b\w\b", where)]
    added = {name: gradients[name] + rate * theta[name] for name in names
             if gradients[name].shape == theta[name].shape}  # fmt: skip
    if "loss" in where:
        loss += rate / 2 * sum(float((theta[name] ** 2).sum()) for name in names)
    return loss, {**gradients, **added}


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))
