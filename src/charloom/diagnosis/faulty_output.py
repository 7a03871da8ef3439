"""Computes the loss and the gradient of the logits as code with known mistakes would compute them.

Without mistakes they are exact (spec/mathematics.md: The network). The argument `switches` of the
functions says which mistakes of `mistakes.py` are made. Shapes are those of `problem.py`.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from charloom.diagnosis.problem import Array, Switches

# The targets y_t (key "") and the wrong targets that code may use instead, as functions of x and y.
TARGETS: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "": lambda _x, y: y,
    "y_{t+1}": lambda _x, y: np.append(y[1:], y[-1:]),
    "y_{t+1}, wrapping": lambda _x, y: np.roll(y, -1),
    "y_{t-1}": lambda _x, y: np.append(y[:1], y[:-1]),
    "y_{t-1}, wrapping": lambda _x, y: np.roll(y, 1),
    "x_t": lambda x, _y: x,
}


def output(o: Array, x: Array, y: Array, K: int, switches: Switches) -> tuple[float, Array]:
    """Return the loss in nats, and its gradient do (T, K) with respect to the logits `o` (T, K).

    See spec/mathematics.md: The network.
    """
    T = len(y)
    steps = np.arange(T)
    log_p = log_softmax(o, switches.get("softmax-axis"))
    p = np.exp(log_p)
    where, _, shift = switches.get("target-off-by-one", "").partition(" ")
    target = TARGETS[shift](x, y)
    counted = slice(1 if "first-step-not-counted" in switches else 0, T)
    if "last-step-only" in switches:
        counted = slice(T - 1, T)
    log_target, slope = epsilon_in_log(log_p[steps, target if where == "loss" else y], switches)
    loss = -log_target[counted].sum()
    do = logit_gradient(p, target, K, switches)
    if "softmax-twice" in switches:
        q = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
        loss = -np.log(q[steps, y])[counted].sum()
        q[steps, target] -= 1
        do = p * (q - (p * q).sum(axis=1, keepdims=True))
    do *= slope[:, None]
    if "last-step-only" in switches:
        do[:-1] = 0
    if "first-step-not-counted" in switches:
        do[0] = 0
    return float(loss), do


def log_softmax(o: Array, variant: str | None) -> Array:
    """Return ln p (T, K) of the logits `o` (T, K).

    `variant` is the variant of the mistake softmax-axis, which sums over the wrong axis; None for the
    right axis.
    """
    shifted = o - o.max(axis=1, keepdims=True)
    if variant is None:
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
    over, _, shift = variant.partition(", ")
    exponents = shifted if shift else o - o.max()
    axis = 0 if over == "time" else None
    return np.asarray(exponents - np.log(np.exp(exponents).sum(axis=axis, keepdims=True)))


def logit_gradient(p: Array, target: Array, K: int, switches: Switches) -> Array:
    """Return the gradient of the logits (T, K), changed by the mistakes in `switches`.

    Without mistakes it is `p`, minus 1 at the target of each step. `p` (T, K) are the probabilities.
    """
    steps = np.arange(len(target))
    variant = switches.get("softmax-gradient")
    if variant == "p (1 - p)":
        return np.asarray(p * (1 - p))
    do = p.copy()
    if variant is not None or switches.get("softmax-target-missing") != "":
        do[steps, target] -= 1
    onehot = np.zeros_like(p)
    onehot[steps, target] = 1
    other = {
        "p + y": p + onehot,
        "-y": -onehot,
        "-y / p": -onehot / np.maximum(p, 1e-300),
        "(p - y) p (1 - p)": do * p * (1 - p),
    }.get(variant or "")
    if other is not None:
        return np.asarray(other)
    if variant == "only the target's entry":
        do[onehot == 0] = 0
    elif variant == "2 (p - y)":
        do *= 2
    elif variant == "divided by K":
        do /= K
    return do


def epsilon_in_log(log_p: Array, switches: Switches) -> tuple[Array, Array]:
    """Return ln p as code with the mistake epsilon-in-log computes it, and a factor for each step.

    The code uses ln(p + ε) or ln max(p, ε) instead of ln p. `log_p` (T,) is the right ln p of each
    step's target. The caller must multiply the gradient of each step's logits by the step's factor.
    If `switches` does not have the mistake, return `log_p` and ones.
    """
    one = np.ones_like(log_p)
    if "epsilon-in-log" not in switches:
        return log_p, one
    value, _, where = switches["epsilon-in-log"].partition(", ")
    epsilon, p = float(value.removeprefix("ε = ")), np.exp(log_p)
    if where == "maximum":
        return np.log(np.maximum(p, epsilon)), one
    return np.log(p + epsilon), p / (p + epsilon) if where else one
