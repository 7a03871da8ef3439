"""Tries ways to pass the arrays to a user's functions, and takes the one that gives the right loss.

If the user's network differs from ours, no way gives the right loss. Then the way counts with which
the returned gradient is that of the returned loss, or else the first way that runs.
"""

import contextlib
import itertools
import traceback
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.call_forms import is_right_loss
from charloom.diagnosis.faulty_network import exact_loss
from charloom.diagnosis.forms.passing import Passing
from charloom.diagnosis.loss_and_gradients import Reply, read_reply
from charloom.diagnosis.problem import Problem
from charloom.diagnosis.runner import WRAPPER
from charloom.diagnosis.trials import window

STEP: Final = 1e-6  # length of the step of a numerical derivative
CLOSE: Final = 1e-4  # largest relative difference between two derivatives that agree

UNCLEAR: Final = 6  # the rank of a form with lines to fill in
FAILED: Final = 7  # the rank of a form that raises an error in every way
RELATED: Final = 2  # the rank of a related network; a way with a lower rank needs no further search

Function = Callable[..., Any]


@dataclass(frozen=True)
class Tried:
    """A way that runs.

    Attributes:
        way: the way to pass the arrays.
        rank: 0 if the loss is right, 1 if it is the mean, 2 if it is that of a related network, 3 if the
            gradient is that of the loss, 4 if it only runs, 5 if it returns no loss.
    """

    way: Passing
    rank: int


class Trier:
    """Calls wrappers on one problem, and ranks what they return."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.right = exact_loss(problem)
        self.related = related_losses(problem)
        self.error: BaseException | None = None  # the last error of a wrapper
        self.furthest: tuple[list[int], Passing] | None = None  # the failed way that came furthest

    def reply(self, checked: Function, problem: Problem) -> Reply:
        """Call a wrapper on a problem, and return the loss and the gradients in our shapes."""
        states = [s.copy() for s in problem.state.values()]
        parameters = {name: p.copy() for name, p in problem.parameters.items()}
        shapes = {name: p.shape for name, p in parameters.items()}
        state = states[0] if len(states) == 1 else tuple(states)
        with np.errstate(all="ignore"):
            returned = checked(parameters, problem.x.copy(), problem.y.copy(), state)
        return read_reply(returned, shapes, {}, (), len(problem.x))

    def rank(self, checked: Function) -> int | None:
        """Return how well a wrapper fits, as in `Tried`; None if it raises an error or fails to fit."""
        self.error = None
        try:
            reply = self.reply(checked, self.problem)
            fits = all(
                reply.gradients[name].shape[:1] == p.shape[:1]
                and reply.gradients[name].size >= p.size
                for name, p in self.problem.parameters.items()
            )
            if not fits:
                return None
            if reply.loss is None:
                return 5
            if is_right_loss(reply.loss, self.right, 1):
                return 0
            if is_right_loss(reply.loss, self.right, len(self.problem.x)):
                return 1
            if any(is_right_loss(reply.loss, loss, len(self.problem.x)) for loss in self.related):
                return 2
            return 3 if self.is_own_gradient(checked, reply) else 4
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.error = error
            return None

    def fits_loss(self, checked: Function) -> bool:
        """Return True if the gradients that a wrapper returns are those of its loss."""
        with contextlib.suppress(Exception):
            return self.is_own_gradient(checked, self.reply(checked, self.problem))
        return False

    def is_own_gradient(self, checked: Function, reply: Reply) -> bool:
        """Return True if a random derivative of the loss agrees with the returned gradients."""
        rng = np.random.default_rng(0)
        direction = {name: rng.normal(size=p.shape) for name, p in self.problem.parameters.items()}
        losses = []
        for sign in (1, -1):
            moved = {n: p + sign * STEP * direction[n] for n, p in self.problem.parameters.items()}
            losses.append(self.reply(checked, self.problem._replace(parameters=moved)).loss or 0.0)
        numerical = (losses[0] - losses[1]) / (2 * STEP)
        given = sum(
            float(np.vdot(reply.gradients[n].reshape(d.shape), d)) for n, d in direction.items()
        )
        return abs(numerical - given) <= CLOSE * max(abs(numerical), abs(given), 1e-6)

    def rank_of(self, made: Callable[[Passing], Function], way: Passing) -> int | None:
        """Return the rank of the wrapper for a way; None if it is not Python, or does not run."""
        try:
            checked = made(way)
        except SyntaxError as error:
            self.error = error
            return None
        rank = self.rank(checked)
        if rank is None and self.error is not None:
            progress = lines_reached(self.error)
            if self.furthest is None or progress > self.furthest[0]:
                self.furthest = progress, way
        return rank

    def best(
        self, ways: Iterable[Passing], made: Callable[[Passing], Function], most: int = 10**6
    ) -> Tried | None:
        """Return the best way; None if none runs. `made` makes a wrapper's function for a way.

        Stop after `most` ways that run.
        """
        best: Tried | None = None
        running = 0
        for way in ways:
            rank = self.rank_of(made, way)
            running += rank is not None
            if rank is not None and (best is None or rank < best.rank):
                best = Tried(way, rank)
            if best is not None and (best.rank <= RELATED or running >= most):
                break
        return best

    def with_order_of_gates(
        self, best: Tried, made: Callable[[Passing], Function], cell: str
    ) -> Tried:
        """Return the way with an order of the gates that gives the right loss, if there is one."""
        if best.rank <= RELATED or not CELLS[cell].gates:
            return best
        orders = ("".join(p) for p in itertools.permutations(CELLS[cell].gates))
        ways = (replace(best.way, gates=order) for order in orders if order != CELLS[cell].gates)
        for way in ways:
            rank = self.rank_of(made, way)
            if rank is not None and rank <= RELATED:
                return Tried(way, rank)
        return best


def lines_reached(error: BaseException) -> list[int]:
    """Return the line that each function had reached when an error was raised, the outermost function first.

    A line of a wrapper is counted from the wrapper's end, because the ways to pass the arrays need different
    numbers of lines before the call.
    """
    return [
        line - last_line(frame.f_code) if frame.f_code.co_filename == WRAPPER else line
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]


def last_line(code: types.CodeType) -> int:
    """Return the number of the last line of a function."""
    return max(line for *_, line in code.co_lines() if line is not None)


def related_losses(problem: Problem) -> list[float]:
    """Return the losses of networks that start from zero, have no biases, or predict only the last step."""
    states = [problem.state]
    zero = {name: np.zeros_like(s) for name, s in problem.state.items()}
    states.append(zero)
    if len(zero) > 1:
        states.append({**problem.state, "cell": zero["cell"]})
    without = [(), ("b", "d"), ("c",), ("b", "d", "c")]
    found = []
    for state, left_out in itertools.product(states, without):
        theta = {
            name: np.zeros_like(p) if name in left_out else p
            for name, p in problem.parameters.items()
        }
        one = problem._replace(parameters=theta, state=state)
        found.append(exact_loss(one))
        # Many-to-one: the loss of the last step alone.
        found.append(found[-1] - exact_loss(window(one, len(one.x) - 1)))
    return found[1:]
