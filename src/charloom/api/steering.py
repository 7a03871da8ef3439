"""Steering: a command to the process that trains a run, be it this one or another."""

from pathlib import Path

from charloom.api.texts import as_path
from charloom.errors import ConfigError, NotAModelError
from charloom.store import Control, read_status, write_control
from charloom.store.layout import is_run


def control(
    run: str | Path, command: str = "run", *, learning_rate_factor: float | None = None
) -> Control:
    """Tell the training of a run to go on, to pause or to stop, or how fast to learn.

    Args:
        run: the run directory.
        command: "run", "pause" or "stop"; a stopped run is saved and can be resumed.
        learning_rate_factor: multiplies the learning rate of the settings from now on.

    Returns:
        The command as it was sent; it is obeyed within a fraction of a second.

    Raises:
        NotAModelError: no run is there.
        ConfigError: nothing trains it, no such command, or a factor that is no number above 0.
        WriteError: the disk refused.
    """
    path = as_path(run)
    if not is_run(path):
        raise NotAModelError(f"{path} is no run directory; give one that is being trained.")
    state = (read_status(path) or {}).get("state")
    if state not in (None, "training", "paused"):
        raise ConfigError(
            f"nothing trains {path} now: it is {state}. Go on with it first: charloom resume."
        )
    return write_control(path, command, learning_rate_factor)
