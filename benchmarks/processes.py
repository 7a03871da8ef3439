"""Measures how much faster several processes train than one (engine torch, one thread each).

    python benchmarks/processes.py                 # LSTM 2×512 with 1 and 2 processes, under five minutes
    python benchmarks/processes.py --sizes 1 2 4 --hidden-size 256

Rounds alternate between the numbers of processes, so that a change of the machine's speed meets all of them. The result
is the median over the rounds. `charloom bench --devices` compares the same for the named workloads.
"""

import argparse
from contextlib import ExitStack
from statistics import median

from charloom.bench.interleaved import interleave
from charloom.bench.timed_processes import led_processes
from charloom.bench.workloads import Workload


def main() -> None:
    """Measure and print one line for each number of processes."""
    options = parsed()
    workload = Workload(
        "processes", "lstm", options.hidden_size, 2, options.batch_size, options.seq_length
    )
    with ExitStack() as stack:
        works = {n: stack.enter_context(led_processes(workload, n)) for n in options.sizes}
        show(interleave(works, options.rounds, options.seconds), workload)


def show(times: dict[int, list[float]], workload: Workload) -> None:
    """Print the speeds and their ratios; `times` has the seconds of a step in each round."""
    print(f"{workload.title}, one thread each")
    first, characters = next(iter(times)), workload.batch_size * workload.seq_length
    for size, seconds in times.items():
        ratios = [other / own for own, other in zip(seconds, times[first], strict=True)]
        print(
            f"{size} processes: {characters / median(seconds):,.0f} characters per second "
            f"({characters / max(seconds):,.0f} to {characters / min(seconds):,.0f}), "
            f"{median(ratios):.2f} × that of {first}"
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
