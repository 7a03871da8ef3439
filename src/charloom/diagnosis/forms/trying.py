"""Tries ways to pass the arrays to a user's functions, and takes the one that gives the right loss.

If the user's network differs from ours, no way gives the right loss. Then the way counts with which
the returned gradient is that of the returned loss, or else the first way that runs.
"""

import contextlib
import itertools
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.call_forms import is_right_loss
from charloom.diagnosis.faulty_network import exact_loss, logits, loss_alone
from charloom.diagnosis.forms.passing import Passing
from charloom.diagnosis.loss_and_gradients import Reply, read_reply
from charloom.diagnosis.mistakes import MISTAKES
from charloom.diagnosis.problem import Problem, Switches
from charloom.diagnosis.runner import WRAPPER
from charloom.diagnosis.trials import window

STEP: Final = 1e-6  # length of the step of a numerical derivative
CLOSE: Final = 1e-4  # largest relative difference between two derivatives that agree

EQUAL: Final = 1e-7  # largest relative difference of two losses in float64 that are equal

UNCLEAR: Final = 6  # the rank of a form with lines to fill in
FAILED: Final = 7  # the rank of a form that raises an error in every way
OWN: Final = 3  # the rank of a network of its own, whose gradient is that of its loss
ENOUGH: Final = {3: 12, 4: 40}  # ways that run, after which a search ends, by the best rank
RELATED: Final = 2  # the rank of a related network; a way with a lower rank needs no further search

HOPELESS: Final = 8  # number of errors of a wrapper itself after which no further way is tried

LIKELIEST: Final = (
    24  # number of the likeliest ways that must fail before a search is given up early
)
MOST_ALIKE: Final = (
    3  # number of forms of x with which ways must fail at the place that came furthest
)

Function = Callable[..., Any]


@dataclass(frozen=True)
class Tried:
    """A way that runs.

    Attributes:
        way: the way to pass the arrays.
        rank: 0 if the loss is right, 1 if it is the mean, 2 if it is that of a related network, 3 if the
            gradient is that of the loss, 4 if it only runs, 5 if it returns no loss.
        right: the number of blocks, such as U, whose gradient is that of the loss, if it was counted.
    """

    way: Passing
    rank: int
    right: int = 0


