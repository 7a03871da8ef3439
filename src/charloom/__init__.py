"""charloom: character-level recurrent language models, proven, fast and explained.

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
        Reproduction,
        control,
        doctor,
        gradcheck,
        load,
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
    "Reproduction",
    "__version__",
    "control",
    "doctor",
    "gradcheck",
    "load",
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


class _Package(ModuleType):
    """A package in which `gradcheck` and `doctor` are functions, although modules have those names.

    Importing the module charloom.gradcheck, which others do at any time, would otherwise put the
    module in the function's place.
    """

    @property
    def gradcheck(self) -> Any:
        from charloom import api

        return api.gradcheck

    @gradcheck.setter
    def gradcheck(self, module: ModuleType) -> None:
        """The import system offers the module; it is found in sys.modules."""

    @property
    def doctor(self) -> Any:
        from charloom import api

        return api.doctor

    @doctor.setter
    def doctor(self, module: ModuleType) -> None:
        """The import system offers the module; it is found in sys.modules."""


sys.modules[__name__].__class__ = _Package
