"""Numerical gradients of the reference's loss (spec/mathematics.md: The gradient check).

The complex step, Im f(θ + ih)/h (Squire and Trapp 1998), subtracts nothing and is exact to
rounding. Central differences, (f(θ + s) - f(θ - s)) / 2s, subtract two nearly equal losses and get
no nearer than the bottom of a V-shaped curve of error against step. It judges nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charloom.engines.reference import losses
from charloom.engines.reference.network import dropout_masks, loss_and_gradients
from charloom.gradcheck.result import STEPS
from charloom.measures import Errors, errors
from charloom.model import Learner
from charloom.model.parameters import Parameters
from charloom.random import uniforms

Array = NDArray[Any]

COMPLEX_STEP: Final = 1e-20
DROPOUT_UPDATE: Final = 1  # whose dropout masks the window has

MOST_ENTRIES: Final = 200  # of a parameter, where nobody says how many
LEAST_ENTRIES: Final = 2
# What those may cost in all: about ten seconds of one core. For each entry, the reference runs the
# network over the window, a multiplication for each of its numbers; and at each step it reads that
# network's own copy of the perturbed parameter, which takes as long as so many multiplications
# (docs/LOG.md). Nothing here looks at the clock: the same settings check the same entries.
BUDGET: Final = 8e9
READING: Final = 20

BLURS: Final = 3  # one may happen to cancel where another does not

SWEEP_ENTRIES: Final = 200
CHUNK_BYTES: Final = 5_000_000  # of perturbed parameters; measured: less wastes calls, more cache
CHUNK_NETWORKS: Final = 256


class Window(NamedTuple):
    """What the loss is a function of beside the parameters: x and y (T, B), state, masks or None."""

    x: Array
    y: Array
    state: dict[str, Array]
    masks: Array | None

    @classmethod
    def of(cls, learner: Learner, x: Array, y: Array) -> "Window":
        """A window that starts from the learner's state, with the dropout of its first update."""
        masks = dropout_masks(learner.config, DROPOUT_UPDATE, *x.shape)
        return cls(x, y, learner.state, masks)


@dataclass(frozen=True)
class Numerical:
    """The numerical gradients of one parameter, at N of its entries.

    `entries` are flat indices (N,), `exact` the complex step (N,), `rounding` how far rounding
    moves them, `central` central differences at each step (steps, n) for the first n of them.
    """

    name: str
    shape: tuple[int, ...]
    entries: Array
    exact: Array
    rounding: Errors
    central: Array


def nothing() -> None:
    """What happens between two steps where nobody waits for them."""


def numerical_gradients(
    learner: Learner,
    window: Window,
    entries: int | None,
    seed: int,
    between: Callable[[], None] = nothing,
) -> list[Numerical]:
    """The numerical gradients of every parameter: biases first, then matrices.

    `between` is called after each few networks; what it raises ends the work.
    """
    own = learner.parameters
    exact = {name: p.astype(np.complex128) for name, p in own.items()}
    sharp, *blurred = blurred_gradients(learner, window, seed, between)
    found = []
    for place, (name, parameter) in sorted(
        enumerate(own.items()), key=lambda item: item[1][1].ndim
    ):
        columns = np.unique(window.x) if name == "layers.0.U" else None
        chosen = draw_entries(parameter.shape, entries, seed, place, columns)
        swept = chosen[:SWEEP_ENTRIES]
        found.append(
            Numerical(
                name=name,
                shape=parameter.shape,
                entries=chosen,
                exact=complex_step(exact, name, chosen, window, between),
                rounding=rounding_errors(
                    sharp[name].flat[chosen], [one[name].flat[chosen] for one in blurred]
                ),
                central=central_differences(own, name, swept, window, between=between),
            )
        )
    return found


