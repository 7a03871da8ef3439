"""Calls one iteration of a program's training like a function: with our parameters and window, for loss and gradients."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.problem import Array, Arrays, Problem
from charloom.diagnosis.watching.array_names import name_of
from charloom.diagnosis.watching.found_loop import TrainingLoop
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.iteration import GRADIENT, Iteration, Seen, watch_iteration
from charloom.diagnosis.watching.parameter_roles import Roles, Sizes, squeezed
from charloom.diagnosis.watching.program import Program, Spot
from charloom.diagnosis.watching.random_texts import list_of_names, random_text
from charloom.diagnosis.watching.watched_program import NotObserved
from charloom.diagnosis.watching.window_reading import MARKS, UNSEEN, Window, reads

Start: TypeAlias = tuple[str, int, Place]  # a function, a line of it, and a place in its variables


class AnotherWindow(NotObserved):
    """A program read another window than it should."""


def in_order(arrays: Arrays, order: Array) -> Arrays:
    """Return parameters or gradients with the characters in another order."""
    return {
        **arrays,
        "U": arrays["U"][:, order], "V": arrays["V"][order], "c": arrays["c"][order],
    }  # fmt: skip


def in_shape(array: Array, shape: tuple[int, ...]) -> Array:
    """Return a gradient in the shape of its parameter; its axes may be exchanged."""
    if array.shape != shape and squeezed(array.shape) == squeezed(shape)[::-1]:
        array = array.reshape(squeezed(array.shape)).T
    return array.reshape(shape)


@dataclass
class Observation:
    """A program whose training iteration can be called.

    Attributes:
        program, loop: the program and its training loop.
        window: the window that it reads.
        steps: the numbers in the source that set the number of steps.
        changed: the numbers in the source that are changed, with their new values.
        roles: what its arrays hold.
        loss: where the loss is seen; None if it is not.
        gradients: where the gradient of each array is seen.
        states: the initial states, which are set when a line is run for the first time.
        exact, related: whether the loss is that of our network, or of it or a related one.
        program_shape: the shapes of the initial states.
        by_appearance: whether the program numbers the characters in the order in which they appear.
        units: the loss in the program for each nat of our loss, for each number of steps that was tried; needed if
            a name has marks.
        texts: the numbers in the source that set the number of texts in a batch.
        factor: what the loss that is seen is multiplied by, to have the unit of the gradients.
    """

    program: Program
    loop: TrainingLoop
    window: Window
    steps: dict[Spot, int]
    changed: dict[Spot, int]
    sizes: Sizes
    roles: Roles
    loss: Seen | None
    gradients: dict[Place, Seen]
    states: dict[Start, str] = field(default_factory=dict)
    exact: bool = False
    related: bool = False
    program_shape: dict[Start, tuple[int, ...]] = field(default_factory=dict)
    by_appearance: bool = False
    units: dict[int, float] = field(default_factory=dict)
    texts: frozenset[Spot] = frozenset()
    factor: float = 1.0

    @property
    def names(self) -> bool:
        """Whether the program reads a list of names."""
        return any(one in MARKS for one in self.window.text)

    @property
    def shortest(self) -> int:
        """The smallest number of steps of a window."""
        return 1 + (self.window.part[0] in MARKS and self.window.part[-1] in MARKS)

    def __call__(self, params: Arrays, x: Array, y: Array, h0: Any) -> tuple[Any, ...]:
        """Run one iteration with our parameters, and return the loss and our gradients."""
        names = CELLS[self.roles.cell].states
        states = dict(zip(names, h0 if isinstance(h0, tuple) else (h0,), strict=True))
        loss, gradients = self.run(Problem(self.roles.cell, params, x, y, states))
        return (gradients,) if loss is None else (loss, gradients)

    def run(self, problem: Problem) -> tuple[float | None, Arrays]:
        """Run one iteration for a problem, and return the loss and our gradients."""
        if not np.array_equal(problem.x[1:], problem.y[:-1]):
            raise NotObserved("the program's targets are its next characters")
        try:
            return self.run_with(problem)
        except AnotherWindow:
            if self.by_appearance or self.roles.ids:
                raise
        # The program may number the characters in the order in which they appear.
        self.by_appearance = True
        return self.run_with(problem)

    def run_with(self, problem: Problem) -> tuple[float | None, Arrays]:
        """Run one iteration for a problem, with the order of the characters that is known."""
        letters = self.window.letters
        ids = np.array(self.roles.ids or range(self.sizes.K))
        letters = {n: letters[int(one)] for n, one in enumerate(ids)}
        text = self.text_with("".join(letters[int(i)] for i in (*problem.x, problem.y[-1])))
        order = np.arange(self.sizes.K)
        if self.by_appearance:
            numbers = {letter: one for one, letter in letters.items()}
            order = np.array([numbers[letter] for letter in dict.fromkeys(text)])
        given = problem._replace(
            parameters=in_order(problem.parameters, order),
            x=np.argsort(order)[problem.x],
            y=np.argsort(order)[problem.y],
        )
        roles = self.roles_for(given)
        found = self.watched(given, text, roles)
        seen_letters = {int(ids[one]): letters[int(order[one])] for one in range(len(order))}
        x, y = ids[given.x], ids[given.y]
        if roles.marks is not None:
            x[0] = x[0] if roles.marks.start is None else roles.marks.start
            y[-1] = y[-1] if roles.marks.end is None else roles.marks.end
        self.require_window(found, given._replace(x=x, y=y), seen_letters)
        shapes = {name: p.shape for name, p in problem.parameters.items()}
        gradients = roles.read({p: self.gradient(found, p) for p in self.gradients}, shapes)
        loss = self.loss_without_marks(found, given, text, roles)
        return loss, in_order(gradients, np.argsort(order))

    def text_with(self, part: str) -> str:
        """Return a text or a list of names in which the program reads `part`."""
        if not self.names:
            text = self.window.text
            return random_text(1, text[: self.window.start] + part, len(text))
        begins, ends = self.window.part[0] in MARKS, self.window.part[-1] in MARKS
        if begins and ends and len(part) < 3:
            raise NotObserved("a name has at least one letter")
        return list_of_names(part[begins : len(part) - ends])

    def roles_for(self, problem: Problem) -> Roles:
        """Return the roles for a window: the marks of a name stand for its first and its last character."""
        marks = self.roles.marks
        if marks is None:
            return self.roles
        marks = marks._replace(first=int(problem.x[0]), last=int(problem.y[-1]))
        return replace(self.roles, marks=marks)

    def loss_without_marks(
        self, found: Iteration, problem: Problem, text: str, roles: Roles
    ) -> float | None:
        """Return the loss that was seen, without what the marks of a name add to it."""
        loss = None if self.loss is None else found.numbers.get(self.loss)
        added = 0.0 if roles.marks is None else roles.marks.added_loss(problem.y)
        if loss is None or self.loss is None:
            return None
        if not added:
            return self.factor * loss
        T = len(problem.x)
        if T not in self.units:
            # If every character has the same probability, the loss shows whether it is a sum, a mean or in bits.
            zeros = {name: np.zeros_like(problem.parameters[name]) for name in ("V", "c")}
            even = self.watched(
                problem._replace(parameters=problem.parameters | zeros), text, roles
            )
            nats = T * np.log(self.sizes.K) + added
            self.units[T] = even.numbers[self.loss] / nats
        return self.factor * (loss - self.units[T] * added)

    def watched(self, problem: Problem, text: str, roles: Roles) -> Iteration:
        """Return what is seen in an iteration that reads a text."""
        T = len(problem.x)
        numbers = roles.written(problem.parameters, problem.state)
        starts = {
            start: np.resize(problem.state[block], self.program_shape[start])
            for start, block in self.states.items()
        }
        wanted = {*replace(self.window, length=T).wanted, *self.gradients.values()}
        if self.loss is not None:
            wanted.add(self.loss)
        changed = self.changed | {spot: T + more for spot, more in self.steps.items()}
        found = watch_iteration(
            self.program, self.loop, text, changed, lambda _: numbers, starts, frozenset(wanted)
        )
        if found.error is not None:
            raise found.error
        if not found.ended:
            raise NotObserved("the iteration did not end")
        return found

    def require_window(self, found: Iteration, problem: Problem, letters: dict[int, str]) -> None:
        """Raise `AnotherWindow` unless the iteration read the window of the problem."""
        x, y = problem.x, problem.y
        if len(x) == 1 and not self.window.is_one:
            return
        parts = (
            [(self.window.x, np.append(x, y[-1]))]
            if self.window.is_one
            else [(self.window.x, x), (self.window.y, y)]
        )
        for seen, ids in parts:
            if seen != UNSEEN and not reads(found, seen, ids, letters):
                raise AnotherWindow("the program read another window")

    def gradient(self, found: Iteration, place: Place) -> Array:
        """Return the gradient of an array, in its shape."""
        array, shape = found.arrays.get(self.gradients[place]), self.roles.shapes[place]
        if array is None and self.gradients[place].place[-1] == GRADIENT:
            return np.zeros(shape)  # PyTorch leaves out what the loss does not depend on
        if array is None:
            raise NotObserved(f"no gradient of {name_of(place)} was seen")
        return in_shape(array, shape)
