"""Measures how much faster several processes train than one (engine torch, one thread each).

    python benchmarks/processes.py                 # LSTM 2×512 with 1 and 2 processes, under five minutes
    python benchmarks/processes.py --sizes 1 2 4 --hidden-size 256

Rounds alternate between the numbers of processes, so that a change of the machine's speed meets all of them. In
each round, each of them trains for some seconds after two updates that do not count. The result is the median over
the rounds. Each number of processes has its own leading process, because the others follow only one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np

K = 65  # as in Tiny Shakespeare


def main() -> None:
    """Measure and print one line for each number of processes."""
    options = parsed()
    if options.lead is not None:
        lead(options)
        return
    rates: dict[int, list[float]] = {size: [] for size in options.sizes}
    leaders = {size: started(size) for size in options.sizes}
    for leader in leaders.values():
        answer(leader)  # it is ready
    for number in range(options.rounds):
        for size, leader in leaders.items():
            ask(leader)
            rates[size].append(answer(leader))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    for leader in leaders.values():
        leader.communicate()
    show(rates, options)


def show(rates: dict[int, list[float]], options: argparse.Namespace) -> None:
    """Print the speeds and their ratios."""
    first = options.sizes[0]
    print(
        f"LSTM 2×{options.hidden_size}, B {options.batch_size}, T {options.seq_length}, K {K}, one thread each"
    )
    for size, found in rates.items():
        ratios = [rate / other for rate, other in zip(found, rates[first], strict=True)]
        print(
            f"{size} processes: {statistics.median(found):,.0f} characters per second "
            f"({min(found):,.0f} to {max(found):,.0f}), {statistics.median(ratios):.2f} × that of {first}"
        )


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seq-length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each measurement")
    parser.add_argument("--lead", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def started(size: int) -> "subprocess.Popen[str]":
    """Start a process that leads `size` processes and measures when it is asked."""
    words = [sys.executable, __file__, *sys.argv[1:], "--lead", str(size)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(leader: "subprocess.Popen[str]") -> None:
    """Ask for a measurement."""
    assert leader.stdin is not None
    leader.stdin.write("go\n")
    leader.stdin.flush()


def answer(leader: "subprocess.Popen[str]") -> float:
    """Wait for a number."""
    assert leader.stdout is not None
    return float(json.loads(leader.stdout.readline()))


def lead(options: argparse.Namespace) -> None:
    """Train when a line comes on the standard input, and print the characters per second."""
    from charloom.config import Config
    from charloom.engines import Plan, open_engine
    from charloom.engines.torch.training_processes import leading_new
    from charloom.model import new_learner
    from charloom.text import Vocabulary

    T, B = options.seq_length, options.batch_size
    config = Config(
        cell="lstm", layers=2, hidden_size=options.hidden_size, seq_length=T, batch_size=B,
        optimizer="adam", clip=1.0, clip_by="norm",
    )  # fmt: skip
    ids = np.random.default_rng(0).integers(0, K, 2_000_000).astype(np.uint8)
    starts = np.arange(B, dtype=np.int64) * (len(ids) // B)
    size = options.lead
    with leading_new(size, print) if size > 1 else nullcontext():
        learner = new_learner(config, Vocabulary("".join(map(chr, range(100, 100 + K)))))
        engine = open_engine("torch", 1, "cpu")

        def train(updates: int) -> None:
            learner.position %= len(ids) // B // 2
            engine.train(learner, ids, Plan(np.full(updates, 1e-4), starts))

        train(2)
        print(json.dumps(0), flush=True)
        for _ in sys.stdin:
            train(2)
            print(json.dumps(measured(train, options.seconds, T * B)), flush=True)


def measured(train, seconds: float, characters: int) -> float:
    """Return the characters per second of training for some seconds; an update has `characters`."""
    began, updates = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        train(1)
        updates += 1
    return characters * updates / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
