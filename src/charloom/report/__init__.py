"""The report of a run and the pages of a diagnosis, a class and a trace as HTML files, and curves.

A module is imported only when one of its names is first used, because most of them need matplotlib and jinja2.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charloom.report.class_page import write_class
    from charloom.report.diagnosis_page import write_diagnosis
    from charloom.report.run_report import write_report
    from charloom.report.trace_page import write_trace

__all__ = ["write_class", "write_diagnosis", "write_report", "write_trace"]


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used, and return it (PEP 562)."""
    if name == "write_class":
        from charloom.report.class_page import write_class

        return write_class
    if name == "write_diagnosis":
        from charloom.report.diagnosis_page import write_diagnosis

        return write_diagnosis
    if name == "write_report":
        from charloom.report.run_report import write_report

        return write_report
    if name == "write_trace":
        from charloom.report.trace_page import write_trace

        return write_trace
    raise AttributeError(f"module 'charloom.report' has no attribute {name!r}")
