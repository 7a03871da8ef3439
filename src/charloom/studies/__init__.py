"""Studies: many runs from one specification, on all cores, which can be interrupted and continued.

A study is a directory with the specification, the plan of its runs, and the results that its worker
processes append (spec/formats.md: Studies). Tables are computed when they are read.
"""

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
