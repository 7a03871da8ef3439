"""Computes numerical gradients of the reference engine's loss (spec/mathematics.md: The gradient check).

The complex step, Im f(θ + ih)/h (Squire and Trapp 1998), subtracts nothing, so rounding is its only
error. Central differences, (f(θ + s) - f(θ - s)) / 2s, subtract two nearly equal losses. A large
step s makes them inexact, and a small s loses digits in the subtraction, so a best step lies
between. This module does not compare gradients or decide whether a gradient is right.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charloom.engines.reference import losses
from charloom.engines.reference.network import dropout_masks, loss_and_gradients
from charloom.engines.reference.ngram_counts import log_probabilities
from charloom.gradient_check.check_result import STEPS
from charloom.gradient_errors import Errors, errors
from charloom.model import Learner, hidden_arrays
from charloom.model.input_pairs import PAIRS
from charloom.model.item_resets import item_beginnings
from charloom.model.parameters import Parameters
from charloom.model.recent_ids import pair_rows_of
from charloom.random import uniforms

Array = NDArray[Any]

COMPLEX_STEP: Final = 1e-20
DROPOUT_UPDATE: Final = 1  # the gradient check uses the dropout masks of this update

MOST_ENTRIES: Final = 200  # largest number of entries checked per parameter, with entries="auto"
LEAST_ENTRIES: Final = 2  # smallest number of entries checked per parameter, with entries="auto"
# With entries="auto", a check may cost BUDGET multiplications, about ten seconds of one core. For
# each entry, the reference engine runs the network over the window, with one multiplication per
# parameter value, step and stream. At each step it also reads a separate copy of the perturbed
# parameter. Reading one value takes as long as READING multiplications (docs/LOG.md). The cost is
# computed and not timed, so that the same settings always check the same entries.
BUDGET: Final = 8e9
READING: Final = 20

# The number of times that a gradient is computed with artificial rounding errors. In a single
# computation, the errors could cancel by chance.
BLURS: Final = 3

# Largest number of entries of a parameter for which central differences are computed.
SWEEP_ENTRIES: Final = 200
# Number of bytes of perturbed parameters in one call. Measurements showed that with fewer bytes,
# the overhead of the calls grows. With more bytes, the data does not fit into the CPU cache.
CHUNK_BYTES: Final = 5_000_000
CHUNK_NETWORKS: Final = 256


class Window(NamedTuple):
    """All values, except the parameters, that determine the loss of a network.

    Attributes:
        cell: the network's cell.
        x, y: input ids and target ids, shape (T, B).
        state: the initial states.
        masks: the dropout masks; None if the network has no dropout.
        log_q: the logarithms of the n-grams' probabilities in float64, shape (T, B, K); None if the
            network has no n-grams.
        rows: the rows of `pairs.weight` that the window reads, shape (T, B); -1 for a pair without a row.
            None if the network has no pairs.
        begins: True where a stream begins an item, shape (T, B); None without a boundary of items.
    """

    cell: str
    x: Array
    y: Array
    state: dict[str, Array]
    masks: Array | None
    log_q: Array | None
    rows: Array | None
    begins: Array | None

    @classmethod
    def of(cls, learner: Learner, x: Array, y: Array) -> "Window":
        """Return the window with the ids `x` and `y` and the learner's state.

        Its dropout masks are those of update 1.
        """
        masks = dropout_masks(learner.config, DROPOUT_UPDATE, *x.shape)
        log_q = log_probabilities(learner, x, learner.state, dtype="float64")
        rows = pair_rows_of(learner, x, learner.state)
        begins = item_beginnings(learner, x)
        return cls(learner.config.cell, x, y, learner.state, masks, log_q, rows, begins)

    def entries_read(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """Return the flat indices of the entries of a parameter that the window reads.

        Return None if it reads all of them. All other entries have a zero gradient. `name` and `shape` are
        those of the parameter.
        """
        if name == "layers.0.U":
            read = np.isin(np.arange(shape[1]), self.x)
        elif name == PAIRS and self.rows is not None:
            read = np.isin(np.arange(shape[0]), self.rows)[:, np.newaxis]
        else:
            return None
        return np.flatnonzero(np.broadcast_to(read, shape))

    def rounded(self, dtype: str) -> "Window":
        """Return the window with the n-grams' logarithms in another dtype."""
        return self if self.log_q is None else self._replace(log_q=self.log_q.astype(dtype))


