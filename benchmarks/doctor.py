"""Measures how often the doctor is right, how long it takes, and which mistakes the usual check misses.

    python benchmarks/doctor.py                       # seconds of a diagnosis, from the command line
    python benchmarks/doctor.py --usual               # its table, and the picture in docs/gradient-checking.md
    python benchmarks/doctor.py --long right --count 500 --first 0
    python benchmarks/doctor.py --long singles --count 200
    python benchmarks/doctor.py --long pairs --count 100

The cases are right code, single mistakes and pairs of mistakes, with random H, T, K, sigma and seeds. The code
is that of tests/written; the mistakes of tests/plants.py are edited into its source. Each number from `first`
to `first + count - 1` always stands for the same case. Results are stored by number in docs/doctor.json, so
that a large count can be measured in parts. docs/DOCTOR.md is made from that file.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "scripts"))

import lesson  # noqa: E402
from benchmarks import measure_population as population  # noqa: E402
from charloom.bench.machine_info import machine  # noqa: E402
from charloom.cell_table import CELLS  # noqa: E402
from charloom.cpu_limits import processors  # noqa: E402
from charloom.diagnosis import doctor  # noqa: E402
from charloom.diagnosis.mistakes import BY_ID  # noqa: E402
from charloom.diagnosis.trials import PLANS, Plan, make_trial  # noqa: E402
from plants import CELL, PLANTS, Plant, function, source  # noqa: E402

FIGURES, TABLES = ROOT / "docs" / "doctor.json", ROOT / "docs" / "DOCTOR.md"

RIGHT = ("loop", "whole", "course", "lstm", "gru")
# The limits of the figures, printed wherever the figures are.
CAVEAT = (
    "**What was measured**: mistakes that we planted ourselves, in code that we wrote. The doctor was made for the forms",
    "of this code. So the figures show that the doctor names the mistakes that it knows. They do not show how often it",
    "names a mistake in other code: [the population that it had not seen](#a-population-that-the-doctor-had-not-seen) shows",
    "this. The counts of right code, single mistakes and pairs are from an earlier version, which had no verdict",
    '"right for its own network".',
)
SECOND = (
    "## A population that the doctor had not seen",
    "",
    "The submissions in benchmarks/doctor_population/second were written by somebody who had not read the doctor's list of",
    "mistakes, in 12 forms, as students write them. The doctor was measured on them once, by `python",
    "benchmarks/measure_population.py`; its docstring has the rules of the scores. Nothing was tuned to them before. Each file",
    "is judged without options. *Seen* means that a wrong gradient was called wrong, and the right gradient of a wrong loss",
    "or network right for its own network. Forms: 1 natural, 2 one-hot columns, 3 hundred-line script, 4 and 5 layers with",
    "caches (RNN, LSTM), 6 classes, 7 dicts, 8 LSTM of four matrices, 9 GRU of several matrices, 10 natural LSTM and GRU, 11",
    "separate arguments and steps, 12 PyTorch. The goals were 95 % named or located, no false alarm and at most 5 s. They are",
    "not reached: a third of the submissions was *not accepted*, most of them PyTorch functions and LSTMs of four matrices.",
    "Of the others, most mistakes are named or located. The machine had two cores and a load of 6 to 8.",
    "",
)
USUAL = Plan("the usual check", 5, 3, 10, 0.01, "zero", "window")
STEP, THRESHOLD, FLOOR = 1e-4, 1e-4, 1e-6


# Random problems.


def random_plans(number: int, kind: str) -> tuple[tuple[Plan, ...], int, np.random.Generator]:
    """Return the default trials with random sizes and sigmas, and a seed for their numbers."""
    rng = np.random.default_rng([number, len(kind)])
    plans = []
    for place, plan in enumerate(PLANS):
        H, T, K = rng.choice(np.arange(3, 14), size=3, replace=False).tolist()
        if plan.T == 1 or plan.text == "same" or place == 1:
            T = plan.T
        sigma = plan.sigma * float(np.exp(rng.uniform(np.log(0.3), np.log(2))))
        plans.append(plan._replace(H=H, T=T, K=K, sigma=sigma))
    return tuple(plans), int(rng.integers(2**31)), rng


def judged(file: str, plants: Iterable[Plant], plans: tuple[Plan, ...], seed: int) -> Any:
    """Return the diagnosis of a hand-written network with planted mistakes."""
    cell = CELL.get(file, "rnn")
    gates = CELLS[cell].gates if plants else ""
    return doctor(function(file, *plants), cell=cell, gates=gates, plans=plans, seed=seed)


def named(found: Any) -> list[str]:
    """Return the ids of the differences of the network and of the mistakes that a diagnosis names."""
    return [*found.differences, *found.mistakes]


def right_case(number: int) -> dict[str, Any]:
    """Diagnose right code; a false alarm is a failure."""
    plans, seed, rng = random_plans(number, "right")
    file = RIGHT[int(rng.integers(len(RIGHT)))]
    found = judged(file, (), plans, seed)
    return {"what": file, "said": named(found), "good": found.verdict == "right"}


def single_case(number: int) -> dict[str, Any]:
    """Diagnose code with one mistake, which must be named first."""
    plans, seed, rng = random_plans(number, "singles")
    plant = PLANTS[int(rng.integers(len(PLANTS)))]
    found = judged(plant.file, (plant,), plans, seed)
    return {"what": plant.name, "said": named(found), "good": named(found)[:1] == [plant.id]}


def pair_case(number: int) -> dict[str, Any]:
    """Diagnose code with two mistakes; record whether both or only one of them is named."""
    plans, seed, rng = random_plans(number, "pairs")
    while True:
        one, other = (PLANTS[int(rng.integers(len(PLANTS)))] for _ in range(2))
        if one.file == other.file and one.id != other.id and runs(one, other):
            break
    found = judged(one.file, (one, other), plans, seed)
    both = {one.id, other.id} & set(named(found))
    return {
        "what": f"{one.name} + {other.name}",
        "said": named(found),
        "good": bool(both),
        "both": len(both) == 2,
    }


def runs(one: Plant, other: Plant) -> bool:
    """Return True if both mistakes can be edited into one source that still runs."""
    try:
        source(one.file, one, other)
        f = function(one.file, one, other)
        p = make_trial(CELL.get(one.file, "rnn"), 0, 0, PLANS[0]).problem
        doctor(f, cell=p.cell, plans=PLANS[:2] * 4)
    except Exception:
        return False
    return True


CASES: dict[str, Callable[[int], dict[str, Any]]] = {
    "right": right_case,
    "singles": single_case,
    "pairs": pair_case,
}


# The usual check.


def usual_check(file: str, *plants: Plant) -> dict[str, float]:
    """Return the largest errors of a function's gradient against central differences of its loss.

    H = 5, T = 3, K = 10, h0 = 0, weights N(0, 0.01²), biases 0, step 1e-4. `absolute`: |a - n|;
    `relative`: |a - n| / max(1e-6, |a| + |n|), as courses have it. Infinite where a shape differs.
    """
    f = function(file, *plants)
    cell = CELL.get(file, "rnn")
    problem = make_trial(cell, 0, 2, USUAL).problem
    state = tuple(problem.state.values())
    h0 = state[0] if len(state) == 1 else state

    def called(parameters: dict[str, Any]) -> Any:
        held = {name: array.copy() for name, array in parameters.items()}
        start = h0.copy() if len(state) == 1 else tuple(s.copy() for s in state)
        return f(held, problem.x.copy(), problem.y.copy(), start)

    _, gradients = called(problem.parameters)
    worst = {"absolute": 0.0, "relative": 0.0}
    for name, array in problem.parameters.items():
        given = np.asarray(gradients[name])
        if given.shape != array.shape:
            return {"absolute": float("inf"), "relative": float("inf")}
        for at in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = array.copy()
                moved[at] += sign * STEP
                sides.append(called({**problem.parameters, name: moved})[0])
            numeric = float(sides[0] - sides[1]) / (2 * STEP)
            far = abs(float(given[at]) - numeric)
            worst["absolute"] = max(worst["absolute"], far)
            worst["relative"] = max(
                worst["relative"], far / max(FLOOR, abs(float(given[at])) + abs(numeric))
            )
    return worst


def usual_rows() -> list[dict[str, Any]]:
    """Return the results of the usual check and of the doctor for each planted mistake."""
    rows = []
    for plant in PLANTS:
        if plant.file not in ("loop", "lstm", "gru"):
            continue
        errors = usual_check(plant.file, plant)
        cell = CELL.get(plant.file, "rnn")
        found = doctor(function(plant.file, plant), cell=cell, gates=CELLS[cell].gates)
        rows.append(
            {
                "id": plant.id,
                "note": plant.note,
                "cell": CELL.get(plant.file, "rnn"),
                **errors,
                "passes_absolute": bool(errors["absolute"] < THRESHOLD),
                "passes_relative": bool(errors["relative"] < THRESHOLD),
                "doctor": named(found),
            }
        )
    return rows


def usual_table(rows: Iterable[dict[str, Any]]) -> str:
    """Return a Markdown table of the mistakes that the usual check misses."""
    lines = [
        "| mistake | cell | largest absolute error | largest relative error | the usual check | the doctor |",
        "|---|---|---|---|---|---|",
    ]
    rows = list(rows)
    for row in rows:
        if not (row["passes_absolute"] or row["passes_relative"]):
            continue
        how = {
            (True, True): "passes",
            (True, False): "passes with absolute errors",
            (False, True): "passes with relative errors",
        }[row["passes_absolute"], row["passes_relative"]]
        note = f" ({row['note']})" if row["note"] else ""
        lines.append(
            f"| `{row['id']}`{note}: {BY_ID[row['id']].title} | {row['cell']} | {row['absolute']:.1e} | "
            f"{row['relative']:.1e} | {how} | {', '.join(f'`{one}`' for one in row['doctor'])} |"
        )
    both = sum(row["passes_absolute"] and row["passes_relative"] for row in rows)
    either = sum(row["passes_absolute"] or row["passes_relative"] for row in rows)
    lines += [
        "",
        f"Of {len(rows)} planted mistakes, the usual check misses {both} with both kinds of error, and {either} with at "
        "least one of them. Made by `python benchmarks/doctor.py --usual`.",
    ]
    return "\n".join(lines)


# Time.


def seconds_of(file: str, plants: Iterable[Plant] = (), repeats: int = 3) -> tuple[float, float]:
    """Return the elapsed and the processor seconds of the fastest of several runs of the command.

    Other processes on the machine hardly change the processor seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.py"
        path.write_text(source(file, *plants), encoding="utf-8")
        words = [f"{path}:loss_and_gradients", "--cell", CELL.get(file, "rnn"), "--json"]
        times = []
        for _ in range(repeats):
            started, used = time.perf_counter(), processor()
            subprocess.run(
                [sys.executable, "-m", "charloom", "doctor", *words],
                check=False,
                capture_output=True,
            )
            times.append((time.perf_counter() - started, processor() - used))
    return min(seconds for seconds, _ in times), min(used for _, used in times)


