"""Runs the classic experiment with several seeds, to check that all end with a similar loss.

    python benchmarks/seeds.py BOOK [--seeds 5] [--epochs 10]

Prints a line per seed (first, lowest and last smooth loss, seconds), and the range. The expected ranges
are 39 to 44.5 on a novel of 1.1 MB with 80 characters, 43 to 49 on Tiny Shakespeare.
"""

import argparse
import math
import time

from charloom.engines import open_engine
from charloom.model import new_learner
from charloom.recipes import configure
from charloom.text import Corpus
from charloom.training import Record, learn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    corpus = Corpus.open([options.book])
    engine = open_engine()
    expected = configure("classic").seq_length * math.log(len(corpus.vocabulary))
    print(
        f"{corpus.name}: {len(corpus):,} characters, K = {len(corpus.vocabulary)}; T ln K = {expected:.2f}"
    )
    ends = []
    for seed in range(options.seeds):
        learner = new_learner(
            configure("classic", seed=seed, epochs=options.epochs), corpus.vocabulary
        )
        start = time.perf_counter()
        records = [item for item in learn(learner, corpus.ids, engine) if isinstance(item, Record)]
        seconds = time.perf_counter() - start
        ends.append(records[-1].smooth_loss)
        print(
            f"seed {seed}: first {records[0].smooth_loss:.2f}, lowest {learner.best_loss:.2f} "
            f"at {learner.best_update:,}, last {ends[-1]:.2f} after {learner.update:,} updates; "
            f"{seconds:.1f} s, {learner.update / seconds:,.0f} updates/s"
        )
    print(f"last smooth loss over {len(ends)} seeds: {min(ends):.2f} to {max(ends):.2f}")


if __name__ == "__main__":
    main()
