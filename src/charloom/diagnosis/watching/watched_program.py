"""Runs a program on a text again and again, with the sizes that were chosen, and says what its training shows."""

import ast
import itertools
import time
from pathlib import Path
from typing import Any, Final

from charloom.diagnosis.watching.found_loop import TrainingLoop, find_loop
from charloom.diagnosis.watching.iteration import Iteration, watch_iteration
from charloom.diagnosis.watching.literal_texts import text_literals
from charloom.diagnosis.watching.program import Program, Spot
from charloom.diagnosis.watching.random_texts import (
    LENGTH,
    LETTERS,
    LONG,
    NAME,
    list_of_names,
    random_text,
)
from charloom.diagnosis.watching.window_reading import Window, find_windows, windows_of_name

# Methods that divide a text into lines or words, or remove the end of a line.
DIVIDING: Final = ("splitlines", "readlines", "split", "strip", "rstrip")
SECONDS: Final = 12  # processor time of a search, after which it is given up


class NotObserved(Exception):
    """A program cannot be watched; the message says why."""


class WatchedProgram:
    """A program that is run on a random text.

    Attributes:
        program: the program.
        text: the text of every file that it reads.
        names: whether this text is a list of names, one in each line.
        changed: the numbers in its source that are changed, with their new values.
        steps: those that follow the number of steps of a window, with their difference to it.
        texts: those that set the number of texts in a batch.
        loop: its training loop, after `look`.
    """

    loop: TrainingLoop

    def __init__(self, path: Path, tree: ast.Module, seconds: float = SECONDS) -> None:
        """Read no file and run nothing yet.

        Args:
            path: the file.
            tree: its source.
            seconds: the processor time of the search, after which it is given up.
        """
        self.program, self.begun, self.seconds = Program(path, tree), time.process_time(), seconds
        self.text, self.names = random_text(0), False
        self.changed: dict[Spot, int] = {}
        self.steps: dict[Spot, int] = {}
        self.texts: frozenset[Spot] = frozenset()

    def watch(self, **options: Any) -> Iteration:
        """Watch an iteration of the training loop."""
        self.require_time()
        return watch_iteration(self.program, self.loop, self.text, self.changed, **options)

    def require_time(self) -> None:
        """Raise `NotObserved` if the search has taken too long."""
        if time.process_time() - self.begun > self.seconds:
            raise NotObserved(f"the search took more than {self.seconds} s of processor time")

    def look(self) -> tuple[TrainingLoop, Iteration, list[Window]]:
        loop, error = find_loop(self.program, self.text, self.changed)
        if loop is None:
            raise NotObserved(f"no training loop was seen: {error!r}")
        self.loop = loop
        seen = self.watch()
        if not seen.ended:
            raise NotObserved(f"the iteration did not end: {seen.error!r}")
        if self.names:
            return loop, seen, windows_of_name(seen, NAME)
        return loop, seen, find_windows(seen, self.text, LETTERS)

    def with_text(self) -> tuple[TrainingLoop, Iteration, list[Window]]:
        """Return what was seen of a window, with a text or a list of names, in a file or else in the source."""
        error = NotObserved("no window of the text was seen")
        kinds = (True, False) if reads_lines(self.program.tree) else (False, True)
        every = list(itertools.product((None, *text_literals(self.program.tree)), kinds, (LENGTH,)))
        for literal, names, length in [*every, (None, False, LONG)]:
            self.program.literal, self.names = literal, names
            self.text = list_of_names(NAME) if names else random_text(0, length=length)
            try:
                loop, seen, windows = self.look()
            except NotObserved as found:
                error = found
                continue
            if windows:
                return loop, seen, windows
        raise error


def reads_lines(tree: ast.Module) -> bool:
    """Return True if a program divides a text into lines or words."""
    return any(isinstance(node, ast.Attribute) and node.attr in DIVIDING for node in ast.walk(tree))
