"""Measures how well `charloom train --minutes` keeps to its time, alone and beside busy processes.

    python benchmarks/minutes.py [--text BOOK] [--minutes 0.5 1] [--only WORD] [-- OPTIONS OF TRAIN]

Each trial runs the whole command in a new process. Busy processes, each of which needs a whole core, run
beside it: from before the command starts, or from the middle of the minutes on, or only until the middle.
Prints for each trial the seconds that were requested and those that the command took, their ratio, the
number of updates planned at the start and done at the end, and the load average before the trial.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charloom.cpu_limits import processors

SPIN: Final = "while True: pass"


@dataclass(frozen=True)
class Trial:
    """How many busy processes run beside the command in each half of the requested time."""

    name: str
    before: int
    after: int


TRIALS: Final = (
    Trial("alone", 0, 0),
    Trial("beside 1 busy process", 1, 1),
    Trial("beside 2 busy processes", 2, 2),
    Trial("1 busy process from the middle on", 0, 1),
    Trial("2 busy processes from the middle on", 0, 2),
    Trial("2 busy processes until the middle", 2, 0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", default="python-docs")
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--only", default="", help="only trials whose names contain this word")
    parser.add_argument("options", nargs="*", help="further options of charloom train")
    options = parser.parse_args()
    print(f"{processors()} cores; options of train: {' '.join(options.options) or 'none'}\n")
    print("| trial | requested s | took s | ratio | updates planned | done | load |")
    print("|---|---|---|---|---|---|---|")
    for minutes in options.minutes:
        for trial in TRIALS:
            if options.only in trial.name:
                print(line(trial, minutes, options.text, options.options), flush=True)


def line(trial: Trial, minutes: float, text: str, options: list[str]) -> str:
    """Run a trial, and return its line of the table."""
    load, requested = os.getloadavg()[0], 60 * minutes
    seconds, output = run(trial, minutes, text, options)
    planned = re.search(r"([\d,]+) updates will take about", output)
    done = re.search(r"at update ([\d,]+) \(", output)
    return (
        f"| {trial.name} | {requested:.0f} | {seconds:.1f} | {seconds / requested:.2f} | "
        f"{planned[1] if planned else '?'} | {done[1] if done else '?'} | {load:.1f} |"
    )


def run(trial: Trial, minutes: float, text: str, options: list[str]) -> tuple[float, str]:
    """Run `charloom train` beside the busy processes of a trial.

    Returns:
        How many seconds the command took, and its output.
    """
    busy = [spin() for _ in range(trial.before)]
    with tempfile.TemporaryDirectory() as folder:
        output, began = Path(folder) / "output", time.monotonic()
        try:
            with output.open("wb") as file:
                command = train_command(text, minutes, Path(folder) / "run", options)
                training = subprocess.Popen(command, stdout=file, stderr=file)
                try:
                    training.wait(30 * minutes)
                except subprocess.TimeoutExpired:
                    adjust(busy, trial.after)
                code = training.wait()
            seconds = time.monotonic() - began
        finally:
            adjust(busy, 0)
        written = output.read_text("utf-8")
    if code:
        sys.exit(f"charloom train ended with code {code}:\n{written}")
    return seconds, written


def train_command(text: str, minutes: float, run: Path, options: list[str]) -> list[str]:
    """Return the command that trains for some minutes in a new run directory."""
    command = [sys.executable, "-m", "charloom", "train", text, "--run", str(run)]
    return [*command, "--minutes", f"{minutes:g}", *options]


def adjust(busy: "list[subprocess.Popen[bytes]]", count: int) -> None:
    """Start or end busy processes until `count` of them run."""
    while len(busy) < count:
        busy.append(spin())
    while len(busy) > count:
        process = busy.pop()
        process.kill()
        process.wait()


def spin() -> "subprocess.Popen[bytes]":
    """Start a process that needs a whole core until it is killed."""
    return subprocess.Popen([sys.executable, "-c", SPIN])


if __name__ == "__main__":
    main()
