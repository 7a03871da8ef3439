"""Judges a user's backpropagation, and names its mistake."""

from charloom.doctor.examine import doctor
from charloom.doctor.mistakes import MISTAKES, Mistake
from charloom.doctor.result import Diagnosis, Found, Row

__all__ = ["MISTAKES", "Diagnosis", "Found", "Mistake", "Row", "doctor"]
