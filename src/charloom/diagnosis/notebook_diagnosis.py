"""Shows a diagnosis in a notebook: the verdict, the mistakes with the right equation and the fix, and the errors.

The diagnosis is given as plain data, as `Diagnosis.to_dict` returns it.
"""

from collections.abc import Mapping
from typing import Any, Final

from charloom.formatting import capitalized, counted, scientific
from charloom.gradient_errors import rank
from charloom.notebook_html import card, code, figures, sentence, table, verdict

MOST_EXPLANATIONS: Final = 2  # that are shown in full
HEADINGS: Final = ("result", "verdict", "norm-relative error", "limit", "worst entry", "trial")


def diagnosis_card(diagnosis: Mapping[str, Any]) -> str:
    """Return a diagnosis as HTML."""
    passed = diagnosis["verdict"] != "wrong"
    pieces = [verdict(diagnosis["headline"], passed)]
    pieces += map(mistake, diagnosis["network"])
    explanations = diagnosis["explanations"]
    for number, explanation in enumerate(explanations[:MOST_EXPLANATIONS]):
        if number:
            pieces.append(sentence("Or this explanation, which fits all trials as well:"))
        pieces += map(mistake, explanation)
    left = len(explanations) - MOST_EXPLANATIONS
    if left > 0:
        pieces.append(sentence(f"{counted(left, 'other explanation')} would fit too."))
    pieces += [sentence(f"- {clue}") for clue in diagnosis["clues"]]
    if diagnosis["certificate"] is not None:
        pieces.append(sentence(diagnosis["certificate"], quiet=True))
    else:
        pieces.append(error_table(diagnosis["rows"], diagnosis["tried"]["trials"]))
    pieces += [sentence(f"Note: {note}", quiet=True) for note in diagnosis["notes"]]
    return card(f"Diagnosis of {diagnosis['subject'] or 'a function'}", *pieces)


def mistake(found: Mapping[str, Any]) -> str:
    """Return a mistake as HTML: what the code computes, what is right, and how to fix it."""
    title = capitalized(found["title"])
    variant = f" ({found['variant']})" if found["variant"] else ""
    rows = {"mistake": f"{found['id']}{variant}", "fix": found["fix"]}
    return (
        sentence(f"{title}.")
        + sentence("Your code computes:", quiet=True)
        + code(*found["does"].splitlines())
        + sentence(f"Right (docs/spec/mathematics.md, {found['section']}):", quiet=True)
        + code(*found["right"].splitlines())
        + figures(rows.items())
    )


def error_table(rows: list[dict[str, Any]], trials: list[dict[str, Any]]) -> str:
    """Return a table with the largest error of each gradient and of the loss, as HTML."""
    worst: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = worst.get(row["parameter"])
        if known is None or relative_error(row) > relative_error(known):
            worst[row["parameter"]] = row
    cells = [cells_of(row, trials[row["trial"]]["name"]) for row in worst.values()]
    failed = [n for n, row in enumerate(worst.values()) if not row["passed"]]
    return table(HEADINGS, cells, bold=failed)


def relative_error(row: Mapping[str, Any]) -> float:
    """Return the norm-relative error of a row divided by its limit, to find the worst row. NaN is the largest."""
    return rank(row["norm_relative"]) / float(row["limit"])


def cells_of(row: Mapping[str, Any], trial: str) -> tuple[str, ...]:
    """Return the cells of a row of the table. `trial` is the name of its trial."""
    name = row["parameter"] if row["parameter"] == "loss" else f"d{row['parameter']}"
    place = f"[{', '.join(map(str, row['index']))}] " if row["index"] else ""
    return (
        name,
        "right" if row["passed"] else "WRONG",
        scientific(row["norm_relative"]),
        scientific(row["limit"]),
        f"{place}is {row['given']:.6g}, should be {row['exact']:.6g}",
        trial,
    )
