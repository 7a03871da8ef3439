"""The figures that the promises reached, in docs/reliability.json, and the table made of them.

It knows nothing of how a promise is checked.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from reliability import LONG, SHORT, Figures

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "reliability.json"
TABLE = ROOT / "docs" / "RELIABILITY.md"

HEAD = """\
# What is promised, and what shows it

Made by `sh scripts/reliability`, which runs the long versions, from [reliability.json](reliability.json);
never by hand. The test suite runs the short versions at every commit, and for each promise plants a fault
that its checker must catch. What a promise means in detail is said at the head of its module in
`reliability/`.

| | promise | tests | command | figures | when |
|---|---|---|---|---|---|
"""

# By promise, then by scale: date, seconds, figures.
Kept = dict[str, dict[str, dict[str, Any]]]


def read_figures() -> Kept:
    """What is kept; nothing where there is no file yet."""
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def keep(name: str, scale: str, date: str, seconds: float, figures: Figures) -> None:
    """Put the figures of one check among the others."""
    kept = read_figures()
    entry = {"date": date, "seconds": round(seconds, 1), "figures": figures}
    kept.setdefault(name, {})[scale] = entry
    told = json.dumps(dict(sorted(kept.items())), indent=1)
    FIGURES.write_text(told + "\n", encoding="utf-8")


def render(kept: Kept, promises: dict[str, ModuleType]) -> str:
    """The table, as Markdown."""
    return HEAD + "".join(row(name, module, kept) for name, module in promises.items())


def row(name: str, module: ModuleType, kept: Kept) -> str:
    """One promise: the long version's figures, or the short one's where there are no others."""
    scales = kept.get(name, {})
    scale = LONG if LONG in scales else SHORT
    told, when = "not run yet", ""
    if scale in scales:
        entry = scales[scale]
        told = "; ".join(spell(key, value) for key, value in entry["figures"].items())
        when = f"{entry['date']}, {scale}, {entry['seconds']:,.0f} s"
    return (
        f"| {module.NUMBER} | {module.PROMISE} | `tests/test_reliability_{name}.py` "
        f"| `sh scripts/reliability --only {name}` | {told} | {when} |\n"
    )


def spell(key: str, value: int | float | str) -> str:
    """A figure for people."""
    words = key.replace("_", " ")
    return f"{words} {value}" if isinstance(value, str) else f"{words} {value:,}"
