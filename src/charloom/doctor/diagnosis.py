"""From what a function answered to a verdict, and to the mistake that explains it.

Each explanation is a set of mistakes. `faulty.py` computes what the gradient would be with it; the
one that predicts every number of every trial, with no other closer, is the diagnosis. It runs no
code of the user's.
"""

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from charloom.doctor import behaviour, numerical
from charloom.doctor.case import MATCHES, WIDEST, ZERO, Case, Explanation, distance, relative
from charloom.doctor.faulty import Answer, Arrays
from charloom.doctor.mistakes import BY_ID, MISTAKES, RANK
from charloom.doctor.result import LOSS, RIGHT, WRONG, Diagnosis, Found, Row, TrialInfo, Tried
from charloom.doctor.runner import NUMERICAL_TRIALS, Call, Job, Outcome
from charloom.doctor.trials import make_trials, window
from charloom.measures import distances, errors
from charloom.spelling import listing

CLOSER: Final = 10.0  # an explanation that is so many times further than the best is none
SAME: Final = 1e-11  # nearer than this they are all the same: rounding
LOSS_BROKEN: Final = "the loss"  # what is not finite
SHORT: Final = 1  # the trial on which pairs are tried first
PAIR_ORDERS: Final = 5  # of the gates, in pairs


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
    rounded = all(behaviour.holds_float32(call.gradients) for call in calls)
    returned32 = all(call.float32 for call in calls)
    single = dtype == "float32" or (dtype == "auto" and returned32)
    case = Case(trials, calls, job.options.reduction, single)
    rows = tuple(row for place in range(len(trials)) for row in rows_of(case, place))
    notes = list(noticed)
    found_calls = behaviour.found_in_calls(outcome, trials[0].problem, job.options.reduction)
    wrong = [row for row in rows if not row.passed]
    explanations: list[Explanation] = []
    exact = True
    # float32's digits show in all numbers, or no error is larger than they make it.
    if wrong and not single and (rounded or all(row.norm_relative <= WIDEST for row in wrong)):
        loose = Case(trials, calls, job.options.reduction, True)
        loose_rows = [row for place in range(len(trials)) for row in rows_of(loose, place)]
        # float32 would blur the gradients, too.
        blurred = rounded or any(row.parameter != LOSS for row in wrong)
        if blurred and all(row.passed for row in loose_rows):
            found_calls.append(Found("float32-where-float64"))
            wrong = []
        elif rounded:
            found_calls.append(Found("float32-where-float64"))
            case = loose
    broken = not_numbers(case)
    if wrong and broken in ("", LOSS_BROKEN):
        explanations, exact = explained(case, wrong)
        if not (explanations and exact):
            late = behaviour.loss_after_update(case, explanations, wrong)
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
            "your loss has a = Wᵀ h where SPEC.md has a = W h: W and dW were taken as transposed."
        )
    judged = [trials[place].problem for place in NUMERICAL_TRIALS] if outcome.numerical else []
    own = None
    if judged:
        mean = job.options.reduction == "mean"
        own = numerical.judge(judged, [call.gradients for call in outcome.numerical], mean)
        if own is None:
            off = max(
                row.norm_relative
                for place, call in zip(NUMERICAL_TRIALS, outcome.numerical, strict=False)
                for row in rows_of(case, place, call, numerical.GOOD)
                if row.parameter != LOSS
            )
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
            calls=sum(len(getattr(outcome, s)) for s in ("trials", "windows", "repeats", "fresh")),
            trials=tuple(TrialInfo(*trial[:6]) for trial in trials),
        ),
        seconds=time.perf_counter() - started,
        numerical=tuple(
            row
            for place, call in zip(NUMERICAL_TRIALS, outcome.numerical, strict=False)
            for row in rows_of(case, place, call, numerical.GOOD)
        ),
        subject=subject,
    )


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


# The explanations.


def explained(case: Case, wrong: Sequence[Row]) -> tuple[list[Explanation], bool]:
    """The explanations that fit, likeliest first, and whether they predict every number."""
    names = sorted({row.parameter for row in wrong})
    singles, constant = list(candidates(case)), [*scalings(case), *decays(case)]
    for only in (None, list(case.exact[0].gradients)):
        fitting = (
            nearest(case, ((one,) for one in singles), only)
            or nearest(case, ((one,) for one in constant), only)
            or (
                # Where all is within what a match may be off, nearly every pair would be one.
                nearest(case, pairs(case, [*singles, *constant], only), only)
                if math.isinf(unmistaken(case, only))
                else []
            )
        )
        if fitting:
            return fitting, only is None
        # Gradients that are right explain nothing about a loss.
        if LOSS not in names or names == [LOSS]:
            break
    return apart(case, [*singles, *constant], names), False


