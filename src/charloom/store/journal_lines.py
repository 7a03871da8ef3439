"""Checks that lines of a run's journals have the fields that readers need (spec/formats.md: Records;
Steering).

A line can be valid JSON without being a record, sample or event: it may have been edited or be
untrusted. This module does not know files.
"""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from charloom.formatting import counted
from charloom.store.json_numbers import is_count

NUMBERS: Final = (
    "epoch", "seconds", "loss", "smooth_loss", "train_nats", "learning_rate", "gradient_norm",
    "characters_per_second",
)  # fmt: skip
FIELDS: Final = itemgetter("update", "characters", *NUMBERS)
KINDS: Final = frozenset({int, float})


def is_record(line: Mapping[str, Any]) -> bool:
    """Return True if a line is a record: all fields are finite and not negative, counters are whole."""
    try:
        values = FIELDS(line)
    except KeyError:
        return False
    nats = line.get("validation_nats")
    return (
        KINDS.issuperset(map(type, values))
        and min(values) >= 0
        and max(values) < math.inf
        and is_count(values[0])
        and is_count(values[1])
        and (nats is None or is_finite(nats))
    )


def is_sample(line: Mapping[str, Any]) -> bool:
    """Return True if a line is a sample: it has a text and an update."""
    return isinstance(line.get("text"), str) and is_count(line.get("update"))


def is_event(line: Mapping[str, Any]) -> bool:
    """Return True if a line is an event: it has a name, an update and possibly a time."""
    time = line.get("time")
    return (
        isinstance(line.get("event"), str)
        and is_count(line.get("update"))
        and (time is None or is_finite(time))
    )


def is_finite(value: object) -> bool:
    """Return True if a value is a finite number."""
    return type(value) in KINDS and abs(value) < math.inf  # type: ignore[arg-type]


def last_engine(events: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the description of the engine that trained a run last; None if no event has it."""
    engines = [event["engine"] for event in events if isinstance(event.get("engine"), str)]
    return engines[-1] if engines else None


def left_out(broken: int, lines: int) -> str:
    """Return words such as: 1 of 30 lines cannot be read and is left out."""
    verb = "is" if broken == 1 else "are"
    return f"{broken:,} of {counted(lines, 'line')} cannot be read and {verb} left out"
