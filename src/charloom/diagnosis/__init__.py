"""Checks a user's backpropagation, and names the mistakes in it."""

from charloom.diagnosis.adaptation import adapt
from charloom.diagnosis.class_result import DiagnosedClass, Judged
from charloom.diagnosis.diagnosis_result import Diagnosis, Row
from charloom.diagnosis.examine import doctor
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.known_mistakes.mistake import Mistake
from charloom.diagnosis.mistakes import MISTAKES

__all__ = [
    "MISTAKES",
    "DiagnosedClass",
    "Diagnosis",
    "Found",
    "Judged",
    "Mistake",
    "Row",
    "adapt",
    "doctor",
]
