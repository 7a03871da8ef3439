"""Makes the diagnosis from the results of the calls: the verdict, its explanation, and the notes.

It judges the gradient first, and then the network: a gradient that is exactly that of the function's
own loss is right for its own network. It does not run the user's code. `reasons.py` finds the mistakes
that explain wrong results.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis import user_numerical
from charloom.diagnosis.blocks import blocks_of
from charloom.diagnosis.call_doubts import require_understood
from charloom.diagnosis.case import Case, Explanation
from charloom.diagnosis.combined_mistakes import combined
from charloom.diagnosis.comparison import Checked, check
from charloom.diagnosis.derivatives_by_step import WrongSteps, places_of, wrong_steps
from charloom.diagnosis.diagnosis_result import LOSS, OWN, RIGHT, WRONG, Diagnosis, Row, Tried
from charloom.diagnosis.error_patterns import RIGHT_EVERYWHERE, clues, errors_by_step
from charloom.diagnosis.error_rows import rows_of
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.location import location_of
from charloom.diagnosis.outcome import SCRIPTS, Outcome
from charloom.diagnosis.places import NOWHERE, Location, blocks_text
from charloom.diagnosis.reasons import Reasons, reasons_of, without_clipping
from charloom.diagnosis.runner import NUMERICAL_TRIALS, Job
from charloom.diagnosis.trials import separate_trial
from charloom.diagnosis.wrong_formulas import mirrored
from charloom.formatting import listing

NAN: Final = "not-a-number"


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

    Raises:
        DoctorError: the results show rather that the doctor calls the function in a wrong way.
    """
    checked = check(outcome, job, dtype)
    numerical = check_numerical(outcome, job, checked.case)
    reasons = reasons_of(checked, outcome)
    location = located(reasons, checked, outcome, job)
    reasons = with_names_of_places(reasons, location, outcome, job)
    require_understood(reasons, location, outcome)
    case, wrong = reasons.case, [row for row in reasons.rows if not row.passed]
    # Without a known network, there is nothing right to compare with.
    compared = reasons.network_known or reasons.explanations
    clipped = case.with_network((*case.network, *reasons.clipping)) if reasons.clipping else case
    by_step = errors_by_step(clipped, outcome) if reasons.rows and compared else {}
    complete = complete_explanations(reasons, checked, numerical, outcome, job)
    network, layout = own_network(reasons, job)
    verdict = verdict_of(reasons, checked, numerical, network, job)
    return Diagnosis(
        verdict=verdict,
        found=tuple(dict.fromkeys(one for explanation in complete for one in explanation)),
        explanations=complete,
        exact=reasons.exact,
        rows=reasons.rows,
        errors_by_step=by_step,
        clues=tuple(all_clues(reasons, checked, by_step, location))
        if wrong and verdict == WRONG
        else (),
        notes=(*notes, *remarks(outcome, checked, numerical)),
        tried=settings_of(outcome, job, checked, layout),
        seconds=time.perf_counter() - started,
        numerical=numerical.rows,
        subject=subject,
        network=network,
        network_known=reasons.network_known,
        network_wanted=tuple(Found(*one) for one in job.options.network),
        location=location.in_network(reasons.network, outcome.cell)
        if verdict == WRONG
        else NOWHERE,
    )


def located(reasons: Reasons, checked: Checked, outcome: Outcome, job: Job) -> Location:
    """Return where the gradients are wrong; `NOWHERE` if they are right.

    In a network that the doctor does not know, these are the blocks that are not the derivative of the
    function's own loss.
    """
    if reasons.gradient_is_right:
        return NOWHERE
    if not reasons.network_known and (checked.agreement.right or checked.agreement.wrong):
        blocks = [block for block, _ in blocks_of(outcome.cell, outcome.trials[0].gradients)]
        wrong = tuple(block for block in blocks if block in checked.agreement.wrong)
        places = tuple(places_of(outcome.cell, wrong, steps_of(outcome, job)))
        return Location(wrong, tuple(b for b in blocks if b in checked.agreement.right), places)
    trial = separate_trial(outcome.cell, job.seed, outcome.sizes)
    if trial is None or not outcome.separate:
        return location_of(reasons.case, None, None)
    return location_of(reasons.case, trial.problem, outcome.separate[0])


