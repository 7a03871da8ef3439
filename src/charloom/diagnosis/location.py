"""Finds where a wrong gradient goes wrong: which blocks are wrong, and at which gates, steps and sums.

The blocks are found in all trials. The places where the mistakes are made are found in the trial
"separate steps", with the function's own gradients of the steps (`step_gradients.py`): so several
mistakes are found independently of one another. A known mistake that explains a place alone gives it a
name.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.blocks import Block, blocks_of
from charloom.diagnosis.case import ZERO, Case, distance
from charloom.diagnosis.clipping_limits import Limits, limits_of
from charloom.diagnosis.explanation import candidates
from charloom.diagnosis.faulty_cells import STEP_BACKWARD
from charloom.diagnosis.faulty_gradients import loss_scale
from charloom.diagnosis.faulty_network import backward, logits
from charloom.diagnosis.faulty_output import output
from charloom.diagnosis.faulty_sums import StepGradients, sums
from charloom.diagnosis.fitted_constants import explains_more
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.places import Location, Place
from charloom.diagnosis.problem import Array, Arrays, Problem, Switches
from charloom.diagnosis.step_gradients import (
    LIMIT,
    LIMIT32,
    Forward,
    Judged,
    agree_on_received,
    judged,
    near,
)

EMPTY: Final[Switches] = {}


def location_of(case: Case, problem: Problem | None, call: Call | None) -> Location:
    """Return where the gradients are wrong.

    `problem` is that of the trial "separate steps", and `call` the function's result; both are None if
    there is no such trial. Then only the blocks are found.
    """
    limits = limits_of(case.calls)
    wrong, right = wrong_and_right_blocks(case, limits)
    if problem is None or call is None or not call.is_finite() or not wrong:
        return Location(wrong, right, ())
    if any(call.gradients[n].shape != p.shape for n, p in problem.parameters.items()):
        return Location(wrong, right, ())
    hidden = limits.clips_entries(call.gradients, ("U", "W")) or limits.scaled(call.gradients)
    if hidden:  # then the gradients of the steps are not known
        return Location(wrong, right, ())
    with np.errstate(all="ignore"):
        places = Places(case, problem, call)
        return Location(wrong, right, tuple(places.all(right)), places.errors())


def wrong_and_right_blocks(
    case: Case, limits: Limits
) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """Return the blocks that are wrong in some usable trial, and those that are right in all of them.

    `limits` are those to which the gradients are clipped. Trials whose gradients are scaled down to a
    norm are left out, if there are others.
    """
    wrong: dict[Block, bool] = {}
    whole = [n for n in case.usable if not limits.clips_norm(case.calls[n].gradients)]
    for place in whole or case.usable:
        given, exact = case.calls[place].gradients, case.exact[place].gradients
        size = float(np.sqrt(sum(float(np.vdot(g, g)) for g in exact.values())))
        shrunk = limits.shrunk(exact)
        for block, rows in blocks_of(case.cell, exact):
            name = block.parameter
            same = given[name].shape == exact[name].shape
            wanted = shrunk[name][rows]
            far = distance(given[name][rows], wanted, ZERO * size) if same else 1.0
            wrong[block] = wrong.get(block, False) or not far <= case.limits[place][name]
    return tuple(b for b, bad in wrong.items() if bad), tuple(
        b for b, bad in wrong.items() if not bad
    )


class Places:
    """The places in the backward pass at which a function makes a mistake, in one trial.

    Attributes:
        x, y: the ids, (T,).
        given: the function's gradients.
        switches: the differences of the function's network.
        forward: the forward pass of this network.
        o, do: the logits, and the right gradients of the logits, (T, K).
        known: the mistakes that may explain a place.
        do_used, hidden: the gradients of the logits, and the judged steps, that the code has most likely.
    """

    def __init__(self, case: Case, problem: Problem, call: Call) -> None:
        self.limits = limits_of(case.calls)
        self.x, self.y, self.given = problem.x, problem.y, call.gradients
        self.switches = {one.id: one.variant for one in case.network}
        theta, steps, self.o = logits(problem, self.switches)
        self.forward = Forward(problem.cell, theta, steps, self.switches)
        self.scale = loss_scale(problem.parameters, len(problem.x), self.switches)
        self.scale /= len(problem.x) if case.reduction == "mean" else 1
        self.do = self.output({})
        if self.limits.clips_norm(self.given):
            self.given = self.without_scaling(np.array([step.state["h"] for step in steps]))
        self.h = np.array([step.state["h"] for step in steps])
        self.h_prev = np.array([step.prev["h"] for step in steps])
        self.known = list(candidates(case))
        self.limit = LIMIT32 if case.single else LIMIT
        self.do_used, self.hidden = self.likeliest()

    def output(self, switches: Switches) -> Array:
        """Return the gradients of the logits (T, K) of code with further mistakes."""
        _, do = output(self.o, self.x, self.y, self.o.shape[1], {**self.switches, **switches})
        return do * self.scale

    def without_scaling(self, h: Array) -> Arrays:
        """Return the function's gradients, multiplied so that dV is right: clipping scales all in the same way."""
        right = self.do.T @ h
        factor = float(np.vdot(right, self.given["V"])) / float(np.vdot(right, right))
        return {name: g / factor for name, g in self.given.items()} if factor > 0 else self.given

    def all(self, right: Sequence[Block] = ()) -> list[Place]:
        """Return the places at which a mistake is made: the logits, then the steps, then the sums.

        A sum whose blocks are in `right` is left out.
        """
        found = self.places_of(self.do_used, self.hidden)
        return [place for place in found if not place_is_right(place, right)]

    def likeliest(self) -> tuple[Array, Judged]:
        """Return the gradients of the logits, and the judged steps, that leave the fewest places wrong.

        The gradients of the logits are those that dV shows, or the right ones. The gradients of the steps
        are those that dU or dW shows, or the right ones: then dU and dW are wrong sums.
        """
        pairs = [
            (do, judged(self.forward, da, do @ self.forward.theta["V"]))
            for do in self.logit_gradients()
            for da in self.step_gradients(do)
        ]
        return min(pairs, key=lambda pair: self.number_of_places(*pair))

    def number_of_places(self, do: Array, hidden: Judged) -> int:
        """Return how many logits, gates and blocks of sums are wrong with these gradients of the steps."""
        gates = sum(bool(steps) for steps in self.wrong_gates(hidden).values())
        sums = sum(map(len, self.wrong_sums(hidden, do).values()))
        return bool(self.wrong_logits(do)) + gates + sums

    def places_of(self, do: Array, hidden: Judged) -> Iterator[Place]:
        """Yield the places for these gradients of the logits and of the steps."""
        wrong = self.wrong_logits(do)
        if wrong:
            yield Place("logits", (), steps_from_1(wrong), len(self.x), self.name_of_logits(do))
        yield from self.of_steps(hidden)
        yield from self.of_sums(hidden, do)

    def errors(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """Return the relative error of each step's gradients, compared with those that follow (`Location`)."""
        found = {"do": relative_errors(self.do_used, self.do)}
        for gate in self.forward.gates:
            rows = self.forward.rows(gate)
            name = f"da_{gate}" if len(self.forward.gates) > 1 else "da"
            found[name] = relative_errors(self.hidden.da[:, rows], self.hidden.expected[:, rows])
        return tuple(found.items())

    def logit_gradients(self) -> list[Array]:
        """Return the right gradients of the logits (T, K), and those that dV shows, if dV and dc agree.

        dV must be a sum over the steps, and dc the sum of the same gradients.
        """
        if self.limits.clips_entries(self.given, ("V", "c")):
            return [self.do]
        shown, given = self.shown_logits(), self.given["V"]
        size = float(np.abs(self.do).max())
        follows = near(given, shown.T @ self.h, self.limit, float(np.abs(given).max()))
        agrees = near(self.given["c"], shown.sum(axis=0), self.limit, size)
        return [shown, self.do] if follows and agrees else [self.do]

    def wrong_logits(self, do: Array) -> tuple[int, ...]:
        """Return the steps (from 0) at which the gradients of the logits `do` are wrong."""
        size = float(np.abs(self.do).max())
        steps = range(len(do))
        return tuple(t for t in steps if not near(do[t], self.do[t], self.limit, size))

    def shown_logits(self) -> Array:
        """Return the gradients of the logits (T, K) that dV shows, if it is a sum over the steps."""
        return np.asarray(np.linalg.lstsq(self.h.T, self.given["V"].T, rcond=None)[0])

    def name_of_logits(self, shown: Array) -> Found | None:
        """Return the mistake that explains the gradients of the logits; None if no known one does."""
        size = float(np.abs(shown).max())
        for one in self.known:
            predicted = self.output({one.id: one.variant})
            if self.explains(shown, predicted, self.do, size):
                return one
        return None

    def step_gradients(self, do: Array) -> list[Array]:
        """Return the gradients of the steps (T, G·H) that the code may have: from dU, from dW, or right ones."""
        shown = [self.given["U"][:, self.x].T]
        if self.forward.cell != "gru":
            found = np.linalg.lstsq(self.h_prev.T, self.given["W"].T, rcond=None)[0]
            shown.append(np.asarray(found))
        theta, steps = self.forward.theta, self.forward.steps
        right, _, _ = backward(self.forward.cell, theta, steps, do @ theta["V"], self.switches)
        return [*shown, right]

    def wrong_gates(self, hidden: Judged) -> dict[str, tuple[int, ...]]:
        """Return the steps (from 0) at which the gradient of each gate does not follow.

        A gate whose gradient is zero at a step, as that of f is if the cell starts from zero, shows nothing there. If it
        is wrong at other steps, it counts as wrong there too where another gate is.
        """
        found = {
            gate: hidden.wrong_steps(self.forward.rows(gate), self.limit)
            for gate in self.forward.gates
        }
        every = sorted({t for steps in found.values() for t in steps})
        return {
            gate: tuple(
                t for t in every if t in steps or hidden.is_zero(t, self.forward.rows(gate))
            )
            if steps
            else ()
            for gate, steps in found.items()
        }

    def of_steps(self, hidden: Judged) -> Iterator[Place]:
        """Yield the places within the steps: the gates, with the steps at which each is wrong.

        Gates that are wrong at the same steps share a place, because the gradient that all of them
        receive is wrong then.
        """
        T = len(self.x)
        by_steps: dict[tuple[int, ...], list[str]] = {}
        for gate, steps in self.wrong_gates(hidden).items():
            if steps:
                by_steps.setdefault(steps, []).append(gate)
        for steps, gates in by_steps.items():
            shared_value = all(agree_on_received(self.forward, hidden.da, t, gates) for t in steps)
            kind, shared = kind_of_step(self.forward.cell, gates, steps, T, shared_value)
            name = self.name_of_step(hidden, gates, steps)
            yield Place(kind, shared, steps_from_1(steps), T, name)

    def name_of_step(
        self, hidden: Judged, gates: Sequence[str], steps: Sequence[int]
    ) -> Found | None:
        """Return the mistake that explains the gradients of these gates at these steps; None if none does."""
        rows = [self.forward.rows(gate) for gate in gates]
        size = float(np.abs(hidden.expected).max())
        for one in self.known:
            switches = {**self.switches, one.id: one.variant}
            if all(
                any(
                    all(
                        self.explains(hidden.da[t, r], da[r], hidden.expected[t, r], size)
                        for r in rows
                        if not hidden.is_zero(t, r)
                    )
                    for da in self.with_mistake(hidden, t, switches)
                )
                for t in steps
            ):
                return one
        return None

    def explains(self, given: Array, predicted: Array, right: Array, size: float) -> bool:
        """Return True if `predicted` is nearly `given`, and much nearer to it than `right` is."""
        if given.shape != predicted.shape or not near(given, predicted, self.limit, size):
            return False
        far = float(np.linalg.norm(given - right))
        return explains_more(float(np.linalg.norm(given - predicted)), far, 0.0)

    def with_mistake(self, hidden: Judged, t: int, switches: Switches) -> Iterator[Array]:
        """Yield the gradients of step t that code with the mistakes in `switches` may compute.

        The mistake may be in the step, or in what the step after it passes back.
        """
        back, theta, steps = (
            STEP_BACKWARD[self.forward.cell],
            self.forward.theta,
            self.forward.steps,
        )
        yield back(theta, steps[t], hidden.above[t], hidden.received[t], switches)[0]
        if t + 1 < len(steps):
            later = back(theta, steps[t + 1], hidden.above[t + 1], hidden.received[t + 1], switches)
            carried = dropped(later[3], switches.get("time-carry-missing"))
            yield back(theta, steps[t], hidden.above[t], carried, switches)[0]

    def of_sums(self, hidden: Judged, do: Array) -> Iterator[Place]:
        """Yield the gradients that do not follow from the function's own gradients of the steps."""
        for name, gates in self.wrong_sums(hidden, do).items():
            found = self.name_of_sum(hidden, do, name)
            yield Place(f"d{name}", tuple(g for g in gates if g), (), len(self.x), found)

    def wrong_sums(self, hidden: Judged, do: Array) -> dict[str, list[str]]:
        """Return the gates of the blocks of each gradient that do not follow from the steps; "" without gates."""
        found: dict[str, list[str]] = {}
        for name, wanted in self.sums(hidden, do, EMPTY).items():
            given = self.given[name]
            size = float(np.abs(wanted).max(initial=0.0))
            for block, rows in blocks_of(self.forward.cell, {name: wanted}):
                if not near(given[rows], wanted[rows], self.limit, size):
                    found.setdefault(name, []).append(block.gate)
        return found

    def sums(self, hidden: Judged, do: Array, switches: Switches) -> Arrays:
        """Return the gradients that follow from the gradients of the steps, with further mistakes."""
        da, dr, dq = hidden.da, hidden.da, np.zeros_like(self.h)
        if self.forward.cell == "gru":
            dr, dq = self.recurrent_parts(hidden.da)
        found = sums(
            self.forward.cell,
            self.forward.theta,
            (self.x, self.y),
            self.forward.steps,
            StepGradients(da, dr, dq, do),
            {**self.switches, **switches},
        )
        return {name: self.limits.clipped(g) for name, g in found.items()}

    def recurrent_parts(self, da: Array) -> tuple[Array, Array]:
        """Return dr (T, 3 H) and dq (T, H) of a GRU that follow from its gradients `da` of the steps."""
        rows = self.forward.rows("n")
        reset = np.array([step.cache[1] for step in self.forward.steps])
        kind = self.switches.get("reset-before-product")
        dr = da.copy()
        if kind != "product":
            dr[:, rows] = da[:, rows] * reset
        return dr, da[:, rows] if kind else dr[:, rows]

    def name_of_sum(self, hidden: Judged, do: Array, name: str) -> Found | None:
        """Return the mistake that explains the gradient of the parameter `name`; None if none does."""
        given = self.given[name]
        size = float(np.abs(given).max(initial=0.0))
        right = self.sums(hidden, do, EMPTY)[name]
        for one in self.known:
            predicted = self.sums(hidden, do, {one.id: one.variant})[name]
            if TRANSPOSED.get(name) == one.id:
                predicted = predicted.T
            if self.explains(given, predicted, right, size):
                return one
        factor = float(np.vdot(given, right)) / max(float(np.vdot(right, right)), 1e-300)
        if near(given, factor * right, self.limit, size):
            return Found("gradient-scaled", f"{factor:.12g} d{name}")
        return None


# For each matrix, the mistake of returning its gradient transposed.
TRANSPOSED: Final = {
    "U": "input-gradient-transposed",
    "W": "recurrent-gradient-transposed",
    "V": "output-gradient-transposed",
}


def relative_errors(given: Array, wanted: Array) -> tuple[float, ...]:
    """Return the norm-relative error of each row of `given`, compared with the row of `wanted`."""
    size = float(np.abs(wanted).max(initial=0.0))
    return tuple(distance(a, b, ZERO * size) for a, b in zip(given, wanted, strict=True))


def dropped(carried: Mapping[str, Array], missing: str | None) -> Arrays:
    """Return the carried gradients, with zeros for those that the mistake time-carry-missing drops."""
    return {name: np.zeros_like(g) if missing in ("", name) else g for name, g in carried.items()}


def steps_from_1(steps: Sequence[int]) -> tuple[int, ...]:
    """Return steps counted from 0 as steps counted from 1."""
    return tuple(t + 1 for t in steps)


def place_is_right(place: Place, right: Sequence[Block]) -> bool:
    """Return True if a place is a sum all of whose blocks are right in every trial."""
    if not place.kind.startswith("d") or place.kind in ("dh", "ds"):
        return False
    return all(Block(place.kind[1:], gate) in right for gate in place.gates or ("",))


def kind_of_step(
    cell: str, gates: Sequence[str], steps: Sequence[int], T: int, shared_value: bool
) -> tuple[str, tuple[str, ...]]:
    """Return what is wrong within the steps: "dh", "ds" or "gates", and the gates if they are wrong alone.

    `shared_value` says whether the gates show the same value of what they receive; otherwise the gates are
    wrong themselves. If every gate that receives dh is wrong, dh is wrong. If all gates that receive ds, but not the output
    gate, are wrong, ds is wrong. In a plain RNN, dh is wrong if the last step, which receives nothing from
    a later step, is right.
    """
    if cell == "rnn":
        return ("dh" if T - 1 not in steps else "gates"), ()
    order = CELLS[cell].gates
    if not shared_value:
        return "gates", tuple(sorted(gates, key=order.index))
    if set(gates) >= set({"lstm": "ifgo", "gru": "zn"}[cell]):
        return "dh", ()
    if cell == "lstm" and set(gates) == set("ifg"):
        return "ds", ()
    return "gates", tuple(sorted(gates, key=order.index))
