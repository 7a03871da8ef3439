"""Sends commands to the process that trains a run, and reads the state of the run."""

from dataclasses import replace
from pathlib import Path

from charloom.api.text_arguments import as_path
from charloom.errors import ConfigError, NotAModelError
from charloom.formatting import shortened
from charloom.messages import command as marked_command
from charloom.store import Control, Status, read_status, write_control
from charloom.store.control_files import AT_WORK, require_command
from charloom.store.run_directory import is_run
from charloom.store.run_lock import is_trained


def control(
    run: str | Path, command: str = "run", *, learning_rate_factor: float | None = None
) -> Control:
    """Continue, pause or stop a run that is being trained, or change its learning rate.

    Args:
        run: the run directory.
        command: "run", "pause" or "stop". A stopped run saves a checkpoint and can be resumed.
        learning_rate_factor: number that multiplies the learning rate of the settings from now on. None
            keeps the present factor.

    Returns:
        The command that was sent. The training process takes it within a fraction of a second.

    Raises:
        NotAModelError: `run` is not a run directory.
        ConfigError: no process trains the run, the command does not exist, or the factor is not a
            number above 0 and below 1e6.
        WriteError: the command cannot be written.
    """
    require_command(command, learning_rate_factor)
    path = require_run(run)
    status = read_status(path)
    state = None if status is None or status.state in AT_WORK else status.state
    if state is None:
        state = None if is_trained(path) else "unfinished, and its process was killed"
    if state is not None:
        remedy = (
            f"To train it further: {marked_command('resume', path, minutes=5)}."
            if state == "finished"
            else f"Continue it first: {marked_command('resume', path)}."
        )
        raise ConfigError(f"no process trains {path}: it is {state}. {remedy}")
    return write_control(path, command, learning_rate_factor)


def require_run(run: str | Path) -> Path:
    """Return `run` as a path; raise NotAModelError if it is not a run directory."""
    path = as_path(run, "run")
    if not is_run(path):
        raise NotAModelError(
            f"{shortened(path)} is not a run directory; give one that is being trained."
        )
    return path


def require_status(run: str | Path) -> Status:
    """Return the status of a run. If the process that trained it was killed, the state is "interrupted".

    Raises:
        NotAModelError: `run` is not a run directory, or has no status yet.
    """
    path = require_run(run)
    status = read_status(path)
    if status is None:
        raise NotAModelError(f"{shortened(path)} has no status, because it was never trained.")
    if status.state in AT_WORK and not is_trained(path):
        return replace(status, state="interrupted")
    return status


def state_sentence(run: str | Path) -> str:
    """Return the state of a run as one line, such as "runs/book: paused at update 10 of 20"."""
    status = require_status(run)
    reason = f" ({status.reason})" if status.reason else ""
    return f"{run}: {status.state} at update {status.update:,} of {status.updates:,}{reason}"
