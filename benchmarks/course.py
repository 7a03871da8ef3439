"""Measures the optional tasks of the course, and writes the table of docs/guides/course.md.

    python benchmarks/course.py [--seeds 0 1 2] [--only random lstm] [--table]

Each task is one command, `charloom train TEXT` with the options of `BASE` and those of the task. The script runs
each command with each seed in a new process, one after another. A run is a row of docs/course.json; a
repetition replaces its row. The table has the median over the seeds of the lowest validation loss in bits per
character with the range of the seeds, the number of updates, and the seconds of the fastest run. Only the seconds
depend on what else runs on the machine. `--table` only makes the table from the rows.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.bench.machine_info import machine

DOCS: Final = Path(__file__).parent.parent / "docs"
ROWS, GUIDE = DOCS / "course.json", DOCS / "guides" / "course.md"
BEGIN: Final = "<!-- Made by benchmarks/course.py: begin -->"
END: Final = "<!-- Made by benchmarks/course.py: end -->"
TEXT: Final = "kjv-nt"
BASE: Final = "--recipe classic --epochs 5 --validation 0.1"

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A task of the course.

    Attributes:
        key: the name with which `--only` selects it.
        title: what the table calls it.
        options: the options of its command, without those of `BASE`.
    """

    key: str
    title: str
    options: str


TASKS: Final = (
    Task("sequence", "the text in sequence", ""),
    Task("chunks-10", "10 chunks in random order", "--order chunks"),
    Task("chunks-100", "100 chunks in random order", "--order chunks --chunks 100"),
    Task("random", "windows at random positions", "--order random"),
    Task("batch", "batches of 16 windows", "--batch-size 16"),
    Task("adam", "Adam", "--optimizer adam --learning-rate 0.001"),
    Task("rmsprop", "RMSprop", "--optimizer rmsprop --learning-rate 0.001"),
    Task("sgd", "SGD with momentum", "--optimizer sgd --learning-rate 0.0003"),
    Task("layers", "two layers, with Adam", "--layers 2 --optimizer adam --learning-rate 0.001"),
    Task("lstm", "LSTM", "--cell lstm"),
    Task("gru", "GRU", "--cell gru"),
    Task(
        "step",
        "the rate halved every 50,000 updates",
        "--schedule step --step-factor 0.5 --step-after-updates 50000 --step-every-updates 50000",
    ),
    Task("cosine", "cosine after half an epoch's warm-up", "--schedule cosine --warmup-epochs 0.5"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=[task.key for task in TASKS])
    parser.add_argument("--table", action="store_true", help="only make the table")
    options = parser.parse_args()
    if unknown := set(options.only) - {task.key for task in TASKS}:
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such task; see TASKS in this file.")
    if not options.table:
        for task in TASKS:
            for seed in options.seeds if task.key in options.only else ():
                keep(measured(task, seed))
    GUIDE.write_text(with_table(GUIDE.read_text(encoding="utf-8"), rows()), encoding="utf-8")


def measured(task: Task, seed: int) -> Row:
    """Run the command of a task with a seed; return its results as a row."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        words = [TEXT, *BASE.split(), *task.options.split(), "--seed", str(seed)]
        command = [
            sys.executable,
            "-m",
            "charloom",
            "train",
            *words,
            "--run",
            f"{folder}/run",
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"charloom train {' '.join(words)} failed:\n{done.stderr}")
    result = json.loads(done.stdout)
    row = {
        "task": task.key,
        "options": task.options,
        "seed": seed,
        "bits": round(result["best_validation_bits"], 4),
        "updates": result["update"],
        "seconds": result["seconds"],
        "load": round(load, 1),
        "machine": f"{machine()}, {result['engine']}",
    }
    print(json.dumps(row))
    return row


def rows() -> list[Row]:
    """Return all rows that were measured."""
    return json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []


def keep(row: Row) -> None:
    """Store a row in the place of that of the same task and seed."""
    kept = {(one["task"], one["seed"]): one for one in [*rows(), row]}
    ordered = sorted(kept.values(), key=lambda one: (place(one["task"]), one["seed"]))
    lines = ",\n".join(json.dumps(one) for one in ordered)
    ROWS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def place(key: str) -> int:
    """Return the place of a task in the table."""
    return [task.key for task in TASKS].index(key)


def with_table(guide: str, measurements: Sequence[Row]) -> str:
    """Return the guide with the table of these measurements between its marks."""
    before, rest = guide.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table(measurements)}\n{END}{after}"


def table(measurements: Sequence[Row]) -> str:
    """Return the table of the tasks in Markdown, with a sentence about the machine."""
    lines = [
        "| task | options | validation loss, bits per character | seeds | updates | seconds |",
        "|---|---|---|---|---|---|",
    ]
    own = {task: [row for row in measurements if row["task"] == task.key] for task in TASKS}
    lines += [table_line(task, found) for task, found in own.items() if found]
    if not measurements:
        return "\n".join(lines)
    machines = sorted({row["machine"] for row in measurements})
    loads = [row["load"] for row in measurements]
    return "\n".join(lines) + (
        f"\n\nA loss is the median over the seeds of the lowest validation loss, with the lowest and the highest of the "
        f"seeds in brackets. The seconds are those of the fastest training run, with one thread "
        f"({'; '.join(machines)}). Other programs ran (load average {min(loads):g} to {max(loads):g} on two cores), so the "
        f"seconds may be too high by half."
    )


def table_line(task: Task, own: Sequence[Row]) -> str:
    """Return the line of a task with its measurements."""
    bits = [row["bits"] for row in own]
    middle, seconds = statistics.median(bits), min(row["seconds"] for row in own)
    options = f"`{task.options}`" if task.options else "–"
    return (
        f"| {task.title} | {options} | {middle:.3f} ({min(bits):.3f} – {max(bits):.3f}) | {len(own)} | "
        f"{own[0]['updates']:,} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
