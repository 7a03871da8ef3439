"""Charloom trains character-level recurrent language models, with checked gradients, fast training
and reports.

Importing it costs nothing: each name brings its part with it when it is first used.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from charloom.errors import CharloomError

if TYPE_CHECKING:
    from charloom.api import (
        Diagnosis,
        Evaluation,
        GradientCheck,
        Model,
        Neurons,
        Reproduction,
        control,
        doctor,
        export,
        gradcheck,
        import_model,
        load,
        neurons,
        reproduce,
        resume,
        train,
    )

    __version__: str

__all__ = [
    "CharloomError",
    "Diagnosis",
    "Evaluation",
    "GradientCheck",
    "Model",
    "Neurons",
    "Reproduction",
    "__version__",
    "control",
    "doctor",
    "export",
    "gradcheck",
    "import_model",
    "load",
    "neurons",
    "reproduce",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    """Bring a public name when it is asked for (PEP 562)."""
    if name == "__version__":
        from charloom.store import charloom_version

        return charloom_version()
    if name not in __all__:
        raise AttributeError(f"module 'charloom' has no attribute {name!r}")
    from charloom import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__


class _Function:
    """A function of the package whose name a module has as well.

    Importing the module charloom.gradcheck, which others do at any time, would otherwise put the
    module in the function's place.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, package: ModuleType, kind: type[ModuleType]) -> Any:
        from charloom import api

        return getattr(api, self.name)

    def __set__(self, package: ModuleType, module: ModuleType) -> None:
        """The import system offers the module; it is found in sys.modules."""


class _Package(ModuleType):
    """A package in which `doctor`, `gradcheck` and `neurons` are the functions."""

    doctor = _Function("doctor")
    gradcheck = _Function("gradcheck")
    neurons = _Function("neurons")


sys.modules[__name__].__class__ = _Package
