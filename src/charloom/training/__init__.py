"""Training: the algorithm (`learn`), with a run directory (`train_run`) or in memory only.

All of them are generators of events. They print nothing: the command line, the page and the report
use the events or read the run directory.
"""

from charloom.training.items import (
    Ended,
    Item,
    Judged,
    Judging,
    Progress,
    Record,
    Sample,
    Saved,
    Warned,
)
from charloom.training.learn import Stopwatch, learn, passage
from charloom.training.memory import Best, train_in_memory
from charloom.training.overfitting import Overfitting, overfitting
from charloom.training.run import train_run

__all__ = [
    "Best",
    "Ended",
    "Item",
    "Judged",
    "Judging",
    "Overfitting",
    "Progress",
    "Record",
    "Sample",
    "Saved",
    "Stopwatch",
    "Warned",
    "learn",
    "overfitting",
    "passage",
    "train_in_memory",
    "train_run",
]
