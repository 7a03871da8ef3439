"""Measures how much of the time of `charloom reproduce` is spent on the updates.

    python benchmarks/whole.py BOOK [--rounds 3]

Runs the command: gradient checks, ten epochs, samples, checkpoints and report. Before and after each run it
times the same updates without the rest. Prints the seconds and their ratio, which should be below 1.5.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from charloom.bench.charloom_engines import engine_updates
from charloom.bench.interleaved import seconds_of
from charloom.engines import open_engine
from charloom.model import new_learner
from charloom.model.schedule import Schedule
from charloom.recipes import configure
from charloom.text import Corpus

UPDATES = 20_000


def seconds_per_update(corpus: Corpus) -> float:
    """Return the seconds per update when only the engine runs, on the windows of the book."""
    config = configure("classic")
    learner = new_learner(config, corpus.vocabulary)
    return seconds_of(engine_updates(open_engine(), learner, corpus.ids), UPDATES) / UPDATES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    corpus = Corpus.open([options.book])
    updates = Schedule.of(configure("classic"), len(corpus)).updates
    ratios = []
    for _ in range(options.rounds):
        bare = [seconds_per_update(corpus)]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "charloom", "reproduce", options.book]
            start = time.perf_counter()
            subprocess.run([*command, "--run", f"{folder}/run"], check=True, capture_output=True)
            whole = time.perf_counter() - start
        bare.append(seconds_per_update(corpus))
        alone = updates * statistics.mean(bare)
        ratios.append(whole / alone)
        print(
            f"whole {whole:.1f} s; {updates:,} updates alone {alone:.1f} s; ratio {ratios[-1]:.2f}"
        )
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
