"""Differentiates the loss that a function returns, to tell whether its gradient is that of its own loss.

Each block of a parameter is moved in a few random directions. The derivative of the loss in a direction
is taken by the complex step, if the function computes its loss from complex numbers too. Otherwise it is
taken by central differences of fourth order at two steps; the distance of the two results shows how
exact they are. This module knows no network: it only calls the function.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.blocks import Block, blocks_of
from charloom.diagnosis.clipping_limits import NO_LIMITS, Limits
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array, Arrays, Problem
from charloom.random import normals

# Indices of the trials in which the loss is differentiated: the smallest ones with a non-zero and
# with a zero initial state.
DERIVATIVE_TRIALS: Final = (1, 6)
WHOLE: Final = "whole"  # the key of a derivative in a direction of all parameters
DIRECTIONS: Final = 3  # number of random directions for each block
SECONDS: Final = 2.0  # the second trial is left out if the first one took longer than this
SLOW: Final = 0.03  # a function whose call takes longer than this (s) is not differentiated
# Shifts in units of the step s, and the weights of the losses: central differences of fourth order, for
# the step s and for the step 2 s.
ONE_STEP: Final = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}
TWO_STEPS: Final = {n * 2: weight / 2 for n, weight in ONE_STEP.items()}
SHIFTS: Final = tuple(sorted({*ONE_STEP, *TWO_STEPS}))
LEAST: Final = 1e-3  # the step in float64; its truncation error is about 1e-13
LARGEST: Final = 0.05  # largest step, for losses of low precision
NOISE_POINTS: Final = 8  # number of results from which their rounding error is estimated
DISTANCE: Final = 1e-9  # relative distance of the weights of these results
ROUNDINGS: Final = (
    100.0  # results may differ by this many times the rounding error that was measured
)
ROUNDING: Final = 1e-16  # smallest relative rounding error of a loss
SAME: Final = 1e-7  # largest relative distance of a gradient from the derivative that it equals
SMALL: Final = (
    1e-3  # a block's derivative below this share of the whole gradient counts as this share
)
FARTHEST: Final = 1e-3  # a derivative whose two results are farther apart shows nothing
TRUNCATION: Final = (
    1e3  # the truncation error of a derivative, relative to it and to step⁴, is at most this
)
LOW: Final = 1e-7  # larger rounding errors of the gradient are those of a precision below float64
FARTHEST_LOW: Final = 0.03  # the same as FARTHEST in such a precision
TINY: Final = 1e-30  # the step of the complex step
ComplexLoss = Callable[[Problem], complex]
DOUBT: Final = (
    10.0  # a gradient may be this many times as far from the derivative as its two results
)


class Agreement(NamedTuple):
    """Which blocks of the gradients are the derivatives of the function's own loss.

    Attributes:
        right: the blocks that are the derivative.
        wrong: the blocks that are not.
        unclear: the blocks whose derivative is not exact enough.
        wrong_trials: the trials in which the whole gradient is not the derivative in one direction.
    """

    right: frozenset[Block] = frozenset()
    wrong: frozenset[Block] = frozenset()
    unclear: frozenset[Block] = frozenset()
    wrong_trials: tuple[int, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every block is known to be the derivative, and the whole gradient in every trial."""
        return bool(self.right) and not (self.wrong or self.unclear or self.wrong_trials)


def nearby(call: Callable[[Problem], Call], problem: Problem) -> list[Call]:
    """Return the results of calls with weights at tiny, equal distances, which show rounding errors.

    Return an empty list if the function is slow.
    """
    times = []
    for _ in range(3):  # the first call may take longer, because something is compiled
        started = time.process_time()
        first = call(problem)
        times.append(time.process_time() - started)
    if min(times) > SLOW:
        return []
    found = [first]
    for n in range(1, NOISE_POINTS):
        moved = {name: p * (1 + n * DISTANCE) for name, p in problem.parameters.items()}
        found.append(call(problem._replace(parameters=moved)))
    return found