@dataclass(frozen=True)
class Numerical:
    """The numerical gradients of one parameter, for N of its entries.

    Attributes:
        name: name of the parameter.
        shape: shape of the parameter.
        entries: flat indices of the N entries, shape (N,).
        exact: the gradient of each of these entries by the complex step, shape (N,).
        rounding: the largest errors that rounding causes in the gradient of these entries.
        central: central differences for each step size and the first n of these entries, shape
            (steps, n).
    """

    name: str
    shape: tuple[int, ...]
    entries: Array
    exact: Array
    rounding: Errors
    central: Array


def nothing() -> None:
    """Do nothing. This is the default of `between`, a function that is called during long work."""


def numerical_gradients(
    learner: Learner,
    window: Window,
    entries: int | None,
    seed: int,
    between: Callable[[], None] = nothing,
) -> list[Numerical]:
    """Return the numerical gradients of every parameter: biases first, then matrices.

    Args:
        learner: the network and its parameters.
        window: the ids, states and dropout masks with which the loss is computed.
        entries: number of entries of each parameter to compute; None for all.
        seed: seed that selects the entries.
        between: function that is called repeatedly during the work. If it raises an exception, the
            work ends with this exception.
    """
    own = learner.parameters
    exact = {name: p.astype(np.complex128) for name, p in own.items()}
    swept_window = window.rounded(learner.config.dtype)
    sharp, *blurred = blurred_gradients(learner, window, seed, between)
    found = []
    for place, (name, parameter) in sorted(
        enumerate(own.items()), key=lambda item: item[1][1].ndim
    ):
        read = window.entries_read(name, parameter.shape)
        chosen = draw_entries(parameter.shape, entries, seed, place, read)
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
                central=central_differences(own, name, swept, swept_window, between=between),
            )
        )
    return found


