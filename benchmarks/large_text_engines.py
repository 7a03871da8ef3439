"""Measures the memory of training and resuming on a large text, for the engines native and torch, and for two processes.

python benchmarks/large_text_engines.py [--gigabytes 10] [--updates 20] [--folder DIR]

It needs twice the size of the text on the disk: the text and its ids. For each process of a command it prints the
peak of its anonymous memory (RssAnon in /proc, so only on Linux), and how much it read from files. The first command
also encodes the text. The networks are those of the recipe quick, without n-grams.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from large_text import LIMIT, MEGABYTE, anonymous_megabytes, make_text

LOOK_SECONDS = 0.05
PIECE = 20 * MEGABYTE
ENGINES = {
    "native": ["--engine", "native"],
    "torch": ["--engine", "torch"],
    "torch, 2 processes": ["--engine", "torch", "--processes", "2"],
}


@dataclass
class Use:
    """What a process used: the peak of its anonymous memory, and what it read from files, in megabytes."""

    memory: float = 0.0
    read: float = 0.0


def make_large_text(path: Path, source: str, size: int) -> None:
    """Create a UTF-8 file of about this many bytes: a changed text of at most 20 MB, each time with another first line."""
    make_text(path, source, min(size, PIECE))
    lines = path.read_bytes().splitlines(keepends=True)
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        while file.tell() < size:
            first = random.integers(len(lines))
            file.writelines(lines[first:] + lines[:first])


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def look(pid: int, use: Use) -> None:
    """Add what a process uses now."""
    use.memory = max(use.memory, anonymous_megabytes(pid))
    read = Path(f"/proc/{pid}/io").read_text().split()
    use.read = int(read[read.index("rchar:") + 1]) / MEGABYTE


def command(words: list[str], folder: Path) -> tuple[dict, float, dict[int, Use]]:
    """Run a command; return its result, its seconds and what each of its processes used, the first one first."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "charloom", *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CHARLOOM_CACHE": str(folder / "cache")},
    )
    uses = {process.pid: Use()}
    while process.poll() is None:
        for pid in [process.pid, *quietly(children, process.pid, default=[])]:
            quietly(look, pid, uses.setdefault(pid, Use()))
        time.sleep(LOOK_SECONDS)
    assert process.stdout is not None
    if process.returncode:
        raise SystemExit(f"charloom {' '.join(words)} failed with exit code {process.returncode}")
    return json.loads(process.stdout.read()), time.perf_counter() - started, uses


def quietly(function, *arguments, default=None):
    """Call a function; return the default if a process that it reads has just ended."""
    try:
        return function(*arguments)
    except (OSError, ValueError):
        return default


def show(name: str, done: dict, seconds: float, uses: dict[int, Use]) -> float:
    """Print what a command did and used; return its largest peak in megabytes."""
    processes = "; ".join(
        f"process {n}: peak {use.memory:,.0f} MB, read {use.read:,.0f} MB"
        for n, use in enumerate(uses.values())
    )
    load = os.getloadavg()[0]
    print(f"{name}: {done['updates']} updates, {seconds:.1f} s, load {load:.1f}; {processes}", flush=True)  # fmt: skip
    return max(use.memory for use in uses.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--source", default="python-docs")
    parser.add_argument("--folder", type=Path, help="where the files are made and deleted")
    options = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        text = folder / "large.txt"
        make_large_text(text, options.source, int(options.gigabytes * 1000 * MEGABYTE))
        os.utime(text, ns=(10**18, 10**18))  # no file that might still be written
        print(f"text: {text.stat().st_size / MEGABYTE:,.0f} MB", flush=True)
        for number, (engine, words) in enumerate(ENGINES.items()):
            run = str(folder / f"run{number}")
            updates = ["--updates", str(options.updates)]
            train = ["train", str(text), "--run", run, "--ngram-order", "0", *updates, *words]
            peaks.append(show(f"train, {engine}", *command(train, folder)))
            more = ["resume", run, "--updates", str(2 * options.updates), *words]
            peaks.append(show(f"resume, {engine}", *command(more, folder)))
    kept = max(peaks) <= LIMIT
    print(f"largest peak {max(peaks):,.0f} MB: {'within' if kept else 'beyond'} {LIMIT} MB")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
