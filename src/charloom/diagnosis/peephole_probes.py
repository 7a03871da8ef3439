"""Finds constants in the gates of an LSTM: peephole weights, and a constant beside the forget bias.

A gate with a peephole also reads the cell: i = σ(… + p_i ∘ s_prev), f = σ(… + p_f ∘ s_prev) and
o = σ(… + p_o ∘ s) (Gers, Schraudolph and Schmidhuber 2002). The doctor passes no peephole weights, so they
are constants of the code. In a few windows of one or two steps, W, V and all biases are zero and U sets each gate.
Then dV shows the hidden states, and from them the constants follow exactly. This module only computes
them; `networks.py` decides by the losses of all trials whether they are right.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.peephole_weights import SEPARATOR
from charloom.diagnosis.problem import Array, Problem
from charloom.diagnosis.trials import Trial

OPEN: Final = 40.0  # the sum inside a gate that is 1 in float64
CANDIDATES: Final = (0.8, -0.6)  # the sums inside the candidate of the first step
INPUT: Final = 1.0  # the sum inside the gate i of the first step, without a peephole
TESTED: Final = 0.5  # the sum inside a gate whose constants are computed, without them
PROBES: Final = 6  # number of probes for each number of units
ZERO: Final = 1e-8  # smaller constants count as zero
DIGITS: Final = 13  # significant digits of a constant


class Constants(NamedTuple):
    """The constants in the gates of an LSTM with H units.

    Attributes:
        i, f, o: the peephole weights of the gates, (H,).
        forget: the constant beside the bias of the forget gate.
    """

    i: Array
    f: Array
    o: Array
    forget: float


def probe_problems(trials: Sequence[Trial]) -> list[Problem]:
    """Return the problems that show the constants of an LSTM: six for each number of units of the trials.

    There are none for other cells.
    """
    lstm = [trial for trial in trials if trial.problem.cell == "lstm"]
    by_units = {trial.info.hidden_size: trial.problem for trial in lstm}
    return [
        probe_problem(problem, tested, candidate)
        for problem in by_units.values()
        for tested in "ofi"
        for candidate in CANDIDATES
    ]


def probe_problem(like: Problem, tested: str, candidate: float) -> Problem:
    """Return a window whose last step shows the gate `tested`: one step for "o", two steps for "f" and "i".

    It has the sizes of the problem `like`. The first step reads the character 0.
    """
    H = like.parameters["W"].shape[1]
    parameters = {name: np.zeros_like(p) for name, p in like.parameters.items()}
    first = {"i": INPUT, "f": 0.0, "g": candidate, "o": TESTED}
    second = {
        "o": {},
        "f": {"i": 0.0, "f": TESTED, "g": 0.0, "o": OPEN},
        "i": {"i": TESTED, "f": -OPEN, "g": OPEN, "o": OPEN},
    }[tested]
    steps = [sums for sums in (first, second) if sums]
    for column, sums in enumerate(steps):
        parameters["U"][:, column] = np.repeat(list(sums.values()), H)
    ids = np.arange(len(steps))
    state = {name: np.zeros_like(s) for name, s in like.state.items()}
    return Problem(like.cell, parameters, ids, ids.copy(), state)


def constants_seen(calls: Sequence[Call], trials: Sequence[Trial]) -> list[Found]:
    """Return the differences that the calls on `probe_problems` show: peepholes, and a forget bias.

    The list is empty if they show neither, or nothing that fits.
    """
    units = list(dict.fromkeys(trial.info.hidden_size for trial in trials))
    if len(calls) != PROBES * len(units):
        return []
    with np.errstate(all="ignore"):
        found = {H: constants(calls[PROBES * n : PROBES * (n + 1)]) for n, H in enumerate(units)}
    known = {H: one for H, one in found.items() if one is not None}
    if len(known) < len(units):
        return []
    seen = []
    if any(np.abs(weights).max() > ZERO for one in known.values() for weights in one[:3]):
        seen.append(Found("peepholes", variant_of(known)))
    forget = [one.forget for one in known.values()]
    if max(forget) - min(forget) <= ZERO < abs(forget[0]) and rounded(forget[0]) != 1:
        seen.append(Found("forget-bias-twice", f"{rounded(forget[0])!r} added"))
    return seen


def constants(calls: Sequence[Call]) -> Constants | None:
    """Return the constants that the probes of one number of units show; None if nothing fits."""
    states = [last_hidden_state(call, n // 2 > 0) for n, call in enumerate(calls)]
    if any(one is None for one in states):
        return None
    o1, o2, f1, f2, i1, i2 = (one for one in states if one is not None)
    cells = [sigmoid(INPUT) * np.tanh(candidate) for candidate in CANDIDATES]
    sums_o = [logit(h / np.tanh(s)) for h, s in zip((o1, o2), cells, strict=True)]
    sums_f = [logit(np.arctanh(h) / s) for h, s in zip((f1, f2), cells, strict=True)]
    sums_i = [logit(np.arctanh(h)) for h in (i1, i2)]
    weights, left = {}, {}
    for gate, (one, two) in zip("ifo", (sums_i, sums_f, sums_o), strict=True):
        weights[gate] = (one - two) / (cells[0] - cells[1])
        left[gate] = one - TESTED - weights[gate] * cells[0]
    forget = float(np.mean(left["f"]))
    rest = np.concatenate([left["i"], left["o"], left["f"] - forget])
    if not np.abs(rest).max() <= ZERO or not all(np.isfinite(w).all() for w in weights.values()):
        return None
    return Constants(weights["i"], weights["f"], weights["o"], forget)


def last_hidden_state(call: Call, two_steps: bool) -> Array | None:
    """Return the hidden state of the last step of a probe, from dV; None if dV has another shape.

    All logits are equal, so do is 1 / K minus 1 at the target. dc shows a factor of all gradients. The loss
    of the first of two steps may not count.
    """
    V, c = call.gradients["V"], call.gradients["c"]
    if V.ndim != 2 or c.shape != V.shape[:1]:
        return None
    K = len(c)
    target, other = 1 / K - 1, 1 / K
    last = 1 if two_steps else 0
    if not two_steps or np.allclose(V[0] * target, V[1] * other, rtol=ZERO, atol=0):
        return np.asarray(V[last] / (c[last] if c[last] else target))
    factor = c[0] / (target + other) if c[0] else 1.0
    both = np.linalg.solve(np.array([[target, other], [other, target]]), V[:2] / factor)
    return np.asarray(both[1])


def variant_of(found: dict[int, Constants]) -> str:
    """Return the variant of the mistake "peepholes" with these weights, by the number of units.

    If all weights of each gate are equal, it has three numbers, such as "0.3, -0.2, 0.5" for i, f and o.
    """
    gates = [np.concatenate([one[n] for one in found.values()]) for n in range(3)]
    if all(np.ptp(weights) <= ZERO for weights in gates):
        return ", ".join(repr(rounded(weights[0])) for weights in gates)
    return SEPARATOR.join(
        f"{H}: " + ", ".join(" ".join(repr(rounded(w)) for w in weights) for weights in one[:3])
        for H, one in found.items()
    )


def rounded(number: float) -> float:
    """Return a number with `DIGITS` significant digits; 0 if it counts as zero."""
    return float(f"{number:.{DIGITS}g}") if abs(number) > ZERO else 0.0


def sigmoid(a: float) -> float:
    """Return 1 / (1 + exp(-a))."""
    return float(1 / (1 + np.exp(-a)))


def logit(p: Array) -> Array:
    """Return the sum inside a gate with the value `p`."""
    return np.asarray(np.log(p) - np.log1p(-p))
