"""Makes the problems on which the doctor tries a user's function.

These problems also show mistakes that a usual gradient check misses. They have zero and non-zero
initial states, small and large weights, several sizes, repeated characters, and a window of one
step. In each problem, H, T and K differ, so that a shape identifies an array. If the user's code
fixes H and K, T still differs from both.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.diagnosis_result import TrialInfo
from charloom.diagnosis.problem import Arrays, Problem
from charloom.random import normals, uniforms


class Fixed(NamedTuple):
    """What the user's code fixes of each trial.

    Attributes:
        H, K: its sizes; None for those of the plan.
        windows: whether y is x shifted by one step, as in training.
        zero_state: whether the initial state is zero.
        shortest: the smallest number of steps of a window.
    """

    H: int | None = None
    K: int | None = None
    windows: bool = False
    zero_state: bool = False
    shortest: int = 1


FREE: Final = Fixed()


class Trial(NamedTuple):
    """A problem on which a function is tried, and the settings from which it was made."""

    info: TrialInfo
    problem: Problem


class Plan(NamedTuple):
    """The settings of a trial.

    Attributes:
        name: name of the trial.
        H, T, K: its sizes.
        sigma: standard deviation of the weights.
        state: initial state, "zero" or "non-zero".
        text: how the ids x and y are made. "random": independent random ids. "same": x repeats one
            id, and y repeats another id. "window": y is x shifted by one step, as in training.
            "different": no id occurs twice in x, and none in y. "different window": both.
        output: number by which sigma is multiplied for the parameters V and c of the output.
    """

    name: str
    H: int
    T: int
    K: int
    sigma: float
    state: str
    text: str = "random"
    output: float = 1.0


PLANS: Final = (
    # The first plan distinguishes mistakes best. The second plan is the smallest, so that many pairs
    # of mistakes can be tried on it.
    Plan("large weights", 4, 6, 7, 1.0, "non-zero"),
    Plan("short", 3, 4, 5, 1.0, "non-zero"),
    Plan("the usual check", 5, 3, 7, 0.01, "zero", "window"),
    Plan("small weights", 5, 8, 7, 0.01, "non-zero", "window"),
    Plan("medium weights", 6, 9, 5, 0.1, "zero", "window"),
    Plan("medium weights, non-zero state", 6, 9, 5, 0.1, "non-zero"),
    Plan("large weights, zero state", 3, 7, 5, 1.0, "zero", "window"),
    Plan("one step", 4, 1, 6, 1.0, "non-zero"),
    Plan("one step, zero state", 5, 1, 7, 0.1, "zero"),
    Plan("one character", 5, 16, 7, 0.1, "non-zero", "same"),
    Plan("strong output", 10, 13, 9, 1.0, "non-zero", "random", 8.0),
    Plan("long", 20, 26, 30, 0.25, "non-zero", "window"),
)
USUAL: Final = PLANS[2]
# The same trials in few sizes, for code that is compiled again for every shape of its arguments.
FEW_SHAPES: Final = tuple(plan._replace(H=4, K=7, T=min(plan.T, 6)) for plan in PLANS)
# The characters of this window are all different, and there are more units than steps. So dU shows the
# gradient of each step, and dW and dV can be divided into the parts of the steps. The targets are all
# different too, and the output is weak, so that the usual limits of clipping are not reached.
SEPARATE: Final = Plan("separate steps", 8, 5, 9, 0.6, "non-zero", "different", 0.25)
SEPARATE_PLACE: Final = 60  # the argument `place` of `make_trial` for this window
# Relative changes of each weight that are far larger than a rounding of float32, and of float16.
MOVES: Final = (2.0**-16, 2.0**-8)


def make_trials(
    cell: str = "rnn",
    seed: int = 0,
    fixed: Fixed = FREE,
    plans: tuple[Plan, ...] = PLANS,
) -> tuple[Trial, ...]:
    """Return a trial for each item of `plans`, which has the settings of the trial.

    `seed` is the seed of the random numbers of all trials. `fixed` is what the user's code
    fixes; the rest is taken from the plans.
    """
    return tuple(make_trial(cell, seed, place, plan, fixed) for place, plan in enumerate(plans))


def make_trial(
    cell: str,
    seed: int,
    place: int,
    plan: Plan,
    fixed: Fixed = FREE,
) -> Trial:
    """Return the trial that `plan` describes, with random numbers that depend on `seed` and `place`.

    `place` is a number that makes the trials of one seed differ; `make_trials` passes the index of
    the plan. `fixed` is what the user's code fixes; the rest is taken from `plan`.
    """
    H, K = fixed.H or plan.H, fixed.K or plan.K
    text = (
        {"different": "different window"}.get(plan.text, "window") if fixed.windows else plan.text
    )
    plan = plan._replace(text=text, state="zero" if fixed.zero_state else plan.state)
    T = max(plan.T, fixed.shortest)
    while T > 1 and T in (H, K):
        T += 1
    usual = plan.name == USUAL.name
    parameters: Arrays = {}
    for number, (name, shape) in enumerate(shapes(cell, H, K).items()):
        numbers = normals(seed, "gradcheck", int(np.prod(shape)), stream=100 + place, time=number)
        scale = plan.sigma * (plan.output if name in ("V", "c") else 1)
        if usual and len(shape) == 1:
            scale = 0.0
        parameters[name] = scale * numbers.reshape(shape)
    state: Arrays = {}
    for number, name in enumerate(CELLS[cell].states):
        numbers = uniforms(seed, "gradcheck", H, stream=100 + place, time=10 + number)
        state[name] = 2 * numbers - 1 if plan.state == "non-zero" else np.zeros(H)
    ids = (uniforms(seed, "gradcheck", 2 * T + 1, stream=100 + place, time=20) * K).astype(np.int64)
    x, y = ids[:T], ids[T : 2 * T]
    if plan.text == "window":
        y = ids[1 : T + 1]
    elif plan.text == "same":
        x, y = np.full(T, ids[0]), np.full(T, (ids[0] + 1) % K)
    elif plan.text == "different window":
        order = np.argsort(uniforms(seed, "gradcheck", K, stream=100 + place, time=21))
        x, y = order[:T].astype(np.int64), order[1 : T + 1].astype(np.int64)
    elif plan.text == "different":
        order = np.argsort(uniforms(seed, "gradcheck", K, stream=100 + place, time=21))
        x = order[:T].astype(np.int64)
        order = np.argsort(uniforms(seed, "gradcheck", K, stream=100 + place, time=22))
        y = order[:T].astype(np.int64)
    problem = Problem(cell, parameters, x.copy(), y.copy(), state)
    return Trial(TrialInfo(plan.name, H, T, K, plan.sigma, plan.state), problem)


def separate_trial(cell: str, seed: int, fixed: Fixed) -> Trial | None:
    """Return the trial whose gradients can be divided into the parts of the steps.

    Return None if the sizes H and K that the user's code fixes are too small for it.
    """
    if any(size is not None and size <= SEPARATE.T for size in fixed[:2]):
        return None
    return make_trial(cell, seed, SEPARATE_PLACE, SEPARATE, fixed)


def every_trial(trials: Sequence[Trial], seed: int, fixed: Fixed) -> list[Trial]:
    """Return the trials and, if there is one, that of `separate_trial`."""
    separate = separate_trial(trials[0].problem.cell, seed, fixed)
    return [*trials] if separate is None else [*trials, separate]


def shapes(cell: str, H: int, K: int) -> dict[str, tuple[int, ...]]:
    """Return a dict that maps each parameter of a network with one layer to its shape.

    See spec/mathematics.md: The cells; The network.
    """
    return {**CELLS[cell].shapes(H, K), "V": (K, H), "c": (K,)}


def window(problem: Problem, length: int) -> Problem:
    """Return a copy of `problem` whose window has only the first `length` steps."""
    return problem._replace(x=problem.x[:length].copy(), y=problem.y[:length].copy())


def prefix_problems(trials: Sequence[Trial], fixed: Fixed) -> list[Problem]:
    """Return the first 1, 2, …, T steps of the window of each trial, from the shortest window that `fixed` allows."""
    return [
        window(trial.problem, length)
        for trial in trials
        for length in range(fixed.shortest, len(trial.problem.x) + 1)
    ]


def moved(problem: Problem, move: float) -> Problem:
    """Return the problem with every parameter increased by the share `move` of its value.

    The shares in `MOVES` hardly change the error of a wrong formula, but they change the rounding errors
    of float32, or of float16, completely.
    """
    larger = {name: p * (1 + move) for name, p in problem.parameters.items()}
    return problem._replace(parameters=larger)
