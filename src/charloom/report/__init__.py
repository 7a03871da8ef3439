"""Pages: the report of a run and the doctor's diagnosis, each one HTML file that needs nothing else."""

from charloom.report.diagnosis import write_diagnosis
from charloom.report.report import write_report

__all__ = ["write_diagnosis", "write_report"]