class Trier:
    """Calls wrappers on one problem, and ranks what they return."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.right = exact_loss(problem)
        self._related: list[float] | None = None
        self._networks: list[float] | None = None
        self.unmoved = False  # whether the parameters did not change the last loss
        self.error: BaseException | None = None  # the last error of a wrapper
        self.furthest: tuple[list[int], Passing] | None = None  # the failed way that came furthest

    @property
    def related(self) -> list[float]:
        """The losses of related networks, computed only when they are needed."""
        if self._related is None:
            self._related = related_losses(self.problem)
        return self._related

    @property
    def networks(self) -> list[float]:
        """The losses of networks with another cell, computed only when they are needed."""
        if self._networks is None:
            self._networks = network_losses(self.problem)
        return self._networks

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
        """Return how well a wrapper fits, as in `Tried`; None if it raises an error or fails to fit.

        It does not fit if its loss does not depend on the parameters: the code reads others.
        """
        self.error = None
        try:
            reply = self.reply(checked, self.problem)
            fits = all(
                reply.gradients[name].shape[:1] == p.shape[:1]
                and reply.gradients[name].size >= p.size
                for name, p in self.problem.parameters.items()
            )
            own = self.problem.parameters
            if not fits or all(np.array_equal(reply.gradients[n], p) for n, p in own.items()):
                return None  # they are the parameters themselves
            if reply.loss is None:
                return 5
            if is_right_loss(reply.loss, self.right, 1):
                return 0
            if is_right_loss(reply.loss, self.right, len(self.problem.x)):
                return 1
            if self.is_related(reply.loss):
                return 2
            rank = 3 if self.is_own_gradient(checked, reply) else 4
            if self.unmoved:
                return None
            return rank + self.is_without_order(checked, reply.loss)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.error = error
            return None

    def is_related(self, loss: float) -> bool:
        """Return True if a loss is that of a related network, or its mean over the steps."""
        T = len(self.problem.x)
        return any(is_right_loss(loss, one, T) for one in self.related) or any(
            abs(loss - right) <= EQUAL * abs(right)
            for one in self.networks
            for right in (one, one / T)
        )

    def differs(self, checked: Function) -> bool:
        """Return True if two calls of a wrapper return different losses, or one raises an error."""
        with contextlib.suppress(Exception):
            first, again = (self.reply(checked, self.problem) for _ in range(2))
            return first.loss != again.loss
        return True

    def fits_loss(self, checked: Function) -> bool:
        """Return True if the gradients that a wrapper returns are those of its loss."""
        with contextlib.suppress(Exception):
            return self.is_own_gradient(checked, self.reply(checked, self.problem))
        return False

    def is_without_order(self, checked: Function, loss: float) -> bool:
        """Return True if the loss stays the same if the steps are reversed: they were taken for streams."""
        x, y = self.problem.x[::-1], self.problem.y[::-1]
        other = self.reply(checked, self.problem._replace(x=x, y=y)).loss
        return other is not None and abs(other - loss) <= EQUAL * abs(loss)

    def is_own_gradient(self, checked: Function, reply: Reply) -> bool:
        """Return True if a random derivative of the loss agrees with the returned gradients."""
        return self.agrees(checked, reply, tuple(self.problem.parameters))

    def blocks_right(self, checked: Function) -> int:
        """Return the number of blocks in whose direction the loss has the returned derivative."""
        with contextlib.suppress(Exception):
            reply = self.reply(checked, self.problem)
            return sum(self.agrees(checked, reply, (name,)) for name in self.problem.parameters)
        return 0

    def agrees(self, checked: Function, reply: Reply, names: Sequence[str]) -> bool:
        """Return True if a derivative of the loss by these blocks, in a random direction, agrees with the reply.

        If the wrapper returns no loss, take the loss of our network.
        """
        rng = np.random.default_rng(0)
        direction = {name: rng.normal(size=p.shape) for name, p in self.problem.parameters.items()}
        direction = {name: direction[name] for name in names}
        losses = []
        for sign in (1, -1):
            moved = {
                n: p + sign * STEP * direction[n] if n in direction else p
                for n, p in self.problem.parameters.items()
            }
            problem = self.problem._replace(parameters=moved)
            own = exact_loss(problem) if reply.loss is None else self.reply(checked, problem).loss
            losses.append(own or 0.0)
        numerical = (losses[0] - losses[1]) / (2 * STEP)
        self.unmoved = numerical == 0 and self.is_unmoved(checked, reply)
        given = sum(
            float(np.vdot(reply.gradients[n].reshape(d.shape), d)) for n, d in direction.items()
        )
        return abs(numerical - given) <= CLOSE * max(abs(numerical), abs(given), 1e-6)

    def is_unmoved(self, checked: Function, reply: Reply) -> bool:
        """Return True if a wrapper returns the same loss for half of each parameter, but gradients."""
        half = self.problem._replace(
            parameters={name: p / 2 for name, p in self.problem.parameters.items()}
        )
        same = self.reply(checked, half).loss == reply.loss
        return same and any(g.any() for g in reply.gradients.values())

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
        self,
        ways: Iterable[Passing],
        made: Callable[[Passing], Function],
        most: int = 10**6,
        sure: bool = True,
    ) -> Tried | None:
        """Return the best way; None if none runs. `made` makes a wrapper's function for a way.

        Stop after `most` ways that run. `sure` says whether the right loss shows that a way is right. It
        does not if the wrapper computes the loss, which then does not depend on how y is passed. So of the
        ways with the same rank the one with the most right gradients counts.
        """
        best: Tried | None = None
        running = hopeless = 0
        every = len(self.problem.parameters)
        ways = list(ways)
        ranks = self.first_ranks(ways, made)
        if ranks and self.all_fail_alike(ranks):
            return None
        for way in ways:
            rank, self.error = ranks[way] if way in ranks else (self.rank_of(made, way), self.error)
            running += rank is not None
            hopeless += rank is None and self.error is not None and is_own_error(self.error)
            if hopeless >= HOPELESS and best is None:
                break
            if rank is None:
                continue
            right = 0 if rank <= RELATED and sure else self.blocks_right(made(way))
            if best is None or (rank, -right) < (best.rank, -best.right):
                best = Tried(way, rank, right)
            enough = min(most, ENOUGH.get(best.rank, most)) if sure else most
            if running >= enough or (best.rank <= RELATED and (sure or best.right == every)):
                break
        return best

    def first_ranks(
        self, ways: Sequence[Passing], made: Callable[[Passing], Function]
    ) -> "dict[Passing, tuple[int | None, BaseException | None]]":
        """Return the ranks and errors of the likeliest ways, and of some for each form of x, until one runs.

        Nothing is tried if there are few ways.
        """
        found: dict[Passing, tuple[int | None, BaseException | None]] = {}
        forms = {(way.ids, way.transposed): way for way in reversed(ways)}
        if len(ways) <= LIKELIEST + len(forms):
            return found
        for way in (*ways[:LIKELIEST], *forms.values()):
            if way not in found:
                found[way] = self.rank_of(made, way), self.error
            if found[way][0] is not None or self.error is None:
                break
        return found

    @staticmethod
    def all_fail_alike(
        ranks: "Mapping[Passing, tuple[int | None, BaseException | None]]",
    ) -> bool:
        """Return True if all ways fail, and those that come furthest fail there for any form of x.

        The error is then one of which value is which, and not of how the arrays are passed. If it is about shapes,
        another way may be right.
        """
        errors = {way: error for way, (_, error) in ranks.items() if error is not None}
        if len(errors) < len(ranks) or len(errors) < LIKELIEST:
            return False
        reached = {way: lines_reached(error) for way, error in errors.items()}
        last = [way for way, lines in reached.items() if lines == max(reached.values())]
        return len({way.ids for way in last}) >= MOST_ALIKE and not any(
            is_about_shapes(errors[way]) for way in last
        )

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


def is_about_shapes(error: BaseException) -> bool:
    """Return True if an error may say that the shapes of arrays do not fit; a number has no shape."""
    return isinstance(error, (ValueError, RuntimeError)) and "(has 0, " not in str(error)


def is_own_error(error: BaseException) -> bool:
    """Return True if a wrapper failed by itself for a reason that no other way of passing arrays removes."""
    frames = list(traceback.walk_tb(error.__traceback__))
    last = frames[-1][0].f_code.co_filename if frames else ""
    return last == WRAPPER and isinstance(error, (TypeError, KeyError, NameError, AttributeError))


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


# Differences of networks whose losses are known, each with all its variants.
NETWORKS: Final = ("reset-before-product", "update-gate-reversed", "activation-differs", "coupled-gates", "forget-bias-twice", "cell-tanh-missing")  # fmt: skip


def network_losses(problem: Problem) -> list[float]:
    """Return the losses of networks with another cell, with and without the initial state and each bias."""
    variants = network_variants(problem.cell) + pairs_of_variants(problem.cell)
    return [loss for one in related_problems(problem) for loss in losses_with(one, variants)]


def losses_with(problem: Problem, variants: Iterable[Switches]) -> list[float]:
    """Return the loss of a problem for each network."""
    return [loss_alone(problem, logits(problem, switches)[2], switches) for switches in variants]


def network_variants(cell: str) -> list[Switches]:
    """Return the networks with another cell than ours."""
    return [
        {mistake.id: variant}
        for mistake in MISTAKES
        if mistake.id in NETWORKS
        for variant in mistake.variants_of(cell)
        if mistake.is_consistent(variant)
    ]


def pairs_of_variants(cell: str) -> list[Switches]:
    """Return the networks that differ from ours in two ways."""
    pairs = itertools.combinations(network_variants(cell), 2)
    return [{**one, **other} for one, other in pairs if not set(one) & set(other)]


def related_losses(problem: Problem) -> list[float]:
    """Return the losses of networks that start from zero, have no biases, or predict only the last step."""
    found = []
    for one in related_problems(problem):
        found.append(exact_loss(one))
        # Many-to-one: the loss of the last step alone.
        found.append(found[-1] - exact_loss(window(one, len(one.x) - 1)))
    return found[1:]


def related_problems(problem: Problem) -> Iterator[Problem]:
    """Yield the problem with zero for some of the initial states and the biases."""
    states = [problem.state]
    zero = {name: np.zeros_like(s) for name, s in problem.state.items()}
    states.append(zero)
    if len(zero) > 1:
        states.append({**problem.state, "cell": zero["cell"]})
    without: list[tuple[str, ...]] = [(), ("b", "d"), ("c",), ("b", "d", "c")]
    if "d" in problem.parameters:
        without += [("d",), ("d", "c")]
    for state, left_out in itertools.product(states, without):
        theta = {
            name: np.zeros_like(p) if name in left_out else p
            for name, p in problem.parameters.items()
        }
        yield problem._replace(parameters=theta, state=state)
