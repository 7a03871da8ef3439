"""Records in the events of a run that its end was changed, and finds its present end there.

The event is written before config.json. So the last of these events is right even if the process was killed
between the two (spec/formats.md: Steering).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from charloom.config import WHOLE_LIMIT, Config
from charloom.store.json_numbers import is_count

END_CHANGED: Final = "end_changed"


def end_fields(config: Config) -> dict[str, int | None]:
    """Return the fields of an event that say where a run with these settings ends."""
    return {"epochs": config.epochs, "updates": config.updates}


def with_last_end(config: Config, events: Sequence[Mapping[str, Any]]) -> Config:
    """Return `config` with the end of the last valid event in `events` that changed the end of the run.

    Return `config` itself if there is no such event.
    """
    for event in reversed(events):
        if event.get("event") == END_CHANGED and has_valid_end(event):
            return dataclasses.replace(config, epochs=event["epochs"], updates=event["updates"])
    return config


def has_valid_end(event: Mapping[str, Any]) -> bool:
    """Return True if the fields `epochs` and `updates` of an event are valid settings."""
    epochs, updates = event.get("epochs"), event.get("updates", 0)
    return is_length(epochs) and (updates is None or is_length(updates))


def is_length(value: object) -> bool:
    """Return True if `value` can be a number of epochs or updates of a run."""
    return is_count(value) and 1 <= value < WHOLE_LIMIT