def derivatives(
    call: Callable[[Problem], Call],
    problem: Problem,
    near: Sequence[Call],
    gradients: Arrays,
    limits: Limits,
    complex_loss: ComplexLoss | None = None,
) -> list[Call]:
    """Return the derivatives of the function's loss at `problem`, once for each of the two steps.

    Each result is a `Call`. Its gradients have a key for each block, such as "W f", and the derivatives
    in the directions of `directions`. The list is empty if the function returns no finite loss. `call`
    calls the function, and `near` is the result of `nearby`. `gradients` are those of the function, and
    entries that are clipped do not move. With `complex_loss`, the derivatives are taken by the complex
    step, and both results are the same.
    """
    step = step_of(near)
    if step is None:
        return []
    both: tuple[Arrays, Arrays] = ({}, {})
    for block, rows in blocks_of(problem.cell, problem.parameters):
        found: tuple[list[float], list[float]] = ([], [])
        free = free_entries(problem, gradients, block.parameter, limits)[rows]
        for direction in directions(block, free):
            along = np.zeros_like(problem.parameters[block.parameter])
            along[rows] = direction
            moves = {block.parameter: along}
            if complex_loss is None:
                slopes = slopes_along(call, problem, moves, step)
            else:
                slopes = [complex_slope(complex_loss, problem, moves)] * 2
            for values, slope in zip(found, slopes, strict=True):
                values.append(slope)
        for arrays, values in zip(both, found, strict=True):
            arrays[" ".join(block)] = np.array(values)
    return [Call(near[0].loss, arrays, (), {}, False) for arrays in both]


def whole_derivatives(
    call: Callable[[Problem], Call],
    problem: Problem,
    near: Sequence[Call],
    gradients: Arrays,
    limits: Limits,
) -> list[Call]:
    """Return the derivatives of the function's loss when all parameters move in one random direction.

    There is a `Call` for each of the two steps, with the derivative as the gradient `WHOLE`. The list is
    empty if the function returns no finite loss. `near` is the result of `nearby`. `gradients` are those of
    the function, and entries that are clipped do not move.
    """
    step = step_of(near)
    if step is None:
        return []
    slopes = slopes_along(call, problem, whole_direction(problem, gradients, limits), step)
    return [Call(near[0].loss, {WHOLE: np.array([slope])}, (), {}, False) for slope in slopes]


def complex_slope(complex_loss: ComplexLoss, problem: Problem, direction: Arrays) -> float:
    """Return the derivative of the function's loss in a direction, by the complex step.

    It is Im L(θ + i s d) / s. There is no difference of two losses, so s can be tiny, and the derivative is as
    exact as the loss (Squire and Trapp 1998).
    """
    # All arrays are complex, because the code may make an array like one and add another one to it.
    parameters = {
        name: p + 1j * TINY * direction.get(name, 0) for name, p in problem.parameters.items()
    }
    state = {name: s.astype(complex) for name, s in problem.state.items()}
    loss = complex_loss(problem._replace(parameters=parameters, state=state))
    return float(loss.imag) / TINY


def allowed_complex_loss(
    complex_loss: ComplexLoss | None, problem: Problem, whole: Sequence[Call]
) -> ComplexLoss | None:
    """Return `complex_loss` if the function allows the complex step at `problem`; otherwise None.

    `whole` is the result of `whole_derivatives` without clipping, by central differences. A function does not
    allow the complex step if it fails with complex numbers, or if it drops an imaginary part: then the two
    derivatives differ.
    """
    if complex_loss is None or not whole:
        return None
    one, two = (float(found.gradients[WHOLE][0]) for found in whole)
    try:
        slope = complex_slope(complex_loss, problem, whole_direction(problem))
    except Exception:
        return None
    far = max(DOUBT * abs(one - two), SAME * abs(one))
    return complex_loss if math.isfinite(slope) and abs(slope - one) <= far else None


def whole_direction(
    problem: Problem, gradients: Arrays | None = None, limits: Limits = NO_LIMITS
) -> Arrays:
    """Return a random direction in which all parameters move, except entries with a clipped gradient.

    Its norm is at most 1. Without `gradients`, all entries move.
    """
    gradients = problem.parameters if gradients is None else gradients
    return {
        name: directions(Block(name), free_entries(problem, gradients, name, limits))[0]
        / math.sqrt(len(problem.parameters))
        for name in problem.parameters
    }


def free_entries(problem: Problem, gradients: Arrays, name: str, limits: Limits) -> Array:
    """Return True for each entry of a parameter whose gradient is not clipped.

    A gradient with another shape than its parameter counts as not clipped.
    """
    parameter, given = problem.parameters[name], gradients[name]
    same = given.shape == parameter.shape
    return limits.free(given) if same else np.ones(parameter.shape, dtype=bool)