def not_numbers(case: Case) -> str:
    """Which gradients are not finite somewhere, and whether the loss is; empty where all are."""
    found = [
        f"d{name}"
        for name in case.exact[0].gradients
        if not all(np.isfinite(call.gradients[name]).all() for call in case.calls)
    ]
    if not all(call.loss is None or math.isfinite(call.loss) for call in case.calls):
        found.append(LOSS_BROKEN)
    return listing(found)


def candidates(case: Case) -> Iterator[Found]:
    """Every known mistake that shows in one call, in every variant, likeliest first."""
    for mistake in MISTAKES:
        no_mistake = "mean-over-time" if case.reduction == "mean" else "sum-over-time"
        if mistake.kind != "gradient" or mistake.id == no_mistake:
            continue
        for variant in mistake.variants_of(case.cell):
            yield Found(mistake.id, variant)
        if mistake.id == "clipped":
            for variant in limits_seen(case):
                yield Found(mistake.id, variant)
        if mistake.id == "epsilon-in-log":
            for variant in epsilons_seen(case):
                yield Found(mistake.id, variant)


def epsilons_seen(case: Case) -> list[str]:
    """An ε other than the usual ones: what the p of a window of one step is too large by."""
    usual = BY_ID["epsilon-in-log"].variants
    for place, call in enumerate(case.calls):
        if len(case.trials[place].problem.x) > 1 or call.loss is None:
            continue
        epsilon = math.exp(-min(max(call.loss, -1), 700)) - math.exp(-case.exact[place].loss)
        told = f"ε = {float(f'{epsilon:.3g}')!r}"
        known = {float(variant[4:].partition(",")[0]) for variant in usual}
        if 1e-13 < epsilon < 1 and float(told[4:]) not in known:
            return [told, f"{told}, gradient too"]
    return []


def scalings(case: Case) -> Iterator[Found]:
    """The gradients that are a constant times the right ones, if there are any, as one mistake."""
    found = []
    for name in case.exact[0].gradients:
        factor = common_factor(case, (name,))
        if factor is not None and abs(factor - 1) > MATCHES:
            found.append(f"{factor:.12g} d{name}")
    if found:
        yield Found("gradient-scaled", ", ".join(found))


def decays(case: Case) -> Iterator[Found]:
    """Weight decay with the λ that the first trial's numbers show, in the parameters that it has."""
    parameters = case.trials[0].problem.parameters
    rates = {}
    for name, right in case.exact[0].gradients.items():
        given, theta = case.calls[0].gradients[name], parameters[name]
        if given.shape == right.shape:
            rate = float(np.vdot(theta, given - right)) / float(np.vdot(theta, theta))
            if abs(rate) > ZERO and distance(given, right + rate * theta, ZERO) <= MATCHES:
                rates[name] = rate
    # The largest decay is read off most exactly; of rounding there is none that is the same in all.
    for rate in sorted(rates.values(), key=abs, reverse=True)[:1]:
        names = [name for name, own in rates.items() if abs(own - rate) <= 1e-3 * abs(rate)]
        told = f"λ = {float(f'{rate:.9g}')!r} in {', '.join(names)}"
        yield Found("weight-decay-added", told)
        yield Found("weight-decay-added", f"{told} and the loss")


def limits_seen(case: Case) -> list[str]:
    """Clipping limits other than the usual ones that the function's answers show."""
    usual = BY_ID["clipped"].variants
    entries = np.concatenate(
        [np.abs(g).ravel() for call in case.calls for g in call.gradients.values()]
    )
    top = float(np.max(entries, initial=0))
    found = []
    if np.isfinite(top) and int((entries == top).sum()) > 1:
        found.append(f"entries {top!r}")
    norms = [
        math.sqrt(sum(float((g * g).sum()) for g in call.gradients.values())) for call in case.calls
    ]
    high = max(norms)
    if np.isfinite(high) and sum(abs(norm - high) <= 1e-9 * high for norm in norms) > 1:
        found.append(f"norm {float(f'{high:.9g}')!r}")
    known = {(kind, float(limit)) for kind, _, limit in (v.partition(" ") for v in usual)}
    return [v for v in found if (v.split()[0], float(v.split()[1])) not in known]


