"""Reads the commands and signals that steer a training run.

The reader remembers the last command. It does not act on commands.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from charloom.errors import NewerFormatError, ReadError
from charloom.store import Control, read_control

LOOK_SECONDS: Final = 0.1  # seconds between two reads of control.json


class CommandReader:
    """Reads the commands to one training run from control.json, and calls `halt`.

    Args:
        run: the run directory.
        last: the command that was in control.json when this process opened the run. It is not obeyed.
        halt: returns the reason to interrupt the run, such as "SIGINT"; None if the run continues.

    Attributes:
        wanted: the last command: "run", "pause" or "stop".
    """

    def __init__(self, run: Path, last: Control, halt: Callable[[], str | None]) -> None:
        self.wanted = "run"
        self.halt_reason = halt
        self._run, self._last = run, last
        self._factor: float | None = None
        self._warning: str | None = None
        # True after the user was warned that a command cannot be read: there is only one such warning.
        self._warned = False
        self._next_look = time.monotonic()

    def look(self) -> None:
        """Read control.json and remember a new command. Do nothing if the last read was under 0.1 s ago."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        control = self._read()
        if control.is_newer(self._last):
            self._last, self.wanted = control, control.command
            if control.learning_rate_factor is not None:
                self._factor = control.learning_rate_factor

    def wait(self, most: float = math.inf) -> None:
        """Wait 0.1 seconds, the time between two reads of control.json, but at most `most` seconds."""
        time.sleep(min(most, LOOK_SECONDS))

    def asks_to_end(self) -> bool:
        """Read control.json as `look` does. Return True if the last command is "stop" or `halt` returns a reason."""
        self.look()
        return self.halt_reason() is not None or self.wanted == "stop"

    def take_factor(self) -> float | None:
        """Return the last learning-rate factor that a command set since the last call of this method.

        Returns None if no command set a factor.
        """
        factor, self._factor = self._factor, None
        return factor

    def take_warning(self) -> str | None:
        """Return the warning about an unreadable command; None if there is none or it was returned before."""
        warning, self._warning = self._warning, None
        return warning

    def _read(self) -> Control:
        """Return the command in control.json, or the last command if the file cannot be read."""
        try:
            return read_control(self._run)
        except (NewerFormatError, ReadError) as error:
            if not self._warned:
                self._warned = True
                self._warning = f"a command was ignored: {error.message}"
            return self._last
