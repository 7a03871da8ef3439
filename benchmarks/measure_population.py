"""Measures the doctor on a population of submissions that was written without knowledge of the doctor.

    python benchmarks/measure_population.py              # every submission, on all cores
    python benchmarks/measure_population.py --again      # the cases of docs/doctor_population.json, scored again
    python benchmarks/measure_population.py --population third
    python benchmarks/measure_population.py --population third --correct 2000

Each submission is a file, which `charloom doctor FILE` judges without options, as a user would. The results are stored
in docs/doctor_population.json (those of the third population in docs/doctor_population_third.json), and docs/DOCTOR.md
has their table. With `--correct`, only correct submissions are measured, each several times with other random numbers,
and nothing is stored. How a result is scored:

- A correct submission is a false alarm if the verdict is "wrong".
- A wrong submission is *named* if the verdict is "wrong" and the mistakes predict every number of every trial; or, if its
  gradient is that of its own loss, if the verdict is "right for its own network" and the differences are known.
- It is *located* if the verdict is "wrong" and a place has the gates and the steps that the population states, and the
  wrong gradients are those that it states.
- It is *not accepted* if the doctor cannot call it.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from charloom.cpu_limits import processors  # noqa: E402
from charloom.diagnosis import doctor  # noqa: E402
from charloom.diagnosis.loss_and_gradients import gradient_of  # noqa: E402
from charloom.errors import DoctorError  # noqa: E402

FILES = {"second": "doctor_population.json", "third": "doctor_population_third.json"}  # in docs
T = 5  # number of steps of the trial in which places are found
STEPS = {
    "all": range(1, T + 1),
    "first": (1,),
    "last": (T,),
    "all but the last": range(1, T),
    "all but the first": range(2, T + 1),
    "all but the last two": range(1, T - 1),
    "first half": range(1, T // 2 + 1),
}
OWN = "right for its own network"
KNOWN = ("U", "W", "b", "d", "V", "c")


def judged(submission: Any, seed: int = 0) -> dict[str, Any]:
    """Return what the doctor says about a submission, as plain data, with the truth about it.

    seed: of the random numbers with which the doctor tries the submission.
    """
    truth = submission.truth
    case: dict[str, Any] = {
        "form": submission.form,
        "cell": truth.cell,
        "wrong": truth.wrong,
        "consistent": truth.consistent,
        "batch": truth.only_in_batch or truth.only_second_call,
        "block": list(truth.block),
        "made_in": truth.made_in if isinstance(truth.made_in, str) else list(truth.made_in),
        "steps": truth.steps,
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.py"
        path.write_text(submission.source, encoding="utf-8")
        try:
            found = doctor(str(path), seed=seed)
        except DoctorError as error:
            return {**case, "verdict": "error", "error": error.message[:300]}
    location = found.location
    return {
        **case,
        "verdict": found.verdict,
        "exact": found.exact,
        "mistakes": list(found.mistakes),
        "differences": list(found.differences),
        "known": found.network_known,
        "gradients": sorted({block.parameter for block in location.wrong}),
        "places": [[place.kind, list(place.gates), list(place.steps)] for place in location.places],
        "seconds": round(time.perf_counter() - started, 2),
    }


def is_named(case: dict[str, Any]) -> bool:
    """Return True if the doctor names what is wrong with a wrong submission."""
    if case["verdict"] == "error":
        return False
    if case["consistent"]:
        return case["verdict"] == OWN and case["known"] and bool(case["differences"])
    return case["verdict"] == "wrong" and case["exact"] and bool(case["mistakes"])


def is_located(case: dict[str, Any]) -> bool:
    """Return True if the doctor says where a wrong submission is wrong, as the population states it."""
    if case["verdict"] != "wrong" or case["consistent"]:
        return False
    stated = {gradient_of(name, KNOWN, {}) for name in case["block"]}
    if None not in stated and stated != set(case["gradients"]):
        return False
    return any(fits(place, case) for place in case["places"])


def fits(place: list[Any], case: dict[str, Any]) -> bool:
    """Return True if a place has the gates and the steps that the population states."""
    _, gates, steps = place
    made_in = case["made_in"]
    if made_in and made_in != "all" and set(gates) != set(made_in):
        return False
    return not steps or tuple(steps) == tuple(STEPS[case["steps"]])


def score(cases: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return the number of cases of each kind."""
    cases = list(cases)
    wrong = [case for case in cases if case["wrong"]]
    right = [case for case in cases if not case["wrong"]]
    return {
        "wrong": len(wrong),
        "named": sum(map(is_named, wrong)),
        "named or located": sum(is_named(case) or is_located(case) for case in wrong),
        "seen": sum(case["verdict"] == (OWN if case["consistent"] else "wrong") for case in wrong),
        "not accepted": sum(case["verdict"] == "error" for case in cases),
        "correct": len(right),
        "false alarms": sum(case["verdict"] == "wrong" for case in right),
    }


