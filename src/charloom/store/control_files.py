"""Writes and reads status.json, which shows a run's progress, and control.json, which steers the run.

Other processes read status.json and write control.json. Both files are replaced atomically and never
locked. A command is new if its sequence number is greater than that of the last command, or if the two
commands have different ids: two processes that send a command at the same time may choose the same number.
"""

import math
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from charloom.canonical_form import canonical_json
from charloom.config import require_number
from charloom.errors import ConfigError, DamagedError
from charloom.formatting import shortened
from charloom.run_file_names import COMMANDS, CONTROL, STATUS
from charloom.store.atomic_files import read_file, replace_file
from charloom.store.damage import attempt, intact
from charloom.store.format_versions import CONTROL_FORMAT, STATUS_FORMAT, refuse_later_format
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_STATE
from charloom.store.json_numbers import is_count

# A learning-rate factor must be smaller than this: a user who gives a larger number has mistyped it.
FACTOR_LIMIT: Final = 1e6
STATES: Final = ("training", "paused", "finished", "interrupted", "stopped", "failed")
AT_WORK: Final = ("training", "paused")  # the states in which a process trains the run
OVER: Final = (
    "finished",
    "interrupted",
    "stopped",
    "failed",
)  # the states in which no process does


@dataclass(frozen=True)
class Control:
    """A command to a run.

    Attributes:
        sequence: sequence number, greater than that of the previous command.
        command: run, pause or stop.
        learning_rate_factor: multiplies the config's learning rate from the next update on;
            None does not change the present factor.
        id: random text that distinguishes commands with the same sequence number; may be empty.
    """

    sequence: int = 0
    command: str = "run"
    learning_rate_factor: float | None = None
    id: str = ""

    def is_newer(self, last: "Control") -> bool:
        """Return True if this command is newer than `last`, the last command that was read."""
        return self.sequence > last.sequence or self.id not in ("", last.id)


@dataclass(frozen=True)
class Status:
    """The progress of a run. The process that trains the run writes it to status.json.

    Attributes:
        pid: id of the process that trains the run.
        state: what the process was doing, or how it ended.
        update: number of updates done so far.
        updates: number of updates of the whole run.
        heartbeat: when the status was written, in Unix time in seconds.
        reason: why the run ended, or a problem that does not end training. None if there is neither.
    """

    pid: int
    state: str
    update: int
    updates: int
    heartbeat: float
    reason: str | None


def require_command(command: str, learning_rate_factor: float | None) -> float | None:
    """Check a command and its learning-rate factor, and return the factor as a float.

    Returns None if `learning_rate_factor` is None.

    Raises:
        ConfigError: the command is unknown, or the factor is not a number above 0 and below 1e6.
    """
    if command not in COMMANDS:
        raise ConfigError(
            f"the command is {shortened(command)}; it must be one of {', '.join(COMMANDS)}."
        )
    if learning_rate_factor is None:
        return None
    return require_number(
        "learning_rate_factor", learning_rate_factor, above=0.0, below=FACTOR_LIMIT
    )


def write_control(run: Path, command: str, learning_rate_factor: float | None = None) -> Control:
    """Write a command to control.json, where the process that trains the run reads it.

    Returns:
        The command that was written.

    Raises:
        ConfigError: the command is unknown, or the factor is not a number above 0 and below 1e6.
        NewerFormatError: a later version of charloom wrote the last command.
        ReadError: the disk failed while reading the last command.
        WriteError: the disk failed while writing.
    """
    factor = require_command(command, learning_rate_factor)
    control = Control(read_control(run).sequence + 1, command, factor, secrets.token_hex(8))
    replace_file(run / CONTROL, canonical_json({"format": CONTROL_FORMAT, **asdict(control)}))
    return control


def read_control(run: Path) -> Control:
    """Return the command in the control.json of a run.

    If the file is missing or invalid, return `Control()`, a command that changes nothing.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        ReadError: the disk failed while reading.
    """
    return control_in(run / CONTROL)


def control_in(path: Path) -> Control:
    """Return the command in the control.json at `path`; errors as for `read_control`."""
    try:
        values = parse_object(read_file(path, MOST_STATE) or b"", str(path))
        refuse_later_format(values, CONTROL_FORMAT, str(path))
    except DamagedError:
        return Control()
    factor = values.get("learning_rate_factor")
    if is_count(factor):
        factor = float(factor)
    control = Control(
        values.get("sequence", 0), values.get("command", "run"), factor, values.get("id", "")
    )
    return control if is_valid_control(control) else Control()


def is_valid_control(control: Control) -> bool:
    """Return True if every field of a command has a valid type and value."""
    factor = control.learning_rate_factor
    return (
        is_count(control.sequence)
        and type(control.id) is str
        and control.command in COMMANDS
        and (factor is None or (type(factor) is float and 0 < factor < FACTOR_LIMIT))
    )


def write_status(path: Path, state: str, update: int, updates: int, reason: str | None) -> None:
    """Replace the status.json at `path`, from which other processes read the state of a run.

    The arguments are those of `Status`.

    Raises:
        WriteError: the disk failed.
    """
    status = Status(os.getpid(), state, update, updates, round(time.time(), 3), reason)
    data = canonical_json({"format": STATUS_FORMAT, **asdict(status)})
    # After a power cut a status is useless, so do not wait for the disk.
    replace_file(path, data, durable=False)


def read_status(run: Path) -> Status | None:
    """Return the status in the status.json of a run; None if the file is missing or damaged.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        ReadError: the disk failed while reading.
    """
    return intact(attempt(lambda: require_status(run / STATUS)))


def require_status(path: Path) -> Status | None:
    """Return the status in the status.json at `path`, with checked fields; None if the file is missing.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        DamagedError: the file is not a status.
        ReadError: the disk failed while reading.
    """
    data = read_file(path, MOST_STATE)
    if data is None:
        return None
    values = parse_object(data, str(path))
    refuse_later_format(values, STATUS_FORMAT, str(path))
    if not is_status(values):
        raise DamagedError(f"{path} is damaged: it is not a status of a run.")
    found: dict[str, Any] = {field.name: values.get(field.name) for field in fields(Status)}
    return Status(**found)


def is_status(values: Mapping[str, Any]) -> bool:
    """Return True if the values of a JSON object are valid fields of a status."""
    reason, beat = values.get("reason"), values.get("heartbeat")
    return (
        all(is_count(values.get(name)) for name in ("pid", "update", "updates"))
        and values.get("state") in STATES
        and (reason is None or isinstance(reason, str))
        and isinstance(beat, (int, float))
        and 0 <= beat < math.inf
    )
