"""The report of a run and the page of a diagnosis, each a single HTML file."""

from charloom.report.diagnosis_page import write_diagnosis
from charloom.report.run_report import write_report

__all__ = ["write_diagnosis", "write_report"]
