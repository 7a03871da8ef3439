"""Measures the loss and the time of each recipe, and writes docs/RESULTS.md.

    python benchmarks/recipes.py tinyshakespeare.txt --recipes classic quick quick:3 --seeds 0 1 2
    python benchmarks/recipes.py kjv-nt python-docs --recipes quick quick,ngram_order=0 n-grams
    python benchmarks/recipes.py book.txt:10000 book.txt:100000 --recipes quick n-grams:4

Trains each recipe on each text with each seed through the public interface, one after another. `quick:3` is
quick with three minutes instead of its own; `quick,ngram_order=0` is quick with another value of a setting;
`n-grams` is the best n-gram model of order 1 to 8, without a network, on the split of quick, and `n-grams:4`
the model of order 4. `book.txt:10000` is the first 10,000 characters of a text. If a recipe has
a validation part, the best model is evaluated on all of it, in one stream. Otherwise the figure is the smooth
training loss at the end. Each training run is a row of docs/results.json. A repetition with the same text,
recipe, seed and instruction set replaces the row (CHARLOOM_ISA=v3 measures a processor without AVX-512).
docs/RESULTS.md is made from all rows. Run nothing else on the machine meanwhile.
"""

import argparse
import contextlib
import json
import math
import re
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any

import charloom
from charloom.baselines import ngram_nats
from charloom.bench.machine_info import machine
from charloom.config import Config
from charloom.recipes import DEFAULT_RECIPE, RECIPES, recipe_of
from charloom.text import Corpus
from charloom.text.windows import Windows

DOCS = Path(__file__).parent.parent / "docs"
ROWS, TABLES = DOCS / "results.json", DOCS / "RESULTS.md"
MAIN_TEXT = "tinyshakespeare.txt"  # the figures in recipes.py are those of this text
NGRAMS = "n-grams"  # stands in the place of a recipe for the best n-gram model

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A recipe as it is named on the command line, such as quick:3,ngram_order=0.

    Attributes:
        name: the name of the recipe.
        minutes: the training time; None for that of the recipe.
        settings: the settings that differ from those of the recipe.
    """

    name: str
    minutes: float | None
    settings: dict[str, Any]

    @classmethod
    def of(cls, text: str) -> "Asked":
        """Return the recipe that `text` names."""
        first, *settings = text.split(",")
        name, _, minutes = first.partition(":")
        pairs = (setting.partition("=") for setting in settings)
        values = {key: value_of(key, value) for key, _, value in pairs}
        return cls(name, float(minutes) if minutes else None, values)


def value_of(setting: str, text: str) -> Any:
    """Return the value of a setting that is given as text."""
    if setting not in Config().to_dict():
        raise SystemExit(f"{setting} is not a setting; see docs/spec/formats.md: Settings.")
    default = getattr(Config(), setting)
    return int(text) if default is None else type(default)(text)


@contextlib.contextmanager
def opened(text: str) -> Iterator[str]:
    """Provide the path or name of a text. For NAME:COUNT, it is a file with the first COUNT characters."""
    name, _, count = text.rpartition(":")
    if not name:
        yield text
        return
    corpus = Corpus.open([name])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{corpus.name}:{count}"
        beginning = corpus.vocabulary.decode(corpus.ids[: int(count)])
        path.write_text(beginning, encoding="utf-8", newline="")
        yield str(path)


def measure(text: str, asked: str, seed: int) -> Row:
    """Train one recipe with one seed, and evaluate the model."""
    given = Asked.of(asked)
    recipe = recipe_of(given.name)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = charloom.train(
            text,
            f"{folder}/run",
            recipe=given.name,
            seed=seed,
            minutes=given.minutes,
            which="latest",
            **given.settings,
        )
        seconds = time.perf_counter() - started
        learner, config = model.learner, model.config
        if config.validation:
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
        **circumstances(text),
    }


def measure_ngrams(text: str, asked: str) -> Row:
    """Count the n-grams of the training part, and evaluate one order on the validation part.

    `asked` is `n-grams` for the best order, or `n-grams:ORDER`.
    """
    corpus, config = Corpus.open([text]), recipe_of(DEFAULT_RECIPE).config
    windows = Windows.of(config, len(corpus))
    parts = {
        name: [corpus.ids[first:end] for first, end in windows.parts[name]]
        for name in ("train", "validation")
    }
    started = time.perf_counter()
    nats = ngram_nats(parts["train"], parts["validation"], len(corpus.vocabulary))
    seconds = time.perf_counter() - started
    means, order = nats.mean(axis=1), asked.partition(":")[2]
    return {
        "recipe": asked,
        "seed": 0,
        "nats": round(float(means[int(order) - 1] if order else means.min()), 5),
        "judged": "validation",
        "judged_characters": nats.shape[1],
        "seconds": round(seconds, 1),
        "updates": 0,
        "characters_per_second": round(sum(map(len, parts["train"])) / seconds),
        "parameters": 0,
        "threads": 1,
        "engine": "NumPy",
        **circumstances(text),
    }


def circumstances(text: str) -> Row:
    """Return where, when and on which text a row was measured."""
    return {
        "machine": machine(),
        "version": charloom.__version__,
        "text": Corpus.open([text]).name,
        "date": time.strftime("%Y-%m-%d"),
    }


def instruction_set(row: Row) -> str:
    """Return the instruction set of a row, such as v4; an empty string for NumPy."""
    found = re.search(r"\((\w+),", row["engine"])
    return found[1] if found else ""


def key(row: Row) -> tuple[Any, ...]:
    """Return what tells a row from all others: text, recipe, instruction set and seed."""
    return row["text"], row["recipe"], instruction_set(row), row["seed"]


def merged(rows: Iterable[Row], new: Row) -> list[Row]:
    """Return all rows in the order of the tables; the new row replaces the one with the same key."""
    return sorted([*(row for row in rows if key(row) != key(new)), new], key=place)


def place(row: Row) -> tuple[Any, ...]:
    """Return a row's sort key: text, recipe, minutes, other settings, instruction set and seed."""
    first, _, settings = row["recipe"].partition(",")
    name, _, minutes = first.partition(":")
    recipe = [*RECIPES, NGRAMS].index(name)
    text = (row["text"] != MAIN_TEXT, row["text"])
    return *text, recipe, float(minutes or 0), settings, instruction_set(row), row["seed"]


