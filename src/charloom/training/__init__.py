"""Training: the algorithm (`learn`), kept in a run directory (`train_run`) or in memory alone.

All are generators of what happens. They print nothing and draw nothing: terminals, pages and
reports listen, or read the run directory.
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
