"""Sends commands to the process that trains a run, whether it is this one or another."""

from pathlib import Path

from charloom.api.texts import as_path
from charloom.errors import ConfigError, NotAModelError, RunInUseError
from charloom.messages import command as marked_command
from charloom.spelling import shortened
from charloom.store import Control, read_status, write_control
from charloom.store.layout import is_run
from charloom.store.run import acquire
from charloom.store.steering import require_command


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
    require_command(command, learning_rate_factor)
    path = as_path(run)
    if not is_run(path):
        raise NotAModelError(
            f"{shortened(path)} is no run directory; give one that is being trained."
        )
    state = (read_status(path) or {}).get("state")
    if state in (None, "training", "paused"):
        state = None if is_trained(path) else "left by a process that was killed"
    if state is not None:
        mend = (
            f"To train it further: {marked_command('resume', path, minutes=5)}."
            if state == "finished"
            else f"Go on with it first: {marked_command('resume', path)}."
        )
        raise ConfigError(f"nothing trains {path} now: it is {state}. {mend}")
    return write_control(path, command, learning_rate_factor)


def is_trained(run: Path) -> bool:
    """Whether a process holds a run's lock."""
    try:
        acquire(run).release()
    except RunInUseError:
        return True
    return False