def steps_of(outcome: Outcome, job: Job) -> WrongSteps | None:
    """Return the steps at which the gradient is not the derivative of the function's own loss; None if not known."""
    trial = separate_trial(outcome.cell, job.seed, outcome.sizes)
    if trial is None or not outcome.steps or not outcome.separate:
        return None
    given = outcome.separate[0].gradients
    if given["U"].shape != trial.problem.parameters["U"].shape:
        return None
    return wrong_steps(trial.problem, given, outcome.steps, outcome.nearby)


def with_names_of_places(
    reasons: Reasons, location: Location, outcome: Outcome, job: Job
) -> Reasons:
    """Return the reasons; without an exact explanation, take the mistakes that explain the places.

    The mistakes at several places are an exact explanation if they predict every number. Otherwise, take
    those that explain the places one by one. Numbers that are not finite alone do not count as an explanation.
    They follow the mistakes.
    """
    trial = separate_trial(outcome.cell, job.seed, outcome.sizes)
    if location.wrong and outcome.separate and trial is not None and not reasons.exact:
        together, exact = combined(reasons.case, trial.problem, outcome.separate[0])
        if together:
            others = [without_clipping(one) or one for one in together]
            return reasons._replace(explanations=others, exact=exact)
    named = tuple(dict.fromkeys(place.mistake for place in location.places if place.mistake))
    nonfinite: Explanation = ()
    if len(reasons.explanations) == 1 and {one.id for one in reasons.explanations[0]} == {NAN}:
        nonfinite = reasons.explanations[0]
    if not named or (reasons.explanations and not nonfinite):
        return reasons
    return reasons._replace(explanations=[(*named, *nonfinite)], exact=False)


def verdict_of(
    reasons: Reasons, checked: Checked, numerical: Numerical, network: Explanation, job: Job
) -> str:
    """Return "right", "right for its own network" or "wrong".

    `network` are the differences of the function's network from the specification, without the order
    of the gates.
    """
    if (
        not all(one.is_accounted for one in checked.found)
        or numerical.mistake is not None
        or not reasons.gradient_is_right
    ):
        return WRONG
    asked = [Found(*one) for one in job.options.network]
    wanted = all(any(one.is_meant_by(other) for other in asked) for one in network) and all(
        any(one.is_meant_by(other) for one in network) for other in asked
    )
    return (
        RIGHT
        if wanted and reasons.network_known and not (reasons.explanations or checked.found)
        else OWN
    )


def own_network(reasons: Reasons, job: Job) -> tuple[Explanation, str]:
    """Return the differences of the function's network, without the order of the gates, and this order.

    The order of the gates is a convention, unless the user gave one: then another order is a
    difference. The order is "" if it is that of the specification or a difference.
    """
    if job.options.gates:
        return tuple(
            in_users_order(one, reasons.case.cell, job.options.gates) for one in reasons.network
        ), ""
    orders = [one.variant for one in reasons.network if one.id == "gate-order"]
    others = tuple(one for one in reasons.network if one.id != "gate-order")
    return others, orders[0] if orders else ""


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


def complete_explanations(
    reasons: Reasons, checked: Checked, numerical: Numerical, outcome: Outcome, job: Job
) -> tuple[Explanation, ...]:
    """Return the explanations, and add to each the mistakes that were found in other ways.

    These are the mistakes in `checked.found`, which were found by comparing several calls or from the
    precision of the numbers, and the mistake in the user's numerical gradient. If there is no
    explanation, but there are such mistakes, return one explanation with only these mistakes.
    """
    explanations: list[Explanation] = list(reasons.explanations)
    if numerical.mistake is not None:
        explanations = [(*one, numerical.mistake) for one in explanations or [()]]
    if not explanations and checked.found:
        explanations = [()]

    def complete(explanation: Explanation) -> Explanation:
        # The mistakes that show in several calls come first, because some of them, such as a
        # changed argument, cause many other errors.
        mistakes = [*checked.found, *explanation]
        mistakes.sort(key=lambda one: (one.id != "loss-after-update", one.is_accounted))
        return tuple(
            mirrored_formula(
                in_users_order(one, outcome.cell, job.options.gates), reasons.network
            ).in_network(reasons.network, outcome.cell)
            for one in mistakes
        )

    return tuple(map(complete, explanations))


