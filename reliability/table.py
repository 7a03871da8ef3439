"""Stores the figures of the promises in docs/reliability.json, and makes the table from them.

This module does not know how a promise is checked.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from reliability import LONG, SHORT, SHORTENED

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "reliability.json"
TABLE = ROOT / "docs" / "RELIABILITY.md"

HEAD = """\
# What is promised, and what shows it

Made by `sh scripts/reliability`, which runs the long versions, from [reliability.json](reliability.json);
never by hand. The test suite runs the short versions at every commit, and for each promise plants a fault
that its checker must catch. What a promise means in detail is said at the head of its module in
`reliability/`. What was found broken says so in place of figures, until it is checked again.

| | promise | tests | command | figures | when, of what, where |
|---|---|---|---|---|---|
"""

MOST_OF_A_PROBLEM = 300  # characters in the table

# By promise, then by scale: date, seconds, version, machine, figures, and the problem if it is broken.
Kept = dict[str, dict[str, dict[str, Any]]]


def read_figures() -> Kept:
    """Return the stored figures; an empty dict if there is no file yet."""
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def keep(name: str, scale: str, entry: dict[str, Any]) -> None:
    """Store the figures of one check."""
    kept = read_figures()
    kept.setdefault(name, {})[scale] = entry
    text = json.dumps(dict(sorted(kept.items())), indent=1)
    FIGURES.write_text(text + "\n", encoding="utf-8")


def render(kept: Kept, promises: dict[str, ModuleType]) -> str:
    """Return the table as Markdown."""
    return HEAD + "".join(row(name, module, kept) for name, module in promises.items())


def row(name: str, module: ModuleType, kept: Kept) -> str:
    """Return the table's row for one promise.

    It has the figures of the longest version that was run. If a version is broken, it shows that instead.
    """
    scales = kept.get(name, {})
    there = [scale for scale in (LONG, SHORTENED, SHORT) if scale in scales]
    chosen = [scale for scale in there if "broken" in scales[scale]] or there[:1]
    figures = "; ".join(figures_of(scales[scale]) for scale in chosen) or "not run yet"
    when = "; ".join(when_of(scale, scales[scale]) for scale in chosen)
    return (
        f"| {module.NUMBER} | {module.PROMISE} | `tests/test_reliability_{name}.py` "
        f"| `sh scripts/reliability --only {name}` | {figures} | {when} |\n"
    )


def figures_of(entry: dict[str, Any]) -> str:
    """Return the figures, or the problem, as the text of a table cell."""
    if "broken" in entry:
        problem = " ".join(entry["broken"].split()).replace("|", "\\|")
        return f"**BROKEN**: {problem[:MOST_OF_A_PROBLEM]}"
    return "; ".join(spell(key, value) for key, value in entry["figures"].items())


def when_of(scale: str, entry: dict[str, Any]) -> str:
    """Return date, scale, version and machine of a check; older entries lack the last two."""
    parts = [entry["date"], scale, f"{entry['seconds']:,.0f} s"]
    return ", ".join(parts + [entry[name] for name in ("version", "machine") if name in entry])


def spell(key: str, value: int | float | str) -> str:
    """Return a figure as text for readers."""
    words = key.replace("_", " ")
    return f"{words} {value}" if isinstance(value, str) else f"{words} {value:,}"
