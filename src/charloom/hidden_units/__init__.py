"""Compares properties of a text with the values of a network's units while the network reads it."""

from charloom.hidden_units.gate_values import gates
from charloom.hidden_units.ranking import Finding, Unit, rank
from charloom.hidden_units.text_properties import Property, marked, named, pattern
from charloom.hidden_units.unit_activity import Activity, activity
from charloom.hidden_units.unit_values import Choice, blocks, choose

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
