"""Finds out from its losses which network and which loss a function computes.

A difference is a variant of a known mistake in which the gradient is still that of the code's own
loss (`Mistake.consistent`), such as a GRU whose reset gate acts before the product. Several
differences can occur together. This module compares losses, or dV and dc if there is no loss.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from charloom.cell_table import CELL_NAMES
from charloom.diagnosis.case import ZERO, Case, Explanation, distance, relative
from charloom.diagnosis.diagnosis_result import LOSS
from charloom.diagnosis.explanation import likelihood
from charloom.diagnosis.faulty_gradients import divided_loss, divisors, loss_scale, scaled_loss
from charloom.diagnosis.faulty_network import logits, loss_alone
from charloom.diagnosis.faulty_output import output
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.mistakes import MISTAKES
from charloom.diagnosis.problem import Array
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument

# Mistakes that change only what is computed from the logits. Their predictions share the logits.
OUTPUT_ONLY: Final = (
    "softmax-twice",
    "target-off-by-one",
    "mean-over-time",
    "sum-over-time",
    "loss-divided",
    "logarithm-base",
    "epsilon-in-log",
    "last-step-only",
    "first-step-not-counted",
)
# Differences that often occur together. Only these are combined to sets of three or more.
COMMON: Final = (
    "mean-over-time",
    "sum-over-time",
    "loss-divided",
    "epsilon-in-log",
    "last-step-only",
    "initial-state-ignored",
    "hidden-bias-left-out",
    "second-bias-left-out",
    "output-bias-left-out",
    "activation-differs",
    "gate-order",
    "coupled-gates",
    "peepholes",
    "forget-bias-twice",
    "cell-tanh-missing",
    "reset-before-product",
    "update-gate-reversed",
)
# Differences that users cannot ask for: there are other arguments for them, or nobody wants them.
LEFT_OUT: Final = (
    "gate-order",
    "mean-over-time",
    "sum-over-time",
    "epsilon-in-log",
    "target-off-by-one",
)
# Differences whose variant is fitted. Users ask for them without a variant.
FITTED: Final = ("peepholes",)
LSTM: Final = "lstm"
NEAR: Final = 1e-2  # an ε makes the loss of a window of one step smaller by at most this share
DROPPED_BIAS: Final = ("second-bias-left-out", "")
MOST_DIFFERENCES: Final = 5  # largest number of differences that are tried together
FEW_DIFFERENCES: Final = (
    2  # largest number for which a search is quicker than the derivative of the loss
)
MOST_WITH_FLOOR: Final = (
    4  # largest number of differences that are tried together with ln max(p, ε)
)
# The mistakes of code that takes ln max(p, ε), for usual values of ε. The gradient is then that of ln p.
FLOORS: Final = tuple(
    Found("epsilon-in-log", f"ε = {epsilon}, maximum")
    for epsilon in ("1e-12", "1e-10", "1e-8", "1e-15", "1e-16", "1e-9", "1e-7", "1e-6", "1e-5", "1e-20", "1e-30", "2.220446049250313e-16")
)  # fmt: skip
ORDERS: Final = 6  # number of wrong gate orders that are tried together with other differences


def network_of(case: Case, seen: Sequence[Found] = ()) -> Explanation | None:
    """Return the differences of the function's network and loss from the specification.

    The result is empty if all losses are right, and None if no set of known differences predicts the
    losses. It is the smallest set that predicts them, and the likeliest of this size. `seen` are
    differences with constants that other calls show, such as peepholes. If the function returns no loss,
    dV and dc are predicted instead: they follow from the forward pass and do alone.
    """
    trials = [place for place in case.usable if case.calls[place].loss is not None]
    losses = Losses(case, trials) if trials else OutputGradients(case)
    known = [*seen, *differences(case)]
    found = smallest_set(losses, known, MOST_DIFFERENCES)
    if found is not None or not trials:
        return found
    return with_epsilon(case, losses, known) or with_floor(losses, known)


def smallest_set(losses: "Losses", known: Sequence[Found], most: int) -> Explanation | None:
    """Return the smallest set of at most `most` differences in `known` that predicts the losses, or None."""
    if losses.match(()):
        return ()
    for size in range(1, most + 1):
        fitting = [one for one in sets_of(known, size) if losses.match(one)]
        if fitting:
            return min(fitting, key=likelihood)
    return None


def is_nearly_ours(case: Case) -> bool:
    """Return True if at most `FEW_DIFFERENCES` differences from our network predict the losses of all trials.

    `network_of` then finds them, so that the function's own loss need not be differentiated.
    """
    if any(call.loss is None or call.float32 for call in case.calls):
        return False
    return (
        smallest_set(Losses(case, case.usable), [*differences(case)], FEW_DIFFERENCES) is not None
    )


def with_floor(losses: "Losses", known: Sequence[Found]) -> Explanation | None:
    """Return the smallest set of differences that predicts the losses of code that takes ln max(p, ε), or None.

    Only windows with tiny probabilities show such an ε. So each set must predict the other losses as it is.
    """
    others = [one for one in known if one.id != "epsilon-in-log"]
    for size in range(1, MOST_WITH_FLOOR + 1):
        fitting = [
            explanation
            for one in sets_of(others, size)
            if losses.may_have_floor(one)
            for floor in FLOORS
            if losses.match(explanation := (*one, floor))
        ]
        if fitting:
            return min(fitting, key=likelihood)
    return None


def with_epsilon(case: Case, losses: "Losses", known: Sequence[Found]) -> Explanation | None:
    """Return the smallest set of differences that predicts the losses with an ε in the logarithm, or None.

    The loss of a window of one step shows the ε that a set of differences leaves.
    """
    one_step = [place for place in losses.trials if case.length(place) == 1]
    others = [one for one in known if one.id != "epsilon-in-log"]
    for size in range(1, MOST_DIFFERENCES):
        fitting = []
        for one in sets_of(others, size) if one_step else ():
            epsilon = losses.epsilon(one_step[0], one)
            if epsilon is not None:
                explanation = (*one, Found("epsilon-in-log", f"ε = {epsilon!r}, gradient too"))
                if losses.match(explanation):
                    fitting.append(explanation)
        if fitting:
            return min(fitting, key=likelihood)
    return None


def differences_named(names: Sequence[str], cell: str | None) -> tuple[tuple[str, str], ...]:
    """Return the id and the variant of each difference that the user names.

    A name is the id of a mistake, such as "reset-before-product", or the id, "=" and a variant, such as
    "activation-differs=relu". Without a variant, the first one that is a difference is meant. `cell` is
    the cell of the network; None if the user did not say.

    A GRU whose reset gate acts before the product usually has no second bias, so "reset-before-product"
    also names "second-bias-left-out".

    Raises:
        ConfigError: a name is not that of a difference of this cell.
    """
    found = [DROPPED_BIAS] if "reset-before-product" in names else []
    for name in names:
        mistake_id, _, variant = name.partition("=")
        known = variants_by_id(cell)
        variants = known.get(mistake_id, ())
        if not variants or ("=" in name and variant not in variants):
            choices = [f"{mistake_id}={v}" if v else mistake_id for v in variants] or list(known)
            raise ConfigError(
                f"{argument('network')} has {shortened(name)}; it must name differences from the "
                f"specification: {', '.join(choices)}."
            )
        found.append((mistake_id, variant if "=" in name else variants[0]))
    return tuple(dict.fromkeys(found))


def variants_by_id(cell: str | None) -> dict[str, tuple[str, ...]]:
    """Return the variants of each difference of a network with this cell, by the id of the mistake.

    If `cell` is None, return those of all cells.
    """
    cells = CELL_NAMES if cell is None else (cell,)
    found: dict[str, tuple[str, ...]] = {}
    for mistake in MISTAKES:
        variants = [
            v for one in cells for v in mistake.variants_of(one) if mistake.is_consistent(v)
        ]
        if mistake.kind == "gradient" and mistake.id not in LEFT_OUT and variants:
            found[mistake.id] = tuple(dict.fromkeys(variants))
        elif mistake.id in FITTED and (cell or LSTM) == LSTM:
            found[mistake.id] = ("",)
    return found


def differences(case: Case) -> Iterator[Found]:
    """Yield every known difference of a network or a loss, likeliest first, with the ε that a loss shows."""
    no_difference = "mean-over-time" if case.reduction == "mean" else "sum-over-time"
    for mistake in MISTAKES:
        if mistake.kind != "gradient" or mistake.id == no_difference:
            continue
        for variant in mistake.variants_of(case.cell):
            if mistake.is_consistent(variant):
                yield Found(mistake.id, variant)
    if (epsilon := epsilon_seen(case)) is not None:
        yield Found("epsilon-in-log", f"ε = {epsilon!r}, gradient too")


def epsilon_seen(case: Case) -> float | None:
    """Return the ε of ln(p + ε) that the loss of a window of one step shows; None if it shows none.

    The window has a zero initial state and one step, so that a zero initial state and a mean over
    time change nothing.
    """
    for place in case.usable:
        trial = case.trials[place]
        loss = case.calls[place].loss
        if len(trial.problem.x) != 1 or trial.info.state != "zero" or loss is None:
            continue
        epsilon = float(
            f"{math.exp(-min(max(loss, -1), 700)) - math.exp(-case.exact[place].loss):.3g}"
        )
        return epsilon if 1e-13 < epsilon < 0.1 else None
    return None


def sets_of(known: Sequence[Found], size: int) -> Iterator[Explanation]:
    """Yield the sets of `size` differences in `known` that are worth trying, each mistake at most once."""
    if size > 1:
        known = [*(one for one in known if one.id != "gate-order"), *some_orders(known)]
        known = [one for one in known if one.id != "epsilon-in-log" or one.variant not in USUAL]
    if size > 2:
        known = [one for one in known if one.id in COMMON]
    if size > 3:
        known = [
            one
            for one in known
            if (not one.id.startswith("loss-") or one.variant == "K both")
            and "b_f" not in one.variant
        ]
    for combined in itertools.combinations(known, size):
        if len({one.id for one in combined}) == size:
            yield combined


def some_orders(known: Sequence[Found]) -> list[Found]:
    """Return the likeliest wrong gate orders in `known`."""
    return [one for one in known if one.id == "gate-order"][:ORDERS]


# The usual values of ε. Together with other differences, only the ε that a loss shows is tried.
USUAL: Final = tuple(v for m in MISTAKES if m.id == "epsilon-in-log" for v in m.variants)


class Losses:
    """The function's losses of some trials, and a test whether a set of differences predicts them."""

    def __init__(self, case: Case, trials: Sequence[int]) -> None:
        self.case = case
        self.trials = [place for place in case.smallest_first() if place in trials]
        self.states: dict[tuple[int, frozenset[Found]], tuple[Array, Array]] = {}

    def match(self, explanation: Explanation) -> bool:
        """Return True if code with the differences in `explanation` has the function's losses."""
        return all(self.matches(trial, explanation) for trial in self.trials)

    def epsilon(self, trial: int, explanation: Explanation) -> float | None:
        """Return the ε that the loss of a window of one step shows beside these differences, or None.

        The differences may scale the loss.
        """
        given, predicted = self.case.calls[trial].loss, self.predicted(trial, explanation)
        switches = {one.id: one.variant for one in explanation}
        sizes = divisors(self.case.trials[trial].problem.parameters, 1)
        scale = divided_loss(scaled_loss(1.0, 1, switches)[0], sizes, switches)[0]
        if given is None or not 0 < predicted - given <= NEAR * predicted:
            return None
        epsilon = math.exp(-given / scale) - math.exp(-predicted / scale)
        return float(f"{epsilon:.3g}") if 1e-13 < epsilon < 0.1 else None

    def may_have_floor(self, explanation: Explanation) -> bool:
        """Return True if these differences predict most of the losses, and too large ones for the others."""
        off = 0
        for place in self.trials:
            if not self.matches(place, explanation):
                off += 1
                given = self.case.calls[place].loss
                higher = given is not None and given < self.predicted(place, explanation)
                if not higher or 2 * off >= len(self.trials):
                    return False
        return off > 0

    def matches(self, trial: int, explanation: Explanation) -> bool:
        """Return True if code with the differences in `explanation` has the function's loss of a trial."""
        given, predicted = self.case.calls[trial].loss, self.predicted(trial, explanation)
        limit = self.case.match_limit(trial, LOSS) if explanation else self.case.limits[trial][LOSS]
        return given is not None and relative(given, predicted) <= limit

    def predicted(self, trial: int, explanation: Explanation) -> float:
        """Return the loss of a trial that code with the differences in `explanation` has."""
        problem = self.case.trials[trial].problem
        switches = {one.id: one.variant for one in explanation}
        predicted = loss_alone(problem, self.outputs(trial, explanation)[1], switches)
        if self.case.reduction == "mean":
            predicted /= len(problem.x)
        return predicted

    def outputs(self, trial: int, explanation: Explanation) -> tuple[Array, Array]:
        """Return the hidden states (T, H) and the logits (T, K) of code with these differences."""
        network = frozenset(one for one in explanation if one.id not in OUTPUT_ONLY)
        if (trial, network) not in self.states:
            problem = self.case.trials[trial].problem
            _, steps, o = logits(problem, {one.id: one.variant for one in network})
            self.states[trial, network] = np.array([step.state["h"] for step in steps]), o
        return self.states[trial, network]


class OutputGradients(Losses):
    """The function's dV and dc of all usable trials, which take the place of losses that it does not return."""

    def __init__(self, case: Case) -> None:
        super().__init__(case, case.usable)

    def matches(self, trial: int, explanation: Explanation) -> bool:
        """Return True if code with the differences in `explanation` has the function's dV and dc of a trial."""
        problem, given = self.case.trials[trial].problem, self.case.calls[trial].gradients
        switches = {one.id: one.variant for one in explanation}
        h, o = self.outputs(trial, explanation)
        do = output(o, problem.x, problem.y, o.shape[1], switches)[1]
        do *= loss_scale(problem.parameters, len(problem.x), switches)
        do /= len(problem.x) if self.case.reduction == "mean" else 1
        dc = np.zeros(o.shape[1]) if "output-bias-left-out" in switches else do.sum(axis=0)
        limits = self.case.match_limit if explanation else self.limit
        size = float(np.linalg.norm(do.T @ h))
        return all(
            distance(given[name], wanted, ZERO * size) <= limits(trial, name)
            for name, wanted in (("V", do.T @ h), ("c", dc))
        )

    def limit(self, trial: int, name: str) -> float:
        """Return the largest error of a right gradient of a trial."""
        return self.case.limits[trial][name]
