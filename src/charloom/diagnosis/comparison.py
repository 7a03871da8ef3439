"""Compares the results of all calls with the right results for the function's own network.

It finds out the network and the precision with which the function computes, and the mistakes that
show in several calls. It does not look for mistakes in the formulas.
"""

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis import call_sequences
from charloom.diagnosis.case import FLOAT16, FLOAT32, FLOAT64, Case, Explanation, Precision
from charloom.diagnosis.clipping_limits import limits_of
from charloom.diagnosis.diagnosis_result import Row
from charloom.diagnosis.error_rows import all_rows
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.loss_derivative import (
    DERIVATIVE_TRIALS,
    Agreement,
    agreement,
    combined,
    is_wrong_along,
    largest_noise,
    relative_noise,
    rounding_of,
)
from charloom.diagnosis.networks import network_of
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.peephole_probes import constants_seen
from charloom.diagnosis.problem import Arrays
from charloom.diagnosis.rounded_losses import loss_errors
from charloom.diagnosis.runner import Job
from charloom.diagnosis.trials import every_trial, make_trials
from charloom.diagnosis.unknown_epsilon import corrected

LOWER: Final = (
    FLOAT32,
    FLOAT16,
)  # precisions that are tried if float64 does not explain the errors
ROUNDING64: Final = 1e-12  # a relative rounding error above this is not one of float64
PRECISION_MISTAKE: Final = "float32-where-float64"


class Checked(NamedTuple):
    """The results of the calls, compared with the right ones for the function's network.

    Attributes:
        case: the right results and the function's results of all trials.
        network: the differences of the function's network and loss from the specification; None if no
            known differences predict its losses.
        rows: the errors of all gradients and losses in all trials.
        wrong: the rows with an error that only a mistake in the formulas can explain.
        found: the mistakes found by comparing several calls or from the precision of the numbers.
        agreement: which blocks of the gradients are the derivatives of the function's own loss.
        lower: the lower precisions that may explain the errors too.
        epsilon: an ε in the logarithm of the loss of a network that is not known, with which the gradients
            agree with the loss; None if they agree without one, or if there is none.
    """

    case: Case
    network: Explanation | None
    rows: tuple[Row, ...]
    wrong: list[Row]
    found: list[Found]
    agreement: Agreement
    lower: tuple[Precision, ...]
    epsilon: Found | None = None


def check(outcome: Outcome, job: Job, dtype: str) -> Checked:
    """Compare the function's results with the right results, and return the comparison.

    `dtype` is the argument of `doctor`.
    """
    trials = make_trials(outcome.cell, job.seed, outcome.sizes, job.plans)
    calls = outcome.trials
    single = dtype == "float32" or (dtype == "auto" and all(call.float32 for call in calls))
    case = Case(trials, calls, job.options.reduction, FLOAT32 if single else FLOAT64)
    found = call_sequences.found_in_calls(case, outcome)
    seen = constants_seen(outcome.probes, every_trial(trials, job.seed, outcome.sizes))
    network = network_of(case, seen)
    if network is None and not single and (rounded := with_rounded_losses(case, outcome, seen)):
        case, network = rounded, rounded.network
        found.append(Found(PRECISION_MISTAKE, "loss"))
    noisy = not single and largest_noise(outcome.nearby) > ROUNDING64
    if network is None and (noisy or not outcome.nearby):
        case = case.with_network(nearest_network(case, seen))
    else:
        case = case.with_network(network or ())
    clipping: Explanation = ()
    if network is not None:
        clipping = clipping_of(case)
        case = case.with_network((*case.network, *clipping))
    rows = all_rows(case)
    wrong = [row for row in rows if not row.passed]
    lower = LOWER if noisy else ()
    agreement = agreement_of(case, outcome, [call.gradients for call in calls])
    epsilon = None
    if network is None and not agreement.whole:
        agreement, epsilon = with_epsilon(case, outcome, agreement)
    checked = Checked(case, network, rows, wrong, found, agreement, lower, epsilon)
    return checked if single or not wrong else with_lower_precision(checked, outcome)


def clipping_of(case: Case) -> Explanation:
    """Return the clipping that the function's finished gradients show, as a mistake; nothing if they show none."""
    seen = limits_of([case.calls[n] for n in case.usable]).variants()
    return tuple(Found("clipped", variant) for variant in seen[:1])


