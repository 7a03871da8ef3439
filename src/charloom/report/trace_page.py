"""Writes a trace as one HTML file: every value with its equation, and the verdicts on a student's own numbers."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from charloom.formatting import counted
from charloom.network_trace import NumberCheck, Trace
from charloom.network_trace.number_check import JudgedNumbers, first_wrong_lines
from charloom.network_trace.trace_text import MOST_SHOWN, part_title, problem_title, texts_of
from charloom.network_trace.traced_value import Array, TracedValue
from charloom.report.html_page import page, write_page
from charloom.report.page_data import TracedRow, TraceSection

MARKS: Final = {"right": "✓", "wrong": "✗", "": ""}


def write_trace(trace: Trace, path: str | Path, check: NumberCheck | None = None) -> Path:
    """Write the page of a trace.

    Args:
        trace: the trace.
        path: the file to write; an existing file is replaced.
        check: the verdicts on a student's numbers, which the page shows beside the values; None without any.

    Returns:
        The path of the page.

    Raises:
        ConfigError: the path is a directory, or its parent directory does not exist.
        WriteError: the file cannot be written.
    """
    return write_page(path, lambda: render_trace(trace, check))


def render_trace(trace: Trace, check: NumberCheck | None = None) -> str:
    """Return the page of a trace as HTML. The arguments are those of `write_trace`."""
    first = None if check is None else check.first_wrong
    wrong = [] if check is None else check.of("wrong")
    return page(
        "trace.html",
        lede=problem_title(trace.problem),
        loss=f"{trace.loss:.6f}",
        verdict="" if check is None else verdict(check),
        passed=check is not None and check.passed,
        first="" if first is None else "\n".join(first_wrong_lines(first, len(wrong) > 1)).strip(),
        hint="" if check is None else check.hint,
        sections=list(sections(trace, check)),
    )


def verdict(check: NumberCheck) -> str:
    """Return the verdict on a student's numbers in one sentence."""
    right = f"{len(check.of('right'))} of {counted(len(check.judged), 'value')} right"
    unknown = check.of("unknown")
    names = f"; unknown names: {', '.join(one.name for one in unknown)}" if unknown else ""
    return f"{right}{names}."


def sections(trace: Trace, check: NumberCheck | None) -> Iterator[TraceSection]:
    """Yield a section for each step of the computation."""
    judged = {} if check is None else {one.name: one for one in check.judged}
    grouped = groupby(trace.values, key=lambda value: (value.part, value.step))
    for place, ((part, step), group) in enumerate(grouped):
        rows = [traced_row(value, judged.get(value.name)) for value in group]
        yield TraceSection(f"step-{place}", part_title(trace.problem, part, step), rows)


def traced_row(value: TracedValue, judged: JudgedNumbers | None) -> TracedRow:
    """Return a value as text, with the verdict on the student's numbers if there is one."""
    verdict = "" if judged is None or judged.verdict == "unknown" else judged.verdict
    given = None if judged is None or verdict == "right" else judged.given
    return TracedRow(
        name=value.name,
        equation=f"= {value.equation}" if value.equation else "",
        numbers=number_rows(value.numbers),
        verdict=verdict,
        mark=MARKS[verdict],
        given=[] if given is None else number_rows(given),
        remark="" if judged is None else judged.remark,
    )


def number_rows(numbers: Array) -> list[list[str]]:
    """Return an array as rows of text. A large array is cut, with … at the end of each row and column."""
    rows = np.atleast_2d(numbers)
    shown = [
        [text.strip() for text in texts_of(row[:MOST_SHOWN], numbers)]
        + (["…"] if len(row) > MOST_SHOWN else [])
        for row in rows[:MOST_SHOWN]
    ]
    return [*shown, ["…"]] if len(rows) > MOST_SHOWN else shown
