"""Computes one step of each cell, forward and backward, as code with known mistakes would compute it.

Without mistakes the steps are exact (spec/mathematics.md: The cells). The argument `switches` of the
functions says which mistakes of `mistakes.py` are made. Shapes are those of `problem.py`.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.formula_values import formula
from charloom.diagnosis.limited_variants import BETWEEN
from charloom.diagnosis.peephole_weights import weights_of
from charloom.diagnosis.problem import Array, Arrays, Switches
from charloom.diagnosis.wrong_formulas import CARRY_AFTER, FORGET_OF_EARLIER, SLOPE_S

# Wrong formulas for the derivative of tanh, as functions of a, h = tanh(a) and the previous state.
TANH_DERIVATIVES: Final[dict[str, Callable[[Array, Array, Array], Array]]] = {
    "1 - h²": lambda _a, h, _prev: 1 - h * h,
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
    "1 - 2 h": lambda _a, h, _prev: 1 - 2 * h,
    "(1 - h²)²": lambda _a, h, _prev: (1 - h * h) ** 2,
    "h²": lambda _a, h, _prev: h * h,
    "1 - |h|": lambda _a, h, _prev: 1 - np.abs(h),
    "√(1 - h²)": lambda _a, h, _prev: np.sqrt(np.maximum(1 - h * h, 0)),
    "h": lambda _a, h, _prev: h,
    "2 (1 - h²)": lambda _a, h, _prev: 2 * (1 - h * h),
    "(1 - h²) / 2": lambda _a, h, _prev: (1 - h * h) / 2,
}

OF_TANH: Final = "1 - h²"  # the right derivative of tanh, wrong for another activation function

# Activation functions h = f(a), each with its derivative as a function of a and h.
ACTIVATIONS: Final[dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]]] = {
    "tanh": (np.tanh, lambda _a, h: 1 - h * h),
    "sigmoid": (lambda a: sigmoid(a), lambda _a, h: h * (1 - h)),
    "relu": (lambda a: np.maximum(a, 0), lambda a, _h: (a > 0).astype(a.dtype)),
    "identity": (lambda a: a, lambda _a, h: np.ones_like(h)),
}
SIGMOID_DERIVATIVES: Final[dict[str, Callable[[Array], Array]]] = {
    "1": lambda s: np.ones_like(s),
    "1 - σ²": lambda s: 1 - s * s,
    "σ": lambda s: s,
    "1 - σ": lambda s: 1 - s,
    "σ(σ) (1 - σ(σ))": lambda s: sigmoid(s) * (1 - sigmoid(s)),
    "σ (1 + σ)": lambda s: s * (1 + s),
    "(1 - σ)²": lambda s: (1 - s) ** 2,
    "σ² (1 - σ)²": lambda s: (s * (1 - s)) ** 2,
}
# The mistakes whose variant is a wrong equation (`wrong_formulas.py`).
LSTM_FORMULAS: Final = frozenset(
    f"{name}-gradient" for name in ("cell", "input-gate", "forget-gate", "candidate", "output-gate")
) | {"cell-carry"}
GRU_FORMULAS: Final = frozenset(
    (
        *("candidate-gradient", "update-gate-gradient", "reset-gate-gradient"),
        *("reset-product", "direct-carry"),
    )
)


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


def rnn_step(
    theta: Arrays, read: Array, prev: Arrays, switches: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Compute h = tanh(W h_prev + U x + b), where `read` is U x + b and `prev` has h_prev.

    Return the state after the step, and the arrays that `rnn_back` needs.
    """
    a = theta["W"] @ prev["h"] + read
    activation, _ = ACTIVATIONS[switches.get("activation-differs", "tanh")]
    return {"h": activation(a)}, (a,)


