"""Makes the diagnosis from the results of the calls: the verdict, its explanation, and the notes.

It does not run the user's code. `explanation.py` finds the mistakes that explain wrong results.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis import call_sequences, nonfinite, user_numerical
from charloom.diagnosis.case import WIDEST, ZERO, Case, Explanation, relative
from charloom.diagnosis.diagnosis_result import (
    LOSS,
    RIGHT,
    WRONG,
    Diagnosis,
    Found,
    Row,
    Tried,
)
from charloom.diagnosis.error_patterns import clues, errors_by_step
from charloom.diagnosis.explanation import explained
from charloom.diagnosis.outcome import SCRIPTS, Call, Outcome
from charloom.diagnosis.runner import NUMERICAL_TRIALS, Job
from charloom.diagnosis.trials import make_trials
from charloom.gradient_errors import distances, errors


class Checked(NamedTuple):
    """The results of the calls, compared with the right ones.

    Attributes:
        case: the right results and the function's results of all trials.
        rows: the errors of all gradients and losses in all trials.
        wrong: the rows with an error that only a mistake in the formulas can explain.
        found: the mistakes found by comparing several calls or from the precision of the numbers.
        single: whether the function is checked with the tolerance of float32; otherwise float64.
    """

    case: Case
    rows: tuple[Row, ...]
    wrong: list[Row]
    found: list[Found]
    single: bool


class Numerical(NamedTuple):
    """The errors of the user's numerical gradient, and the mistake in it.

    `rows` is empty if the user gave no numerical gradient. `mistake` is None if the gradient is
    right or not given.
    """

    rows: tuple[Row, ...]
    mistake: Found | None


@np.errstate(invalid="ignore", over="ignore")  # the user's function may return infinite numbers
def diagnose(
    outcome: Outcome,
    job: Job,
    dtype: str,
    subject: str,
    started: float,
    notes: Sequence[str] = (),
) -> Diagnosis:
    """Return the diagnosis of a function.

    Args:
        outcome: the results of all calls.
        job: the options, and the seed and the settings of the trials.
        dtype: the precision whose tolerance is used: "auto", "float64" or "float32".
        subject: the name of the function.
        started: the value of `time.perf_counter()` when the diagnosis started.
        notes: the first notes of the diagnosis; this function adds the others.
    """
    checked = check(outcome, job, dtype)
    numerical = check_numerical(outcome, job, checked.case)
    explanations, exact = explain(checked)
    unexplained = bool(checked.wrong) and not explanations
    mistaken = bool(checked.wrong or checked.found or numerical.mistake)
    by_step = errors_by_step(checked.case, outcome)
    complete = complete_explanations(explanations, checked, numerical, outcome, job)
    return Diagnosis(
        verdict=WRONG if mistaken else RIGHT,
        found=tuple(dict.fromkeys(one for explanation in complete for one in explanation)),
        explanations=complete,
        exact=exact and not unexplained,
        rows=checked.rows,
        errors_by_step=by_step,
        clues=tuple(clues(checked.case, checked.rows, by_step)) if checked.wrong else (),
        notes=(*notes, *remarks(outcome, checked, numerical)),
        tried=settings_of(outcome, job, checked),
        seconds=time.perf_counter() - started,
        numerical=numerical.rows,
        subject=subject,
    )


def check(outcome: Outcome, job: Job, dtype: str) -> Checked:
    """Compare the function's results with the right results, and return the comparison.

    The comparison has the errors, and the mistakes that show in several calls or in the precision of
    the numbers. `dtype` is the argument of `doctor`.
    """
    trials = make_trials(outcome.cell, job.seed, outcome.sizes, job.plans)
    calls, reduction = outcome.trials, job.options.reduction
    single = dtype == "float32" or (dtype == "auto" and all(call.float32 for call in calls))
    case = Case(trials, calls, reduction, single)
    rows = all_rows(case)
    wrong = [row for row in rows if not row.passed]
    found = call_sequences.found_in_calls(case, outcome)
    # Either of two signs shows that the function computes in float32: float32 can represent all
    # returned numbers, or the errors are small and change like rounding errors.
    rounded = all(call_sequences.holds_float32(call.gradients) for call in calls)
    small = all(row.norm_relative <= WIDEST for row in wrong)
    if (
        wrong
        and not single
        and (rounded or (small and call_sequences.looks_like_float32(case, outcome)))
    ):
        loose = Case(trials, calls, reduction, single=True)
        if all(row.passed for row in all_rows(loose)):
            return Checked(case, rows, [], [*found, Found("float32-where-float64")], single)
        if rounded:
            return Checked(loose, rows, wrong, [*found, Found("float32-where-float64")], single)
    return Checked(case, rows, wrong, found, single)


def check_numerical(outcome: Outcome, job: Job, case: Case) -> Numerical:
    """Compare the user's numerical gradient with the right gradient; return its errors and its mistake.

    If the user gave no numerical gradient, there are no errors and no mistake.
    """
    if not outcome.numerical:
        return Numerical((), None)
    rows = tuple(
        row
        for trial, call in zip(NUMERICAL_TRIALS, outcome.numerical, strict=True)
        for row in rows_of(case, trial, call, user_numerical.GOOD)
    )
    problems = [case.trials[trial].problem for trial in NUMERICAL_TRIALS]
    gradients = [call.gradients for call in outcome.numerical]
    mean = job.options.reduction == "mean"
    return Numerical(rows, user_numerical.find_mistake(problems, gradients, mean))


def explain(checked: Checked) -> tuple[list[Explanation], bool]:
    """Return the explanations of the wrong results, and whether they predict every number.

    The first value is the list of explanations, likeliest first; it is empty if none was found.
    """
    explanations: list[Explanation] = []
    exact = True
    broken = nonfinite.not_numbers(checked.case)
    if checked.wrong and broken in ("", nonfinite.THE_LOSS):
        explanations, exact = explained(checked.case, checked.wrong)
        if not (explanations and exact):
            late = call_sequences.loss_after_update(checked.case, explanations, checked.wrong)
            if late is not None:
                explanations, exact = [late], True
    if broken and not explanations:
        return [(Found("not-a-number", broken),)], True
    return explanations, exact


def complete_explanations(
    explanations: Sequence[Explanation],
    checked: Checked,
    numerical: Numerical,
    outcome: Outcome,
    job: Job,
) -> tuple[Explanation, ...]:
    """Return the explanations, and add to each the mistakes that were found in other ways.

    These are the mistakes in `checked.found`, which were found by comparing several calls or from the
    precision of the numbers, and the mistake in the user's numerical gradient. If `explanations` is
    empty, but there are such mistakes, return one explanation with only these mistakes.
    """
    if numerical.mistake is not None:
        explanations = [(*one, numerical.mistake) for one in explanations or [()]]
    if not explanations and checked.found:
        explanations = [()]

    def complete(explanation: Explanation) -> Explanation:
        # The mistakes that show in several calls come first, because some of them, such as a
        # changed argument, cause many other errors.
        mistakes = [*checked.found, *explanation]
        mistakes.sort(key=lambda one: one.id != "loss-after-update")
        return tuple(in_users_order(one, outcome.cell, job.options.gates) for one in mistakes)

    return tuple(map(complete, explanations))


def remarks(outcome: Outcome, checked: Checked, numerical: Numerical) -> Iterator[str]:
    """Yield the notes of the diagnosis: sentences about the check itself, such as the tolerance used."""
    if checked.single and not checked.wrong:
        if all(call.float32 for call in outcome.trials):
            yield "checked with the tolerance of float32, because the gradients are float32 arrays."
        else:
            yield "checked with the tolerance of float32, as requested."
    if outcome.trials[0].loss is None:
        yield "the function returned no loss, so only its gradients were checked."
    if "W transposed" in outcome.convention:
        yield (
            "your code computes a = Wᵀ h instead of a = W h, so W and dW were compared after "
            "transposing them."
        )
    if numerical.rows and numerical.mistake is None:
        largest = max(row.norm_relative for row in numerical.rows if row.parameter != LOSS)
        yield f"your numerical gradient is right too; its largest error is {largest:.0e}."


def settings_of(outcome: Outcome, job: Job, checked: Checked) -> Tried:
    """Return the settings of the trials, which the diagnosis shows."""
    return Tried(
        cell=outcome.cell,
        dtype="float32" if checked.single else "float64",
        reduction=job.options.reduction,
        seed=job.seed,
        convention=outcome.convention,
        calls=sum(len(getattr(outcome, script)) for script in SCRIPTS if script != "numerical"),
        trials=tuple(trial.info for trial in checked.case.trials),
    )


def in_users_order(one: Found, cell: str, given: str) -> Found:
    """Return the mistake `one`, with a new variant if it is a wrong gate order.

    `given` is the order in which the doctor passed the gates to the code, as the user asked. But the
    variant of `one` is a gate order for code that gets the gates in charloom's order. The new variant
    is the order in which the code reads gates in the order `given`. Return `one` unchanged if `given`
    is empty, or if `one` is not the mistake gate-order.
    """
    if one.id != "gate-order" or not given:
        return one
    taken_as = dict(zip(CELLS[cell].blocks, one.variant, strict=True))
    return Found(one.id, "".join(taken_as[gate] for gate in given), given)


def all_rows(case: Case) -> tuple[Row, ...]:
    """Return the errors of all gradients and losses in all trials, one row for each."""
    return tuple(row for trial in range(len(case.trials)) for row in rows_of(case, trial))


def rows_of(
    case: Case, trial: int, call: Call | None = None, limit: float | None = None
) -> list[Row]:
    """Return the errors of each gradient and of the loss in one trial, one row for each.

    Args:
        case: the right results and the function's results of all trials.
        trial: the index of the trial.
        call: the call whose results are checked; None for the function's call in `case`.
        limit: the largest allowed error of each result; None for the limits in `case`.
    """
    exact, call = case.exact[trial], call or case.calls[trial]
    limits = case.limits[trial] if limit is None else dict.fromkeys(case.limits[trial], limit)
    size = math.sqrt(sum(float(np.vdot(g, g)) for g in exact.gradients.values()))
    rows = [
        gradient_row(trial, name, call.gradients[name], right, size, limits[name])
        for name, right in exact.gradients.items()
    ]
    if call.loss is not None:
        difference, error = abs(call.loss - exact.loss), relative(call.loss, exact.loss)
        loss = Row(trial, LOSS, difference, error, error, limits[LOSS], (), call.loss, exact.loss)
        rows.append(loss)
    return rows


def gradient_row(
    trial: int,
    name: str,
    given: np.ndarray,
    right: np.ndarray,
    size: float,
    limit: float,
) -> Row:
    """Return the errors of one gradient, `given`, compared with the gradient `right`.

    `size` is the norm of all right gradients together, and `limit` the largest allowed error.
    """
    if given.shape != right.shape:
        return Row(trial, name, math.nan, math.nan, math.nan, limit, (), math.nan, math.nan)
    with np.errstate(all="ignore"):
        error = errors(given, right)
        by_entry = distances(given, right)
    # If the right gradient is zero except for rounding, its relative error means nothing. A
    # difference that is as small as rounding then counts as no error.
    zero = np.linalg.norm(right) <= ZERO * size >= np.linalg.norm(given - right)
    bad = ~np.isfinite(given)
    worst = np.unravel_index(int(np.argmax(bad if bad.any() else by_entry)), given.shape)
    return Row(
        trial,
        name,
        error.absolute,
        error.elementwise,
        0.0 if zero else error.norm_relative,
        limit,
        tuple(map(int, worst)),
        float(given[worst]),
        float(right[worst]),
    )
