"""What the units of a network do while it reads, and which of them follow what."""

from charloom.neurons.activity import Activity, activity
from charloom.neurons.gates import MEANINGS, WHATS, gates
from charloom.neurons.properties import PROPERTIES, Property, marked, named, pattern
from charloom.neurons.ranking import LEAST_CHARACTERS, Finding, Unit, rank
from charloom.neurons.values import Choice, blocks, choose

__all__ = [
    "LEAST_CHARACTERS",
    "MEANINGS",
    "PROPERTIES",
    "WHATS",
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
