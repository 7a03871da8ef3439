"""Measures the figures of docs/gradient-checking.md, writes them into its text and draws its pictures.

    sh scripts/lesson              # measure (about four minutes), draw, and write the figures into the text
    sh scripts/lesson --draw       # draw and write again from the stored figures
    sh scripts/lesson --check      # measure, change nothing, and print what would change

The figures are stored in docs/gradient-checking.json. The text quotes rounding errors with one digit, because
they differ a little between processors.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from charloom.formatting import THIN, power_of_ten, scientific
from lesson_measurements import USUAL_STEP, Figures, differences, measure
from lesson_pictures import draw

DOCS: Final = Path(__file__).parent.parent / "docs"
LESSON: Final = DOCS / "gradient-checking.md"
FIGURES: Final = DOCS / "gradient-checking.json"
DOCTOR_FIGURES: Final = DOCS / "doctor.json"  # made by benchmarks/doctor.py
PICTURES: Final = DOCS / "pictures"

QUOTED: Final = re.compile(r"<!-- ([\w-]+) -->([^<\n]*)<!-- /\1 -->")


def quoted(figures: Figures) -> dict[str, str]:
    """Return the figures that the lesson quotes, as text, by name."""
    first, last = figures["growth"][0], figures["growth"][-1]
    small, large = figures["entries"]
    step_sizes = figures["step_sizes"]
    zero, other = figures["mistake"]

    texts = {
        "loss": f"{large['loss']:.1f}",
        "spacing": scientific(large["spacing"]),
        "expected-error": scientific(large["expected"]),
        "measured-error": one_digit(last["absolute"]["W"]),
        "count-small": f"{small['count']:,}",
        "count-large": f"{large['count']:,}",
        "typical": one_digit(large["typical"]),
        "smallest": one_digit(large["smallest"]),
        "worst-small": one_digit(first["worst"]["W"]),
        "worst-large": one_digit(last["worst"]["W"]),
        "norm-large": one_digit(last["norm"]["W"]),
        "analytic-large": one_digit(max(last["analytic"].values())),
        "agree": one_digit(max(step_sizes["float64"]["analytic"].values())),
        "rounding": scientific(figures["best_steps"]["rounding"]),
        "float32-spacing": scientific(step_sizes["float32"]["spacing"]),
        "float32-expected-error": scientific(step_sizes["float32"]["spacing"] / (2 * USUAL_STEP)),
        "float32-usual": f"{100 * error_at_usual_step(step_sizes, 'float32', 'W'):.0f} %",
        "float32-best": one_digit(min(step_sizes["float32"]["curves"]["W"])),
        "mistake-zero": one_digit(zero["central"]["W"]),
        "mistake-other": scientific(other["complex"]["W"]),
    }
    for name in ("c", "W"):
        lowest = min(step_sizes["float64"]["curves"][name])
        at = step_sizes["float64"]["curves"][name].index(lowest)
        texts[f"best-{name}"], texts[f"best-step-{name}"] = (
            one_digit(lowest),
            one_digit(step_sizes["steps"][at]),
        )
        predicted = figures["best_steps"][name]
        texts |= {
            f"third-{name}": scientific(predicted["third"]),
            f"predicted-step-{name}": scientific(predicted["step"]),
            f"predicted-error-{name}": scientific(predicted["error"]),
            f"predicted-{name}": scientific(predicted["norm"]),
        }
    return texts | usual_counts(figures["usual"])


def usual_counts(rows: Figures) -> dict[str, str]:
    """Return the number of planted mistakes, and how many pass the usual check with each kind of error."""
    missed = [row for row in rows if row["passes_absolute"] and row["passes_relative"]]
    absolute = [row for row in rows if row["passes_absolute"]]
    return {
        "planted": str(len(rows)), "missed": str(len(missed)), "missed-absolute": str(len(absolute)),
    }  # fmt: skip


def with_usual(figures: Figures) -> Figures:
    """Return the figures of the lesson together with the results of the usual check, which the doctor's benchmark stores."""
    stored = json.loads(DOCTOR_FIGURES.read_text(encoding="utf-8"))
    return {**figures, "usual": stored["usual"]}


def write_and_draw(figures: Figures) -> None:
    """Write the figures into the text of the lesson, and draw its pictures."""
    shown = with_usual(figures)
    text = LESSON.read_text(encoding="utf-8")
    LESSON.write_text(with_figures(text, quoted(shown)), encoding="utf-8")
    draw(shown, PICTURES)


def one_digit(value: float) -> str:
    """Return a small number as text with one digit, such as 4 × 10⁻⁴ or 10⁻³."""
    digit, exponent = f"{value:.0e}".split("e")
    power = power_of_ten(float(f"1e{exponent}"))
    return power if digit == "1" else f"{digit}{THIN}×{THIN}{power}"


def error_at_usual_step(step_sizes: Figures, dtype: str, name: str) -> float:
    """Return the error of the central difference at the usual step."""
    steps = [abs(math.log(step / USUAL_STEP)) for step in step_sizes["steps"]]
    return float(step_sizes[dtype]["curves"][name][steps.index(min(steps))])


def with_figures(text: str, texts: Mapping[str, str]) -> str:
    """Return the text of the lesson with each quoted figure replaced by the one in `texts`."""
    return QUOTED.sub(
        lambda found: f"<!-- {found[1]} -->{texts[found[1]]}<!-- /{found[1]} -->", text
    )


def main() -> int:
    """Measure, draw and write the figures, or check them. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--draw", action="store_true", help="draw and write from the stored figures")
    mode.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if something would change"
    )
    options = parser.parse_args()
    stored = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    figures = stored if options.draw else measure()
    text = LESSON.read_text(encoding="utf-8")
    if options.check:
        found = differences(stored, figures)
        if with_figures(text, quoted(with_usual(stored))) != text:
            found.append(f"{LESSON.name} quotes figures that differ from {FIGURES.name}")
        print("\n".join(found) or "The lesson agrees with the measurements.")
        return int(bool(found))
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    write_and_draw(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
