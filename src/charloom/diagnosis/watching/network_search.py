"""Finds out which network the arrays of a program are, from its loss, and where its gradients are."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.faulty_network import NO_MISTAKES, exact_loss, logits
from charloom.diagnosis.forms.name_roles import is_cell_state, is_loss, is_state
from charloom.diagnosis.forms.trying import losses_with, network_variants, pairs_of_variants
from charloom.diagnosis.problem import Array, Arrays, Problem
from charloom.diagnosis.trials import shapes as shapes_of
from charloom.diagnosis.trials import window
from charloom.diagnosis.watching.array_names import name_of
from charloom.diagnosis.watching.found_loop import is_whole
from charloom.diagnosis.watching.gradient_places import gradients_seen
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.iteration import END, Iteration, Seen
from charloom.diagnosis.watching.observation import Observation, Start, in_shape
from charloom.diagnosis.watching.parameter_roles import (
    LN_2,
    UNREAD,
    Roles,
    Sizes,
    squeezed,
)
from charloom.diagnosis.watching.random_texts import LETTERS
from charloom.diagnosis.watching.role_candidates import candidates
from charloom.diagnosis.watching.size_search import UNITS
from charloom.diagnosis.watching.watched_program import NotObserved, WatchedProgram
from charloom.diagnosis.watching.window_reading import MARKS, Window

SAME: Final = 1e-8  # largest relative difference of two losses that are equal
LARGEST_PARAMETER: Final = 100_000  # number of entries of the largest parameter that is looked at
MOST_CONSTANT: Final = 4  # matrices that no iteration changes, but which may be parameters
LARGEST_CONSTANT: Final = 10_000  # number of entries of the largest of them
MOST_CANDIDATES: Final = 3000  # ways in which arrays can be parameters that are compared
MOST_RELATED: Final = 150  # candidates that are compared with related networks
MOST_NETWORKS: Final = 60  # candidates that are compared with two differences at once
SECONDS: Final = 3.0  # processor time for comparing networks
MOST_EXTRAS: Final = 12  # candidates that are compared with their further parameters at zero
MOST_STATES: Final = 20  # arrays of zeros that may be an initial state
SMALL_STEP: Final = 1e-3  # of central differences
SAME_SLOPE: Final = 1e-3  # largest relative difference of two derivatives that are equal
MOST_SLOPES: Final = 4  # gradients that are compared with derivatives
RUNS: Final = 3  # number of iterations that show where a gradient is


class NetworkSearch:
    """Finds out what the arrays of a program hold.

    Attributes:
        watched: the program, with small sizes.
        window: the window that it reads.
    """

    def __init__(self, watched: WatchedProgram, window: Window) -> None:
        """Look at nothing yet; `with_roles` does the work."""
        self.watched, self.window = watched, window
        self.start: dict[Place, Array] = {}
        self.losses: set[Seen] = set()
        self.kept: list[Place] = []
        self.base = Iteration()

    def with_roles(self, seen: Iteration) -> Observation:
        """Return the observation with what the arrays hold."""
        rng = np.random.default_rng(5)
        start = {}
        for place in self.watched.loop.changed:
            array = seen.before.get(place)
            if array is None or not may_be_parameter(array, seen.after.get(place)):
                continue
            start[place] = (
                rng.normal(0, 0.5, array.shape)
                if is_varied_matrix(array)
                else rng.uniform(0.1, 0.5, array.shape)
            )
        used = self.depending(start, seen)
        shapes = {p: seen.before[p].shape for p in used}
        if not self.is_network(shapes, self.sizes_of(shapes)):
            # A matrix that no iteration changes may be a parameter without a gradient.
            constant = [
                p for p, a in seen.before.items() if p not in start and is_constant_weight(p, a)
            ]
            for place in constant[:MOST_CONSTANT]:
                start[place] = rng.normal(0, 0.5, seen.before[place].shape)
            used = self.depending(start, seen) if constant else used
        return self.matched(used, seen)

    def depending(self, start: dict[Place, Array], seen: Iteration) -> list[Place]:
        """Return the arrays on which the loss depends, and keep the numbers that may be the loss."""
        self.start = start
        base = self.watched.watch(setter=lambda _: start)
        if not base.ended:
            raise NotObserved(f"the iteration did not end with other numbers: {base.error!r}")
        matrices = [p for p in start if len(squeezed(seen.before[p].shape)) > 1]
        weights = [p for p in matrices if is_varied_matrix(seen.before[p])]
        runs = {}
        for place in start:
            moved = {**start, place: start[place] * 1.3 + 0.05}
            runs[place] = self.watched.watch(setter=lambda _, moved=moved: moved)
        self.base = base
        depends = {place: changed_numbers(base, run) for place, run in runs.items()}
        memory = [p for p in matrices if p not in weights]
        self.losses = before_update(
            most_common([depends[p] for p in weights]), [depends[p] for p in memory]
        )
        common: set[Seen] = self.losses
        if not common:
            kept = list(base.after.values())
            depends = {place: changed_arrays(base, run, kept) for place, run in runs.items()}
            common = most_common([depends[p] for p in weights])
        used = [p for p in start if depends[p] & common]
        rng = np.random.default_rng(6)
        others = [
            {p: a * rng.uniform(0.5, 1.5, a.shape) for p, a in start.items()}
            for _ in range(RUNS - 1)
        ]
        trials = [
            (start, base),
            *((new, self.watched.watch(setter=lambda _, new=new: new)) for new in others),
        ]
        shown = gradients_seen(used, trials)
        self.kept = [p for p in used if p not in shown and p in self.watched.loop.changed]
        return used

    def matched(self, used: Sequence[Place], seen: Iteration) -> Observation:
        """Return the observation whose network has a loss that was seen."""
        shapes = {p: seen.before[p].shape for p in used}
        sizes = self.sizes_of(shapes)
        x, y = self.ids()
        begun = time.process_time()
        values = {key: self.base.numbers[key] for key in self.sorted_losses()}
        states = [p for p in self.kept if seen.before[p].size % sizes.H == 0]
        every = list(itertools.islice(candidates(shapes, sizes, states), MOST_CANDIDATES))
        if not values:
            return self.matched_by_output(every, sizes, x, y)
        plain = [r for r in every if not r.has("extra")] or every
        # Two initial states are those of an LSTM, whatever the number of its gates is.
        plain.sort(key=lambda r: len(CELLS[r.cell].states) != len(states))
        for losses_of, some in (
            (lambda problem: [exact_loss(problem)], plain),
            (last_step_loss, first_of_each_cell(plain, MOST_RELATED)),
            (
                lambda problem: losses_with(problem, network_variants(problem.cell)),
                first_of_each_cell(plain, MOST_RELATED),
            ),
            (
                lambda problem: losses_with(problem, pairs_of_variants(problem.cell)),
                first_of_each_cell(plain, MOST_NETWORKS),
            ),
        ):
            for roles in some:
                if time.process_time() - begun > SECONDS:
                    break
                losses = losses_of(self.problem_of(roles, sizes, x, y))
                for key, value in values.items():
                    if any(is_share(value, one, len(x)) for one in losses):
                        return self.finished(roles, sizes, key, exact=some is plain, related=True)
        for roles in [r for r in every if r.has("extra")][:MOST_EXTRAS]:
            if values and self.is_plain_without_extras(roles, sizes, x, y):
                return self.finished(roles, sizes, next(iter(values)), exact=False, related=False)
        if not every:
            raise NotObserved(
                f"the arrays {[(name_of(p), s) for p, s in shapes.items()]} are not a network that is known"
            )
        if (loss := self.likely_loss()) is None:
            raise NotObserved("no loss was seen, and the arrays are not a network that is known")
        return self.finished(every[0], sizes, loss, exact=False, related=False)

    def matched_by_output(
        self, every: Sequence[Roles], sizes: Sizes, x: Array, y: Array
    ) -> Observation:
        """Return the observation whose network has the last state and the last probabilities that were seen."""
        held = {
            size: np.array(
                [a.reshape(-1) for a in self.base.arrays.values() if a.size == size]
                or [np.zeros(size)]
            )
            for size in (sizes.H, sizes.K)
        }
        for roles in every:
            problem = self.problem_of(roles, sizes, x, y)
            _, steps, o = logits(problem, NO_MISTAKES)
            p = np.exp(o[-1] - o[-1].max())
            for right in (steps[-1].state["h"], p / p.sum()):
                if (np.abs(held[right.size] - right).max(axis=1) < SAME).any():
                    return self.finished(roles, sizes, None, exact=True, related=True)
        # Without a loss, nothing says what is right in a network that is not known.
        raise NotObserved("no loss was seen, and the arrays are not a network that is known")

    def is_plain_without_extras(self, roles: Roles, sizes: Sizes, x: Array, y: Array) -> bool:
        """Return True if a network has our loss when the parameters that ours does not have are zero."""
        extras = {p for p, role in roles.roles.items() if role.block == "extra"}
        numbers = {p: np.zeros_like(a) if p in extras else a for p, a in self.start.items()}
        run = self.watched.watch(setter=lambda _: numbers)
        right = exact_loss(self.problem_of(roles, sizes, x, y))
        return any(is_share(run.numbers.get(key, np.inf), right, len(x)) for key in self.losses)

    def likely_loss(self) -> Seen | None:
        """Return where the loss is, by its name."""
        return next((key for key in self.sorted_losses() if key not in self.base.late), None)

    def sorted_losses(self) -> list[Seen]:
        """Return where the loss may be, the likeliest first; what was seen after the update comes last."""
        return sorted(self.losses, key=lambda key: (key in self.base.late, *likely_loss(key)))

    def ids(self) -> tuple[Array, Array]:
        """Return the ids of the window."""
        ids = {letter: one for one, letter in self.window.letters.items()}
        numbers = np.array([ids[c] for c in self.window.part])
        return numbers[:-1], numbers[1:]

    def sizes_of(self, shapes: Mapping[Place, tuple[int, ...]]) -> Sizes:
        """Return the sizes of the network: those we have set, or else others for which the shapes are a network."""
        axes = {n for s in shapes.values() for n in squeezed(s)}
        vocabulary = [len(LETTERS), *sorted(n for n in axes if n > max(self.window.letters))]
        for K, H in itertools.product(vocabulary, (UNITS, *sorted(axes - {UNITS}))):
            # With a column for a bias, no axis may be as long as the state.
            seen = {K} <= axes and (H in axes or H == UNITS)
            if H != K and seen and self.is_network(shapes, Sizes(H, K)):
                return Sizes(H, K)
        others = [n for n in axes if n != len(LETTERS)]
        if not others:
            raise NotObserved("the size of the state is not seen")
        return Sizes(UNITS if UNITS in others else min(others), len(LETTERS))

    def is_network(self, shapes: Mapping[Place, tuple[int, ...]], sizes: Sizes) -> bool:
        """Return True if arrays with these shapes can be a network, with no further parameters."""
        states = [p for p in self.kept if p in shapes and np.prod(shapes[p]) % sizes.H == 0]
        every = itertools.islice(candidates(shapes, sizes, states), MOST_CANDIDATES)
        return any(not roles.has("extra") for roles in every)

    def problem_of(self, roles: Roles, sizes: Sizes, x: Array, y: Array) -> Problem:
        """Return the problem that the numbers in the arrays are, for these roles."""
        shapes = shapes_of(roles.cell, sizes.H, sizes.K)
        theta = roles.values(self.start, shapes)
        state = {name: np.zeros(sizes.H) for name in CELLS[roles.cell].states}
        for place, role in roles.roles.items():
            if role.block in state:
                state[role.block] = self.start[place].reshape(-1)[: sizes.H]
            if role.block == "zero" or (role.block == "d" and role.gate):
                self.add_second_bias(place, roles, theta)
        return Problem(roles.cell, theta, x, y, state)

    def add_second_bias(self, place: Place, roles: Roles, theta: Arrays) -> None:
        """Add the numbers of a second bias to those of the first one of the same size."""
        for other, role in roles.roles.items():
            if role.columns == "1" and self.start[other].size == self.start[place].size:
                shapes = {name: p.shape for name, p in theta.items()}
                second = roles.read_wide(
                    {other: self.start[place].reshape(self.start[other].shape)}, shapes
                )
                if roles.roles[place].block == "d":
                    second["b"][CELLS[roles.cell].blocks.index("n") * len(theta["d"]) :][
                        : len(theta["d"])
                    ] = 0
                for name in ("b", "c"):
                    theta[name] = theta[name] + second[name]

    def finished(
        self, roles: Roles, sizes: Sizes, loss: Seen | None, exact: bool, related: bool
    ) -> Observation:
        """Return the observation with the places of the gradients."""
        if len(LETTERS) < sizes.K:
            ids = {char: one for one, char in sorted(self.window.letters.items())}
            ours = tuple(one for char, one in ids.items() if char not in MARKS)
            marks = self.window.marks_with(ids)
            if marks is not None and marks.end is not None and not roles.has_output_bias:
                raise NotObserved("without an output bias, a mark cannot share a probability")
            roles = replace(roles, ids=ours, width=sizes.K, marks=marks)
            sizes = Sizes(sizes.H, len(roles.ids))
        shapes = shapes_of(roles.cell, sizes.H, sizes.K)
        runs = []
        for seed in range(RUNS):
            rng = np.random.default_rng(7 + seed)
            theta = {n: rng.normal(0, 0.5, s) for n, s in shapes.items()}
            if roles.cell == "gru" and not roles.has("d"):
                theta["d"][:] = 0
            state = {name: np.zeros(sizes.H) for name in CELLS[roles.cell].states}
            numbers = roles.written(theta, state)
            runs.append((numbers, self.watched.watch(setter=lambda _, numbers=numbers: numbers)))
        run = runs[-1][1]
        problem = Problem(roles.cell, theta, *self.ids_for(roles), state)
        wanted = [p for p, role in roles.roles.items() if role.block not in UNREAD]
        gradients = gradients_seen(wanted, runs)
        trained = set(self.watched.loop.changed)
        if missing := [name_of(p) for p in wanted if p not in gradients and p in trained]:
            raise NotObserved(f"no gradient of {missing} was seen")
        factor = 1.0
        if loss is not None:
            loss, factor = self.loss_of_gradients(roles, numbers, run, gradients, loss)
        found = Observation(
            self.watched.program,
            self.watched.loop,
            self.window,
            self.watched.steps,
            self.watched.changed,
            sizes,
            roles,
            loss,
            gradients,
            exact=exact,
            related=related,
            texts=self.watched.texts,
            factor=factor,
        )
        if exact and loss is not None:
            self.add_states(found, loss, run, problem)
        return found

    def ids_for(self, roles: Roles) -> tuple[Array, Array]:
        """Return x and y in our ids."""
        ours = {one: place for place, one in enumerate(roles.ids)}
        if roles.marks is None:
            x, y = (np.array([ours.get(int(i), int(i)) for i in ids]) for ids in self.ids())
            return x, y
        # Our first character stands for the marks.
        x, y = (np.array([ours.get(int(i), 0) for i in ids]) for ids in self.ids())
        return x, y

    def loss_of_gradients(
        self,
        roles: Roles,
        numbers: Mapping[Place, Array],
        run: Iteration,
        gradients: Mapping[Place, Seen],
        usual: Seen,
    ) -> tuple[Seen, float]:
        """Return where the loss is seen whose derivative a gradient is, a sum, a mean or bits, and 1; else `usual`.

        The gradient of the output layer decides, because it is right most often. If a program shows its mean in bits
        alone beside a sum in nats, the gradient may be that of the mean in nats: then the factor is ln 2.
        """
        first = sorted(
            gradients, key=lambda p: (roles.roles[p].block != "output", -numbers[p].ndim)
        )
        for place in first[:MOST_SLOPES]:
            array = run.arrays.get(gradients[place])
            if array is None or array.size != numbers[place].size:
                continue
            direction = np.random.default_rng(9).normal(0, 1, numbers[place].shape)
            slope = float(np.vdot(in_shape(array, numbers[place].shape), direction))
            slopes = self.slopes(numbers, place, direction)
            near = [k for k, one in slopes.items() if abs(one - slope) <= SAME_SLOPE * abs(slope)]
            if near:
                return usual if usual in near else near[0], 1.0
            if (bits := mean_in_bits(slopes, slope, self.window.length)) is not None:
                return bits, LN_2
        return usual, 1.0

    def slopes(
        self, numbers: Mapping[Place, Array], place: Place, direction: Array
    ) -> dict[Seen, float]:
        """Return the derivative of each number that may be the loss, the likeliest first, in a direction of one array."""
        ends = []
        for sign in (1, -1):
            moved = {**numbers, place: numbers[place] + sign * SMALL_STEP * direction}
            wanted = frozenset(self.losses)
            ends.append(self.watched.watch(setter=lambda _, new=moved: new, wanted=wanted).numbers)
        return {
            key: (ends[0][key] - ends[1][key]) / (2 * SMALL_STEP)
            for key in self.sorted_losses()
            if key in ends[0] and key in ends[1]
        }

    def add_states(self, found: Observation, loss: Seen, run: Iteration, problem: Problem) -> None:
        """Add where the initial states are set, if the loss shows it."""
        rng = np.random.default_rng(8)
        marks = found.roles.marks
        added = 0.0 if marks is None else marks.added_loss(problem.y)
        for block, zero in {b: problem.state[b] for b in CELLS[problem.cell].states}.items():
            if found.roles.has(block):
                continue
            for start, zeros in likely_states(run, zero.size)[:MOST_STATES]:
                state = {**problem.state, block: rng.uniform(-1, 1, zero.size)}
                numbers = found.roles.written(problem.parameters, state)
                again = self.watched.watch(
                    setter=lambda _, numbers=numbers: numbers,
                    starts={start: state[block].reshape(zeros.shape)},
                    wanted=frozenset({loss}),
                )
                right = exact_loss(problem._replace(state=state)) + added
                if is_share(again.numbers.get(loss, np.inf), right, len(problem.x)):
                    found.states[start] = block
                    found.program_shape[start] = zeros.shape
                    break


def mean_in_bits(slopes: Mapping[Seen, float], slope: float, T: int) -> Seen | None:
    """Return the number that is a loss in bits, if its derivative in nats is `slope` and its sum in nats is seen too."""
    for key, one in slopes.items():
        total = T * LN_2 * one
        sums = any(abs(other - total) <= SAME_SLOPE * abs(total) for other in slopes.values())
        if sums and abs(LN_2 * one - slope) <= SAME_SLOPE * abs(slope):
            return key
    return None


def first_of_each_cell(every: Sequence[Roles], count: int) -> list[Roles]:
    """Return the first candidates of each cell: arrays of three gates can be a GRU or a coupled LSTM."""
    cells = dict.fromkeys(roles.cell for roles in every)
    return [one for cell in cells for one in [r for r in every if r.cell == cell][:count]]


def may_be_parameter(before: Array, after: Array | None) -> bool:
    """Return True if an array, which an iteration changes, is neither one number, nor huge, nor ids or one-hot rows.

    A bias of the forget gate may be 1 at the beginning, but it is not whole after an update.
    """
    if before.size == 1 or before.size > LARGEST_PARAMETER:
        return False
    if not is_whole(before) or not before.any():
        return True
    return after is not None and after.shape == before.shape and not is_whole(after)


def is_varied_matrix(array: Array) -> bool:
    """Return True for a matrix of different numbers; the memory of an optimizer begins with zeros, or with ε everywhere."""
    return len(squeezed(array.shape)) > 1 and bool((array != array.flat[0]).any())


def is_constant_weight(place: Place, array: Array) -> bool:
    """Return True for a small matrix of numbers that are not whole, which is not a gradient."""
    return (
        len(squeezed(array.shape)) == 2
        and array.size <= LARGEST_CONSTANT
        and place[-1] != "grad"
        and not is_whole(array)
    )


def changed_numbers(base: Iteration, other: Iteration) -> set[Seen]:
    """Return where two iterations have different single numbers."""
    return {
        key
        for key, number in base.numbers.items()
        if np.isfinite(number) and other.numbers.get(key, number) != number
    }


def changed_arrays(base: Iteration, other: Iteration, kept: Sequence[Array]) -> set[Seen]:
    """Return where two iterations have different arrays, apart from those that the program keeps (`kept`)."""
    found = set()
    for key, array in base.arrays.items():
        new = other.arrays.get(key)
        if new is None or new.shape != array.shape or np.array_equal(new, array):
            continue
        if not any(one.shape == array.shape and np.array_equal(one, array) for one in kept):
            found.add(key)
    return found


def most_common(sets: Sequence[set[Seen]]) -> set[Seen]:
    """Return what is in all sets, or else what is in most of them; at least in two."""
    counts: dict[Seen, int] = {}
    for one in sets:
        for key in one:
            counts[key] = counts.get(key, 0) + 1
    most = max(counts.values(), default=0)
    return {key for key, n in counts.items() if n == most and most > 1}


def before_update(losses: set[Seen], memory: Sequence[set[Seen]]) -> set[Seen]:
    """Return those numbers on which the fewest matrices of one number act.

    Matrices of one number are the memory of an optimizer, and act only on what is computed after the update.
    """
    counts = {key: sum(key in one for one in memory) for key in losses}
    return {key for key, n in counts.items() if n == min(counts.values())}


def likely_states(run: Iteration, H: int) -> list[tuple[Start, Array]]:
    """Return where initial states may be, the likeliest by their names first; each place of a function once."""
    found: dict[tuple[str, Place], tuple[Start, Array]] = {}
    for start, zeros in run.starts.items():
        if zeros.size == H:
            found.setdefault((start[0], start[2]), (start, zeros))
    return sorted(
        found.values(),
        key=lambda one: not (is_state(name_of(one[0][2])) or is_cell_state(name_of(one[0][2]))),
    )


def likely_loss(seen: Seen) -> tuple[bool, bool, bool]:
    """Return a key that sorts the places of numbers: a loss by its name, then what a function returned."""
    name = name_of(seen.place).lower()
    return "smooth" in name, not is_loss(name), seen.where == END


def last_step_loss(problem: Problem) -> list[float]:
    """Return the loss of the last step alone."""
    return [exact_loss(problem) - exact_loss(window(problem, len(problem.x) - 1))]


def is_share(value: float, loss: float, T: int) -> bool:
    """Return True if a number is a loss, its mean over the steps, or one of these in bits."""
    return any(
        abs(value - one) <= SAME * abs(one)
        for one in (loss, loss / T, loss / np.log(2), loss / T / np.log(2))
    )
