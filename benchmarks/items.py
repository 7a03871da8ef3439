"""Measures what items cost.

    python benchmarks/items.py speed [--rounds 7] [--threads 1] [--characters 7]

`speed` trains networks on random items, and on the same ids with a vocabulary in which the boundary of items is a
character like any other: a stream. The two take turns, so that other work on the machine disturbs both alike. The
figures are medians over the rounds: characters per second of both, and the median ratio of a round.
"""

import argparse
import statistics
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.bench.charloom_engines import engine_updates
from charloom.bench.interleaved import interleave
from charloom.bench.machine_info import machine
from charloom.config import Config
from charloom.engines import open_engine
from charloom.model import Learner, new_learner
from charloom.recipes import DEFAULT_RECIPE, recipe_of
from charloom.text import Vocabulary

CHARACTERS: Final = 60  # in the vocabulary, without the boundary
TOKENS: Final = 400_000
STREAM, ITEMS = "stream", "items"

NETWORKS: Final[dict[str, Config]] = {
    "lstm 128, 32 streams of 64": Config(
        cell="lstm", hidden_size=128, batch_size=32, seq_length=64, learning_rate=1e-4
    ),
    f"recipe {DEFAULT_RECIPE}": recipe_of(DEFAULT_RECIPE).config.replace(learning_rate=1e-4),
    "recipe classic": recipe_of("classic").config.replace(learning_rate=1e-4),
    "lstm 128, 2 layers, dropout": Config(
        cell="lstm",
        hidden_size=128,
        layers=2,
        dropout=0.2,
        batch_size=32,
        seq_length=64,
        learning_rate=1e-4,
    ),
}


def random_items(characters: float) -> NDArray[Any]:
    """Return the ids of random items, which have this number of characters on average, with their boundaries."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, round(2 * characters), int(TOKENS / (characters + 1)))
    ids = draw.integers(0, CHARACTERS, int((lengths + 1).sum()) + 1).astype(np.uint8)
    ids[np.concatenate([[0], np.cumsum(lengths + 1)])] = CHARACTERS
    return ids


def make_learner(config: Config, items: bool, ids: NDArray[Any], threads: int) -> Learner:
    """Return a new learner of a collection of items, or of a stream with one more character."""
    known = [chr(0x100 + k) for k in range(CHARACTERS + (not items))]
    learner = new_learner(config, Vocabulary(known, items=items))
    if config.ngram_order:
        whole, boundary = np.array([[0, len(ids)]]), learner.vocabulary.boundary
        count = open_engine("native", threads).count_ngrams
        learner.ngrams = count(config, len(learner.vocabulary), ids, whole, boundary=boundary)
    return learner


def speed(rounds: int, threads: int, characters: float) -> str:
    """Return a table of the speeds of all networks."""
    ids = random_items(characters)
    share = np.mean(ids == CHARACTERS)
    rows = [
        f"{machine()}, native engine, {threads} thread(s), {1 / share - 1:.2f} characters per item",
        f"{'network':30} {'stream':>12} {'items':>12}   items/stream (characters per second)",
    ]
    for name, config in NETWORKS.items():
        works = {
            kind: engine_updates(
                open_engine("native", threads),
                make_learner(config, kind == ITEMS, ids, threads),
                ids,
            )
            for kind in (STREAM, ITEMS)
        }
        times = interleave(works, rounds, turn=0.5)
        read = config.batch_size * config.seq_length
        ratios = [a / b for a, b in zip(times[STREAM], times[ITEMS], strict=True)]
        speeds = [read / statistics.median(times[kind]) for kind in (STREAM, ITEMS)]
        ratio = statistics.median(ratios)
        rows.append(f"{name:30} {speeds[0]:12,.0f} {speeds[1]:12,.0f}   {ratio:.1%}")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_speed = commands.add_parser("speed", help="characters per second of items and of a stream")
    of_speed.add_argument("--rounds", type=int, default=7)
    of_speed.add_argument("--threads", type=int, default=1)
    of_speed.add_argument("--characters", type=float, default=7, help="of an item, on average")
    given = parser.parse_args(arguments)
    print(speed(given.rounds, given.threads, given.characters))


if __name__ == "__main__":
    main()
