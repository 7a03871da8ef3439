"""Shows a training run in a notebook while it trains, in one output that is updated in place.

IPython is used only if a notebook has loaded it already. In a terminal or a script, nothing is shown.
"""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from charloom.api.python_warnings import warn_user
from charloom.api.training_view import TrainingView
from charloom.config import Config
from charloom.gradient_check import GradientCheck
from charloom.messages import for_python
from charloom.training import Ended, TrainingEvent

DRAW_SECONDS: Final = 0.5  # the least time between two drawings
DRAW_SHARE: Final = 0.05  # the largest share of the time that drawing may take

Listener = Callable[[TrainingEvent | GradientCheck], None]
Display = Callable[..., Any]


def display_of_notebook() -> Display | None:
    """Return IPython's function `display` if this process is the kernel of a notebook; otherwise None."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    display: Display = importlib.import_module("IPython.display").display
    return display


class Snapshot:
    """The progress at one moment, in the forms in which IPython shows an object."""

    def __init__(self, view: TrainingView) -> None:
        self._html, self._line = view.html(), view.line()

    def __repr__(self) -> str:
        return self._line

    def _repr_html_(self) -> str:
        """Return the progress as HTML."""
        return self._html


class TrainingDisplay:
    """Shows a training run in a notebook. Use it in a `with` statement, and call it with each event.

    It draws at most twice a second, first after half a second, and once more at the end. If the work fails
    before the run begins, and before the first drawing, nothing is shown. If drawing fails, a warning says so, and training continues without it.

    Args:
        progress: False shows nothing. True shows the run if this process is the kernel of a notebook.
        clock: function that returns the time in seconds.
    """

    def __init__(self, progress: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._display = display_of_notebook() if progress else None
        self._clock, self._view = clock, TrainingView()
        self._handle: Any = None
        self._next = clock() + DRAW_SECONDS  # the time from which the view may be drawn again

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._view.fail(error)
        if error is None or self._handle is not None or self._view.has_begun:
            self._draw()

    def prepare(self, phase: str) -> None:
        """Show what is done before the run trains."""
        self._view.prepare(for_python(phase))
        self._draw_if_due()

    def searched(self, done: int, most: int) -> None:
        """Show how much of a search for the learning rate is done: at most `most` updates."""
        self.prepare(f"Searching for the learning rate, {done / most:.0%}")

    def begin(self, config: Config, run: Path | None, listener: Listener) -> Listener:
        """Begin to show a run, and return a listener that shows each event and then calls `listener`.

        Args:
            config: the settings of the run.
            run: the run directory; None if there is none.
            listener: the user's listener.
        """
        self._view.begin(config, run, self._clock())
        if self._display is None:
            return listener

        def show_and_call(item: TrainingEvent | GradientCheck) -> None:
            self(item)
            listener(item)

        return show_and_call

    def __call__(self, item: TrainingEvent | GradientCheck) -> None:
        if self._display is None:
            return
        self._view.take(item, self._clock())
        if isinstance(item, Ended):
            self._draw()
        else:
            self._draw_if_due()

    def _draw_if_due(self) -> None:
        if self._display is not None and self._clock() >= self._next:
            self._draw()

    def _draw(self) -> None:
        """Draw the view, in place of the last one."""
        if self._display is None:
            return
        began = self._clock()
        try:
            snapshot = Snapshot(self._view)
            if self._handle is None:
                self._handle = self._display(snapshot, display_id=True)
            else:
                self._handle.update(snapshot)
        # A notebook that cannot show the progress must not end hours of training.
        except Exception as error:
            self._display = None
            warn_user(
                f"the progress cannot be shown ({type(error).__name__}: {error}); training continues without it. "
                "To show none, give progress=False."
            )
        now = self._clock()
        self._next = now + max(DRAW_SECONDS, (now - began) / DRAW_SHARE)
