"""Stands in for the compiler of PyTorch, which optimizers import although they do not use it.

The import takes a second of processor time, as long as everything else in a diagnosis. Code that really uses the
compiler gets the real one.
"""

import importlib
import sys
import types
from typing import Any, Final

NAME: Final = "torch._dynamo"


class StandIn(types.ModuleType):
    """The module of the compiler until something asks for more than the functions of optimizers."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(real_compiler(), name)


def uncompiled(function: Any = None, *_: Any, **__: Any) -> Any:
    """Return a function as it is, or a decorator that does."""
    return (lambda one: one) if function is None else function


def without_compiler() -> None:
    """Put the stand-in in the place of the compiler, unless the compiler has been imported."""
    torch = sys.modules["torch"]
    if NAME in sys.modules:
        return
    module: Any = StandIn(NAME)
    module.disable, module.graph_break = uncompiled, lambda *_, **__: None
    module.is_compiling = lambda: False
    module.__path__ = [f"{folder}/_dynamo" for folder in torch.__path__]
    sys.modules[NAME] = module
    torch._dynamo = module  # type: ignore[attr-defined]


def real_compiler() -> Any:
    """Import the real compiler, and return it."""
    if isinstance(sys.modules.get(NAME), StandIn):
        del sys.modules[NAME]
    return importlib.import_module(NAME)
