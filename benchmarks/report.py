"""Measures the time and the memory of the report of a long run with generated records.

    python benchmarks/report.py --records 1000000

A separate process makes the report, and its figures are printed. The plots alone take about 0.1 GB and two
seconds. Generating the records takes about as long as reading them.
"""

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import charloom
from charloom.training import Record

TEXT: Final = "the cat sat on the mat; " * 40
EVERY, PER_EPOCH, T = 100, 44_300, 25  # updates between records, updates of an epoch, steps
BLOCK: Final = 10_000  # lines that are written at once
MEGABYTE: Final = 1e6


class Figures(NamedTuple):
    """The cost of a report: elapsed seconds, processor seconds, and peak memory in bytes."""

    seconds: float
    cpu: float
    peak: int


def main() -> None:
    """Generate the run, make its report, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument(
        "--keep", type=Path, help="directory for the generated run; an existing run is used again"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.keep or Path(folder) / "run"
        if not run.exists():
            make_run(run, given.records)
        size = (run / "metrics.jsonl").stat().st_size
        figures = report(run)
    print(
        f"{size / MEGABYTE:,.0f} MB of records: {figures.seconds:.1f} s, of which {figures.cpu:.1f} s "
        f"on a processor; peak {figures.peak / MEGABYTE:,.0f} MB"
    )


def make_run(run: Path, records: int) -> None:
    """Create a run directory with `records` generated records."""
    charloom.train(string=TEXT, run=run, recipe="classic", hidden_size=8, updates=1)
    with (run / "metrics.jsonl").open("wb") as file:
        for start in range(1, records + 1, BLOCK):
            numbers = range(start, min(start + BLOCK, records + 1))
            file.write(b"".join(record(EVERY * n).to_line() + b"\n" for n in numbers))


def record(update: int) -> Record:
    """Return a record like those of training, with a falling, oscillating loss."""
    loss = 40 + 60 * math.exp(-update / 1e6) + math.sin(update)
    return Record(
        update=update,
        epoch=update / PER_EPOCH,
        characters=T * update,
        seconds=update / 25_000,
        loss=loss,
        smooth_loss=loss,
        train_nats=loss / T,
        learning_rate=0.1,
        gradient_norm=3.0,
        characters_per_second=625_000.0,
    )


def report(run: Path) -> Figures:
    """Make the report in a separate process, and return its cost."""
    began = time.monotonic()
    command = [sys.executable, "-m", "charloom", "report", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024  # of the peak, in bytes
    return Figures(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


if __name__ == "__main__":
    main()
