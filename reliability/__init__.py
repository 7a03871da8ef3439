"""Checks charloom's promises about long training runs and untrusted files, one module per promise.

A module with a PROMISE has:

    NUMBER    its position in the table
    PROMISE   one sentence
    check     check(scale) -> the measured figures, by name; scale is "short" (seconds, for the test
              suite) or "long" (what docs/RELIABILITY.md shows); seeds are among the figures

A checker raises AssertionError if the promise is broken. One function serves both scales.
`tests/test_reliability_<module>.py` runs the short one and shows that it catches a planted fault.
"""

import importlib
import pkgutil
from types import ModuleType

Figures = dict[str, int | float | str]

SHORT, LONG = "short", "long"
SHORTENED = "shortened"  # the scale of a long check that was run for a shorter time


def promises() -> dict[str, ModuleType]:
    """Return all modules with a promise, by name, sorted by their numbers."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "__main__"]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    found = {name: module for name, module in modules.items() if hasattr(module, "PROMISE")}
    return dict(sorted(found.items(), key=lambda item: item[1].NUMBER))
