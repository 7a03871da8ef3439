"""Computes loss and gradient of one window as code with known mistakes would compute them.

One plain forward and backward pass of one layer and one stream (spec/mathematics.md: The cells; The network), with
a switch for each mistake of `mistakes.py`. Without any it is a third way to the exact gradient, held
to the reference engine by a test. It knows nothing of anybody's code, and it explains nothing.

Shapes: x, y ids (T,); states (H,); U (G·H, K), W (G·H, H), b (G·H), d (H), V (K, H), c (K).
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]
Switches = Mapping[str, str]  # mistake -> which variant of it

GATES: Final = {
    "rnn": "a",
    "lstm": "ifgo",
    "gru": "rzn",
}  # the blocks, in the order of spec/mathematics.md

# The ways in which a derivative of tanh goes wrong, from a, h = tanh(a) and the state before.
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
# The targets y_t, and what else is taken for them.
TARGETS: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "": lambda _x, y: y,
    "y_{t+1}": lambda _x, y: np.append(y[1:], y[-1:]),
    "y_{t+1}, wrapping": lambda _x, y: np.roll(y, -1),
    "y_{t-1}": lambda _x, y: np.append(y[:1], y[:-1]),
    "y_{t-1}, wrapping": lambda _x, y: np.roll(y, 1),
    "x_t": lambda x, _y: x,
}


class Answer(NamedTuple):
    """What a function under test computes: loss in nats, and gradients by parameter."""

    loss: float
    gradients: Arrays


class Problem(NamedTuple):
    """One window: cell, parameters, ids x and y (T,), states (H,) by name: h, of the LSTM cell."""

    cell: str
    parameters: Arrays
    x: Array
    y: Array
    state: Arrays


class Step(NamedTuple):
    """What a step leaves: the states before and after it, what its way back needs, and whether it
    is the first of the window."""

    prev: Arrays
    state: Arrays
    cache: tuple[Array, ...]
    first: bool


def answer(problem: Problem, switches: Switches | None = None) -> Answer:
    """Loss and gradients of a problem with these mistakes in them; without any, the exact ones."""
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
    """The exact loss alone, in nats."""
    cell, theta, x, y, state = problem
    h = np.array([step.state["h"] for step in forward(cell, theta, x, state, {})])
    return output(h @ theta["V"].T + theta["c"], x, y, len(theta["c"]), {})[0]


def exact_state(problem: Problem) -> Arrays:
    """The states after the window (H,)."""
    return forward(problem.cell, problem.parameters, problem.x, problem.state, {})[-1].state


# The parameters and the state as the mistaken code sees them.


def seen_parameters(cell: str, given: Arrays, m: Switches) -> Arrays:
    """The parameters that the code in effect computes with."""
    theta = dict(given)
    if "gate-order" in m:
        for name in ("U", "W", "b"):
            theta[name] = reordered(given[name], m["gate-order"], GATES[cell])
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
    """The blocks of gates that stand in `order`, put into the order `wanted`."""
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])


def seen_state(state: Arrays, m: Switches) -> Arrays:
    """The state that the code starts from."""
    zeroed = {"": tuple(state), "h": ("h",), "cell": ("cell",)}.get(
        m.get("initial-state-ignored", "none"), ()
    )
    return {name: np.zeros_like(s) if name in zeroed else s for name, s in state.items()}


# Forward.


def forward(cell: str, theta: Arrays, x: Array, state: Arrays, m: Switches) -> list[Step]:
    """All steps of the window (spec/mathematics.md: The cells)."""
    ahead = {"rnn": rnn_ahead, "lstm": lstm_ahead, "gru": gru_ahead}[cell]
    read = theta["U"][:, x].T + theta["b"]
    steps: list[Step] = []
    prev = state
    for t in range(len(x)):
        after, cache = ahead(theta, read[t], prev, m)
        steps.append(Step(prev, after, cache, t == 0))
        prev = state if "state-not-carried" in m else after
    return steps


def rnn_ahead(
    theta: Arrays, read: Array, prev: Arrays, m: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """h = tanh(W h_prev + U x + b); `read` is U x + b."""
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


def lstm_ahead(
    theta: Arrays, read: Array, prev: Arrays, m: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Gates i, f, g, o; s = f s_prev + i g; h = o tanh(s)."""
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


