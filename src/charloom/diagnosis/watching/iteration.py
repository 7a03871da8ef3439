"""Watches one iteration of a training loop: sets the parameters before it, and collects what it computes."""

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from charloom.diagnosis.problem import Array
from charloom.diagnosis.watching.found_loop import (
    TrainingLoop,
    global_variables,
    is_weight,
    variables_of,
)
from charloom.diagnosis.watching.held_arrays import (
    DEPTH as ALL,
)
from charloom.diagnosis.watching.held_arrays import (
    Attribute,
    Place,
    arrays_at,
    arrays_in,
    like,
    numbers_in,
    numbers_of,
    replaced,
    texts_in,
    value_at,
    write,
)
from charloom.diagnosis.watching.program import Program, Spot, Stop

DEPTH: Final = 5  # number of steps from a variable to an array that a function holds
LARGEST_STATE: Final = 4096  # a larger array is not an initial state
MOST_RETURNS: Final = (
    60  # a function that returns more often in an iteration computes a part of a step
)
END: Final = "the end of the iteration"
GRADIENT: Final = Attribute("grad")
DERIVED: Final = "after backward()"


class Seen(NamedTuple):
    """Where a value was seen: at the return of a function, or at the end of the iteration."""

    where: str
    place: Place


@dataclass
class Iteration:
    """What was seen in an iteration.

    Attributes:
        before, after: the arrays at its beginning and at its end.
        arrays: what functions held when they returned, and what was there at the end.
        numbers, texts: the single numbers and the texts that were seen in the same way.
        late: the numbers that were seen after the parameters had been updated.
        starts: arrays of zeros that may be initial states, when a line was run for the first time.
        ended: whether the iteration came to its end.
        error: what ended the program before.
    """

    before: dict[Place, Array] = field(default_factory=dict)
    after: dict[Place, Array] = field(default_factory=dict)
    arrays: dict[Seen, Array] = field(default_factory=dict)
    numbers: dict[Seen, float] = field(default_factory=dict)
    texts: dict[Seen, str] = field(default_factory=dict)
    late: set[Seen] = field(default_factory=set)
    starts: dict[tuple[str, int, Place], Array] = field(default_factory=dict)
    ended: bool = False
    error: BaseException | None = None


# What to do with the arrays at the beginning of an iteration: returns the numbers for places.
Setter = Callable[[dict[Place, Array]], Mapping[Place, Array]]


