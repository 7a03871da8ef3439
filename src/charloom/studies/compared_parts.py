"""Tells whether the runs of a study have their losses on the same part of the text, so that they can be compared."""

from collections.abc import Mapping
from typing import Any, Final

from charloom.errors import ConfigError
from charloom.formatting import listing, shortened

# The settings that say on which characters the validation loss is measured.
MEASURING: Final = ("validation", "test", "split", "judged_characters")
SHAPE: Final = (
    "seq_length",
    "batch_size",
)  # they place the validation part too, with the split "streams"

Part = dict[str, Any]


def measured_part(settings: Mapping[str, Any]) -> Part:
    """Return the settings that say on which part of the text a run with these settings has its loss."""
    if not settings["validation"]:
        return {name: settings[name] for name in ("validation", "test")}
    return {name: settings[name] for name in MEASURING}


def exact_part(settings: Mapping[str, Any]) -> Part:
    """Return `measured_part`, and with the split "streams" also the settings that move its borders."""
    part = measured_part(settings)
    if part.get("split") == "streams":
        part |= {name: settings[name] for name in SHAPE}
    return part


def require_same_part(first: Part, second: Part) -> None:
    """Raise ConfigError if two runs of a study have their losses on different parts of the text."""
    if first == second:
        return
    name = next(one for one in MEASURING if first.get(one) != second.get(one))
    values = [shortened(part[name]) for part in (first, second)]
    raise ConfigError(
        f"the runs of the study have {name} = {listing(values)}, but losses on different validation parts cannot be "
        f"compared; give {name} in the section settings."
    )