def affordable_entries(learner: Learner, x: Array) -> int:
    """How many entries of each parameter the default check takes: 200, fewer of large networks."""
    sizes = [parameter.size for parameter in learner.parameters.values()]
    cost = sum(x.size * sum(sizes) + READING * len(x) * size for size in sizes)
    return int(np.clip(BUDGET // cost, LEAST_ENTRIES, MOST_ENTRIES))


def complex_step(
    parameters: Parameters,
    name: str,
    entries: Array,
    window: Window,
    between: Callable[[], None] = nothing,
) -> Array:
    """Im f(θ + ih)/h for entries (N,) of one parameter, shape (N,); parameters are complex."""
    steps = np.full(len(entries), 1j * COMPLEX_STEP)
    return _perturbed_losses(parameters, name, entries, steps, window, between).imag / COMPLEX_STEP


def central_differences(
    parameters: Parameters,
    name: str,
    entries: Array,
    window: Window,
    steps: Sequence[float] = STEPS,
    between: Callable[[], None] = nothing,
) -> Array:
    """(f(θ + s) - f(θ - s)) / 2s at each step for entries (N,), shape (steps, N)."""
    sizes = np.array(steps)
    signed = np.concatenate([sizes, -sizes]).repeat(len(entries))
    everywhere = np.tile(entries, 2 * len(sizes))
    f = _perturbed_losses(parameters, name, everywhere, signed, window, between)
    after, before = f.reshape(2, len(sizes), len(entries))
    return np.asarray((after - before) / (2 * sizes[:, np.newaxis]))


def _perturbed_losses(
    parameters: Parameters,
    name: str,
    entries: Array,
    steps: Array,
    window: Window,
    between: Callable[[], None],
) -> Array:
    """The loss of N networks, shape (N,); in the nth, one entry of one parameter has its step."""
    parameter = parameters[name]
    chunk = int(np.clip(CHUNK_BYTES // max(parameter.nbytes, 1), 1, CHUNK_NETWORKS))
    results = [np.empty(0, dtype=parameter.dtype)]  # all, where the parameter has no entries
    for start in range(0, len(entries), chunk):
        at = entries[start : start + chunk]
        networks = np.tile(parameter.ravel(), (len(at), 1))
        networks[np.arange(len(at)), at] += steps[start : start + chunk].astype(parameter.dtype)
        perturbed = {**parameters, name: networks.reshape(-1, *parameter.shape)}
        # A parameter that the loss does not depend on gives one loss for all of them.
        results.append(np.broadcast_to(losses(perturbed, *window), len(at)))
        between()
    return np.concatenate(results)


def draw_entries(
    shape: tuple[int, ...], count: int | None, seed: int, place: int, columns: Array | None
) -> Array:
    """Flat indices of `count` entries without repeats; half of them from `columns` if given."""
    total = math.prod(shape)
    count = total if count is None else min(count, total)
    order = np.argsort(uniforms(seed, "gradcheck", total, stream=2, time=place), kind="stable")
    if columns is not None:
        read = order[np.isin(order % shape[1], columns)][: (count + 1) // 2]
        order = np.concatenate([read, order[~np.isin(order, read)]])
    return order[:count]


def blurred_gradients(
    learner: Learner, window: Window, seed: int, between: Callable[[], None] = nothing
) -> list[Parameters]:
    """What rounding does to a gradient: the reference's in float64; in the learner's dtype; blurred.

    Blurred, thrice: everything that it is computed from is moved by about the eps of the dtype,
    relatively: parameters, gates and probabilities. The output's bias moves by eps itself, for
    rounding the softmax changes its relative digits: that is an absolute error of the logits.
    """
    blur = Blur(seed, float(np.finfo(learner.config.dtype).eps))
    own = {name: p.astype(np.float64) for name, p in learner.parameters.items()}
    state = {name: array.astype(np.float64) for name, array in window.state.items()}
    given = window.x, window.y, state, window.masks
    rounded = loss_and_gradients(learner.parameters, *window)[1]
    gradients = [loss_and_gradients(own, *given)[1], rounded]
    for _ in range(BLURS):
        moved = {name: blur.moved(p, 1 if name == "c" else p) for name, p in own.items()}
        gradients.append(loss_and_gradients(moved, *given, blur)[1])
        between()
    return gradients


def rounding_errors(sharp: Array, blurred: Sequence[Array]) -> Errors:
    """The largest of each error of the rounded or blurred entries against the sharp ones."""
    found = [vars(errors(one.astype(np.float64), sharp)) for one in blurred]
    return Errors(**{name: max(error[name] for error in found) for name in found[0]})


class Blur:
    """Moves numbers as rounding does, each call by other random numbers."""

    def __init__(self, seed: int, eps: float) -> None:
        self.seed, self.eps, self.used = seed, eps, 0

    def __call__(self, array: Array) -> Array:
        """Every entry moved by a half to the whole of eps, relatively, up or down."""
        return self.moved(array, array)

    def moved(self, array: Array, size: Array | int) -> Array:
        """Every entry moved by a half to the whole of eps times a size, up or down."""
        numbers = uniforms(self.seed, "gradcheck", array.size, first=self.used, stream=3)
        self.used += array.size
        moves = np.where(numbers < 0.5, numbers - 1, numbers).reshape(array.shape)
        return np.asarray(array + self.eps * size * moves)