def all_clues(
    reasons: Reasons, checked: Checked, by_step: dict[str, tuple[float, ...]], location: Location
) -> Iterator[str]:
    """Yield sentences about the pattern of the errors of a wrong function."""
    of_errors = list(clues(reasons.case, reasons.rows, by_step))
    yield from of_errors
    right_said = any(clue.startswith(RIGHT_EVERYWHERE) for clue in of_errors)
    yield from location.sentences(not reasons.exact, right_said)
    for one in reasons.clipping:
        yield f"your gradients are also clipped: {one.variant_text}. This is not the mistake."
    if reasons.network:
        yield (
            "your network differs from the specification, so your gradients were compared with the right "
            "gradients of your own network."
        )
    if not reasons.network_known and checked.agreement.wrong:
        verb = "are not the derivatives" if len(location.wrong) > 1 else "is not the derivative"
        yield f"{listing(blocks_text(location.wrong))} {verb} of your own loss."
    elif not reasons.network_known and checked.agreement.wrong_trials:
        names = [reasons.case.trials[n].info.name for n in checked.agreement.wrong_trials]
        yield f"in the trials {listing(names)}, the gradient is not the derivative of your own loss."


def remarks(outcome: Outcome, checked: Checked, numerical: Numerical) -> Iterator[str]:
    """Yield the notes of the diagnosis: sentences about the check itself, such as the tolerance used."""
    if checked.case.single and not checked.wrong:
        if all(call.float32 for call in outcome.trials):
            yield "checked with the tolerance of float32, because the gradients are float32 arrays."
        else:
            yield "checked with the tolerance of float32, as requested."
    if outcome.trials[0].loss is None:
        yield "the function returned no loss, so only its gradients were checked."
    elif checked.network is None and not outcome.derivatives:
        yield (
            "the function is too slow, or its loss is not finite, so its loss was not differentiated. The "
            "doctor cannot say whether the gradient is right for another network."
        )
    if checked.network is None and outcome.derivatives:
        method = "the complex step" if outcome.complex_step else "central differences"
        yield f"the derivative of your own loss was taken by {method}."
    if "W transposed" in outcome.convention:
        yield (
            "your code computes a = Wᵀ h instead of a = W h, so W and dW were compared after "
            "transposing them."
        )
    if numerical.rows and numerical.mistake is None:
        largest = max(row.norm_relative for row in numerical.rows if row.parameter != LOSS)
        yield f"your numerical gradient is right too; its largest error is {largest:.0e}."


def settings_of(outcome: Outcome, job: Job, checked: Checked, layout: str) -> Tried:
    """Return the settings of the trials, which the diagnosis shows.

    `layout` is the function's order of the gates, if it is not that of the specification.
    """
    gates = f"; gates in the order {', '.join(layout)}" if layout else ""
    counted = [script for script in SCRIPTS if script not in ("numerical", "derivatives", "steps")]
    return Tried(
        cell=outcome.cell,
        dtype=checked.case.precision.name,
        reduction=job.options.reduction,
        seed=job.seed,
        convention=f"{outcome.convention}{gates}",
        calls=sum(len(getattr(outcome, script)) for script in counted),
        trials=tuple(trial.info for trial in checked.case.trials),
    )


def mirrored_formula(one: Found, network: Explanation) -> Found:
    """Return the mistake `one` with its equation as code writes it whose update gate is reversed.

    `network` are the differences of the network. In other networks, return `one` unchanged.
    """
    if not one.mistake.in_one_formula or Found("update-gate-reversed") not in network:
        return one
    return Found(one.id, mirrored(one.variant))


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
