"""Makes a verdict from a function's answers, with all that there is to say about it.

It runs no code of the user's; what explains a wrong answer is found by `explanation.py`.
"""

import math
import time
from collections.abc import Sequence

import numpy as np

from charloom.diagnosis import call_sequences, nonfinite, user_numerical
from charloom.diagnosis.case import WIDEST, ZERO, Case, Explanation, relative
from charloom.diagnosis.diagnosis_result import (
    LOSS,
    RIGHT,
    WRONG,
    Diagnosis,
    Found,
    Row,
    TrialInfo,
    Tried,
)
from charloom.diagnosis.error_patterns import clues, errors_by_step
from charloom.diagnosis.explanation import explained
from charloom.diagnosis.faulty_network import GATES
from charloom.diagnosis.runner import NUMERICAL_TRIALS, SCRIPTS, Call, Job, Outcome
from charloom.diagnosis.trials import make_trials
from charloom.gradient_errors import distances, errors


@np.errstate(invalid="ignore", over="ignore")  # a function may answer infinities
def diagnose(
    outcome: Outcome,
    job: Job,
    dtype: str,
    subject: str,
    started: float,
    noticed: Sequence[str] = (),
) -> Diagnosis:
    """The verdict on what a function answered, and why it is wrong where it is."""
    trials = make_trials(outcome.cell, job.seed, outcome.sizes, job.plans)
    calls = outcome.trials
    rounded = all(call_sequences.holds_float32(call.gradients) for call in calls)
    returned32 = all(call.float32 for call in calls)
    single = dtype == "float32" or (dtype == "auto" and returned32)
    case = Case(trials, calls, job.options.reduction, single)
    rows = tuple(row for place in range(len(trials)) for row in rows_of(case, place))
    notes = list(noticed)
    found_calls = call_sequences.found_in_calls(outcome, trials[0].problem, job.options.reduction)
    wrong = [row for row in rows if not row.passed]
    explanations: list[Explanation] = []
    exact = True
    # float32's digits show in all numbers, or errors are small and jump as rounding does.
    small = all(row.norm_relative <= WIDEST for row in wrong)
    if wrong and not single and (rounded or (small and call_sequences.jumps(case, outcome))):
        loose = Case(trials, calls, job.options.reduction, True)
        loose_rows = [row for place in range(len(trials)) for row in rows_of(loose, place)]
        if all(row.passed for row in loose_rows):
            found_calls.append(Found("float32-where-float64"))
            wrong = []
        elif rounded:
            found_calls.append(Found("float32-where-float64"))
            case = loose
    broken = nonfinite.not_numbers(case)
    if wrong and broken in ("", nonfinite.THE_LOSS):
        explanations, exact = explained(case, wrong)
        if not (explanations and exact):
            late = call_sequences.loss_after_update(case, explanations, wrong)
            if late is not None:
                explanations, exact = late, True
    if broken and not explanations:
        explanations, exact = [(Found("not-a-number", broken),)], True
    if single and not wrong:
        notes.append("judged as float32: the gradients are float32 arrays."
                     if returned32 else "judged as float32, as you said.")  # fmt: skip
    if outcome.trials[0].loss is None:
        notes.append("the function returned no loss, so only its gradients were judged.")
    if "W transposed" in outcome.convention:
        notes.append(
            "your loss has a = Wᵀ h where the equation is a = W h: W and dW were taken as transposed."
        )
    judged = [trials[place].problem for place in NUMERICAL_TRIALS] if outcome.numerical else []
    numerical_rows = tuple(
        row
        for place, call in zip(NUMERICAL_TRIALS, outcome.numerical, strict=False)
        for row in rows_of(case, place, call, user_numerical.GOOD)
    )
    own = None
    if judged:
        mean = job.options.reduction == "mean"
        own = user_numerical.judge(judged, [call.gradients for call in outcome.numerical], mean)
        if own is None:
            off = max(row.norm_relative for row in numerical_rows if row.parameter != LOSS)
            notes.append(f"your numerical gradient is right too, to {off:.0e}.")
    unexplained = bool(wrong) and not explanations
    if own is not None:
        explanations = [(*explanation, own) for explanation in explanations or [()]]
    mistaken = bool(wrong or found_calls or own)
    # What calls show comes first: a changed argument explains much of what follows from it.
    joined = [
        tuple(sorted((*found_calls, *explanation), key=lambda one: one.id != "loss-after-update"))
        for explanation in explanations or ([()] if found_calls else [])
    ]
    joined = [
        tuple(in_users_order(one, outcome.cell, job.options.gates) for one in explanation)
        for explanation in joined
    ]
    by_step = errors_by_step(case, outcome)
    return Diagnosis(
        verdict=WRONG if mistaken else RIGHT,
        found=tuple(dict.fromkeys(one for explanation in joined for one in explanation)),
        explanations=tuple(joined),
        exact=exact and not unexplained,
        rows=rows,
        errors_by_step=by_step,
        clues=tuple(clues(case, rows, by_step)) if wrong else (),
        notes=tuple(notes),
        tried=Tried(
            cell=outcome.cell,
            dtype="float32" if single else "float64",
            reduction=job.options.reduction,
            seed=job.seed,
            convention=outcome.convention,
            calls=sum(len(getattr(outcome, s)) for s in SCRIPTS if s != "numerical"),
            trials=tuple(TrialInfo(*trial[:6]) for trial in trials),
        ),
        seconds=time.perf_counter() - started,
        numerical=numerical_rows,
        subject=subject,
    )


def in_users_order(one: Found, cell: str, given: str) -> Found:
    """A wrong order of the gates as the function's own order, where the user gave one.

    It was found as a change of charloom's order, in which the trials hold the parameters. The doctor
    handed them over in the order `given`, so the change applies to that.
    """
    if one.id != "gate-order" or not given:
        return one
    taken_as = dict(zip(GATES[cell], one.variant, strict=True))
    return Found(one.id, "".join(taken_as[gate] for gate in given), given)


def rows_of(
    case: Case, place: int, call: Call | None = None, limit: float | None = None
) -> list[Row]:
    """The errors of all parameters and of the loss in one trial, or in another call on it."""
    exact, call = case.exact[place], call or case.calls[place]
    limits = case.limits[place] if limit is None else dict.fromkeys(case.limits[place], limit)
    found = []
    for name, right in exact.gradients.items():
        given, limit = call.gradients[name], limits[name]
        if given.shape != right.shape:
            found.append(
                Row(place, name, math.nan, math.nan, math.nan, limit, (), math.nan, math.nan)
            )
            continue
        with np.errstate(all="ignore"):
            far = errors(given, right)
            apart = distances(given, right)
        size = math.sqrt(sum(float(np.vdot(g, g)) for g in exact.gradients.values()))
        # Where nothing but rounding is left of a gradient, rounding is no error of it.
        nothing = np.linalg.norm(right) <= ZERO * size >= np.linalg.norm(given - right)
        norm = 0.0 if nothing else far.norm_relative
        bad = ~np.isfinite(given)
        worst = np.unravel_index(int(np.argmax(bad if bad.any() else apart)), given.shape)
        found.append(
            Row(
                place,
                name,
                far.absolute,
                far.elementwise,
                norm,
                limit,
                tuple(map(int, worst)),
                float(given[worst]),
                float(right[worst]),
            )
        )
    if call.loss is not None:
        far_loss = abs(call.loss - exact.loss)
        error = relative(call.loss, exact.loss)
        found.append(
            Row(place, LOSS, far_loss, error, error, limits[LOSS], (), call.loss, exact.loss)
        )
    return found