class IterationWatcher:
    """Watches an iteration of a training loop, usually the first one."""

    def __init__(
        self,
        program: Program,
        loop: TrainingLoop,
        setter: Setter,
        starts: Mapping[tuple[str, int, Place], Array],
        wanted: frozenset[Seen] | None,
        skipped: int = 0,
    ) -> None:
        """Watch `loop`.

        Args:
            program: the program.
            loop: the loop.
            setter: gives the numbers that are written at the beginning.
            starts: arrays that are written later: a function, a line of it and a place in its variables, which
                are written when this line is run for the first time.
            wanted: what to collect; None for everything.
            skipped: the number of iterations before the one that is watched.
        """
        self.folder, self.loop, self.setter = str(program.path.parent), loop, setter
        self.last = program.loops[loop.line].end
        self.starts, self.wanted, self.skipped = dict(starts), wanted, skipped
        self.places: dict[str, list[Place]] = {}
        for one in wanted or ():
            self.places.setdefault(one.where, []).append(one.place)
        self.result = Iteration()
        self.frame: types.FrameType | None = None
        self.lines: set[tuple[types.CodeType, int]] = set()
        self.returns: dict[str, int] = {}
        # A parameter, and its numbers before the update; None after it.
        self.watched: tuple[Place, Array] | None = None
        self.updated = False

    def watches(self, frame: types.FrameType) -> bool:
        name = frame.f_code.co_qualname
        if self.frame is None or self.wanted is None:
            return self.frame is not None or name == self.loop.function
        frame.f_trace_lines = any(name == function for function, *_ in self.starts)
        return frame.f_trace_lines or name in self.places

    def line(self, frame: types.FrameType) -> None:
        code, line = frame.f_code, frame.f_lineno
        if self.frame is None:
            if line == self.loop.line and code.co_qualname == self.loop.function:
                self.skipped -= 1
                if self.skipped < 0:
                    self.begin(frame)
            return
        if frame is self.frame and (line == self.loop.line or not self.loop_has(line)):
            if self.lines:
                self.end(frame)
            return
        key = code, line
        if key not in self.lines:
            self.lines.add(key)
            self.first_time(frame)

    def loop_has(self, line: int) -> bool:
        """Return True if a line belongs to the loop."""
        return self.loop.line - 1 <= line <= self.last

    def begin(self, frame: types.FrameType) -> None:
        """See the beginning of the iteration: write the parameters."""
        self.frame = frame
        variables = variables_of(frame, self.folder)
        held = {one.place: one for one in arrays_in(variables)}
        self.result.before = {place: one.array() for place, one in held.items()}
        for place, numbers in self.setter(self.result.before).items():
            one = held.get(place)
            value = one.value if one is not None else value_at(variables, place)
            if value is not None and not write(value, numbers):
                self.bind(frame, variables, place, like(value, numbers))
        matrices = [
            p
            for p in self.loop.changed
            if p in self.result.before and is_weight(self.result.before[p])
        ]
        if matrices:
            value = value_at(variables_of(frame, self.folder), matrices[0])
            self.watched = matrices[0], numbers_of(value)

    def bind(
        self, frame: types.FrameType, variables: Mapping[str, Any], place: Place, new: Any
    ) -> None:
        """Put a new array in a place, for arrays that cannot be changed."""
        root = place[0]
        changed = replaced(variables[root], place[1:], new)
        if root.startswith("global "):
            frame.f_globals[root.removeprefix("global ")] = changed
        elif root in frame.f_locals:
            frame.f_locals[root] = changed

    def first_time(self, frame: types.FrameType) -> None:
        """See a line of the iteration that is run for the first time: collect or write initial states."""
        if self.wanted is None:
            for one in arrays_in(own_variables(frame), 3):
                numbers = one.array()
                if numbers.size <= LARGEST_STATE and not numbers.any():
                    key = frame.f_code.co_qualname, frame.f_lineno, one.place
                    self.result.starts[key] = numbers
        for (function, line, place), numbers in list(self.starts.items()):
            if (function, line) == (frame.f_code.co_qualname, frame.f_lineno):
                value = value_at(own_variables(frame), place)
                if value is not None and np.shape(numbers_of(value)) == numbers.shape:
                    write(value, numbers)
                del self.starts[function, line, place]

    def returned(self, frame: types.FrameType, value: Any) -> None:
        if self.frame is None:
            return
        if frame is self.frame:
            self.end(frame)
        name = frame.f_code.co_qualname
        if self.wanted is None and self.returned_often(name):
            return
        if name.endswith("comp>") or name.endswith("genexpr>"):
            return  # several of a function share a name
        if self.wanted is None or name in self.places:
            variables = own_variables(frame)
            variables["(returned)"] = value
            self.collect(name, variables)

    def returned_often(self, name: str) -> bool:
        """Return True if a function returns too often; what was seen of it is forgotten then."""
        self.returns[name] = self.returns.get(name, 0) + 1
        if self.returns[name] == MOST_RETURNS and not self.is_updated():
            for found in (self.result.arrays, self.result.numbers):
                for seen in [seen for seen in found if seen.where == name]:
                    del found[seen]
        return self.returns[name] >= MOST_RETURNS

    def derived(self, loss: Any) -> None:
        if self.frame is not None:
            variables = variables_of(self.frame, self.folder)
            variables["(loss)"] = loss
            self.collect(DERIVED, variables)

    def end(self, frame: types.FrameType) -> None:
        """See the end of the iteration, and stop the program."""
        variables = variables_of(frame, self.folder)
        self.collect(END, variables)
        if self.wanted is None:
            self.result.after = arrays_at(variables, self.result.before)
        self.result.ended = True
        raise Stop

    def is_updated(self) -> bool:
        """Return True if the parameters have changed since the beginning of the iteration."""
        if not self.updated and self.watched is not None and self.frame is not None:
            place, numbers = self.watched
            value = value_at(variables_of(self.frame, self.folder), place)
            self.updated = value is not None and not np.array_equal(numbers_of(value), numbers)
        return self.updated

    def collect(self, where: str, variables: Mapping[str, Any]) -> None:
        """Keep copies of what variables hold, and note which numbers were seen after the update only.

        What functions hold after the update, such as those that write a sample, replaces nothing of before.
        """
        late = where != END and self.is_updated()
        if self.wanted is not None:
            for place in self.places.get(where, ()):
                value = value_at(variables, place)
                if value is None or (late and self.has(Seen(where, place))):
                    continue
                if isinstance(value, str):
                    self.result.texts[Seen(where, place)] = value
                    continue
                try:
                    numbers = numbers_of(value)
                except (TypeError, ValueError):
                    continue
                self.result.arrays[Seen(where, place)] = numbers
                if numbers.size == 1:
                    self.result.numbers[Seen(where, place)] = float(numbers.reshape(()))
            return
        if where in (END, DERIVED):
            kept = [place for place in self.result.before if place[-1] != GRADIENT]
            kept += [(*place, GRADIENT) for place in kept]
            for place, numbers in arrays_at(variables, kept).items():
                self.result.arrays[Seen(where, place)] = numbers
        reached = ALL if where in (END, DERIVED) else DEPTH
        for one in arrays_in(variables, reached):
            seen = Seen(where, one.place)
            if not (late and self.has(seen)):
                self.result.arrays[seen] = one.array()
        for one in texts_in(variables):
            seen = Seen(where, one.place)
            if not (late and self.has(seen)):
                self.result.texts[seen] = one.value
        for one in numbers_in(variables):
            seen = Seen(where, one.place)
            if late and seen in self.result.numbers:
                continue
            self.result.numbers[seen] = float(numbers_of(one.value).reshape(()))
            if late:
                self.result.late.add(seen)

    def has(self, seen: Seen) -> bool:
        """Return True if an array or a text was seen at a place."""
        return seen in self.result.arrays or seen in self.result.texts


def own_variables(frame: types.FrameType) -> dict[str, Any]:
    """Return the variables of a function itself."""
    if frame.f_locals is frame.f_globals:
        return global_variables(frame)
    return dict(frame.f_locals)


def nothing_set(_: dict[Place, Array]) -> Mapping[Place, Array]:
    """Set no array."""
    return {}


def watch_iteration(
    program: Program,
    loop: TrainingLoop,
    text: str,
    changed: Mapping[Spot, int],
    setter: Setter = nothing_set,
    starts: Mapping[tuple[str, int, Place], Array] = {},
    wanted: frozenset[Seen] | None = None,
    skipped: int = 0,
) -> Iteration:
    """Run a program until an iteration of `loop` has ended, after `skipped` others, and return what was seen."""
    watcher = IterationWatcher(program, loop, setter, starts, wanted, skipped)
    watcher.result.error = program.run(text, watcher, changed)
    return watcher.result
