"""Compares a program's gradients with the derivatives of its own loss where functions alone show nothing.

These are a batch of several texts, and the second iteration of the training loop. This module knows no network: it
moves our parameters, which the program's arrays hold, and sees how the loss changes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from charloom.diagnosis.blocks import blocks_of
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array, Arrays
from charloom.diagnosis.trials import shapes as shapes_of
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.iteration import Iteration, Seen, watch_iteration
from charloom.diagnosis.watching.observation import Observation, in_shape
from charloom.diagnosis.watching.parameter_roles import STATES, squeezed
from charloom.diagnosis.watching.program import Spot

TEXTS: Final = 3  # number of texts in the batch
SIGMA: Final = 0.3  # of the parameters
STEP: Final = 1e-3  # of central differences
SAME: Final = 1e-4  # largest relative difference of a gradient from a derivative that is the same
# Largest number of digits of a limit to which gradients are clipped.
DIGITS: Final = 2


@dataclass
class Situation:
    """A program with our parameters in an iteration, and what was seen there.

    Attributes:
        found: how the program is called.
        changed: the numbers in its source that are changed.
        skipped: the number of iterations before the one that is watched.
        theta: our parameters.
        seen: what was seen in the iteration.
    """

    found: Observation
    changed: Mapping[Spot, int]
    skipped: int = 0
    theta: Arrays = field(default_factory=dict)
    seen: Iteration = field(default_factory=Iteration)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(11)
        sizes, roles = self.found.sizes, self.found.roles
        shapes = shapes_of(roles.cell, sizes.H, sizes.K)
        self.theta = {name: rng.normal(0, SIGMA, shape) for name, shape in shapes.items()}
        self.see(self.numbers(self.theta))

    def see(self, numbers: Mapping[Place, Array]) -> None:
        """Watch the iteration with these numbers in the program's arrays.

        An array with several names is seen under one of them, so the gradients are looked up again.
        """
        self.seen = self.watched(numbers)
        wanted = frozenset(self.found.gradients.values())
        if self.seen.ended:
            self.seen.arrays |= self.watched(numbers, wanted).arrays

    def numbers(self, theta: Arrays) -> dict[Place, Array]:
        """Return the numbers of the program's arrays for our parameters; initial states stay as they are."""
        roles = self.found.roles
        state = dict.fromkeys(STATES, np.zeros(self.found.sizes.H))
        return {
            place: numbers
            for place, numbers in roles.written(theta, state).items()
            if roles.roles[place].block not in STATES
        }

    def watched(
        self, numbers: Mapping[Place, Array], wanted: frozenset[Seen] | None = None
    ) -> Iteration:
        """Return what is seen in the iteration with these numbers in the program's arrays."""
        program, loop, text = self.found.program, self.found.loop, self.found.window.text
        if self.found.names:
            text = self.found.text_with(self.found.window.part)
        return watch_iteration(
            program, loop, text, self.changed, lambda _: numbers, {}, wanted, self.skipped
        )

    def moves(self) -> Iterator[tuple[str, dict[Place, Array]]]:
        """Yield, for each block, how the program's arrays change if it moves by a unit in a random direction.

        A block has a name such as "U f", or "V " without gates.
        """
        base = self.numbers(self.theta)
        for number, (block, rows) in enumerate(blocks_of(self.found.roles.cell, self.theta)):
            name = block.parameter
            direction = np.zeros_like(self.theta[name])
            rng = np.random.default_rng(100 + number)
            direction[rows] = rng.normal(0, 1, direction[rows].shape)
            moved = {**self.theta, name: self.theta[name] + direction / np.linalg.norm(direction)}
            parts = {p: new - base[p] for p, new in self.numbers(moved).items()}
            parts = {p: part for p, part in parts.items() if part.any()}
            if parts and all(p in self.found.gradients for p in parts):
                yield " ".join(block), parts

    def slope(self, parts: Mapping[Place, Array]) -> float:
        """Return the derivative of the program's loss if its arrays move by `parts`; NaN if it is not seen."""
        assert self.found.loss is not None
        base, losses = self.numbers(self.theta), []
        for sign in (1, -1):
            new = base | {p: base[p] + sign * STEP * part for p, part in parts.items()}
            seen = self.watched(new, frozenset({self.found.loss}))
            losses.append(seen.numbers.get(self.found.loss, np.nan))
        return self.found.factor * (losses[0] - losses[1]) / (2 * STEP)

    def along(self, parts: Mapping[Place, Array]) -> float:
        """Return the program's gradient in the direction `parts`; NaN if it is not seen or looks clipped."""
        total = 0.0
        for place, part in parts.items():
            given = self.seen.arrays.get(self.found.gradients[place])
            if given is None or given.size != part.size or looks_clipped(given):
                return np.nan
            total += float(np.vdot(in_shape(given, part.shape), part))
        return total

    def others_along(self, parts: Mapping[Place, Array]) -> Iterator[float]:
        """Yield what any other array of the program is in the direction `parts`, if it moves one array."""
        for place, part in parts.items() if len(parts) == 1 else ():
            shapes = (squeezed(part.shape), squeezed(part.shape)[::-1])
            for seen, array in self.seen.arrays.items():
                other = seen != self.found.gradients[place] and squeezed(array.shape) in shapes
                if other and np.isfinite(array).all():
                    yield float(np.vdot(in_shape(array, part.shape), part))


