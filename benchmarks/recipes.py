"""Measures the loss and the time of each recipe, and writes docs/RESULTS.md.

    python benchmarks/recipes.py tinyshakespeare.txt --recipes classic quick quick:3 --seeds 0 1 2

Trains each recipe (`quick:3` is quick with three minutes instead of its own) with each seed through
the public interface, one after another. If a recipe has a validation part, the best model is evaluated on
all of it, in one stream. Otherwise the figure is the smooth training loss at the end. Each training run is
a row of docs/results.json, which a repetition replaces; docs/RESULTS.md is made from all rows. Run nothing
else on the machine meanwhile.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import charloom
from charloom.bench.machine_info import machine
from charloom.recipes import RECIPES, recipe_of
from charloom.text import Corpus

DOCS = Path(__file__).parent.parent / "docs"
ROWS, TABLES = DOCS / "results.json", DOCS / "RESULTS.md"

Row = dict[str, Any]


def measure(text: str, asked: str, seed: int) -> Row:
    """Train one recipe with one seed, and evaluate the model."""
    name, _, minutes = asked.partition(":")
    recipe = recipe_of(name)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = charloom.train(
            text,
            f"{folder}/run",
            recipe=name,
            seed=seed,
            minutes=float(minutes) if minutes else None,
            which="latest",
        )
        seconds = time.perf_counter() - started
        learner, config = model.learner, model.config
        if recipe.config.validation:
            best = charloom.load(f"{folder}/run", which="best")
            found = best.evaluate(text, split="validation", streams=1)
            nats, characters = found.nats, found.characters
        else:
            nats, characters = (learner.smooth_loss or math.nan) / config.seq_length, 0
    read = learner.update * config.seq_length * config.batch_size
    return {
        "recipe": asked,
        "seed": seed,
        "nats": round(nats, 5),
        "judged": recipe.judged,
        "judged_characters": characters,
        "seconds": round(seconds, 1),
        "updates": learner.update,
        "characters_per_second": round(read / seconds),
        "parameters": sum(array.size for array in model.parameters.values()),
        "threads": config.threads,
        "engine": model.engine.describe(),
        "machine": machine(),
        "version": charloom.__version__,
        "text": Corpus.open([text]).name,
        "date": time.strftime("%Y-%m-%d"),
    }


def merged(rows: Iterable[Row], new: Row) -> list[Row]:
    """Return all rows sorted by recipe; the new row replaces the one of the same recipe and seed."""
    kept = [row for row in rows if (row["recipe"], row["seed"]) != (new["recipe"], new["seed"])]
    return sorted([*kept, new], key=place)


def place(row: Row) -> tuple[int, float, int]:
    """Return a row's sort key: recipe, minutes and seed."""
    name, _, minutes = row["recipe"].partition(":")
    return [*RECIPES].index(name), float(minutes or 0), row["seed"]


def mean_nats(rows: Iterable[Row], recipe: str) -> float | None:
    """Return the mean over a recipe's seeds; None if it was never measured."""
    found = [row["nats"] for row in rows if row["recipe"] == recipe]
    return statistics.mean(found) if found else None


def render(rows: Sequence[Row]) -> str:
    """Return the text of docs/RESULTS.md."""
    text = ", ".join(dict.fromkeys(row["text"] for row in rows)) or "nothing yet"
    lines = [
        "# Results",
        "",
        "What each recipe reaches and what it costs. Made by `benchmarks/recipes.py`, never by hand:",
        "`docs/results.json` holds a row for each training.",
        "",
        f"Text: {text}. *validation*: all of the part that the recipe holds out, read in one go by the",
        "model that was best on it; *smooth loss*: of the training text, at the end, where nothing is",
        "held out. `quick:3` is `quick --minutes 3`. Seconds are those of the whole training, with its",
        "calibration, judgements, samples and checkpoints.",
        "",
        "| recipe | judged by | seeds | nats per character | bits per character | seconds | characters per second | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = {name: list(group) for name, group in groupby(rows, key=lambda row: row["recipe"])}
    for name, group in groups.items():
        lines.append(
            f"| `{name}` | {group[0]['judged']} | {', '.join(str(row['seed']) for row in group)} | "
            f"{spread([row['nats'] for row in group], 4)} | "
            f"{spread([row['nats'] / math.log(2) for row in group], 4)} | "
            f"{statistics.mean(row['seconds'] for row in group):,.0f} | "
            f"{statistics.mean(row['characters_per_second'] for row in group):,.0f} | "
            f"{group[0]['parameters']:,} |"
        )
    lines += [
        "",
        "A figure with ± is the mean of the seeds and their standard deviation.",
        "",
        "## Each training",
        "",
        "| recipe | seed | nats | bits | seconds | updates | engine, threads | machine | charloom | date |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['recipe']}` | {row['seed']} | {row['nats']:.4f} | {row['nats'] / math.log(2):.4f} | "
        f"{row['seconds']:,.0f} | {row['updates']:,} | {row['engine']}, {row['threads']} | "
        f"{row['machine']} | {row['version']} | {row['date']} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], digits: int) -> str:
    """Return the mean as text, with the standard deviation if there are several values."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), metavar="NAME[:MINUTES]")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    keep(read_rows())
    for asked in options.recipes:
        for seed in options.seeds:
            row = measure(options.text, asked, seed)
            print(f"{asked}, seed {seed}: {row['nats']:.4f} nats, {row['seconds']:.0f} s")
            keep(merged(read_rows(), row))


def read_rows() -> list[Row]:
    """Return the rows that were measured so far."""
    return json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []


def keep(rows: Sequence[Row]) -> None:
    """Write docs/results.json and docs/RESULTS.md."""
    ROWS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    TABLES.write_text(render(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
