"""Refuses names in the specification of a study that are no settings, and names what may be meant."""

from collections.abc import Iterable
from typing import Final

from charloom.config import MACHINE_SETTINGS, Config
from charloom.errors import ConfigError
from charloom.formatting import listing
from charloom.name_suggestions import did_you_mean

NAMES: Final = tuple(Config.__dataclass_fields__)
# The study gives each run its seed, its recipe and what depends on the machine.
SETTABLE: Final = sorted({*NAMES} - {*MACHINE_SETTINGS, "seed", "recipe"} | {"engine"})
# What says the same as an argument of a training run that is not a setting.
INSTEAD: Final = {"minutes": "updates or epochs", "find_learning_rate": "learning_rate"}


def require_known(section: str, names: Iterable[str], fields: tuple[str, ...] = ()) -> None:
    """Raise ConfigError if a name in a section is not a setting.

    Args:
        section: the name of the section.
        names: the names in it.
        fields: the names in this section that mean something else.
    """
    for name in names:
        if name in fields or name in NAMES:
            continue
        if name in INSTEAD:
            raise ConfigError(
                f"{section}.{name}: with it, the result of a run would depend on the speed of the machine. Give "
                f"{INSTEAD[name]} instead."
            )
        known = f"the settings are {', '.join(SETTABLE)}"
        if fields:
            known = f"the section has {listing(fields)}, and {known}"
        meant = did_you_mean(name, (*fields, *SETTABLE))
        raise ConfigError(f"{section}.{name} is unknown; {meant or known + '.'}")
