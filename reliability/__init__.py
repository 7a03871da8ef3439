"""What charloom promises about a user's hours and a stranger's files, each promise with its checker.

A module here that has a PROMISE is a promise:

    NUMBER    its place in the table
    PROMISE   one sentence
    check     check(scale) -> the figures reached, by name; scale is "short" (seconds, for the test
              suite) or "long" (what docs/RELIABILITY.md shows); seeds are among the figures

A checker raises AssertionError where the promise is broken. It is one function for both scales, and
`tests/test_reliability_<module>.py` runs the short one and shows that it catches a planted fault.
"""

import importlib
import pkgutil
from types import ModuleType

Figures = dict[str, int | float | str]

SHORT, LONG = "short", "long"
SHORTENED = "shortened"  # as figures are kept of a long check that was told to take less time


def promises() -> dict[str, ModuleType]:
    """All modules with a promise, by name, in the order of their numbers."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "__main__"]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    found = {name: module for name, module in modules.items() if hasattr(module, "PROMISE")}
    return dict(sorted(found.items(), key=lambda item: item[1].NUMBER))
