"""Training: the algorithm (`learn`), with a run directory (`train_run`) or in memory only.

Each training function is a generator of events. It prints nothing: the command line, the page and the
report use the events or read the run directory.
"""

from charloom.training.callbacks import Callback, Callbacks
from charloom.training.events import (
    EndChanged,
    Ended,
    EvaluationProgress,
    FinalEvaluation,
    Item,
    Judged,
    Judging,
    LearningRateChanged,
    Progress,
    Record,
    Sample,
    Saved,
    TrainingEvent,
    Warned,
)
from charloom.training.in_memory import Best, train_in_memory
from charloom.training.in_run_directory import train_run
from charloom.training.loop import Stopwatch, learn, passage
from charloom.training.overfitting_check import Overfitting, overfitting

__all__ = [
    "Best",
    "Callback",
    "Callbacks",
    "EndChanged",
    "Ended",
    "EvaluationProgress",
    "FinalEvaluation",
    "Item",
    "Judged",
    "Judging",
    "LearningRateChanged",
    "Overfitting",
    "Progress",
    "Record",
    "Sample",
    "Saved",
    "Stopwatch",
    "TrainingEvent",
    "Warned",
    "learn",
    "overfitting",
    "passage",
    "train_in_memory",
    "train_run",
]
