"""The report of a run and the page of a diagnosis, each a single HTML file, and the pages of a class."""

from charloom.report.class_page import write_class
from charloom.report.diagnosis_page import write_diagnosis
from charloom.report.run_report import write_report

__all__ = ["write_class", "write_diagnosis", "write_report"]
