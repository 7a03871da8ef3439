"""Compares ways to find a learning rate with the best rate of a sweep.

    python benchmarks/learning_rates.py TEXT [TEXT ...] [--recipes classic quick …] [--seeds 2]

The sweep trains each recipe at fixed learning rates with the recipe's own schedule: 15,000 updates of the recipes with
one stream, less than an epoch, and 800 of the others. The loss of a run is the mean training loss of its last tenth if
it has one stream, else the loss on a validation part of a tenth of the text. The ways are:

    recipe          the learning rate of the recipe
    search N        `charloom.find_learning_rate` whose longest trials have N updates, 8 N in all
    range N: …      the range test of Smith (2017): N updates while the rate grows from 0.00001 to 10; of the smoothed
                    loss, the steepest descent, and its minimum divided by 10, 4, 3 and 2

Each row has the rates that a way chooses with each seed, and how many nats per character a run at this rate is above
the best one of the sweep. That loss is interpolated between the rates of the sweep, whose seed is 0.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.api import open_text
from charloom.config import Config
from charloom.cooperative import run_all_slices
from charloom.engines import Engine, engine_for
from charloom.errors import DivergedError
from charloom.model import Learner, averaged, new_learner
from charloom.model.schedule import Schedule
from charloom.recipes import configure
from charloom.scoring import cut_into_pieces, mean_nats_in_slices
from charloom.text import Corpus
from charloom.training.learning_rate_search import search_learning_rate
from charloom.training.loop import apply_updates
from charloom.training.ngram_counting import count_missing_ngrams

SWEEPS: Final = {
    "classic": (15_000, (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)),
    "course-2026": (15_000, (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)),
    "quick": (800, (0.00125, 0.0025, 0.005, 0.01, 0.02, 0.04)),
    "char-rnn": (800, (0.002, 0.004, 0.008, 0.016, 0.032, 0.064)),
}  # of each recipe: the number of updates, and the rates
SEARCHES: Final = {
    "classic": (40, 400, 4_000, 10_000),
    "course-2026": (40, 400, 4_000, 10_000),
    "quick": (12, 24, 48),
    "char-rnn": (12, 24, 48),
}
RANGE_TESTS: Final = (100, 200, 400)
FIRST_RATE, LAST_RATE = 1e-5, 10.0
SMOOTHING: Final = 0.95  # weight of the past losses in the smoothed loss of the range test
TOO_HIGH: Final = 4.0  # the range test ends when the smoothed loss is this many times its minimum
DIVISORS: Final = (10, 4, 3, 2)


class RangeTest(Schedule):
    """A schedule whose learning rate grows by a constant factor in each update."""

    def learning_rates(self, first: int, count: int) -> NDArray[np.float64]:
        return np.geomspace(FIRST_RATE, LAST_RATE, self.updates)[first : first + count]


class Case:
    """A recipe on a text: the learner before its first update, and the sweep.

    Args:
        corpus: the text.
        recipe: name of the recipe.
    """

    def __init__(self, corpus: Corpus, recipe: str) -> None:
        self.corpus, self.recipe = corpus, recipe
        self.updates, self.rates = SWEEPS[recipe]
        given = configure(recipe, validation=0.1, updates=self.updates)
        self.config = given.replace(threads=min(2, given.batch_size))
        self.engine: Engine = engine_for(self.config)
        self.counted = new_learner(self.config, corpus.vocabulary)
        count_missing_ngrams(self.counted, corpus.ids, self.engine)
        self.losses = [self.final_loss(rate) for rate in self.rates]

    def start(self, config: Config) -> Learner:
        """Return a learner before its first update."""
        learner = new_learner(config, self.corpus.vocabulary)
        learner.ngrams = self.counted.ngrams
        return learner

    def train(self, learner: Learner, schedule: Schedule) -> list[float]:
        """Train to the end of `schedule`, or until a number is not finite; return the losses."""
        losses: list[float] = []
        while learner.update < schedule.updates:
            left = schedule.windows.left_in_epoch(learner.position) or schedule.windows.per_epoch
            count = min(50, schedule.updates - learner.update, left)
            try:
                trace = apply_updates(learner, self.corpus.ids, self.engine, schedule, count)
            except DivergedError:
                break
            losses += trace.losses.tolist()
        return losses

    def final_loss(self, rate: float) -> float:
        """Return the loss of a run at a learning rate in nats per character, infinity if it is not finite."""
        config = self.config.replace(learning_rate=rate)
        learner, schedule = self.start(config), Schedule.of(config, len(self.corpus))
        losses = self.train(learner, schedule)
        if len(losses) < schedule.updates:
            return math.inf
        if config.batch_size == 1:
            # The model had not read these windows before. A validation loss is no fair measure of these recipes:
            # after some updates they read badly from any other state than that in training.
            return float(np.mean(losses[-len(losses) // 10 :])) / config.seq_length
        pieces = cut_into_pieces(schedule.windows.parts["validation"])
        return run_all_slices(
            mean_nats_in_slices(self.engine, averaged(learner), self.corpus.ids, pieces)
        )

    def above_best(self, rate: float) -> float:
        """Return how much the loss of a run at `rate` is above the best of the sweep, interpolated.

        Outside the sweep, it is the loss at the nearest rate of the sweep.
        """
        loss = np.interp(math.log(rate), np.log(self.rates), self.losses)
        return float(loss) - min(self.losses)

    def searched(self, updates: int, seed: int) -> float:
        """Return the rate that the search finds whose longest trials have a number of updates."""
        start = self.start(self.config.replace(seed=seed))
        found = run_all_slices(search_learning_rate(start, self.corpus.ids, self.engine, updates))
        return found.learning_rate

    def range_tested(self, updates: int, seed: int) -> dict[str, float]:
        """Return the rates that the rules choose from a range test, by the names of the rules."""
        config = self.config.replace(seed=seed, updates=updates)
        learner, schedule = self.start(config), RangeTest.of(config, len(self.corpus))
        smooth = np.array(list(smoothed(self.train(learner, schedule))))
        rates = schedule.learning_rates(0, len(smooth))
        lowest = int(np.argmin(smooth))
        # The slope is taken over a twentieth of the test, because over one update it is noise.
        half = max(1, updates // 40)
        slopes = smooth[2 * half :] - smooth[: -2 * half]
        steepest = int(np.argmin(slopes[: max(1, lowest - half)])) + half
        return {
            "steepest": float(rates[steepest]),
            **{f"minimum / {n}": float(rates[lowest]) / n for n in DIVISORS},
        }


def smoothed(losses: Sequence[float]) -> Iterator[float]:
    """Yield the moving average of the losses, without its bias, until it is too high."""
    mean, lowest = 0.0, math.inf
    for count, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        value = mean / (1 - SMOOTHING**count)
        lowest = min(lowest, value)
        if value > TOO_HIGH * lowest:
            return
        yield value


def rows_of(case: Case, seeds: int) -> dict[str, list[float]]:
    """Return the rates that each way chooses with each seed."""
    rows: dict[str, list[float]] = {"recipe": [configure(case.recipe).learning_rate]}
    for updates in SEARCHES[case.recipe]:
        rows[f"search {updates:,}"] = [case.searched(updates, seed) for seed in range(seeds)]
    for updates in RANGE_TESTS:
        for seed in range(seeds):
            for rule, rate in case.range_tested(updates, seed).items():
                rows.setdefault(f"range {updates}: {rule}", []).append(rate)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--recipes", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    for text in options.texts:
        corpus = open_text([text])
        for recipe in options.recipes:
            case = Case(corpus, recipe)
            sweep = ", ".join(
                f"{rate:g}: {loss:.3f}" for rate, loss in zip(case.rates, case.losses, strict=True)
            )
            print(
                f"\n{corpus.name}, {recipe}, {case.updates:,} updates; nats at each rate: {sweep}"
            )
            for name, rates in rows_of(case, options.seeds).items():
                chosen = ", ".join(f"{rate:.2g} (+{case.above_best(rate):.3f})" for rate in rates)
                print(f"{name:>24}  {chosen}", flush=True)


if __name__ == "__main__":
    main()