def rnn_back(
    theta: Arrays, step: Step, dh_above: Array, carried: Arrays, switches: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """Compute the gradients of one step of a plain RNN (spec/mathematics.md: The cells).

    `dh_above` is the gradient of h that the output contributes. `carried` has the gradient of each
    state that the next step contributes; dh is their sum for h. Return four values: first
    da = dh (1 - h²); second dr, which equals da; third dq (H,), which is zero; fourth the gradients
    of the states before the step.
    """
    (a,), h, prev = step.cache, step.state["h"], step.prev["h"]
    if "tanh-derivative-missing" in switches:
        slope = np.ones_like(h)
    elif "tanh-derivative" in switches:
        slope = TANH_DERIVATIVES[switches["tanh-derivative"]](a, h, prev)
    else:
        _, derivative = ACTIVATIONS[switches.get("activation-differs", "tanh")]
        slope = derivative(a, h)
    if "carry-after-derivative" in switches:
        dh = dh_above + carried["h"]
        da = dh_above * slope + carried["h"]
    else:
        dh = clipped_step(dh_above + carried["h"], switches)
        da = dh * slope
    back = recurrent_carry(
        "a", theta["W"], dh if "carry-without-derivative" in switches else da, switches
    )
    if "recurrent-carry" in switches:
        back = wrong_rnn_carry(switches["recurrent-carry"], theta["W"], dh, da, step, slope)
    if "carry-of-input" in switches:
        back = part_of_input(theta, da, switches["carry-of-input"])
    return da, da, np.zeros_like(h), {"h": accumulated(back, "h", carried, switches)}


def wrong_rnn_carry(
    equation: str, W: Array, dh: Array, da: Array, step: Step, slope: Array
) -> Array:
    """Return what a step of a plain RNN passes back as the wrong `equation` says (`RNN_CARRIES`)."""
    prev = step.prev["h"]
    earlier = 1 - prev * prev
    wrong = {
        "(Wᵀ dh_t) ∘ (1 - h_t²)": (W.T @ dh) * slope,
        "(Wᵀ da_t) ∘ (1 - h_t²)": (W.T @ da) * slope,
        "(Wᵀ da_t) ∘ (1 - h_{t-1}²)": (W.T @ da) * earlier,
        "Wᵀ (dh_t ∘ (1 - h_{t-1}²))": W.T @ (dh * earlier),
        "Wᵀ da_t + dh_t": W.T @ da + dh,
        "da_t": da,
        "-Wᵀ da_t": -W.T @ da,
        "2 Wᵀ da_t": 2 * W.T @ da,
    }
    return np.asarray(wrong[equation.partition(" = ")[2]])


def lstm_step(
    theta: Arrays, read: Array, prev: Arrays, switches: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Compute the gates i, f, g, o, then s = f s_prev + i g and h = o tanh(s).

    `read` is U x + b, and `prev` has h_prev and s_prev. Return the states after the step, and the
    arrays that `lstm_back` needs.
    """
    a = theta["W"] @ prev["h"] + read
    H = len(a) // 4
    p_i, p_f, p_o = peepholes(switches, H)
    if "peepholes" in switches:
        a[:H] += p_i * prev["cell"]
        a[H : 2 * H] += p_f * prev["cell"]
    activation, _ = ACTIVATIONS[switches.get("activation-differs", "tanh")]
    i, f, g = sigmoid(a[:H]), sigmoid(a[H : 2 * H]), activation(a[2 * H : 3 * H])
    f = 1 - i if "coupled-gates" in switches else f
    s = f * prev["cell"] + i * g
    a[3 * H :] += p_o * s
    o = sigmoid(a[3 * H :])
    tanh_s = s if "cell-tanh-missing" in switches else np.tanh(s)
    return {"h": o * tanh_s, "cell": s}, (a, i, f, g, o, tanh_s)


def lstm_back(
    theta: Arrays, step: Step, dh_above: Array, carried: Arrays, switches: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """Compute the gradients of one step of an LSTM (spec/mathematics.md: The cells).

    The arguments are those of `rnn_back`. Return four values: first da (4 H,), the gradients of the
    sums inside the gates i, f, g and o; second dr, which equals da; third dq (H,), which is zero;
    fourth the gradients of the states before the step.
    """
    a, i, f, g, o, tanh_s = step.cache
    s_prev, H = step.prev["cell"], len(i)
    before = np.zeros_like(s_prev) if step.first and "initial-cell-dropped" in switches else s_prev
    if "forget-gradient-from-current-cell" in switches:
        before = step.state["cell"]
    earlier = switches.get("tanh-of-previous-cell")
    slope_from = np.tanh(s_prev) if earlier in ("", "slope") else tanh_s
    dh = clipped_step(dh_above + carried["h"], switches)
    untouched = "cell-tanh-missing" in switches
    slope_s = np.ones_like(o) if untouched else tanh_slope(slope_from, "state", switches)
    slope_g = candidate_slope(a[2 * H : 3 * H], g, switches)
    values = {}
    if not LSTM_FORMULAS.isdisjoint(switches):
        values = lstm_values(step, dh_above, carried, dh)
        values |= {SLOPE_S: slope_s, "(1 - g_t²)": slope_g}
    later = (
        carried["cell"] * f if switches.get("cell-carry") == FORGET_OF_EARLIER else carried["cell"]
    )
    value = np.tanh(s_prev) if earlier in ("", "value") else tanh_s
    if "output-gradient-without-tanh" in switches:
        value = step.state["cell"]
    slope_o = sigmoid_slope(o, "o", switches)
    p_i, p_f, p_o = peepholes(switches, H)
    ds = formula("cell-gradient", later + dh * o * slope_s, values, switches)
    if values:
        values["ds"] = ds
    # The terms of the peepholes are added after the formulas, which do not have them.
    da_o = formula("output-gate-gradient", dh * value * slope_o, values, switches)
    ds = ds + da_o * p_o
    if values:
        values["ds"] = ds
    di, df = ds * g, ds * before
    if "coupled-gates" in switches:
        di, df = di - df, np.zeros_like(df)
    parts = [di, df, ds * i, dh * value]
    slopes = [sigmoid_slope(i, "i", switches), sigmoid_slope(f, "f", switches), slope_g]
    of_cell = [
        formula(f"{name}-gradient", part * slope, values, switches)
        for name, part, slope in zip(LSTM_GATES, parts, slopes, strict=False)
    ]
    da = np.concatenate([*of_cell, da_o])
    cell = ds if "forget-gate-not-carried" in switches else ds * f
    cell = cell * o if "cell-carry-times-output-gate" in switches else cell
    if switches.get("cell-carry") == FORGET_OF_EARLIER:
        cell = ds
    else:
        cell = formula("cell-carry", cell, values, switches)
    cell = cell + da[:H] * p_i + da[H : 2 * H] * p_f
    passed = without_derivative("ifgo", da, np.concatenate(parts), switches)
    back = recurrent_carry("ifgo", theta["W"], passed, switches)
    if "recurrent-carry" in switches:
        wrong = {"Wᵀ da_t + dh_t": back + dh, "-Wᵀ da_t": -back, "2 Wᵀ da_t": 2 * back}
        back = wrong[switches["recurrent-carry"].partition(" = ")[2]]
    if "carry-of-input" in switches:
        back = part_of_input(theta, da, switches["carry-of-input"])
    return (
        da,
        da,
        np.zeros_like(dh_above),
        {
            "h": accumulated(back, "h", carried, switches),
            "cell": accumulated(cell, "cell", carried, switches),
        },
    )


def part_of_input(theta: Arrays, da: Array, variant: str) -> Array:
    """Return the H numbers (H,) that code passes back if it takes the wrong end of a joined gradient.

    The gradient of [h, x] or [x, h], as `variant` says, has H + K numbers. The wrong end is that of x.
    """
    of_h, of_x = theta["W"].T @ da, theta["U"].T @ da
    H = len(of_h)
    return (
        np.concatenate([of_h, of_x])[-H:]
        if variant == "[h, x]"
        else np.concatenate([of_x, of_h])[:H]
    )


LSTM_GATES: Final = ("input-gate", "forget-gate", "candidate")  # the gates that receive ds


def lstm_values(step: Step, above: Array, carried: Arrays, dh: Array) -> Arrays:
    """Return the values of the names in the wrong equations of an LSTM (`wrong_formulas.py`)."""
    a, i, f, g, o, tanh_s = step.cache
    a_i, a_f, a_g, a_o = np.split(a, 4)
    s_prev = step.prev["cell"]
    return {
        "i_t": i, "f_t": f, "g_t": g, "o_t": o, "s_t": step.state["cell"], "s_{t-1}": s_prev,
        "h_t": step.state["h"], "h_{t-1}": step.prev["h"], "tanh(s_t)": tanh_s,
        "tanh(s_{t-1})": np.tanh(s_prev), "a_i": a_i, "a_f": a_f, "a_g": a_g, "a_o": a_o,
        "dh_t": dh, "ds_t": carried["cell"], "Vᵀ do_t": above,
    }  # fmt: skip


def without_derivative(gates: str, da: Array, parts: Array, switches: Switches) -> Array:
    """Return the gradients of the gates that are multiplied by Wᵀ.

    Without mistakes these are `da`. With the mistake carry-without-derivative, they are those before the
    multiplication by the derivative of σ or tanh, `parts`, in all gates or in some.
    """
    if "carry-without-derivative" not in switches:
        return da
    where = switches["carry-without-derivative"]
    found = da.copy()
    H = len(da) // len(gates)
    for place, gate in enumerate(gates):
        if where == "" or gate in where.split(BETWEEN):
            found[place * H : (place + 1) * H] = parts[place * H : (place + 1) * H]
    return found


def peepholes(switches: Switches, H: int) -> tuple[Array, Array, Array]:
    """Return the peephole weights (H,) of the gates i, f and o of an LSTM; zeros if it has none."""
    return weights_of(switches.get("peepholes", "0, 0, 0"), H)


def gru_step(
    theta: Arrays, read: Array, prev: Arrays, switches: Switches
) -> tuple[Arrays, tuple[Array, ...]]:
    """Compute the gates r and z, the candidate n, and h = (1 - z) n + z h_prev.

    `read` is U x + b, and `prev` has h_prev. Without mistakes, the reset gate r multiplies
    W_n h_prev + d, not h_prev alone. Return the state after the step, and the arrays that `gru_back`
    needs.
    """
    W, H, h_prev = theta["W"], len(prev["h"]), prev["h"]
    gates = sigmoid(W[: 2 * H] @ h_prev + read[: 2 * H])
    r, z = gates[:H], gates[H:]
    reset = switches.get("reset-before-product")
    if reset == "product":
        q = W[2 * H :] @ (r * h_prev) + theta["d"]
        a = read[2 * H :] + q
    elif reset == "bias":
        q = W[2 * H :] @ h_prev
        a = read[2 * H :] + r * q + theta["d"]
    else:
        q = W[2 * H :] @ h_prev + theta["d"]
        a = read[2 * H :] + r * q
    n = ACTIVATIONS[switches.get("activation-differs", "tanh")][0](a)
    h = z * n + (1 - z) * h_prev if "update-gate-reversed" in switches else (1 - z) * n + z * h_prev
    return {"h": h}, (a, r, z, n, q)


def gru_back(
    theta: Arrays, step: Step, dh_above: Array, carried: Arrays, switches: Switches
) -> tuple[Array, Array, Array, Arrays]:
    """Compute the gradients of one step of a GRU (spec/mathematics.md: The cells).

    The arguments are those of `rnn_back`. Return four values: first da (3 H,), the gradients of the
    sums inside r, z and n; second dr (3 H,), the gradients of the three parts of W h_prev; third dq
    (H,), the gradient for the bias d; fourth the gradients of the states before the step.
    """
    a, r, z, n, q = step.cache
    W, h_prev, H = theta["W"], step.prev["h"], len(dh_above)
    dh = clipped_step(dh_above + carried["h"], switches)
    reversed_ = "update-gate-reversed" in switches
    keep = 1 - z if reversed_ else z  # the factor of the old state
    slope_n, slope_r = candidate_slope(a, n, switches), sigmoid_slope(r, "r", switches)
    slope_z = sigmoid_slope(z, "z", switches)
    values = {}
    if not GRU_FORMULAS.isdisjoint(switches):
        values = gru_values(step, dh_above, dh)
        values |= {"z_t": keep, "(1 - n_t²)": slope_n, "d": theta["d"]}
    part_n, part_z = dh * (1 - keep), dh * (h_prev - n)
    da_n = formula("candidate-gradient", part_n * slope_n, values, switches)
    da_z = formula("update-gate-gradient", part_z * slope_z, values, switches)
    part_z, da_z = (-part_z, -da_z) if reversed_ else (part_z, da_z)
    reset = switches.get("reset-before-product")
    unreset = switches.get("reset-gate-not-in-gradient", "none")
    if values:
        through = W[2 * H :].T
        values |= {
            "da_n": da_n, "dq": da_n * r, "W_nᵀ da_n": through @ da_n,
            "W_nᵀ dh_t": through @ dh, "W_nᵀ (dh_t ∘ (1 - z_t))": through @ part_n,
        }  # fmt: skip
    carried_n = without_derivative("n", da_n, part_n, switches)
    if reset == "product":
        part_r = recurrent_carry("n", W[2 * H :], carried_n, without(switches, "gate-not-carried"))
        through_n = recurrent_carry("n", W[2 * H :], carried_n, switches)
        if unreset not in ("", "carry"):
            through_n = formula(
                "reset-product", through_n * r, values | {"da_n": through_n}, switches
            )
        dq, dr_n = da_n, da_n
        part_r = part_r * h_prev
    else:
        part_r = da_n * q
        dr_n = da_n if unreset == "" else formula("reset-product", da_n * r, values, switches)
        dq = da_n if reset == "bias" or "d" in unreset.split(", ") else dr_n
        passed = da_n if unreset in ("", "carry") else carried_n * r
        passed = dr_n if "reset-product" in switches else passed
        through_n = recurrent_carry("n", W[2 * H :], passed, switches)
    da_r = formula("reset-gate-gradient", part_r * slope_r, values, switches)
    da = np.concatenate([da_r, da_z, da_n])
    passed = without_derivative("rz", da[: 2 * H], np.concatenate([part_r, part_z]), switches)
    back = recurrent_carry("rz", W[: 2 * H], passed, switches) + through_n
    if switches.get("time-carry-missing") == "gates":
        back = np.zeros_like(back)
    if switches.get("time-carry-missing") != "direct":
        back = back + direct_part(dh * keep, values, switches)
    carry = {"h": accumulated(back, "h", carried, switches)}
    return da, np.concatenate([da_r, da_z, dr_n]), dq, carry


CARRY_MISTAKES: Final = frozenset(
    ("gate-not-carried", "carry-not-transposed", "carry-of-other-gate")
)


def without(switches: Switches, name: str) -> Switches:
    """Return the mistakes in `switches` except the one with the id `name`."""
    return {other: variant for other, variant in switches.items() if other != name}


def direct_part(right: Array, values: Arrays, switches: Switches) -> Array:
    """Return what a step of a GRU passes back without its gates, or what the wrong equation says."""
    if "direct-carry" not in switches:
        return right
    equation = switches["direct-carry"].removesuffix(CARRY_AFTER)
    return formula("direct-carry", right, values, {"direct-carry": equation})


def gru_values(step: Step, above: Array, dh: Array) -> Arrays:
    """Return the values of the names in the wrong equations of a GRU (`wrong_formulas.py`)."""
    a, r, _, n, q = step.cache
    return {
        "r_t": r, "n_t": n, "q_t": q, "h_t": step.state["h"], "h_{t-1}": step.prev["h"],
        "a_n": a, "dh_t": dh, "Vᵀ do_t": above,
    }  # fmt: skip


def recurrent_carry(gates: str, W: Array, da: Array, switches: Switches) -> Array:
    """Return Wᵀ da (H,), the gradient of h_prev through the gates whose rows of W are given.

    `gates` has the letters of these gates. The mistakes in `switches` can leave out a gate, or multiply
    by the rows of each gate instead of their transpose.
    """
    if CARRY_MISTAKES.isdisjoint(switches):
        return np.asarray(W.T @ da)
    if "carry-of-other-gate" in switches:
        first, _, second = switches["carry-of-other-gate"].partition(" and ")
        swapped = {first: second, second: first}
        blocks = dict(zip(gates, np.split(da, len(gates)), strict=True))
        if first in blocks and second in blocks:
            da = np.concatenate([blocks[swapped.get(gate, gate)] for gate in gates])
    total = np.zeros(W.shape[1])
    for gate, rows, part in zip(
        gates, np.split(W, len(gates)), np.split(da, len(gates)), strict=True
    ):
        if gate not in switches.get("gate-not-carried", ""):
            total += (rows if "carry-not-transposed" in switches else rows.T) @ part
    return total


def accumulated(back: Array, state: str, carried: Arrays, switches: Switches) -> Array:
    """Return `back`, what a step passes back to the state named `state` of the step before.

    With the mistake carry-accumulated, what the step itself received is added.
    """
    return back + carried[state] if switches.get("carry-accumulated") in ("", state) else back


# For each cell, the function that computes one step of the forward pass.
STEP_FORWARD: Final = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}
# For each cell, the function that computes one step of the backward pass.
STEP_BACKWARD: Final = {"rnn": rnn_back, "lstm": lstm_back, "gru": gru_back}


def tanh_slope(h: Array, place: str, switches: Switches) -> Array:
    """Return the derivative of tanh in an LSTM or a GRU, computed from tanh's value `h`.

    Without mistakes it is 1 - h². The mistakes in `switches` can change this formula. `place` says
    where the cell uses tanh: "candidate" or "state".
    """
    if switches.get("tanh-derivative-missing") in ("", place):
        return np.ones_like(h)
    for variant in switches.get("tanh-derivative", "").split(BETWEEN):
        wrong, _, where = variant.partition(", ")
        if wrong and where in ("", place):
            return np.asarray(TANH_DERIVATIVES[wrong](h, h, h))
    return 1 - h * h


def candidate_slope(a: Array, g: Array, switches: Switches) -> Array:
    """Return the derivative of the candidate `g` of an LSTM or a GRU with respect to its sum `a`."""
    if "activation-differs" in switches and switches.get("tanh-derivative") != OF_TANH:
        return np.asarray(ACTIVATIONS[switches["activation-differs"]][1](a, g))
    return tanh_slope(g, "candidate", switches)


def sigmoid_slope(s: Array, gate: str, switches: Switches) -> Array:
    """Return the derivative of the sigmoid of the gate `gate`, computed from the gate's value `s`.

    Without mistakes it is s (1 - s). The mistakes in `switches` can change this formula, in all gates or
    in one.
    """
    for variant in switches.get("sigmoid-derivative", "").split(BETWEEN):
        wrong, _, where = variant.partition(", ")
        if wrong and where in ("", gate):
            return np.asarray(SIGMOID_DERIVATIVES[wrong](s))
    return np.asarray(s * (1 - s))


def clipped_step(dh: Array, switches: Switches) -> Array:
    """Return the gradient `dh`, with each entry clipped if `switches` has the mistake to clip each step."""
    kind, _, limit = switches.get("clipped", "").partition(" ")
    return np.clip(dh, -float(limit), float(limit)) if kind == "steps" else dh


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))


def reorder_gates(array: Array, order: str, wanted: str) -> Array:
    """Return a copy of `array` with its blocks of rows, one per gate, in the order `wanted`.

    `order` is the order of the gates in `array`, such as "ifgo".
    """
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])
