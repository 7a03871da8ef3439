"""Writes the results of the child process as JSON and arrays, and reads them in the parent process."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from charloom.diagnosis.outcome import SCRIPTS, Call, Outcome
from charloom.errors import DoctorError

PARTS = ("gradients", "after")  # the fields of a `Call` that are dicts of arrays


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write the arrays to outcome.npz, and then the other results to outcome.json.

    If outcome.json exists, both files are complete.
    """
    arrays: dict[str, Any] = {}
    fields: dict[str, Any] = {
        "cell": outcome.cell,
        "sizes": outcome.sizes,
        "convention": outcome.convention,
    }
    for script in SCRIPTS:
        fields[script] = []
        for number, call in enumerate(getattr(outcome, script)):
            for part in PARTS:
                for name, array in getattr(call, part).items():
                    arrays[f"{script}.{number}.{part}.{name}"] = array
            fields[script].append(
                {
                    **call._asdict(),
                    # The loss is written as a string, because JSON has no NaN.
                    "loss": None if call.loss is None else repr(float(call.loss)),
                    **{part: list(getattr(call, part)) for part in PARTS},
                }
            )
    with (folder / "outcome.npz").open("wb") as file:
        np.savez(file, **arrays)
    write_fields(folder, fields)


def write_error(folder: Path, message: str) -> None:
    """Write outcome.json with the message of an error."""
    write_fields(folder, {"error": message})


def write_fields(folder: Path, fields: dict[str, Any]) -> None:
    """Write `fields` to outcome.json in `folder`, completely or not at all."""
    temporary = folder / f"outcome.{time.monotonic_ns()}"
    temporary.write_text(json.dumps(fields), encoding="utf-8")
    temporary.replace(folder / "outcome.json")


def read_outcome(folder: Path) -> Outcome:
    """Return the results that the child process wrote.

    Raises:
        OSError, ValueError: outcome.json does not exist or is not valid.
        DoctorError: the child process wrote an error.
    """
    fields = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    if "error" in fields:
        raise DoctorError(fields["error"])
    outcome = Outcome(fields["cell"], tuple(fields["sizes"]), fields["convention"])
    with np.load(folder / "outcome.npz", allow_pickle=False) as arrays:
        for script in SCRIPTS:
            for number, call in enumerate(fields[script]):
                parts = {
                    part: {name: arrays[f"{script}.{number}.{part}.{name}"] for name in call[part]}
                    for part in PARTS
                }
                getattr(outcome, script).append(
                    Call(
                        None if call["loss"] is None else float(call["loss"]),
                        parts["gradients"],
                        tuple(call["changed"]),
                        parts["after"],
                        bool(call["float32"]),
                    )
                )
    return outcome
