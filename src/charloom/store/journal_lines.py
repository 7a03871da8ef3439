"""Checks that lines of a run's journals have the fields that readers need (spec/formats.md: Records;
Steering).

Records are the lines of metrics.jsonl, samples those of samples.jsonl and events those of events.jsonl.
A line can be valid JSON and still not be a record, a sample or an event: a user or another program may
have written it. This module does not know files.
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
    """Return True if a line has the fields of a record and all their values are possible.

    All numbers must be finite. Only `validation_nats`, which is optional, may be negative. `update` and
    `characters` must be whole numbers.
    """
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
    """Return True if a line is a sample: it has a valid text and update."""
    return isinstance(line.get("text"), str) and is_count(line.get("update"))


def is_event(line: Mapping[str, Any]) -> bool:
    """Return True if a line is an event: its name and update, and its time if it has one, are valid."""
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
    """Return the description of the engine that last trained a run; None if no event names an engine."""
    engines = [event["engine"] for event in events if isinstance(event.get("engine"), str)]
    return engines[-1] if engines else None


def left_out(broken: int, lines: int) -> str:
    """Return a phrase for a message, such as "1 of 30 lines cannot be read and is left out".

    Args:
        broken: how many lines cannot be read.
        lines: how many lines there are in all.
    """
    verb = "is" if broken == 1 else "are"
    return f"{broken:,} of {counted(lines, 'line')} cannot be read and {verb} left out"
