"""Converts the losses with which a model predicts its text from each start to JSON, and back.

They are in the metadata of a model file and in the event `finished` (spec/formats.md: Model files). Files may
be untrusted: the values are checked.
"""

from dataclasses import asdict, fields
from typing import Any, Final

from charloom.errors import DamagedError
from charloom.model import StartLosses
from charloom.store.json_numbers import is_number

START_NATS: Final = "start_nats"  # name of the field with the losses
NAMES: Final = {field.name for field in fields(StartLosses)}


def start_fields(losses: StartLosses) -> dict[str, Any]:
    """Return the losses as a JSON object."""
    return asdict(losses)


def read_start_losses(values: object) -> StartLosses | None:
    """Return the losses in a JSON value; None if it is not an object with exactly these losses."""
    if not isinstance(values, dict) or set(values) != NAMES:
        return None
    if not all(is_number(value) and value >= 0 for value in values.values()):
        return None
    return StartLosses(**values)


def losses_of(values: object, label: str) -> StartLosses:
    """Return the losses in the metadata of a model file. `label` is the name of the file in messages.

    Raises:
        DamagedError: the values are not such losses.
    """
    losses = read_start_losses(values)
    if losses is None:
        raise DamagedError(
            f"{label} is damaged: its {START_NATS} must have the numbers {', '.join(sorted(NAMES))}, which "
            f"are at least 0."
        )
    return losses