def table(cases: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table with a row for each form."""
    lines = [
        "| form | wrong | named | named or located | seen | not accepted | correct | false alarms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    forms = sorted({case["form"] for case in cases.values()})
    groups: list[tuple[Any, list[dict[str, Any]]]] = [
        (form, [case for case in cases.values() if case["form"] == form]) for form in forms
    ]
    for name, group in [*groups, ("all", list(cases.values()))]:
        found = score(group)
        lines.append(
            f"| {name} | {found['wrong']} | {found['named']} | {found['named or located']} | {found['seen']} | "
            f"{found['not accepted']} | {found['correct']} | {found['false alarms']} |"
        )
    return lines


def seconds_text(cases: dict[str, dict[str, Any]]) -> str:
    """Return a sentence with the seconds of a diagnosis."""
    seconds = sorted(case["seconds"] for case in cases.values() if "seconds" in case)
    return f"A diagnosis took {seconds[len(seconds) // 2]} s (median) and at most {seconds[-1]} s, with one on each core."


def measured(population: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the cases of all submissions, by their ids."""
    with ThreadPoolExecutor(processors()) as pool:
        results = pool.map(judged, population)
        return {one.id: case for one, case in zip(population, results, strict=True)}


def repeated(population: list[Any], number: int) -> Iterator[tuple[Any, int]]:
    """Yield `number` correct submissions with seeds: all of them with seed 0, then all with 1, and so on."""
    correct = [submission for submission in population if not submission.truth.wrong]
    for index in range(number):
        seed, place = divmod(index, len(correct))
        yield correct[place], seed


def correct_cases(population: list[Any], number: int) -> dict[str, dict[str, Any]]:
    """Measure correct submissions and show the progress; after Ctrl-C, return those that are done."""
    cases: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(processors()) as pool:
        names = {
            pool.submit(judged, one, seed): f"{one.id}, seed {seed}"
            for one, seed in repeated(population, number)
        }
        try:
            for future in as_completed(names):
                cases[names[future]] = future.result()
                if len(cases) % 20 == 0 or len(cases) == number:
                    alarms = score(cases.values())["false alarms"]
                    print(f"{len(cases)} of {number}, {alarms} false alarms", file=sys.stderr)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            print(f"interrupted after {len(cases)} of {number}", file=sys.stderr)
    return cases


def alarms_text(cases: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each correct submission that the doctor calls wrong or does not accept."""
    return [
        f"{name}: {case['verdict']}: {case.get('error') or ', '.join(case['mistakes'])}"
        for name, case in sorted(cases.items())
        if case["verdict"] in ("wrong", "error")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--population", choices=FILES, default="second")
    parser.add_argument("--again", action="store_true", help="score the stored cases again")
    parser.add_argument(
        "--correct", type=int, metavar="N", help="measure N correct submissions, with several seeds"
    )
    options = parser.parse_args()
    figures = ROOT / "docs" / FILES[options.population]
    submissions = import_module(
        f"benchmarks.doctor_population.{options.population}.load"
    ).submissions
    if options.correct:
        cases = correct_cases(list(submissions()), options.correct)
        print("\n".join(alarms_text(cases)))
    elif options.again:
        cases = json.loads(figures.read_text(encoding="utf-8"))
    else:
        cases = measured(list(submissions()))
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items()
        )
        figures.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print("\n".join(table(cases)))
    print(seconds_text(cases))


if __name__ == "__main__":
    main()
