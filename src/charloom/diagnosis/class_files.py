"""Makes the files with the verdicts on a class: a CSV table, and the results.json of a Gradescope autograder."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any, Final

from charloom.cell_table import CELLS
from charloom.diagnosis.class_result import HEADINGS, DiagnosedClass, Judged, row_of
from charloom.formatting import harmless
from charloom.messages import for_command_line

OF_OWN_LOSS: Final = "compared with the derivative of the function's own loss"
# A spreadsheet may read a cell that begins with one of these as a formula; the last four are full-width.
FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def csv_table(diagnosis: DiagnosedClass, spell: Callable[[str], str] = for_command_line) -> str:
    """Return the verdicts as a CSV table with a heading; `spell` replaces the placeholders in messages."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(HEADINGS)
    for one in diagnosis.submissions:
        writer.writerow(map(plain_cell, row_of(one, spell)))
    return file.getvalue()


def plain_cell(text: str) -> str:
    """Return the text of a cell, which no spreadsheet takes for a formula."""
    text = harmless(text)
    return f"'{text}" if text.startswith(FORMULA) else text


def gradescope_results(
    diagnosis: DiagnosedClass, spell: Callable[[str], str] = for_command_line
) -> str:
    """Return the results.json of a Gradescope autograder.

    Of one submission, there is a test for the verdict, and one for the loss and each gradient. Of several
    submissions, there is a test for each. A test that passes gives one point.
    """
    if len(diagnosis.submissions) == 1:
        (one,) = diagnosis.submissions
        output, tests = spell(one.headline or one.error), tests_of(one, spell)
    else:
        output = diagnosis.summary()
        tests = [
            test(one.name, one.passed, spell(one.headline or one.error))
            for one in diagnosis.submissions
        ]
    results = {
        "score": sum(one["score"] for one in tests),
        "execution_time": round(diagnosis.seconds),
        "output": harmless(output),
        "output_format": "text",
        "visibility": "visible",
        "tests": tests,
    }
    return json.dumps(results, ensure_ascii=False, indent=2) + "\n"


def tests_of(one: Judged, spell: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return the tests of one submission: its verdict, its loss and its gradients."""
    tests = [test(f"verdict: {one.verdict}", one.passed, spell(explained(one)))]
    rows = one.diagnosis["rows"] if one.diagnosis else []
    if one.diagnosis and not rows:  # the doctor does not know the network of the submission
        names = [*CELLS[one.diagnosis["tried"]["cell"]].shapes(1, 1), "V", "c"]
        tests += [test(f"gradient d{name}", one.passed, OF_OWN_LOSS) for name in names]
    for name in dict.fromkeys(row["parameter"] for row in rows):
        passed = [row["passed"] for row in rows if row["parameter"] == name]
        output = f"right in {sum(passed)} of {len(passed)} trials"
        label = name if name == "loss" else f"gradient d{name}"
        tests.append(test(label, one.passed or all(passed), output))
    return tests


def explained(one: Judged) -> str:
    """Return the verdict with how to fix each mistake of the likeliest explanation, or the error.

    For a submission that is right for its own network, it also says how to match the specification.
    """
    if one.diagnosis is None:
        return one.error
    explanations = one.diagnosis["explanations"]
    shown = explanations[0] if explanations else []
    if one.verdict != "right":
        shown = [*one.diagnosis["network"], *shown]
    fixes = [f"- {found['title']}: {found['fix']}" for found in shown]
    return "\n".join([one.headline, *fixes])


def test(name: str, passed: bool, output: str) -> dict[str, Any]:
    """Return a test of results.json, which gives one point if it passes."""
    return {
        "name": harmless(name),
        "score": float(passed),
        "max_score": 1.0,
        "status": "passed" if passed else "failed",
        "output": harmless(output),
    }
