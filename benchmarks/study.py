"""Measures studies: throughput against single runs, 50 kills at random moments, and equality with runs alone.

    python benchmarks/study.py throughput TEXT            # 10,000 runs of RNN 1x16 with 200 updates
    python benchmarks/study.py kills TEXT                 # the same study, killed 50 times and continued
    python benchmarks/study.py alone TEXT                 # 50 runs drawn by seed, trained again alone
    python benchmarks/study.py all TEXT --runs 10000      # all three, on one study

Prints one line of JSON for each measurement. The studies are made in a temporary folder. The exit code is 1 if a promise
is broken; those about speed are for 10,000 runs or more on an idle machine.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import charloom
from benchmarks.study_throughput import throughput
from charloom.cpu_limits import processors
from charloom.studies import open_study

SETTINGS = {"hidden_size": 16, "updates": 200}
# What studies promise, and for how many runs.
MANY_RUNS = 10_000
LEAST_SHARE = 0.95  # of the rate of single runs on all cores
MOST_BOOKKEEPING = 0.01  # of the processors' time, without the start of the processes
MOST_TABLE_SECONDS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("throughput", "kills", "alone", "all"))
    parser.add_argument("text")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--drawn", type=int, default=50)
    parser.add_argument("--workers", type=int, default=processors())
    given = parser.parse_args()
    broken = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        spec = write_spec(place, given.text, given.runs)
        if given.what in ("throughput", "all"):
            broken += report("throughput", throughput(spec, place / "whole", given.workers))
        if given.what in ("kills", "all"):
            broken += report("kills", kills(spec, place / "killed", given.workers, given.kills))
        if given.what == "alone":
            charloom.study(spec, place / "whole", workers=given.workers)
        if given.what in ("alone", "all"):
            broken += report("alone", alone(place / "whole", given.drawn))
    sys.exit(1 if broken else 0)


def write_spec(folder: Path, text: str, runs: int) -> Path:
    """Write the specification of a study with `runs` runs, and return its path."""
    lines = [f"text = {json.dumps(str(Path(text).resolve()))}", f"seeds = {runs}", "[settings]"]
    path = folder / "small.toml"
    path.write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in SETTINGS.items())]) + "\n")
    return path


def kills(spec: Path, directory: Path, workers: int, times: int) -> dict[str, Any]:
    """Kill a study at random moments and continue it; return the numbers of lost and of repeated runs.

    A kill comes up to a second after the study has started, or up to two seconds after its first new results.
    """
    draw = random.Random(0)
    command = [sys.executable, "-m", "charloom", "study", str(spec), "--out", str(directory)]
    killed = killed_while_training = 0
    while killed < times:
        before = result_count(directory)
        with subprocess.Popen(
            [*command, "--workers", str(workers)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            early = draw.random() < 0.2
            while not early and process.poll() is None and result_count(directory) == before:
                time.sleep(0.05)
            time.sleep(draw.uniform(0, 1 if early else 2))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
                killed_while_training += not early
        if process.returncode == 0:
            break
    charloom.study(spec, directory, workers=workers)
    study = open_study(directory)
    lines = [result.key for result in study.files.each_result()]
    planned = {run.key for run in study.plan}
    return {
        "runs": len(planned),
        "kills": killed,
        "kills_while_training": killed_while_training,
        "lost": len(planned - set(lines)),
        "trained_twice": len(lines) - len(set(lines)),
        "journals": len(study.files.journals()),
    }


def result_count(directory: Path) -> int:
    """Return the number of lines in the journals of a study; 0 if it does not exist."""
    return sum(path.read_bytes().count(b"\n") for path in (directory / "results").glob("*.jsonl"))


def alone(directory: Path, drawn: int) -> dict[str, Any]:
    """Train runs of a study again with `charloom.train`; return how many have the same curve, bit for bit."""
    study = open_study(directory)
    results = study.results()
    equal = 0
    chosen = random.Random(1).sample(study.plan, min(drawn, len(study.plan)))
    for run in chosen:
        records: dict[str, list[Any]] = {"update": [], "train_nats": []}

        def take(event: Any, records: dict[str, list[Any]] = records) -> None:
            if hasattr(event, "train_nats"):
                for name, values in records.items():
                    values.append(getattr(event, name))

        charloom.train(
            list(study.header.texts[run.text].paths),
            recipe=study.header.recipe,
            **run.settings,
            threads=1,
            listener=take,
        )
        curve = results[run.key].curve
        equal += curve is not None and all(curve[name] == records[name] for name in records)
    return {"drawn": len(chosen), "equal": equal}


def report(name: str, figures: dict[str, Any]) -> list[str]:
    """Print figures as a line of JSON with the promises that they break, and return these."""
    broken = broken_promises(figures)
    print(json.dumps({"measured": name, **figures, "broken": broken}), flush=True)
    return broken


def broken_promises(figures: dict[str, Any]) -> list[str]:
    """Return the names of figures that are worse than promised. Those of speed count for a study of many runs."""
    promises: dict[str, bool] = {}
    for name in ("lost", "trained_twice"):
        if name in figures:
            promises[name] = figures[name] == 0
    if "equal" in figures:
        promises["equal"] = figures["equal"] == figures["drawn"] > 0
    if figures.get("runs", 0) >= MANY_RUNS and "table_seconds" in figures:
        promises["share_of_all_cores"] = figures["share_of_all_cores"] >= LEAST_SHARE
        promises["bookkeeping"] = figures["bookkeeping"] < MOST_BOOKKEEPING
        promises["table_seconds"] = figures["table_seconds"] < MOST_TABLE_SECONDS
    return [name for name, kept in promises.items() if not kept]


if __name__ == "__main__":
    main()
