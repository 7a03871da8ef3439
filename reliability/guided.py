"""Runs a target of `reliability.fuzz` with atheris, on modules of charloom that are instrumented for coverage.

    python -m reliability.guided loader FOLDER -runs=100000

This continues with the inputs that are stored in FOLDER. It needs the extra `fuzz`.
"""

import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType


def functions() -> Iterator[FunctionType]:
    """Yield every function and method of the imported modules of charloom."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "charloom"]
    for module in modules:
        own = [value for value in vars(module).values() if is_from(value, module)]
        for holder in [module, *(value for value in own if isinstance(value, type))]:
            for value in vars(holder).values():
                function = getattr(value, "__func__", value)
                if isinstance(function, FunctionType) and is_from(function, module):
                    yield function


def is_from(value: object, module: ModuleType) -> bool:
    """Return True if a module defines a value, and does not only import it."""
    return getattr(value, "__module__", None) == module.__name__


def main() -> None:
    """Fuzz one target; all other arguments are for atheris."""
    import atheris

    from reliability import fuzz

    # Instrument after the import: the finder of an editable install bypasses the import hook of atheris.
    for function in functions():
        atheris.instrument_func(function)
    action, _ = fuzz.TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: fuzz.timed(action, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