def gru_ahead(
    theta: Arrays, read: Array, prev: Arrays, m: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Gates r, z; the candidate n, reset after the product; h = (1 - z) n + z h_prev."""
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
    """The loss, and do (T, K), from the logits o (T, K) (spec/mathematics.md: The network)."""
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
    """ln p of the targets (T,), and what its derivative is multiplied by, with an ε in it."""
    one = np.ones_like(log_p)
    if "epsilon-in-log" not in m:
        return log_p, one
    told, _, where = m["epsilon-in-log"].partition(", ")
    epsilon, p = float(told.removeprefix("ε = ")), np.exp(log_p)
    if where == "maximum":
        return np.log(np.maximum(p, epsilon)), one
    return np.log(p + epsilon), p / (p + epsilon) if where else one


# Backward.


def backward(
    cell: str, theta: Arrays, steps: list[Step], dh: Array, m: Switches
) -> tuple[Array, Array, Array]:
    """The gradients before the sums over time: da (T, G·H) of U and b, dr of W, dq (T, H) of d."""
    T = len(steps)
    kind, _, depth = m.get("truncated", "").partition(" ")
    k = int(depth or 0)
    if kind in ("depth", "last") and k >= T:
        kind = ""
    if kind == "depth":  # every step's loss on its own, at most k steps back
        parts = []
        for source in range(T):
            own = np.zeros_like(dh)
            own[source] = dh[source]
            parts.append(
                walk_back(cell, theta, steps, own, m, range(max(0, source - k), source + 1))
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
    """Back through the steps of a span; nothing goes from a step in `cuts` to the one before."""
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
        if turned == "read too early":  # at t = 0 the index -1 is that of the last step
            last = carried if t == T - 1 else last
            carried = last if t == 1 else nothing
    return da, dr, dq


def rnn_back(
    theta: Arrays, step: Step, own: Array, carried: Arrays, m: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """da = dh (1 - h²); dh_prev = Wᵀ da."""
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
        dh = own + carried["h"]
        da = own * slope + carried["h"]
    else:
        dh = clipped_step(own + carried["h"], m)
        da = dh * slope
    W = theta["W"].T if "carry-not-transposed" not in m else theta["W"]
    back = W @ (dh if "carry-without-derivative" in m else da)
    return da, da, np.zeros_like(h), {"h": back}


def lstm_back(
    theta: Arrays, step: Step, own: Array, carried: Arrays, m: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """The four gates' da; dh_prev = Wᵀ da, ds_prev = ds f (spec/mathematics.md: The cells)."""
    _, i, f, g, o, tanh_s = step.cache
    s_prev = step.prev["cell"]
    if step.first and "initial-cell-dropped" in m:
        s_prev = np.zeros_like(s_prev)
    dh = clipped_step(own + carried["h"], m)
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
    return da, da, np.zeros_like(own), {"h": theta["W"].T @ da, "cell": back}


def gru_back(
    theta: Arrays, step: Step, own: Array, carried: Arrays, m: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """da of r, z, n, and dr, in which dq stands in place of da_n (spec/mathematics.md: The cells)."""
    _, r, z, n, q = step.cache
    W, h_prev, H = theta["W"], step.prev["h"], len(own)
    dh = clipped_step(own + carried["h"], m)
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
    """The derivative of tanh from its value, where a gate has it."""
    if "tanh-derivative-missing" in m and m["tanh-derivative-missing"] == "":
        return np.ones_like(h)
    if "tanh-derivative" in m:
        return np.asarray(TANH_DERIVATIVES[m["tanh-derivative"]](h, h, h))
    return 1 - h * h


def sigmoid_slope(s: Array, m: Switches) -> Array:
    """The derivative of σ from its value."""
    if "sigmoid-derivative" in m:
        return np.asarray(SIGMOID_DERIVATIVES[m["sigmoid-derivative"]](s))
    return np.asarray(s * (1 - s))


def clipped_step(dh: Array, m: Switches) -> Array:
    """dh, clipped within the loop where the mistake is that."""
    kind, _, limit = m.get("clipped", "").partition(" ")
    return np.clip(dh, -float(limit), float(limit)) if kind == "steps" else dh


# The sums over time, and what is done to them afterwards.


def sums(
    cell: str,
    ids: tuple[Array, Array],
    states: tuple[Array, Array],
    steps: tuple[Array, Array, Array, Array],
    m: Switches,
) -> Arrays:
    """The gradients of all parameters (spec/mathematics.md: The cells; The network)."""
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
    if cell == "gru":
        gradients["d"] = dq.sum(axis=0)
    if m.get("hidden-bias-left-out") in ("", "d too"):
        gradients["b"] = np.zeros(rows)
        if m["hidden-bias-left-out"] == "d too":
            gradients["d"] = np.zeros_like(gradients["d"])
    if m.get("output-bias-left-out") == "":
        gradients["c"] = np.zeros(K)
    return gradients


def chosen(mistake: str, T: int, m: Switches) -> slice:
    """The steps that a sum counts: all, or with the mistake the first or the last one alone."""
    return {"first": slice(0, 1), "last": slice(T - 1, T)}.get(m.get(mistake, ""), slice(None))


def finished(
    cell: str, loss: float, gradients: Arrays, T: int, m: Switches
) -> tuple[float, Arrays]:
    """What the code does to loss and gradients when all sums are made."""
    scale = 1.0
    if "gate-order" in m:
        for name in ("U", "W", "b"):
            gradients[name] = reordered(gradients[name], GATES[cell], m["gate-order"])
    if "forget-bias-twice" in m and m["forget-bias-twice"] == "b_f twice, gradient too":
        H = gradients["V"].shape[1]
        gradients["b"] = gradients["b"].copy()
        gradients["b"][H : 2 * H] *= 2
    if m.get("hidden-bias-twice") == "gradient too":
        gradients["b"] = 2 * gradients["b"]
    if "gradient-negated" in m:
        scale = -scale
    mean = m.get("mean-over-time")
    if mean in ("both", "gradient"):
        scale /= T
    if mean in ("both", "loss"):
        loss /= T
    total = m.get("sum-over-time")
    if total in ("both", "gradient"):
        scale *= T
    if total in ("both", "loss"):
        loss *= T
    base = m.get("logarithm-base")
    if base is not None:
        number, _, where = base.partition(" ")
        loss /= math.log(float(number))
        scale /= math.log(float(number)) if where else 1
    if scale != 1:
        gradients = {name: gradient * scale for name, gradient in gradients.items()}
    kind, _, limit = m.get("clipped", "").partition(" ")
    if kind == "entries":
        bound = float(limit)
        gradients = {name: np.clip(g, -bound, bound) for name, g in gradients.items()}
    elif kind in ("norm", "norms"):
        squares = {name: float((g * g).sum()) for name, g in gradients.items()}
        whole = sum(squares.values())
        gradients = {
            name: g
            * min(
                1.0,
                float(limit) / max(math.sqrt(squares[name] if kind == "norms" else whole), 1e-300),
            )
            for name, g in gradients.items()
        }
    for part in m["gradient-scaled"].split(", ") if "gradient-scaled" in m else ():
        factor, _, scaled = part.partition(" d")
        gradients[scaled] = float(factor) * gradients[scaled]
    for mistake, name in (
        ("input-gradient-transposed", "U"),
        ("recurrent-gradient-transposed", "W"),
        ("output-gradient-transposed", "V"),
    ):
        if mistake in m:
            gradients[name] = gradients[name].T
    return loss, gradients


def decayed(theta: Arrays, loss: float, gradients: Arrays, told: str) -> tuple[float, Arrays]:
    """Loss and gradients with λ θ added to some gradients: λ = 0.1 in U, W, V and the loss."""
    decay, _, where = told.removeprefix("λ = ").partition(" in ")
    rate, names = float(decay), [name for name in theta if name in re.findall(r"\b\w\b", where)]
    added = {name: gradients[name] + rate * theta[name] for name in names
             if gradients[name].shape == theta[name].shape}  # fmt: skip
    if "loss" in where:
        loss += rate / 2 * sum(float((theta[name] ** 2).sum()) for name in names)
    return loss, {**gradients, **added}


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))
