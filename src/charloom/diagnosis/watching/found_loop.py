"""Finds the loop in which a program trains: the first one whose iterations change matrices that were there before."""

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from charloom.diagnosis.problem import Array
from charloom.diagnosis.watching.held_arrays import Place, arrays_at, arrays_in
from charloom.diagnosis.watching.program import Program, Spot, Stop

MOST_ACTIVATIONS: Final = (
    4  # number of times that a loop begins, after which it is no longer watched
)
MOST_PLACES: Final = 3000
MORE_EVENTS: Final = 10_000  # number of lines for which a better loop is looked for
# The same if a loop changes one matrix: it may be an update of one parameter, number by number.
EVENTS_OF_ONE: Final = 200_000

Arrays: TypeAlias = dict[Place, Array]


def variables_of(frame: types.FrameType, folder: str) -> dict[str, Any]:
    """Return the variables that code in a frame can reach: its own, those of its callers, and the global ones."""
    found: dict[str, Any] = {}
    prefix, one = "", frame
    while one is not None and one.f_code.co_filename.startswith(folder):
        if one.f_locals is not one.f_globals:
            found |= {
                prefix + name: value
                for name, value in one.f_locals.items()
                if not name.startswith("__")
            }
            prefix += "caller's "
        one = one.f_back  # type: ignore[assignment]
    return found | global_variables(frame)


def global_variables(frame: types.FrameType) -> dict[str, Any]:
    """Return the global variables that code in a frame can reach."""
    return {
        f"global {name}": value
        for name, value in frame.f_globals.items()
        if not name.startswith("__")
    }


@dataclass(frozen=True)
class TrainingLoop:
    """The loop in which a program trains.

    Attributes:
        line: the line that runs at the beginning of each iteration.
        function: the name of the function that has the loop; "<module>" for the program itself.
        changed: the places of the arrays that an iteration changes.
    """

    line: int
    function: str
    changed: tuple[Place, ...]


@dataclass
class Activation:
    """A loop that has begun: how often its line has run, whether it is the one found, and its arrays."""

    hits: int = 0
    found: bool = False
    copies: Arrays = field(default_factory=dict)


class LoopFinder:
    """Watches a program until an iteration of a loop has changed matrices that were not zero.

    Attributes:
        found: the loop; None until it is found.
    """

    def __init__(self, program: Program) -> None:
        self.program, self.folder = program, str(program.path.parent)
        self.activations: dict[tuple[types.FrameType, int], Activation] = {}
        self.counts: dict[int, int] = {}
        self.found: TrainingLoop | None = None
        self.weights = self.left = 0
        self.with_loops: dict[types.CodeType, bool] = {}

    def watches(self, frame: types.FrameType) -> bool:
        code = frame.f_code
        if self.found is None and code not in self.with_loops:
            lines = {line for *_, line in code.co_lines()}
            self.with_loops[code] = not lines.isdisjoint(self.program.loops)
        return self.found is not None or self.with_loops[code]

    def line(self, frame: types.FrameType) -> None:
        self.left -= 1
        if self.found is not None and self.left < 0:
            self.stop()
        if frame.f_lineno not in self.program.loops:
            return
        activation = self.activation_at(frame)
        if activation is None:
            return
        activation.hits += 1
        repeats = self.found is not None and frame.f_lineno == self.found.line and activation.found
        if activation.hits > (3 if repeats else 2):
            return
        variables = variables_of(frame, self.folder)
        copies = {one.place: one.array() for one in arrays_in(variables)[:MOST_PLACES]}
        copies |= arrays_at(variables, activation.copies)
        if activation.hits > 1:
            # What the loop itself puts into its variables is no training: they may be the parameters in turn.
            targets = self.program.loops[frame.f_lineno].targets
            changed = [
                place
                for place in changes(activation.copies, copies)
                if place[0].removeprefix("global ") not in targets
            ]
            self.end_of_iteration(frame, activation, changed)
        activation.copies = copies

    def activation_at(self, frame: types.FrameType) -> Activation | None:
        """Return what is known of the loop whose line runs; None if it began too often."""
        key, line = (frame, frame.f_lineno), frame.f_lineno
        if key not in self.activations:
            self.counts[line] = self.counts.get(line, 0) + 1
            if self.counts[line] > MOST_ACTIVATIONS:
                return None
            self.activations[key] = Activation()
        return self.activations[key]

    def end_of_iteration(
        self, frame: types.FrameType, activation: Activation, changed: list[Place]
    ) -> None:
        """See which arrays an iteration has changed: keep its loop if it is the best one until now."""
        weights = sum(is_weight(activation.copies[place]) for place in changed)
        if self.found is not None and self.weights > 1 and self.is_lasting(frame, changed):
            # A loop over the parameters changes others in each iteration.
            repeats = activation.found and set(self.found.changed) <= set(changed)
            if repeats or (weights == self.weights and self.has_found_loop(frame)):
                self.stop()
        if weights > self.weights:
            self.weights = weights
            self.left = MORE_EVENTS if weights > 1 else EVENTS_OF_ONE
            activation.found = True
            self.found = TrainingLoop(frame.f_lineno, frame.f_code.co_qualname, tuple(changed))

    def is_lasting(self, frame: types.FrameType, changed: list[Place]) -> bool:
        """Return True if some of the arrays are there before the function that has the loop, or no loop calls it.

        Others may be gradients that a function computes in an iteration of the training loop.
        """
        called_in_loop = any(
            one is not frame and activation.hits == 1
            for (one, _), activation in self.activations.items()
        )
        code = frame.f_code
        own = set(code.co_varnames[code.co_argcount + code.co_kwonlyargcount :])
        return not called_in_loop or any(place[0] not in own for place in changed)

    def has_found_loop(self, frame: types.FrameType) -> bool:
        """Return True if the loop whose line runs has the loop that was found in it."""
        if self.found is None or self.found.function != frame.f_code.co_qualname:
            return False
        return frame.f_lineno < self.found.line <= self.program.loops[frame.f_lineno].end

    def stop(self) -> None:
        """Stop the program; the loop that was found is the best one."""
        self.activations.clear()
        raise Stop

    def returned(self, frame: types.FrameType, value: Any) -> None:
        for key in [key for key in self.activations if key[0] is frame]:
            del self.activations[key]

    def derived(self, loss: Any) -> None:
        pass


def changes(before: Mapping[Place, Array], after: Mapping[Place, Array]) -> list[Place]:
    """Return the places whose arrays have the same shape but other numbers."""
    return [
        place
        for place, old in before.items()
        if (new := after.get(place)) is not None
        and new.shape == old.shape
        and not np.array_equal(new, old)
    ]


def is_weight(array: Array) -> bool:
    """Return True for a matrix of weights: not zero, and not whole numbers such as ids or one-hot rows."""
    return array.ndim >= 2 and min(array.shape[-2:]) > 1 and not is_whole(array)


def is_whole(array: Array) -> bool:
    """Return True if all numbers of an array are whole."""
    return bool(np.all(array == np.round(array)))


def find_loop(
    program: Program, text: str, changed: Mapping[Spot, int]
) -> tuple[TrainingLoop | None, BaseException | None]:
    """Run a program on a text, and return its training loop, or the error that ended it before."""
    finder = LoopFinder(program)
    error = program.run(text, finder, changed)
    return finder.found, error
