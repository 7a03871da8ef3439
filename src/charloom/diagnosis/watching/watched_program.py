"""Runs a program on a text again and again, with the sizes that were chosen, and says what its training shows."""

import ast
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from charloom.diagnosis.watching.found_loop import TrainingLoop, find_loop
from charloom.diagnosis.watching.iteration import Iteration, watch_iteration
from charloom.diagnosis.watching.literal_texts import text_literals
from charloom.diagnosis.watching.program import Program, Spot
from charloom.diagnosis.watching.window_reading import Window, find_windows

LETTERS: Final = "abcdefg"
LENGTH: Final = 1500  # number of characters of the text
SECONDS: Final = 20  # processor time of a search, after which it is given up


class NotObserved(Exception):
    """A program cannot be watched; the message says why."""


def random_text(seed: int, first: str = "") -> str:
    """Return a text of the letters that begins with `first`, and has every letter."""
    rng = np.random.default_rng(seed)
    rest = "".join(
        LETTERS[i] for i in rng.integers(0, len(LETTERS), LENGTH - len(first) - len(LETTERS))
    )
    return first + LETTERS + rest


class WatchedProgram:
    """A program that is run on a random text.

    Attributes:
        program: the program.
        text: the text of every file that it reads.
        changed: the numbers in its source that are changed, with their new values.
        steps: those that follow the number of steps of a window, with their difference to it.
        loop: its training loop, after `look`.
    """

    loop: TrainingLoop

    def __init__(self, path: Path, tree: ast.Module) -> None:
        """Read no file and run nothing yet; `tree` is the source."""
        self.program, self.begun = Program(path, tree), time.process_time()
        self.text = random_text(0)
        self.changed: dict[Spot, int] = {}
        self.steps: dict[Spot, int] = {}

    def watch(self, **options: Any) -> Iteration:
        """Watch an iteration of the training loop."""
        self.require_time()
        return watch_iteration(self.program, self.loop, self.text, self.changed, **options)

    def require_time(self) -> None:
        """Raise `NotObserved` if the search has taken too long."""
        if time.process_time() - self.begun > SECONDS:
            raise NotObserved(f"the search took more than {SECONDS} s of processor time")

    def look(self) -> tuple[TrainingLoop, Iteration, list[Window]]:
        loop, error = find_loop(self.program, self.text, self.changed)
        if loop is None:
            raise NotObserved(f"no training loop was seen: {error!r}")
        self.loop = loop
        seen = self.watch()
        if not seen.ended:
            raise NotObserved(f"the iteration did not end: {seen.error!r}")
        return loop, seen, find_windows(seen, self.text, "".join(sorted(LETTERS)))

    def with_text(self) -> tuple[TrainingLoop, Iteration, list[Window]]:
        """Return what was seen of a window, with the text in a file or else in the source."""
        error = NotObserved("no window of the text was seen")
        for literal in (None, *text_literals(self.program.tree)):
            self.program.literal = literal
            try:
                loop, seen, windows = self.look()
            except NotObserved as found:
                error = found
                continue
            if windows:
                return loop, seen, windows
        raise error