def with_epsilon(
    case: Case, outcome: Outcome, without: Agreement
) -> tuple[Agreement, Found | None]:
    """Return the agreement of the gradients with the loss without its ε, and this ε.

    Of several ε, the one with which most blocks agree is taken. Return `without`, the agreement with the loss
    as it is, and None, if no ε makes more blocks agree.
    """
    best: tuple[Agreement, Found | None] = without, None
    if not outcome.prefixes or outcome.sizes.shortest > 1:
        return best
    prefixes = iter(outcome.prefixes)
    windows = [list(itertools.islice(prefixes, case.length(n))) for n in range(len(case.trials))]
    for variant, gradients in corrected(windows):
        found = agreement_of(case, outcome, gradients)
        more = len(found.right) > len(best[0].right)
        if more or (found.whole and not best[0].whole):
            best = found, Found("epsilon-in-log", variant)
    return best


def with_rounded_losses(case: Case, outcome: Outcome, seen: Sequence[Found]) -> Case | None:
    """Return the case with the error limits of rounded losses and the network that they show.

    Return None if the losses do not look rounded, or if no known network has such losses. `seen` are the constants
    that were seen in the function's gates.
    """
    if not outcome.nearby:
        return None
    losses = np.array([np.nan if one.loss is None else one.loss for one in outcome.nearby])
    errors = loss_errors(case.calls, relative_noise(losses))
    if errors is None:
        return None
    loose = case.with_loss_errors(errors)
    network = network_of(loose, seen)
    return None if network is None else loose.with_network(network)


def nearest_network(case: Case, seen: Sequence[Found]) -> Explanation:
    """Return the differences of the network that predict the losses up to rounding to float32.

    Return no differences if there are none. With the rounding of float16, nearly any set of differences
    would predict the losses, so it is not tried.
    """
    return () if case.single else network_of(case.with_precision(FLOAT32), seen) or ()


def with_lower_precision(checked: Checked, outcome: Outcome) -> Checked:
    """Return the comparison with the error limits of a lower precision, if the function computes in it.

    One of two signs must show it: float32 can represent all returned numbers, or the errors change
    like rounding errors. Then the result has the mistake that names the precision. Otherwise return
    `checked` unchanged.
    """
    case, rows = checked.case, checked.rows
    rounded = all(call_sequences.holds_float32(call.gradients) for call in case.calls)
    for precision in LOWER:
        wrong = in_range(checked.wrong, case, precision)
        small = all(row.norm_relative <= precision.widest for row in wrong)
        if not rounded and not (
            small and call_sequences.looks_like_rounding(case, outcome, precision)
        ):
            continue
        others = [one for one in checked.found if one.id != PRECISION_MISTAKE]
        found = [*others, precision_mistake(precision)]
        loose = case.with_precision(precision)
        wrong = in_range([row for row in all_rows(loose) if not row.passed], case, precision)
        if not wrong:
            return checked._replace(wrong=[], found=found, lower=())
        if rounded and precision is FLOAT32:
            return Checked(loose, checked.network, rows, wrong, found, checked.agreement, ())
    return checked


def in_range(rows: Sequence[Row], case: Case, precision: Precision) -> list[Row]:
    """Return the rows without those of trials that return NaN because a precision has too small a range."""
    if not precision.largest_loss:
        return list(rows)
    outside = {
        n
        for n, call in enumerate(case.calls)
        if not call.is_finite() and case.exact[n].loss > precision.largest_loss
    }
    return [row for row in rows if row.trial not in outside]


def precision_mistake(precision: Precision) -> Found:
    """Return the mistake of computing with a precision below float64."""
    return Found(PRECISION_MISTAKE, "" if precision is FLOAT32 else precision.name)


def agreement_of(case: Case, outcome: Outcome, gradients: Sequence[Arrays]) -> Agreement:
    """Return which blocks of the gradients are derivatives of the function's own loss, in all differentiated trials.

    `gradients` are those of each trial.
    """
    results = [call.gradients for call in outcome.derivatives]
    slopes = [call.gradients for call in outcome.slopes]
    places = [*zip(DERIVATIVE_TRIALS, results[::2], results[1::2], strict=False)]
    everywhere = [*zip(range(len(case.trials)), slopes[::2], slopes[1::2], strict=False)]
    rounding = rounding_of(outcome.nearby)
    limits = limits_of(outcome.trials)
    with np.errstate(all="ignore"):
        found = combined(
            [
                agreement(case.trials[n].problem, gradients[n], (one, two), limits, rounding)
                for n, one, two in places
            ]
        )
        wrong = [
            n
            for n, one, two in everywhere
            if not limits.clips_norm(outcome.trials[n].gradients)
            and not limits.scaled(outcome.trials[n].gradients)
            and is_wrong_along(case.trials[n].problem, gradients[n], (one, two), limits, rounding)
        ]
    return found._replace(wrong_trials=tuple(wrong))