def processor() -> float:
    """Return the processor seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


UNKNOWN = Plant("lstm", "none", (("ds_next = ds * f", "ds_next = ds * f + 0.01"),))


def timings() -> dict[str, tuple[float, float]]:
    """Time diagnoses of right code, one mistake, two mistakes, and an unknown mistake."""
    by_name = {plant.name: plant for plant in PLANTS}
    pair = [by_name["loop-tanh-derivative-1-h"], by_name["loop-hidden-bias-not-summed"]]
    return {
        "right, step by step": seconds_of("loop"),
        "right, single numbers in Python": seconds_of("scalar"),
        "right, the course's form": seconds_of("course"),
        "right, LSTM": seconds_of("lstm"),
        "right, GRU": seconds_of("gru"),
        "one mistake": seconds_of("loop", [by_name["loop-index-wraps"]]),
        "two mistakes": seconds_of("loop", pair),
        "unexplained, LSTM": seconds_of("lstm", [UNKNOWN]),
    }


# Stored results.


def read() -> dict[str, Any]:
    """Return the figures that were measured so far."""
    empty = {"right": {}, "singles": {}, "pairs": {}, "usual": [], "seconds": {}}
    return (
        {**empty, **json.loads(FIGURES.read_text(encoding="utf-8"))} if FIGURES.exists() else empty
    )


def keep(figures: dict[str, Any]) -> None:
    """Write docs/doctor.json with one case per line, and docs/DOCTOR.md."""
    parts = []
    for name, part in figures.items():
        items = part.items() if isinstance(part, dict) else ((None, one) for one in part)
        lines = [
            ("" if key is None else f"{json.dumps(key)}: ") + json.dumps(one, ensure_ascii=False)
            for key, one in items
        ]
        left, right = "{}" if isinstance(part, dict) else "[]"
        parts.append(f"{json.dumps(name)}: {left}\n" + ",\n".join(lines) + f"\n{right}")
    FIGURES.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    TABLES.write_text(render(figures), encoding="utf-8")


def render(figures: dict[str, Any]) -> str:
    """Return the text of docs/DOCTOR.md."""
    lines = [
        "# How good is the doctor?",
        "",
        "`benchmarks/doctor.py` writes this file; do not edit it by hand. `docs/doctor.json` holds every case by its number.",
        "The checked code is written by hand (tests/written), and mistakes are edited into its source (tests/plants.py).",
        "H, T and K are random numbers from 3 to 13, sigma is 0.3 to 2 times that of the default trials, and every case",
        "has a different seed.",
        "",
        *CAVEAT,
        "",
        "| | cases | correct | goal |",
        "|---|---|---|---|",
    ]
    wanted = {
        "right": ("our right code: the verdict is right", "2,000 of 2,000"),
        "singles": ("one planted mistake: it is named first", "98 %"),
        "pairs": ("two planted mistakes: at least one is named", "80 %"),
    }
    for kind, (description, goal) in wanted.items():
        cases = figures[kind].values()
        good = sum(case["good"] for case in cases)
        share = f" ({good / len(cases):.1%})" if cases else ""
        lines.append(f"| {description} | {len(cases):,} | {good:,}{share} | {goal} |")
    both = sum(case["both"] for case in figures["pairs"].values())
    lines += ["", f"In {both:,} of the cases with two mistakes, both were named.", ""]
    bad = [
        f"- {kind} {number}: {case['what']}: the doctor named {', '.join(case['said']) or 'no mistake'}"
        for kind in wanted
        for number, case in figures[kind].items()
        if not case["good"]
    ]
    lines += ["The cases that were not correct:", "", *(bad or ["none."]), ""]
    if figures["seconds"]:
        about = figures["seconds"]
        lines += [
            f"Time of a whole diagnosis from the command line, the shortest of three, on an {about['machine']} with",
            f"{about['cores']} cores and a load of {about['waiting']:.1f} from other processes:",
            "",
            "| | elapsed seconds | processor seconds |",
            "|---|---|---|",
            *(
                f"| {name} | {clock:.2f} | {used:.2f} |"
                for name, (clock, used) in about["times"].items()
            ),
            "",
        ]
    second = ROOT / "docs" / population.FILES["second"]
    if second.exists():
        cases = json.loads(second.read_text(encoding="utf-8"))
        lines += [*SECOND, *population.table(cases), "", population.seconds_text(cases), ""]
    if figures["usual"]:
        lines += [
            "## Mistakes that the usual check misses",
            "",
            "H = 5, T = 3, h0 = 0, sigma 0.01, central differences at 1e-4. The error is either the difference of the two",
            "gradients (absolute) or the difference divided by their size (relative). Both are compared with 1e-4. *passes*",
            "means that both errors are below it; *passes with absolute errors* means that only the absolute error is, which",
            "is easy for a tiny gradient. [The lesson](gradient-checking.md#what-the-usual-check-misses) explains why.",
            "",
            usual_table(figures["usual"]),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", choices=tuple(CASES))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--usual", action="store_true")
    options = parser.parse_args()
    if options.long:
        found = {}
        for number in range(options.first, options.first + options.count):
            found[str(number)] = CASES[options.long](number)
            if not found[str(number)]["good"]:
                print(number, found[str(number)])
        figures = read()
        figures[options.long] |= found
        figures[options.long] = dict(sorted(figures[options.long].items(), key=lambda c: int(c[0])))
        good = sum(case["good"] for case in found.values())
        print(f"{options.long}: {good} of {len(found)} as they should be")
    elif options.usual:
        figures = read()
        figures["usual"] = usual_rows()
        print(usual_table(figures["usual"]))
    else:
        times = timings()
        figures = read()
        figures["seconds"] = {
            "machine": machine(),
            "cores": processors(),
            "waiting": max(0.0, round(os.getloadavg()[0] - 1, 1)),
            "times": times,
        }
        for name, (clock, used) in times.items():
            print(f"{name:<36}{clock:6.2f} s, {used:.2f} s of the processor")
    keep(figures)
    if options.usual:
        lesson.write_and_draw(json.loads(lesson.FIGURES.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
