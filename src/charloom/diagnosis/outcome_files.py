"""Turns the results of the child process into a message, and a message into results in the parent process."""

from typing import Any

from charloom.diagnosis.outcome import SCRIPTS, Call, Outcome
from charloom.diagnosis.result_pipe import packed, unpacked
from charloom.diagnosis.trials import Fixed

PARTS = ("gradients", "after")  # the fields of a `Call` that are dicts of arrays


def outcome_message(outcome: Outcome) -> dict[str, Any]:
    """Return the message with the results: JSON data, with all arrays packed into one text."""
    arrays: dict[str, Any] = {}
    fields: dict[str, Any] = {
        "cell": outcome.cell,
        "sizes": outcome.sizes,
        "convention": outcome.convention,
        "complex_step": outcome.complex_step,
        "notes": outcome.notes,
        "wrapper": outcome.wrapper,
        "fails": outcome.fails,
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
    return {"outcome": fields, "arrays": packed(arrays)}


def read_outcome(message: dict[str, Any]) -> Outcome:
    """Return the results in a message of the child process.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the message has another form.
    """
    fields, arrays = message["outcome"], unpacked(message["arrays"])
    outcome = Outcome(fields["cell"], Fixed(*fields["sizes"]), fields["convention"])
    outcome.notes, outcome.wrapper = list(map(str, fields["notes"])), str(fields["wrapper"])
    outcome.fails = bool(fields["fails"])
    outcome.complex_step = fields["complex_step"] is True
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
