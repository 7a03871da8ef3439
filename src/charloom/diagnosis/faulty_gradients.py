"""Changes the loss and the finished gradients as code with known mistakes would change them.

A finished gradient is the gradient of a parameter after the sum over time. The mistakes scale, clip,
reorder or transpose gradients, or add weight decay. The argument `switches` of the functions says
which mistakes of `mistakes.py` are made.
"""

import math
import re

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.clipping_limits import bounds
from charloom.diagnosis.faulty_cells import reorder_gates
from charloom.diagnosis.problem import Arrays, Switches


def after_the_sums(
    cell: str, loss: float, gradients: Arrays, T: int, switches: Switches
) -> tuple[float, Arrays]:
    """Return the loss and the gradients, changed by the mistakes that code makes after the sums over time.

    `loss` is the sum of the losses of the `T` steps. `gradients` has the gradient of each parameter,
    already summed over time. The mistakes scale, clip, reorder or transpose gradients.
    """
    gradients = bias_mistakes(cell, gradients, switches)
    loss, scale = scaled_loss(loss, T, switches)
    loss, divided = divided_loss(loss, divisors(gradients, T), switches)
    scale *= divided
    if scale != 1:
        gradients = {name: gradient * scale for name, gradient in gradients.items()}
    gradients = clipped(gradients, switches)
    for part in switches["gradient-scaled"].split(", ") if "gradient-scaled" in switches else ():
        factor, _, name = part.partition(" d")
        gradients[name] = float(factor) * gradients[name]
    for mistake, name in (
        ("input-gradient-transposed", "U"),
        ("recurrent-gradient-transposed", "W"),
        ("output-gradient-transposed", "V"),
    ):
        if mistake in switches:
            gradients[name] = gradients[name].T
    return loss, gradients


def bias_mistakes(cell: str, gradients: Arrays, switches: Switches) -> Arrays:
    """Return the gradients as two kinds of mistakes change them.

    The two kinds are a wrong order of the gates, and a bias that is added twice.
    """
    gradients = dict(gradients)
    if "gate-order" in switches:
        for name in ("U", "W", "b"):
            gradients[name] = reorder_gates(
                gradients[name], CELLS[cell].blocks, switches["gate-order"]
            )
    if switches.get("forget-bias-twice") == "b_f twice, gradient too":
        H = gradients["V"].shape[1]
        gradients["b"] = gradients["b"].copy()
        gradients["b"][H : 2 * H] *= 2
    if switches.get("hidden-bias-twice") == "gradient too":
        gradients["b"] = 2 * gradients["b"]
    return gradients


def scaled_loss(loss: float, T: int, switches: Switches) -> tuple[float, float]:
    """Return the loss as the mistakes in `switches` scale it, and the factor for every gradient.

    Such mistakes are a mean instead of a sum over the `T` steps or the reverse, a wrong base of the
    logarithm, and a wrong sign. Without them, the loss is unchanged and the factor is 1.
    """
    scale = -1.0 if "gradient-negated" in switches else 1.0
    mean, total = switches.get("mean-over-time"), switches.get("sum-over-time")
    if mean in ("both", "gradient"):
        scale /= T
    if mean in ("both", "loss"):
        loss /= T
    if total in ("both", "gradient"):
        scale *= T
    if total in ("both", "loss"):
        loss *= T
    base = switches.get("logarithm-base")
    if base is not None:
        number, _, both = base.partition(" ")
        loss /= math.log(float(number))
        scale /= math.log(float(number)) if both else 1
    return loss, scale


def divisors(gradients: Arrays, T: int) -> dict[str, int]:
    """Return the divisors that code with the mistake loss-divided may use, by the name of the variant."""
    K, H = gradients["V"].shape
    return {"K": K, "T K": T * K, "T T": T * T, "H": H, "T": T}


def divided_loss(loss: float, numbers: dict[str, int], switches: Switches) -> tuple[float, float]:
    """Return the loss as the mistake loss-divided changes it, and the factor for every gradient.

    `numbers` is the result of `divisors`. Without the mistake, the loss is unchanged and the factor is 1.
    """
    if "loss-divided" not in switches:
        return loss, 1.0
    size, _, where = switches["loss-divided"].rpartition(" ")
    divisor = numbers[size]
    return (
        loss if where == "gradient" else loss / divisor,
        1.0 if where == "loss" else 1 / divisor,
    )


def loss_scale(arrays: Arrays, T: int, switches: Switches) -> float:
    """Return the factor by which code with the mistakes in `switches` multiplies every gradient.

    `arrays` has an array for each parameter, and `T` is the number of steps.
    """
    return scaled_loss(0.0, T, switches)[1] * divided_loss(0.0, divisors(arrays, T), switches)[1]


def clipped(gradients: Arrays, switches: Switches) -> Arrays:
    """Return the gradients, clipped if `switches` has the mistake to clip the finished gradients.

    The variant of this mistake says what is limited: each entry of each gradient, the norm of all
    gradients together, or the norm of each gradient.
    """
    kind, _, limit = switches.get("clipped", "").partition(" ")
    if kind == "entries":
        low, high = bounds(switches["clipped"])
        return {name: np.clip(g, low, high) for name, g in gradients.items()}
    if kind not in ("norm", "norms"):
        return gradients
    squares = {name: float((g * g).sum()) for name, g in gradients.items()}
    whole = sum(squares.values())

    def factor(name: str) -> float:
        norm = math.sqrt(squares[name] if kind == "norms" else whole)
        return min(1.0, float(limit) / max(norm, 1e-300))

    return {name: g * factor(name) for name, g in gradients.items()}


def decayed(theta: Arrays, loss: float, gradients: Arrays, variant: str) -> tuple[float, Arrays]:
    """Return the loss and the gradients of code that adds weight decay to some parameters.

    `variant` has the decay λ and the names of these parameters, such as "λ = 0.1 in U, W, V and the
    loss". For each of them, λ times the parameter is added to its gradient. If `variant` also names
    the loss, λ / 2 times the sum of their squares is added to the loss.
    """
    decay, _, where = variant.removeprefix("λ = ").partition(" in ")
    rate, names = float(decay), [name for name in theta if name in re.findall(r"\b\w\b", where)]
    added = {name: gradients[name] + rate * theta[name] for name in names
             if gradients[name].shape == theta[name].shape}  # fmt: skip
    if "loss" in where:
        loss += rate / 2 * sum(float((theta[name] ** 2).sum()) for name in names)
    return loss, {**gradients, **added}
