"""Measures how fast two training threads are beside busy processes, compared with one thread.

    python benchmarks/busy_threads.py [--busy 0 1 2] [--rounds 5] [--seconds 3] [--network 256 64 16]

The network is that of the recipe `quick` without n-grams; `--network` gives its hidden units, steps and
streams. In each round it trains for some seconds with one thread, then with two, and then in two processes at
the same time, one with one thread and one with two. All run on two processors, and beside them the busy
processes, each of which needs a whole processor.

Prints for each number of busy processes the medians of: milliseconds per update with one thread and with two,
and how many updates two threads make while one thread makes one, if they run at the same time. This last figure
hardly depends on what else the machine does. It would be 2 if no thread waited for the other.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from charloom.bench.charloom_engines import engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary
from charloom.bench.interleaved import seconds_of
from charloom.bench.workloads import CHARACTERS
from charloom.config import Config
from charloom.engines import open_engine
from charloom.model import new_learner
from charloom.recipes import configure

SPIN: Final = "while True: pass"
SECONDS_A_CALL: Final = 0.05  # about; each call of the engine starts and ends its threads
TRAIN: Final = "train"  # the first argument of the processes that train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--network",
        type=int,
        nargs=3,
        default=[256, 64, 16],
        help="hidden units, steps and streams",
    )
    options = parser.parse_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
    print(
        "| busy processes | 1 thread, ms | 2 threads, ms | updates of 2 threads per update of 1 |"
    )
    print("|---|---|---|---|")
    for busy in options.busy:
        rounds = [measure(busy, options.seconds, options.network) for _ in range(options.rounds)]
        one, two, ratio = (median(values) for values in zip(*rounds, strict=True))
        print(f"| {busy} | {one:.1f} | {two:.1f} | {ratio:.2f} |", flush=True)


def measure(busy: int, seconds: float, network: list[int]) -> tuple[float, float, float]:
    """Do one round. Return the three figures of its line."""
    with busy_processes(busy):
        (one,), (two,) = (train(seconds, network, [threads]) for threads in (1, 2))
        one_of_both, two_of_both = train(seconds, network, [1, 2])
    return 1e3 / one, 1e3 / two, two_of_both / one_of_both


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Let this number of busy processes run in a block of code."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def train(seconds: float, network: list[int], threads: list[int]) -> list[float]:
    """Train in one process for each number of threads, in all at the same time.

    Returns:
        The updates per second of each process.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, TRAIN, str(count), *map(str, network)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for count in threads
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
    end = time.time() + seconds
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{end}\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in processes]


def train_here(threads: int, network: list[int]) -> None:
    """Train until the time that is read from standard input. Print the updates per second."""
    learner = new_learner(settings(*network), bench_vocabulary(CHARACTERS))
    updates = engine_updates(open_engine("native", threads), learner, bench_text(CHARACTERS))
    updates(2)
    at_once = max(1, round(SECONDS_A_CALL / seconds_of(updates, 1)))
    print("ready", flush=True)
    end = float(sys.stdin.readline())
    start, count = time.time(), 0
    while time.time() < end:
        updates(at_once)
        count += at_once
    print(count / (time.time() - start))


def settings(hidden_size: int, seq_length: int, batch_size: int) -> Config:
    """Return the settings of `quick`, without n-grams and with these sizes."""
    return configure(
        "quick",
        hidden_size=hidden_size,
        seq_length=seq_length,
        batch_size=batch_size,
        ngram_order=0,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [TRAIN]:
        train_here(int(sys.argv[2]), [int(size) for size in sys.argv[3:]])
    else:
        main()
