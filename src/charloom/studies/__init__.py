"""Studies: many runs from one specification, on all cores, which can be interrupted and continued.

A study is a directory with the specification, the plan of its runs, and the results that its worker
processes append (spec/formats.md: Studies). Tables are computed when they are read. A module is imported only when one
of its names is first used: a worker process needs few of them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charloom.studies.one_study import Study, begin_study, open_study
    from charloom.studies.running import study
    from charloom.studies.study_progress import StudyProgress
    from charloom.studies.summary import StudySummary, summarize

__all__ = [
    "Study",
    "StudyProgress",
    "StudySummary",
    "begin_study",
    "open_study",
    "study",
    "summarize",
]


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used, and return it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'charloom.studies' has no attribute {name!r}")
    from charloom.studies import one_study, running, study_progress, summary

    modules = (one_study, running, study_progress, summary)
    return next(vars(module)[name] for module in modules if name in vars(module))