def slopes_along(
    call: Callable[[Problem], Call], problem: Problem, direction: Arrays, step: float
) -> list[float]:
    """Return the derivative of the function's loss in a direction, for `step` and for twice the step.

    `direction` has an array for each parameter that moves.
    """
    losses = {}
    for n in SHIFTS:
        moved = {name: problem.parameters[name] + n * step * d for name, d in direction.items()}
        losses[n] = loss_of(call, problem._replace(parameters={**problem.parameters, **moved}))
    return [
        sum(w * losses[n] for n, w in weights.items()) / step for weights in (ONE_STEP, TWO_STEPS)
    ]


def step_of(near: Sequence[Call]) -> float | None:
    """Return the step for the results of `nearby`; None if the first of them has no finite loss."""
    losses = [math.nan if one.loss is None else one.loss for one in near]
    return (
        step_for(relative_noise(np.array(losses))) if losses and math.isfinite(losses[0]) else None
    )


def directions(block: Block, free: Array) -> list[Array]:
    """Return the random directions in which a block is moved, of norm 1 at most.

    Only entries at which `free` is True move.
    """
    place = sum(map(ord, " ".join(block)))
    found = []
    for number in range(DIRECTIONS):
        numbers = normals(0, "gradcheck", free.size, stream=200 + place, time=number)
        direction = (numbers / np.linalg.norm(numbers)).reshape(free.shape)
        found.append(np.where(free, direction, 0.0))
    return found


def loss_of(call: Callable[[Problem], Call], problem: Problem) -> float:
    """Return the function's loss at `problem`; NaN if it returns none."""
    loss = call(problem).loss
    return math.nan if loss is None else float(loss)


def relative_noise(values: Array) -> float:
    """Return the relative rounding error of `values`, which belong to weights at tiny, equal distances.

    Third differences of such values, along the first axis, are rounding errors alone. If all values are the
    same, the distances are too small for their precision, which is then taken to be float32.
    """
    if (values == values[0]).all():
        return float(np.finfo(np.float32).eps)
    third = np.diff(values, 3, axis=0).reshape(len(values) - 3, -1)
    error = math.sqrt(float((third**2).sum()) / (20 * len(third)))
    return error / max(float(np.linalg.norm(values[0])), 1e-300)


def largest_noise(near: Sequence[Call]) -> float:
    """Return the largest relative rounding error of the loss and the gradients in the results of `nearby`.

    Return 0 if there are no results.
    """
    if not near or not all(one.is_finite() for one in near):
        return 0.0
    shapes = {name: g.shape for name, g in near[0].gradients.items()}
    if any(one.gradients[name].shape != shapes[name] for one in near for name in shapes):
        return 0.0
    values = [np.array([one.gradients[name] for one in near]) for name in shapes]
    if all(one.loss is not None for one in near):
        values.append(np.array([[one.loss] for one in near]))
    return max((relative_noise(one) for one in values if one[0].any()), default=0.0)


def step_for(noise: float) -> float:
    """Return the step at which the truncation error and the rounding error are about equal.

    The rounding error is `noise` / step, and the truncation error falls with the fourth power of the step.
    """
    if not math.isfinite(noise):
        return LEAST
    return float(min(LARGEST, max(LEAST, max(noise, ROUNDING) ** 0.2)))


class Rounding(NamedTuple):
    """What rounding can change, from the results of `nearby`.

    Attributes:
        slope: the error of a derivative of the loss.
        gradient: the relative error of the function's gradient, and of a derivative by its truncation.
    """

    slope: float = 0.0
    gradient: float = 0.0


def rounding_of(near: Sequence[Call]) -> Rounding:
    """Return what rounding can change; nothing without results."""
    step = step_of(near)
    if step is None:
        return Rounding()
    losses = np.array([math.nan if one.loss is None else one.loss for one in near])
    slope = relative_noise(losses) * abs(float(losses[0])) / step
    truncation = TRUNCATION * step**4
    return Rounding(ROUNDINGS * slope, max(ROUNDINGS * largest_noise(near), truncation))


NO_ROUNDING: Final = Rounding()


