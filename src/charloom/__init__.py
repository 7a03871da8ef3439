"""Charloom trains character-level recurrent language models, with checked gradients, fast training
and reports.

Importing the package is fast: a module is imported only when one of its names is first used.
"""

from typing import TYPE_CHECKING, Any

from charloom.errors import CharloomError

if TYPE_CHECKING:
    from charloom.api import (
        Classification,
        DiagnosedClass,
        Diagnosis,
        Evaluation,
        FixedPoints,
        GradientCheck,
        Judged,
        LearningRateSearch,
        Memorization,
        Model,
        Neurons,
        NumberCheck,
        Probe,
        Reproduction,
        RunComparison,
        RunSummary,
        SampleGrid,
        Trace,
        UnitAblation,
        ablate,
        classify,
        compare,
        control,
        doctor,
        doctor_class,
        export,
        find_learning_rate,
        fixed_points,
        gradcheck,
        import_model,
        load,
        memorized,
        neurons,
        probe,
        push,
        register_cell,
        remove_run,
        rename_run,
        reproduce,
        resume,
        runs,
        trace,
        train,
    )
    from charloom.config import Config
    from charloom.studies import StudyProgress, StudySummary, study
    from charloom.training import Callback

    __version__: str

__all__ = [
    "Callback",
    "CharloomError",
    "Classification",
    "Config",
    "DiagnosedClass",
    "Diagnosis",
    "Evaluation",
    "FixedPoints",
    "GradientCheck",
    "Judged",
    "LearningRateSearch",
    "Memorization",
    "Model",
    "Neurons",
    "NumberCheck",
    "Probe",
    "Reproduction",
    "RunComparison",
    "RunSummary",
    "SampleGrid",
    "StudyProgress",
    "StudySummary",
    "Trace",
    "UnitAblation",
    "__version__",
    "ablate",
    "classify",
    "compare",
    "control",
    "doctor",
    "doctor_class",
    "export",
    "find_learning_rate",
    "fixed_points",
    "gradcheck",
    "import_model",
    "load",
    "memorized",
    "neurons",
    "probe",
    "push",
    "register_cell",
    "remove_run",
    "rename_run",
    "reproduce",
    "resume",
    "runs",
    "study",
    "trace",
    "train",
]

# The public names that the package `studies` defines; `api` defines the others.
STUDY_NAMES = ("StudyProgress", "StudySummary", "study")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, and return it (PEP 562)."""
    if name == "__version__":
        from charloom.store import charloom_version

        return charloom_version()
    if name == "Config":
        from charloom.config import Config

        return Config
    if name == "Callback":
        from charloom.training import Callback

        return Callback
    if name not in __all__:
        raise AttributeError(f"module 'charloom' has no attribute {name!r}")
    if name in STUDY_NAMES:
        from charloom import studies

        return getattr(studies, name)
    from charloom import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
