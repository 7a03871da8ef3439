"""What is wrong with this backpropagation? A function is judged, and its mistake is named."""

from charloom.doctor.examine import doctor
from charloom.doctor.mistakes import MISTAKES, Mistake
from charloom.doctor.result import Diagnosis, Found, Row

__all__ = ["MISTAKES", "Diagnosis", "Found", "Mistake", "Row", "doctor"]
