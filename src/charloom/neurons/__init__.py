"""The values of a network's units while it reads a text, and their correlation with text properties."""

from charloom.neurons.activity import Activity, activity
from charloom.neurons.gates import gates
from charloom.neurons.properties import Property, marked, named, pattern
from charloom.neurons.ranking import Finding, Unit, rank
from charloom.neurons.values import Choice, blocks, choose

__all__ = [
    "Activity",
    "Choice",
    "Finding",
    "Property",
    "Unit",
    "activity",
    "blocks",
    "choose",
    "gates",
    "marked",
    "named",
    "pattern",
    "rank",
]