def looks_clipped(array: Array) -> bool:
    """Return True if the largest entry of a gradient is a round number, as after clipping to it."""
    largest = float(np.abs(array).max())
    return (
        not np.isfinite(largest) or abs(largest - float(f"{largest:.{DIGITS}g}")) <= 1e-7 * largest
    )


def is_same(given: float, right: float) -> bool:
    """Return True if a gradient is a derivative, up to the error of the differences; also if one of them is not known."""
    return not abs(given - right) > SAME * abs(right)


def compared(situation: Situation) -> tuple[Arrays, Arrays] | None:
    """Return the derivative and the gradient in a direction of each block, each (1); None if nothing is seen.

    A block whose right gradient was seen in another place is taken as right.
    """
    if not situation.seen.ended:
        return None
    slopes, given = {}, {}
    for name, parts in situation.moves():
        slope, along = situation.slope(parts), situation.along(parts)
        if not is_same(along, slope):
            others = situation.others_along(parts)
            along = next((one for one in others if is_same(one, slope)), along)
        if np.isfinite([slope, along]).all():
            slopes[name], given[name] = np.array([slope]), np.array([along])
    return (slopes, given) if any(one.any() for one in slopes.values()) else None


def is_right(pair: tuple[Arrays, Arrays] | None) -> bool:
    """Return True if all gradients that are known are the derivatives."""
    return pair is not None and all(is_same(pair[1][n][0], one[0]) for n, one in pair[0].items())


def texts_of_batch(found: Observation) -> dict[Spot, int]:
    """Return the numbers in the source with which the program reads several texts; empty if it always reads one."""
    spots = [spot for spot in found.texts if found.changed.get(spot) == 1]
    return {**found.changed, **dict.fromkeys(spots, TEXTS)} if spots else {}


def calls_in_training(found: Observation) -> tuple[list[Call], list[Call]]:
    """Return what a batch of several texts shows, and what the second iteration shows; nothing if both are right.

    Each list has a `Call` with the derivatives of the loss and one with the gradients, in one direction of each
    block. For the second iteration, a third one has the gradients of the first iteration. If the
    first iteration with one text is not right already, the lists are empty.
    """
    if found.loss is None:
        return [], []
    batch: list[Call] = []
    later: list[Call] = []
    pair = compared(Situation(found, texts_of_batch(found))) if texts_of_batch(found) else None
    if pair is not None and not is_right(pair):
        batch = [call_of(found, one) for one in pair]
    second = Situation(found, found.changed, skipped=1)
    pair = compared(second)
    if pair is not None and not is_right(pair):
        first = Situation(found, found.changed)
        # The program's own parameters are there in the first iteration before the second one.
        first.see({})
        before = {name: np.array([first.along(parts)]) for name, parts in first.moves()}
        later = [call_of(found, one) for one in (*pair, before)]
    if (batch or later) and not is_right(compared(Situation(found, found.changed))):
        return [], []
    return batch, later


def call_of(found: Observation, numbers: Arrays) -> Call:
    """Return numbers for some blocks as a call, with zero for the others."""
    shapes = shapes_of(found.roles.cell, found.sizes.H, found.sizes.K)
    arrays = {name: np.empty(shape) for name, shape in shapes.items()}
    names = [" ".join(block) for block, _ in blocks_of(found.roles.cell, arrays)]
    every = {name: np.nan_to_num(numbers.get(name, np.zeros(1))) for name in names}
    return Call(None, every, (), {}, False)