def affordable_entries(learner: Learner, x: Array) -> int:
    """Return how many entries of each parameter are checked with entries="auto".

    These are 200, or fewer for a large network or a large window `x` of shape (T, B).
    """
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
    """Return the gradient by the complex step, Im f(θ + ih)/h, for N entries θ of the parameter `name`.

    The loss f is that of the ids and states in `window`. `entries` are the flat indices of the
    entries. They and the result have the shape (N,). `parameters` must be complex. `between` is a
    function that is called repeatedly during the work, so that the caller can cancel it.
    """
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
    """Return central differences, (f(θ + s) - f(θ - s)) / 2s, for N entries θ of the parameter `name`.

    The loss f is that of the ids and states in `window`. The result has a row for each step size s
    in `steps`: shape (steps, N). `entries` are the flat indices of the entries. `between` is a
    function that is called repeatedly during the work, so that the caller can cancel it.
    """
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
    """Return the losses of N networks, which differ in one entry of one parameter, shape (N,).

    In the nth network, steps[n] is added to the entry entries[n] of the parameter `name`. All other
    numbers are those of `parameters`. The losses are those of the ids and states in `window`.
    `between` is a function that is called repeatedly, so that the caller can cancel the work.
    """
    parameter = parameters[name]
    chunk = int(np.clip(CHUNK_BYTES // max(parameter.nbytes, 1), 1, CHUNK_NETWORKS))
    # np.concatenate needs at least one array. If there are no entries, the loop adds no array.
    results = [np.empty(0, dtype=parameter.dtype)]
    for start in range(0, len(entries), chunk):
        at = entries[start : start + chunk]
        networks = np.tile(parameter.ravel(), (len(at), 1))
        networks[np.arange(len(at)), at] += steps[start : start + chunk].astype(parameter.dtype)
        perturbed = {**parameters, name: networks.reshape(-1, *parameter.shape)}
        # If the loss does not depend on the parameter, `losses` returns one loss for all networks.
        results.append(np.broadcast_to(losses(perturbed, *window), len(at)))
        between()
    return np.concatenate(results)


def draw_entries(
    shape: tuple[int, ...], count: int | None, seed: int, place: int, read: Array | None
) -> Array:
    """Draw entries of an array at random without replacement, and return their flat indices.

    Args:
        shape: shape of the array.
        count: number of entries to draw; None to draw all.
        seed: seed of the random choice.
        place: number of the parameter, so that different parameters get different choices.
        read: flat indices of the entries that at least half of the drawn entries must be among; if
            there are fewer than that, all of them are drawn. None to draw from all entries alike.
    """
    total = math.prod(shape)
    count = total if count is None else min(count, total)
    order = np.argsort(uniforms(seed, "gradcheck", total, stream=2, time=place), kind="stable")
    if read is not None:
        first = order[np.isin(order, read)][: (count + 1) // 2]
        order = np.concatenate([first, order[~np.isin(order, first)]])
    return order[:count]


def blurred_gradients(
    learner: Learner, window: Window, seed: int, between: Callable[[], None] = nothing
) -> list[Parameters]:
    """Return five gradients of all parameters; their differences show the effect of rounding.

    The reference engine computes the first gradient in float64, the second in the learner's dtype,
    and the other three in float64 with artificial rounding errors. These errors change parameters,
    gates, probabilities and their logarithms by about eps times their size, with the eps of the learner's dtype. The
    output bias c changes by about eps, whatever its size is, because a relative error of the
    softmax's probabilities is an absolute error of the logits.

    `window` has the ids and states with which the gradients are computed. `between` is a function
    that is called repeatedly during the work, so that the caller can cancel it.
    """
    blur = Blur(seed, float(np.finfo(learner.config.dtype).eps))
    own = {name: p.astype(np.float64) for name, p in learner.parameters.items()}
    state = {name: array.astype(np.float64) for name, array in hidden_arrays(window.state).items()}
    given = window._replace(state=state)
    rounded = loss_and_gradients(learner.parameters, *window.rounded(learner.config.dtype))[1]
    gradients = [loss_and_gradients(own, *given)[1], rounded]
    for _ in range(BLURS):
        moved = {name: blur.moved(p, 1 if name == "c" else p) for name, p in own.items()}
        if window.log_q is not None:
            given = given._replace(log_q=blur(window.log_q))
        gradients.append(loss_and_gradients(moved, *given, blur)[1])
        between()
    return gradients


def rounding_errors(sharp: Array, blurred: Sequence[Array]) -> Errors:
    """Return the largest error of each kind (absolute, elementwise, norm-relative) due to rounding.

    Args:
        sharp: the gradient in float64.
        blurred: the same gradient, computed several times with less precision or with artificial
            rounding errors.
    """
    found = [vars(errors(one.astype(np.float64), sharp)) for one in blurred]
    return Errors(**{name: max(error[name] for error in found) for name in found[0]})


class Blur:
    """Adds artificial rounding errors to arrays. Each call uses new random numbers.

    Args:
        seed: seed of the random numbers.
        eps: the largest error that is added to a number of size 1.
    """

    def __init__(self, seed: int, eps: float) -> None:
        self.seed, self.eps, self.used = seed, eps, 0

    def __call__(self, array: Array) -> Array:
        """Return a copy of `array` with a random error added to each entry.

        The absolute value of the error is the eps of the constructor times the absolute value of
        the entry, multiplied by a random number from 0.5 to 1.
        """
        return self.moved(array, array)

    def moved(self, array: Array, size: Array | int) -> Array:
        """Return a copy of `array` with a random error added to each entry.

        The absolute value of the error is the eps of the constructor times the absolute value of
        `size`, multiplied by a random number from 0.5 to 1. `size` is a number, or an array with a
        number for each entry.
        """
        numbers = uniforms(self.seed, "gradcheck", array.size, first=self.used, stream=3)
        self.used += array.size
        moves = np.where(numbers < 0.5, numbers - 1, numbers).reshape(array.shape)
        return np.asarray(array + self.eps * size * moves)