def nearest(
    case: Case, explanations: Iterable[Explanation], only: Sequence[str] | None
) -> list[Explanation]:
    """Those that match in every trial, with no other closer; likeliest first."""
    fitting: list[tuple[float, Explanation]] = []
    places = sorted(range(len(case.trials)), key=lambda place: len(case.trials[place].problem.x))
    places.sort(key=lambda place: place != SHORT)  # the cheapest that tells most of them apart
    for explanation in explanations:
        far = 0.0
        for place in places:
            far = max(far, case.accepts(place, explanation, only))
            if math.isinf(far):
                break
        else:
            fitting.append((far, explanation))
    # What is hardly nearer than code without any mistake explains nothing.
    none = unmistaken(case, only)
    fitting = [(far, e) for far, e in fitting if CLOSER * max(far, SAME) <= none]
    if only is not None:  # what it says of the loss must be true, too
        fitting = [(far, e) for far, e in fitting if says_no_wrong_loss(case, e)]
    if not fitting:
        return []
    best = min(far for far, _ in fitting)
    near = max(SAME, CLOSER * best) if not case.single else math.inf
    return sorted((e for far, e in fitting if far <= near), key=likelihood)


def unmistaken(case: Case, only: Sequence[str] | None) -> float:
    """How far code without any mistake is from the function's answers; infinite beyond a match."""
    return max(case.accepts(place, (), only) for place in range(len(case.trials)))


def says_no_wrong_loss(case: Case, explanation: Explanation) -> bool:
    """Whether an explanation leaves the loss alone, or predicts what the function returned.

    A loss that is not finite is another matter: another network may drive p to 0.
    """
    for place, trial in enumerate(case.trials):
        if not math.isfinite(case.calls[place].loss or 0.0):
            continue
        predicted = case.predicted(trial.problem, explanation)
        if predicted.loss != case.exact[place].loss and not case.matching(place, predicted, [LOSS]):
            return False
    return True


def likelihood(explanation: Explanation) -> tuple[int, ...]:
    """The order of explanations: the place of their mistakes, then of their variants, in the list."""
    ranks = sorted(RANK[one.id] for one in explanation)
    variants = [
        list(BY_ID[one.id].variants).index(one.variant)
        if one.variant in BY_ID[one.id].variants
        else 99
        for one in explanation
    ]
    return (*ranks, *variants)


def pairs(
    case: Case, singles: Sequence[Found], only: Sequence[str] | None
) -> Iterator[Explanation]:
    """Pairs that match in the smallest trial.

    What only one of the two changes there must be what that one predicts, and what neither changes
    must be right: so nearly all pairs are left out without computing them. Some mistakes do nothing
    there (a truncation beyond its length, a limit that is not reached): with such a one a pair is
    what the other is alone.
    """
    exact = case.exact[SHORT]
    names = [*exact.gradients, LOSS] if only is None else list(only)
    right = case.matching(SHORT, exact, names)
    changes: dict[Found, set[str]] = {}
    matches: dict[Found, set[str]] = {}
    for one in singles:
        if one.id == "gate-order" and not in_pairs(case.cell, one):
            continue
        predicted = case.predicted(case.trials[SHORT].problem, (one,))
        changes[one] = {name for name in names if not same(predicted, exact, name)}
        matches[one] = case.matching(SHORT, predicted, names)
    for first, second in itertools.combinations(changes, 2):
        if first.id == second.id:
            continue
        mine, its = changes[first], changes[second]
        if (
            mine - its <= matches[first]
            and its - mine <= matches[second]
            and set(names) - mine - its <= right
            and (not mine & its or not math.isinf(case.accepts(SHORT, (first, second), only)))
        ):
            yield (first, second)


def same(a: Answer, b: Answer, name: str) -> bool:
    """Whether two predictions agree on a parameter, or on the loss."""
    if name == LOSS:
        return a.loss == b.loss
    return np.array_equal(a.gradients[name], b.gradients[name])


def in_pairs(cell: str, one: Found) -> bool:
    """Whether an order of the gates is usual enough to be tried together with another mistake."""
    return BY_ID["gate-order"].variants_of(cell).index(one.variant) < PAIR_ORDERS