def agreement(
    problem: Problem,
    gradients: Arrays,
    both: tuple[Arrays, Arrays],
    limits: Limits = NO_LIMITS,
    rounding: Rounding = NO_ROUNDING,
) -> Agreement:
    """Compare the function's `gradients` with the derivatives of its loss, for the step s and for 2 s.

    `both` are the results of `derivatives` at `problem`. `limits` are those to which the gradients are
    clipped, and `rounding` is what rounding can change. If the loss does not depend on the parameters, the
    result is empty. A block whose entries are all clipped is unclear.
    """
    one, two = both
    size = math.sqrt(sum(float(np.vdot(d, d)) for d in one.values()))
    if size == 0:  # the loss does not depend on the parameters
        return Agreement()
    farthest = FARTHEST_LOW if rounding.gradient > LOW else FARTHEST
    kinds: dict[str, set[Block]] = {"right": set(), "wrong": set(), "unclear": set()}
    factors = norm_factors(problem, gradients, one, limits)
    for block, rows in blocks_of(problem.cell, problem.parameters):
        free = free_entries(problem, gradients, block.parameter, limits)[rows]
        derivative, again = one[" ".join(block)], two[" ".join(block)]
        norm = max(float(np.linalg.norm(derivative)), SMALL * size)
        doubt = float(np.linalg.norm(derivative - again))
        parameter, given = problem.parameters[block.parameter], gradients[block.parameter]
        if given.shape != parameter.shape:
            kinds["wrong"].add(block)
        elif not doubt <= farthest * norm or not free.any():
            kinds["unclear"].add(block)
        else:
            along = [float(np.vdot(given[rows], d)) for d in directions(block, free)]
            far = float(np.linalg.norm(np.array(along) / factors[block.parameter] - derivative))
            limit = max(SAME * norm, DOUBT * doubt, rounding.slope, rounding.gradient * norm)
            kinds["right" if far <= limit else "wrong"].add(block)
    right, wrong, unclear = (frozenset(kinds[kind]) for kind in ("right", "wrong", "unclear"))
    return Agreement(right, wrong, unclear)


def norm_factors(
    problem: Problem, gradients: Arrays, derivative: Arrays, limits: Limits
) -> dict[str, float]:
    """Return the factor by which each gradient is scaled down to a norm; 1 if it is not.

    It is the median over the directions of all blocks, so that a few wrong blocks do not change it. If each
    gradient is scaled alone, it is the median over the directions of its own blocks.
    """
    together, alone = limits.clips_norm(gradients), limits.scaled(gradients)
    ratios: dict[str, list[float]] = {name: [] for name in gradients}
    for block, rows in blocks_of(problem.cell, problem.parameters):
        given = gradients[block.parameter]
        if given.shape != problem.parameters[block.parameter].shape:
            continue
        moved = directions(block, limits.free(given)[rows])
        for d, slope in zip(moved, derivative[" ".join(block)], strict=True):
            if slope:
                ratios[block.parameter].append(float(np.vdot(given[rows], d)) / float(slope))
    every = [ratio for of_one in ratios.values() for ratio in of_one]
    return {
        name: likely_factor(every if together else of_one if name in alone else [])
        for name, of_one in ratios.items()
    }


def likely_factor(ratios: Sequence[float]) -> float:
    """Return the median of `ratios`; 1 without ratios, or if the gradient would be scaled up."""
    factor = float(np.median(ratios)) if ratios else 1.0
    return factor if 0 < factor <= 1 else 1.0


def is_wrong_along(
    problem: Problem,
    gradients: Arrays,
    derivatives_along: tuple[Arrays, Arrays],
    limits: Limits,
    rounding: Rounding,
) -> bool:
    """Return True if the function's gradient is not the derivative in the direction of `whole_direction`.

    `derivatives_along` are the two results of `whole_derivatives` at `problem`, and `limits` are those to
    which the gradients are clipped. Return False if they are not exact enough.
    """
    one, two = (float(found[WHOLE][0]) for found in derivatives_along)
    derivative, doubt = one, abs(one - two)
    if any(gradients[name].shape != p.shape for name, p in problem.parameters.items()):
        return True
    direction = whole_direction(problem, gradients, limits)
    along = sum(float(np.vdot(gradients[name], d)) for name, d in direction.items())
    # A derivative in a random direction has about this size.
    entries = sum(g.size for g in gradients.values())
    size = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()) / entries)
    norm = max(abs(derivative), size)
    allowed = max(SAME * norm, DOUBT * doubt, rounding.slope, rounding.gradient * norm)
    return doubt <= FARTHEST * norm and not abs(along - derivative) <= allowed


def combined(agreements: list[Agreement]) -> Agreement:
    """Return what several trials show together: wrong in one is wrong, and right in one is clear."""
    wrong = frozenset[Block]().union(*(a.wrong for a in agreements))
    right = frozenset[Block]().union(*(a.right for a in agreements)) - wrong
    unclear = frozenset[Block]().union(*(a.unclear for a in agreements)) - wrong - right
    return Agreement(right, wrong, unclear)
