"""Checks what the lines of a run's journals must hold to be shown (spec/formats.md: Records;
Steering).

A line can be valid JSON and still not be what its journal is for: it may have been edited, or come
from a stranger. It knows nothing of files.
"""

import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final

from charloom.store.checkpoint import is_count

NUMBERS: Final = (
    "epoch", "seconds", "loss", "smooth_loss", "train_nats", "learning_rate", "gradient_norm",
    "characters_per_second",
)  # fmt: skip
FIELDS: Final = itemgetter("update", "characters", *NUMBERS)
KINDS: Final = frozenset({int, float})


def is_record(line: Mapping[str, Any]) -> bool:
    """Whether a line is a record: every field has a finite number, at least 0, and counters are whole."""
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
    """Whether a line is a sample: a text and its update."""
    return isinstance(line.get("text"), str) and is_count(line.get("update"))


def is_event(line: Mapping[str, Any]) -> bool:
    """Whether a line is an event: its name, its update and its time."""
    time = line.get("time")
    return (
        isinstance(line.get("event"), str)
        and is_count(line.get("update"))
        and (time is None or is_finite(time))
    )


def is_finite(value: object) -> bool:
    """Whether a value is a number that is not infinite."""
    return type(value) in KINDS and abs(value) < math.inf  # type: ignore[arg-type]
