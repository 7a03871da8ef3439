"""Measures what a loop of one's own costs: one update per call, beside many updates per call.

python benchmarks/research_loop.py [--rounds 201]

The network is trained on a built-in text, on one thread. Both ways run in turn, for a hundredth of a second each. The
times are tenth percentiles, and so is the first ratio, because other programs only make a round slower. The last column
is the ratio of the medians.
"""

import argparse
import statistics
import time

from charloom.research import Config, Corpus, TrainingLoop, configure

NETWORKS = {
    "classic: RNN 100, T 25": configure("classic", threads=1),
    "RNN 16, T 25": Config(hidden_size=16),
    "LSTM 128, T 50": Config(cell="lstm", hidden_size=128, seq_length=50),
    "quick: GRU 256 in batches": configure("quick", ngram_order=0, input_pairs=0, threads=1),
}
SECONDS = 0.01  # about, for each way in each round


def seconds_per_update(loop: TrainingLoop, updates: int, at_once: int) -> float:
    """Train, and return the seconds of an update."""
    began = time.perf_counter()
    for _ in range(updates // at_once):
        loop.step(updates=at_once)
    return (time.perf_counter() - began) / updates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=201)
    options = parser.parse_args()
    corpus = Corpus.open(["python-docs"])
    print(f"{'network':28} {'many per call':>14} {'one per call':>14} {'more':>6} {'median':>7}")
    for name, config in NETWORKS.items():
        loop = TrainingLoop(corpus, config)
        first = seconds_per_update(loop, 10, 10)
        updates = max(2, min(1000, round(SECONDS / first)))
        ways: dict[int, list[float]] = {updates: [], 1: []}
        for _ in range(options.rounds):
            for at_once, found in ways.items():
                found.append(seconds_per_update(loop, updates, at_once))
        many, one = (statistics.quantiles(found, n=10)[0] * 1e6 for found in ways.values())
        medians = [statistics.median(found) for found in ways.values()]
        print(
            f"{name:28} {many:11.1f} µs {one:11.1f} µs {one / many - 1:6.1%} {medians[1] / medians[0] - 1:7.1%}"
        )


if __name__ == "__main__":
    main()