def mean_nats(rows: Iterable[Row], recipe: str) -> float | None:
    """Return the mean over a recipe's seeds on the main text; None if it was never measured.

    If it was measured with several instruction sets, the highest one counts.
    """
    found = [row for row in rows if (row["text"], row["recipe"]) == (MAIN_TEXT, recipe)]
    if not found:
        return None
    highest = max(map(instruction_set, found))
    return statistics.mean(row["nats"] for row in found if instruction_set(row) == highest)


def render(rows: Sequence[Row]) -> str:
    """Return the text of docs/RESULTS.md."""
    lines = [
        "# Results",
        "",
        "What each recipe reaches and what it costs. Made by `benchmarks/recipes.py`, never by hand:",
        "`docs/results.json` holds a row for each training.",
        "",
        "*validation*: the loss on all of the part that the recipe holds out, read in one go by the model that",
        "was best on it; *smooth loss*: of the training text, at the end, where nothing is held out. `quick:3` is",
        "`quick --minutes 3`; `quick,ngram_order=0` is `quick` with this setting. `n-grams` is the best n-gram",
        "model of order 1 to 8 (Kneser-Ney), without a network, and `n-grams:4` that of order 4. `TEXT:10000` is the",
        "first 10,000 characters of a text. Seconds are those of the whole training, with its calibration,",
        "judgements, samples and checkpoints. v4 has AVX-512, v3 only AVX2. A figure with ± is the mean of the seeds",
        "and their standard deviation.",
    ]
    for text, of_text in groupby(rows, key=lambda row: row["text"]):
        lines += [
            "",
            f"## {text}",
            "",
            "| recipe | instruction set | judged by | seeds | nats per character | bits per character | seconds | characters per second | parameters |",
            "|---|---|---|---|---|---|---|---|---|",
            *(summary(list(group)) for _, group in groupby(of_text, key=lambda row: key(row)[:-1])),
        ]
    lines += [
        "",
        "## Each training",
        "",
        "| text | recipe | seed | nats | bits | seconds | updates | engine, threads | machine | charloom | date |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['text']} | `{row['recipe']}` | {row['seed']} | {row['nats']:.4f} | "
        f"{row['nats'] / math.log(2):.4f} | {row['seconds']:,.0f} | {row['updates']:,} | "
        f"{row['engine']}, {row['threads']} | {row['machine']} | {row['version']} | {row['date']} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def summary(group: Sequence[Row]) -> str:
    """Return the line of the table for the seeds of one recipe."""
    return (
        f"| `{group[0]['recipe']}` | {instruction_set(group[0])} | {group[0]['judged']} | "
        f"{', '.join(str(row['seed']) for row in group)} | "
        f"{spread([row['nats'] for row in group], 4)} | "
        f"{spread([row['nats'] / math.log(2) for row in group], 4)} | "
        f"{statistics.mean(row['seconds'] for row in group):,.0f} | "
        f"{statistics.mean(row['characters_per_second'] for row in group):,.0f} | "
        f"{group[0]['parameters']:,} |"
    )


def spread(values: Sequence[float], digits: int) -> str:
    """Return the mean as text, with the standard deviation if there are several values."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument(
        "--recipes",
        nargs="*",
        default=list(RECIPES),
        metavar="NAME[:MINUTES][,SETTING=VALUE]",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    keep(read_rows())
    for text, asked in product(options.texts, options.recipes):
        counts = Asked.of(asked).name == NGRAMS
        for seed in [0] if counts else options.seeds:
            with opened(text) as path:
                row = measure_ngrams(path, asked) if counts else measure(path, asked, seed)
            print(
                f"{row['text']}, {asked}, seed {seed}: {row['nats']:.4f} nats, {row['seconds']:.0f} s",
                flush=True,
            )
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
