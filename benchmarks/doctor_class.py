"""Measures how long the doctor needs for a class of 60 submissions, and checks each verdict.

    python benchmarks/doctor_class.py             # 60 submissions, on all cores
    python benchmarks/doctor_class.py --jobs 1

The submissions are right, wrong, broken and hostile (tests/class_submissions.py). They are written to a
temporary folder and judged by one command, which also writes the CSV table, the pages and results.json. The
program ends with exit code 1 if a verdict is not the expected one, a file is missing, a process is left, or
a submission changed a file outside of its sandbox.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from charloom.bench.machine_info import machine  # noqa: E402
from charloom.cpu_limits import processors  # noqa: E402
from class_submissions import (  # noqa: E402
    FUNCTION,
    MARK,
    Handed,
    differences,
    hand_in,
    processes_with,
    sixty,
)

GOAL = 180.0  # seconds on two cores


def main() -> None:
    """Make the class, judge it, and print the seconds and what is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, help="how many submissions are judged at the same time")
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the submissions and the results"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wrong = judged(given.keep or Path(name), given.jobs)
    for sentence in wrong:
        print(sentence)
    sys.exit(bool(wrong))


def judged(place: Path, jobs: int | None) -> list[str]:
    """Judge the class in `place`, print the seconds, and return a sentence for each wrong thing."""
    folder, outside = place / "handins", place / "home"
    for path in (folder, outside):
        path.mkdir(parents=True, exist_ok=True)
    submissions = sixty(folder, outside)
    hand_in(folder, submissions)
    before = contents(folder), contents(outside)
    command = [
        sys.executable, "-m", "charloom", "doctor", str(folder), "--function", FUNCTION, "--json",
        "--csv", str(place / "class.csv"), "--html", str(place / "pages"),
        "--gradescope", str(place / "results.json"), *(["--jobs", str(jobs)] if jobs else []),
    ]  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=False, env={**os.environ, "HOME": str(outside)}
    )
    seconds = time.perf_counter() - started
    result = json.loads(done.stdout)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(
        f"{len(submissions)} submissions in {seconds:.0f} s (goal: {GOAL:.0f} s on two cores), on {machine()} with "
        f"{processors()} cores and a load of {load:.1f}: {result['counts']}, separated by {result['separation']}"
    )
    wrong = differences(submissions, result["submissions"])
    wrong += wrong_files(place, submissions)
    if (contents(folder), contents(outside)) != before:
        wrong.append("a submission changed a file outside of its sandbox")
    if left := processes_with(MARK):
        wrong.append(f"processes are left: {left}")
    if done.returncode != 1:
        wrong.append(f"the exit code is {done.returncode}, not 1")
    return wrong


def wrong_files(place: Path, submissions: list[Handed]) -> list[str]:
    """Return a sentence for each file that does not have all submissions."""
    found = []
    with (place / "class.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != len(submissions):
        found.append(f"the CSV table has {len(rows)} rows")
    pages = list((place / "pages").glob("*.html"))
    if len(pages) != len(submissions) + 1:
        found.append(f"there are {len(pages)} pages")
    tests = json.loads((place / "results.json").read_text(encoding="utf-8"))["tests"]
    if len(tests) != len(submissions):
        found.append(f"results.json has {len(tests)} tests")
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file in `folder` and below, by its path, without matplotlib's caches."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if "matplotlib" not in path.parts
    }


if __name__ == "__main__":
    main()
