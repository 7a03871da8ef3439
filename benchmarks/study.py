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
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import charloom
from charloom.cpu_limits import ONE_THREAD, processors
from charloom.model.memory_limit import available_memory
from charloom.studies import open_study
from charloom.studies.one_run import train_in_memory_only
from charloom.studies.run_trainer import RunTrainer
from charloom.studies.summary import summarize

SETTINGS = {"hidden_size": 16, "updates": 200}
# What studies promise, and for how many runs.
MANY_RUNS = 10_000
LEAST_SHARE = 0.95  # of the rate of single runs on all cores
MOST_BOOKKEEPING = 0.01  # of the processors' time
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


def throughput(spec: Path, directory: Path, workers: int) -> dict[str, Any]:
    """Return the rate of a study, of single runs, and of listing and reading the study.

    The single runs are trained one after another in one process, before and after the study.
    """
    rates = [single_rate(spec, directory.with_name("single"), workers)]
    began = time.perf_counter()
    charloom.study(spec, directory, workers=workers)
    seconds = time.perf_counter() - began
    rates.append(single_rate(spec, directory.with_name("single"), workers))
    study = open_study(directory)
    busy = sum(result.seconds for result in study.results().values())
    began = time.perf_counter()
    summarize(open_study(directory))
    listing = time.perf_counter() - began
    single = statistics.mean(rates)
    rate = len(study.plan) / seconds
    return {
        "runs": len(study.plan),
        "seconds": round(seconds, 2),
        "runs_per_second": round(rate, 1),
        "single_runs_per_second": [round(one, 1) for one in rates],
        "workers": workers,
        "share_of_all_cores": round(rate / (workers * single), 4),
        "bookkeeping": round(1 - busy / (seconds * workers), 4),
        "table_seconds": round(listing, 2),
        "load": round(os.getloadavg()[0], 1),
    }


def single_rate(spec: Path, directory: Path, workers: int, seconds: float = 5.0) -> float:
    """Return how many runs per second one process trains, while the other cores do the same work.

    The cores share their cache and their clock rate, so a run alone on the machine is faster than one of
    several; this measures what a core can do beside the others.
    """
    code = (
        "import sys, time; from pathlib import Path; from benchmarks.study import single_loop; "
        f"print(single_loop(Path({str(spec)!r}), Path(sys.argv[1]), {seconds}))"
    )
    root = Path(__file__).parent.parent
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"{directory}-{n}"],
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), **ONE_THREAD},
        )
        for n in range(workers)
    ]
    return statistics.mean(float(process.communicate()[0]) for process in started)


def single_loop(spec: Path, directory: Path, seconds: float) -> float:
    """Train runs of a study one after another for some seconds; return the runs per second."""
    from charloom.studies import begin_study

    study = begin_study(spec, directory)
    trainer = RunTrainer(study.files, study.header)
    corpus, memory = trainer.corpus(0), available_memory()
    configs = [run.config(study.header.recipe) for run in study.plan[:200]]
    train_in_memory_only("warm", configs[0], corpus, lambda: None, memory=memory)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        config = configs[done % len(configs)]
        train_in_memory_only("", config, corpus, lambda: None, memory=memory)
        done += 1
    rate = done / (time.perf_counter() - began)
    shutil.rmtree(directory)
    return rate


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
