"""Measures the page's first paint in a fresh browser, and when each view is complete.

    python benchmarks/page.py [--times 9] [--json]

It creates a run, starts `charloom serve` as a separate process, and opens each view in Chromium `--times`
times. The browser's cache is empty each time, as on a first visit. Browser and server share the cores.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import charloom
from serve import SYMBOLS, TEXT, Served

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser import NONE, chromium, chromium_path

# What is there when a view has all that it shows of a run, and milliseconds since the visit began.
VIEWS = {
    "runs": "#runs-list li",
    "learning": "#learning-chart .main-svg",
    "playground": "#play-model option",
    "inside": "#inside-model option",
}
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if chromium_path() is None:
        raise SystemExit(NONE)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        charloom.train(run=runs / "model", string=20 * TEXT + SYMBOLS + 20 * TEXT, updates=30, report_every=3)  # fmt: skip
        with Served(runs) as served, chromium() as browser:
            address = f"http://127.0.0.1:{served.port}/"
            found = {view: visits(browser, address, view, given.times) for view in VIEWS}
    print(json.dumps(found, indent=2) if given.json else spelt(found))


def visits(browser, address: str, view: str, times: int) -> dict[str, list[float]]:
    """Return the milliseconds to the first paint and to the complete view, for each visit."""
    taken: dict[str, list[float]] = {"first_paint": [], "whole": []}
    for _ in range(times):
        with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
            page = context.new_page()
            page.goto(f"{address}#/{view}")
            page.wait_for_selector(VIEWS[view], state="attached")
            taken["whole"].append(page.evaluate("performance.now()"))
            taken["first_paint"].append(page.evaluate(PAINT))
    return taken


def spelt(found: dict[str, dict[str, list[float]]]) -> str:
    """Return the figures as text for users."""
    lines = [
        f"{'view':12s}{'first paint, ms':>24s}{'all there, ms':>24s}    median (shortest … longest)"
    ]
    for view, taken in found.items():
        columns = [
            f"{statistics.median(t):.0f} ({min(t):.0f} … {max(t):.0f})" for t in taken.values()
        ]
        lines.append(f"{view:12s}" + "".join(f"{column:>24s}" for column in columns))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