def apart(case: Case, singles: Sequence[Found], names: Sequence[str]) -> list[Explanation]:
    """One explanation made of mistakes that each explain some wrong parameters on their own.

    For three mistakes and more, each in a parameter of its own. Empty where that explains not all.
    A mistake that would make something else wrong, which is right, explains nothing.
    """
    left = {name for name in names if name != LOSS}
    chosen: list[Found] = []
    fits = {
        one: {name for name in left if all(
            not math.isinf(case.accepts(place, (one,), [name])) for place in range(len(case.trials))
        )}
        for one in singles
    }  # fmt: skip
    fits = {
        one: fitting for one, fitting in fits.items() if fitting and harms_none(case, one, names)
    }
    while left and fits:
        best = max(fits, key=lambda one: (len(fits[one] & left), -RANK[one.id]))
        if not fits[best] & left:
            return []
        chosen.append(best)
        left -= fits[best]
    return [tuple(chosen)] if chosen and not left else []


def harms_none(case: Case, one: Found, names: Sequence[str]) -> bool:
    """Whether a mistake leaves alone what is right, and predicts no loss that is not the function's."""
    for place, trial in enumerate(case.trials):
        predicted, exact = case.predicted(trial.problem, (one,)), case.exact[place]
        changed = {name for name in exact.gradients if not same(predicted, exact, name)}
        if not changed <= {*names, *case.matching(place, predicted, changed)}:
            return False
    return says_no_wrong_loss(case, (one,))


# What can be said besides.


def errors_by_step(case: Case, outcome: Outcome) -> dict[str, tuple[float, ...]]:
    """How far each step's contribution to each gradient is from the right one, norm-relative.

    The contribution of step t is what the window of t steps has more than that of t - 1: the
    gradient of step t's loss, through all steps before it.
    """
    first = case.trials[0].problem
    found: dict[str, list[float]] = {name: [] for name in case.exact[0].gradients}
    before: tuple[Arrays, Arrays] | None = None
    for length, call in enumerate(outcome.windows, start=1):
        exact = case.predicted(window(first, length), ()).gradients
        for name, gaps in found.items():
            given, right = call.gradients[name], exact[name]
            if given.shape != right.shape:
                gaps.append(math.nan)
                continue
            if before is not None and before[0][name].shape == given.shape:
                given, right = given - before[0][name], right - before[1][name]
            gaps.append(distance(given, right, ZERO))
        before = (call.gradients, exact)
    return {name: tuple(gaps) for name, gaps in found.items()}


def clues(case: Case, rows: Sequence[Row], by_step: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """What the pattern of errors tells."""
    wrong = {row.parameter for row in rows if not row.passed}
    right = [name for name in (*case.exact[0].gradients, LOSS) if name not in wrong]
    if (right and any(row.parameter == LOSS for row in rows)) or LOSS not in right:
        told = [("the loss" if name == LOSS else f"d{name}") for name in right]
        if told:
            yield f"right in every trial: {', '.join(told)}."
    limit = 1e-4 if case.single else MATCHES
    firsts: dict[int, list[str]] = {}
    for name, gaps in by_step.items():
        at = next((t for t, error in enumerate(gaps, start=1) if not error <= limit), None)
        if at is not None:
            firsts.setdefault(at, []).append(f"d{name}")
    for at, names in sorted(firsts.items()):
        yield f"{', '.join(names)}: first wrong in a window of {at} step{'s' if at > 1 else ''}."
    failed = {row.trial for row in rows if not row.passed}
    started = {place for place, trial in enumerate(case.trials) if trial.state == "non-zero"}
    if failed == started:
        yield "it is wrong exactly where the initial state is not zero."
    factor = common_factor(case)
    if factor is not None:
        yield f"every gradient is {factor:.6g} times the right one."


def common_factor(case: Case, names: Sequence[str] = ()) -> float | None:
    """The number that these gradients (all) of all trials are multiplied by, where there is one."""
    factors = []
    for place, exact in enumerate(case.exact):
        for name, right in exact.gradients.items():
            if names and name not in names:
                continue
            given = case.calls[place].gradients[name]
            size = float(np.vdot(right, right))
            if given.shape != right.shape:
                return None
            if size == 0:
                continue
            factors.append(float(np.vdot(given, right)) / size)
            if not distance(given, factors[-1] * right, ZERO) <= MATCHES:
                return None
    if not factors:
        return None
    spread = max(factors) - min(factors)
    return factors[0] if spread <= MATCHES * abs(factors[0]) else None
