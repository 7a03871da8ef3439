"""Decides which mistakes explain the wrong results, and which differences describe the network.

It tries the simplest explanations first: a single mistake, then the function's own network with a
single mistake, then pairs, then lower precisions. `explanation.py` does each search. This module does
not look at several calls.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from charloom.diagnosis import call_sequences, nonfinite
from charloom.diagnosis.case import Case, Explanation
from charloom.diagnosis.clipping_limits import limits_of
from charloom.diagnosis.comparison import Checked, precision_mistake
from charloom.diagnosis.diagnosis_result import Row
from charloom.diagnosis.error_rows import all_rows
from charloom.diagnosis.explanation import explained, single_mistakes
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.outcome import Outcome

UNDERFLOW: Final = (
    300.0  # a step's loss above this (nats) has a probability that is nearly 0 in float64
)


class Reasons(NamedTuple):
    """Why the results are as they are.

    Attributes:
        explanations: sets of mistakes, likeliest first, each of which explains the wrong results. They
            have no differences of the network, and no clipping beside a mistake.
        exact: whether the mistakes of an explanation predict every number of every usable trial.
        network: the differences of the function's network and loss from the specification.
        network_known: whether these differences predict the function's losses.
        gradient_is_right: whether each gradient is that of the function's own loss, except for the
            clipping or the ε in a logarithm that `explanations` has.
        case: the results, compared with the right ones for this network.
        rows: the errors of the results, compared with the right ones that are clipped as the function's are.
        clipping: the clipping of the finished gradients.
    """

    explanations: list[Explanation]
    exact: bool
    network: Explanation
    network_known: bool
    gradient_is_right: bool
    case: Case
    rows: tuple[Row, ...]
    clipping: Explanation = ()


class Search(NamedTuple):
    """The result of a search: explanations, whether they are exact, and the case that they explain."""

    explanations: list[Explanation]
    exact: bool
    case: Case


def reasons_of(checked: Checked, outcome: Outcome) -> Reasons:
    """Return the mistakes and the differences of the network that explain the function's results.

    Clipping of the finished gradients is an explanation only if nothing is wrong.
    """
    found = all_reasons(checked, outcome)
    first = found.explanations[0] if found.explanations else ()
    clipping = clipped_in((*found.network, *first))[:1]
    network = without_clipping(found.network)
    case = found.case.with_network(network) if len(network) < len(found.network) else found.case
    rest = [without_clipping(one) for one in found.explanations]
    rest = [one for one in dict.fromkeys(rest) if one]
    if found.gradient_is_right:
        rest = [(*one, *clipping) for one in rest or [()] if one or clipping]
    elif first and not rest:  # the loss alone is wrong
        rest, clipping = [first], ()
    return found._replace(explanations=rest, network=network, case=case, clipping=clipping)


def clipped_in(explanation: Explanation) -> Explanation:
    """Return the clipping of the finished gradients in an explanation."""
    return tuple(one for one in explanation if one.id == "clipped" and one.is_accounted)


def without_clipping(explanation: Explanation) -> Explanation:
    """Return an explanation without the clipping of the finished gradients."""
    return tuple(one for one in explanation if one not in clipped_in(explanation))


def all_reasons(checked: Checked, outcome: Outcome) -> Reasons:
    """Return the reasons; clipping is among the differences of the network, or in an explanation."""
    case = checked.case
    if not checked.wrong:
        return Reasons([], True, case.network, True, True, case, checked.rows)
    if not case.calls[case.usable[0]].is_finite():
        only: Explanation = (Found("not-a-number", nonfinite.not_numbers(case)),)
        return Reasons([only], True, case.network, True, False, case, checked.rows)
    known = checked.network is not None or outcome.trials[0].loss is None
    found = search(checked, outcome)
    explained_exactly = bool(found.explanations) and found.exact
    if not known and checked.agreement.whole and not explained_exactly:
        additions = with_usual_additions(checked, outcome)
        right = all(one.is_accounted for explanation in additions for one in explanation)
        return Reasons(additions, True, (), False, right, case, ())
    explanations = [with_nonfinite(found.case, one) for one in found.explanations]
    if not explanations and (only := with_nonfinite(found.case, ())):
        explanations = [only]
    clean = found.exact and not found.explanations  # only numbers that are not finite are wrong
    right = (explained_exactly or (clean and not explanations)) and all(
        one.is_accounted for one in (explanations[0] if explanations else ())
    )
    network, explanations = separated(found.case.network, explanations)
    own = found.case.with_network(network)
    known = known or explained_exactly
    shown = (*network, *explanations[0]) if right and explanations else network
    rows = all_rows(found.case.with_network(shown))
    return Reasons(explanations, explained_exactly, network, known, right, own, rows)


def with_usual_additions(checked: Checked, outcome: Outcome) -> list[Explanation]:
    """Return the clipping and the ε that the results of a network show that the doctor does not know, if any."""
    clipping = [Found("clipped", v) for v in limits_of(outcome.trials).variants()[:1]]
    found = (*clipping, *([checked.epsilon] if checked.epsilon else ()))
    return [found] if found else []


def separated(
    network: Explanation, explanations: Sequence[Explanation]
) -> tuple[Explanation, list[Explanation]]:
    """Move the differences of the network out of the explanations.

    `network` are differences that were found before. The returned network also has those of the first
    explanation. The differences in other explanations stay there, because they are alternatives. If the
    first explanation has only differences, no mistake is left. A mistake replaces a difference with the
    same id.
    """
    if not explanations:
        return network, []
    first = tuple(one for one in explanations[0] if one.is_consistent)
    rest = [tuple(one for one in e if one not in first) for e in explanations]
    named = {one.id for one in rest[0]}
    network = tuple(one for one in (*network, *first) if one.id not in named)
    return network, [one for one in dict.fromkeys(rest) if one] if rest[0] else []


def search(checked: Checked, outcome: Outcome) -> Search:
    """Return the explanations of the wrong results with the highest precision that gives some.

    With a lower precision, what an explanation leaves must look like rounding.
    """
    right = checked.network is None and checked.agreement.whole
    best = search_at(checked.case, right)
    if best.explanations or right:
        return best
    for precision in checked.lower:
        found = search_at(checked.case.with_precision(precision))
        for one in found.explanations[: 1 if found.exact else 0]:
            left = found.case.with_network((*found.case.network, *one))
            if call_sequences.looks_like_rounding(left, outcome, precision):
                return found._replace(explanations=[(*one, precision_mistake(precision))])
    return best


def search_at(case: Case, right: bool = False) -> Search:
    """Return the explanations of the wrong results with the error limits of `case`.

    `right` is as in `explained`.

    A single mistake of a network that is otherwise that of the specification comes first, then
    mistakes in the function's own network, then pairs in the network of the specification.
    """
    plain = case.with_network(())
    if case.network:
        single = [one for one in single_mistakes(plain) if stays_right(plain, one)]
        if single:
            return Search(single, True, plain)
    found = []
    for one in [case, plain] if case.network else [case]:
        wrong = [row for row in all_rows(one) if not row.passed and row.trial in one.usable]
        if not wrong:
            return Search([], True, one)
        explanations, exact = explained(one, wrong, right)
        if not (explanations and exact):
            late = call_sequences.loss_after_update(one, explanations, wrong)
            if late is not None:
                explanations, exact = [late], True
        if explanations and exact:
            return Search(explanations, True, one)
        found.append(Search(explanations, exact, one))
    return next((one for one in found if one.explanations), found[0])


def stays_right(plain: Case, explanation: Explanation) -> bool:
    """Return True if the explanation has a mistake, or if all usable results are right for its differences.

    A difference predicts results up to `MATCHES` only, but right results are nearer.
    """
    if not all(one.is_consistent for one in explanation):
        return True
    own = plain.with_network(explanation)
    return all(row.passed for row in all_rows(own) if row.trial in own.usable)


def with_nonfinite(case: Case, explanation: Explanation) -> Explanation:
    """Return the explanation, and add that numbers are not finite, unless its mistakes predict that."""
    for place, call in enumerate(case.calls):
        if call.is_finite():
            continue
        predicted = case.predicted(case.trials[place].problem, explanation)
        averaged = any(one.id == "mean-over-time" for one in (*case.network, *explanation))
        steps = 1 if averaged else case.length(place)
        if predicted.loss < UNDERFLOW * steps:
            return (*explanation, Found("not-a-number", nonfinite.not_numbers(case)))
    return explanation
