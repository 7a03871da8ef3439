"""The report of a run: one HTML file, and its pictures, made from the run directory alone."""

from charloom.report.report import write_report

__all__ = ["write_report"]
