"""Trains RNN, LSTM and GRU with 1, 2 and 3 layers in four sizes, as Karpathy, Johnson and Li (2015) did.

    python benchmarks/grid.py TEXT [TEXT ...] --sizes 64 128 --out grid
    python benchmarks/grid.py TEXT --estimate

The sizes are hidden units of the LSTM. The RNN and the GRU with the same number of layers get as many hidden
units as bring their number of parameters nearest to that of the LSTM. Each text is split into 80 % for
training, 10 % for validation and 10 % for the test. The training settings are those of the paper: 100 streams,
50 time steps, RMSprop with a learning rate of 0.002, which shrinks by 5 % in each epoch from the tenth on, and
50 epochs. The model with the lowest validation loss is evaluated on the test part.

Each network is a row of OUT.json. A row that is there is not trained again, so the grid can be made in parts.
OUT.md has the tables and OUT.svg the picture, both made from all rows. `--estimate` trains each network for two
seconds and prints how long the whole grid would take on this machine.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

import charloom
from charloom.bench.machine_info import machine
from charloom.config import Config
from charloom.formatting import counted
from charloom.model import parameter_shapes
from charloom.recipes import configure
from charloom.text import Corpus
from charloom.text.windows import Windows

CELLS, LAYERS, SIZES = ("rnn", "lstm", "gru"), (1, 2, 3), (64, 128, 256, 512)
COLOURS = {"rnn": "tab:green", "lstm": "tab:blue", "gru": "tab:red"}
DASHES = {1: "solid", 2: "dashed", 3: "dotted"}
TRIAL_SECONDS = 2.0

Row = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A network of the grid: its cell, its layers, and the size that it shares with the other cells."""

    cell: str
    layers: int
    size: int

    def config(self, characters: int, epochs: int, seed: int) -> Config:
        """Return the settings with which the network is trained on a text of `characters` symbols."""
        lstm = settings("lstm", self.layers, self.size, epochs, seed)
        return settings(
            self.cell,
            self.layers,
            matched_size(self.cell, lstm, characters),
            epochs,
            seed,
        )


def settings(cell: str, layers: int, hidden_size: int, epochs: int, seed: int) -> Config:
    """Return the settings of the paper for one network."""
    return configure(
        "char-rnn",
        cell=cell,
        layers=layers,
        hidden_size=hidden_size,
        epochs=epochs,
        seed=seed,
        seq_length=50,
        batch_size=100,
        dropout=0.0,
        split="end",
        validation=0.1,
        test=0.1,
        learning_rate=2e-3,
        schedule="step",
        step_after=10,
        step_factor=0.95,
        averaging=0.0,
    )


def matched_size(cell: str, lstm: Config, characters: int) -> int:
    """Return the hidden size with which `cell` has nearly as many parameters as the LSTM."""
    wanted = parameter_count(lstm, characters)
    # The plain cell needs about twice the hidden size of an LSTM for the same number of parameters.
    sizes = range(1, 4 * lstm.hidden_size)
    return min(
        sizes,
        key=lambda size: abs(
            parameter_count(lstm.replace(cell=cell, hidden_size=size), characters) - wanted
        ),
    )


def parameter_count(config: Config, characters: int) -> int:
    """Return the number of parameters of a network."""
    return sum(math.prod(shape) for shape in parameter_shapes(config, characters).values())


def measure(text: str, network: Network, epochs: int, seed: int) -> Row:
    """Train one network, and evaluate its best model on the test part."""
    corpus = Corpus.open([text])
    config = network.config(len(corpus.vocabulary), epochs, seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        charloom.train(text, f"{folder}/run", **config.to_dict())
        seconds = time.perf_counter() - started
        model = charloom.load(f"{folder}/run", which="best")
        found = model.evaluate(text, split="test", streams=1)
    return {
        "text": corpus.name,
        "cell": network.cell,
        "layers": network.layers,
        "size": network.size,
        "hidden_size": config.hidden_size,
        "parameters": parameter_count(config, len(corpus.vocabulary)),
        "epochs": epochs,
        "seed": seed,
        "nats": round(found.nats, 5),
        "test_characters": found.characters,
        "seconds": round(seconds, 1),
        "engine": model.engine.describe(),
        "machine": machine(),
        "version": charloom.__version__,
    }


def key(row: Row) -> tuple[Any, ...]:
    """Return what tells a row from all others."""
    names = ("text", "layers", "size", "cell", "epochs", "seed")
    return tuple(row[name] for name in names)


def estimate(text: str, networks: Sequence[Network], epochs: int) -> float:
    """Print and return the seconds that the training runs of all networks would take on this machine."""
    corpus, total = Corpus.open([text]), 0.0
    for network in networks:
        config = network.config(len(corpus.vocabulary), epochs, seed=0)
        updates = epochs * Windows.of(config, len(corpus)).per_epoch
        total += updates * seconds_per_update(text, config)
        print(f"{corpus.name}, {network}: {total / 60:,.0f} minutes so far", flush=True)
    return total


def seconds_per_update(text: str, config: Config) -> float:
    """Return how long an update takes, from trials of growing length."""
    updates, seconds = 4, 0.0
    while seconds < TRIAL_SECONDS:
        trial = config.replace(updates=updates, validation=0.0, test=0.0, passage_length=1)
        given = {name: value for name, value in trial.to_dict().items() if name != "epochs"}
        started = time.perf_counter()
        charloom.train(text, **given)
        seconds = time.perf_counter() - started
        updates *= 2
    return seconds / (updates // 2)


def render(rows: Sequence[Row]) -> str:
    """Return the tables: bits per character on the test part, one table for each text and number of epochs."""
    lines = [
        "# The grid of Karpathy, Johnson and Li (2015)",
        "",
        "Bits per character on the test part. Made by `benchmarks/grid.py`, never by hand. The sizes are the hidden",
        "units of the LSTM; the networks of a row have nearly the same number of parameters.",
    ]
    for title, group in grouped(rows).items():
        columns = [f"{cell} {layers}" for layers, cell in product(LAYERS, CELLS)]
        lines += ["", f"## {title}", "", f"| size | {' | '.join(columns)} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for size in SIZES:
            cells = [
                bits(group, Network(cell, layers, size)) for layers, cell in product(LAYERS, CELLS)
            ]
            lines.append(f"| {size} | {' | '.join(cells)} |")
        lines += seed_lines(group)
    hours = sum(row["seconds"] for row in rows) / 3600
    lines += ["", f"These {len(rows)} networks took {hours:.1f} hours of training."]
    return "\n".join(lines) + "\n"


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows in groups by their title. The rows of a group differ only in the network and the seed."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row['text']}, {counted(row['epochs'], 'epoch')}", []).append(row)
    return groups


def bits(group: Sequence[Row], network: Network) -> str:
    """Return the mean bits per character of one network over its seeds, as text; "" if it was not trained."""
    found = nats_by_seed(group, network)
    return f"{mean_bits(found):.3f}" if found else ""


def nats_by_seed(group: Sequence[Row], network: Network) -> dict[int, float]:
    """Return the test losses of one network, by seed. Each is that of the seed's own best model on its validation part."""
    return {row["seed"]: row["nats"] for row in group if network_of(row) == network}


def mean_bits(nats: Mapping[int, float]) -> float:
    """Return the mean of losses in nats as bits."""
    return sum(nats.values()) / len(nats) / math.log(2)


def seed_lines(group: Sequence[Row]) -> list[str]:
    """Return the lines below a table that say over how many seeds its means are; none for a single seed."""
    seeds = sorted({row["seed"] for row in group})
    if len(seeds) == 1:
        return []
    networks = sorted({network_of(row) for row in group}, key=attrgetter("size", "layers", "cell"))
    fewer = [
        f"{network.cell} {network.layers} of size {network.size} ({len(found)})"
        for network in networks
        if len(found := nats_by_seed(group, network)) < len(seeds)
    ]
    rest = f"; over fewer for {', '.join(fewer)}" if fewer else ""
    return ["", f"The figures are means over {len(seeds)} seeds{rest}."]


def network_of(row: Row) -> Network:
    """Return the network of a row."""
    return Network(row["cell"], row["layers"], row["size"])


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw mean bits per character against the number of parameters, one picture for each table."""
    groups = grouped(rows)
    figure, axes = plt.subplots(1, len(groups), figsize=(6 * len(groups), 4.5), squeeze=False)
    for axis, (title, group) in zip(axes[0], groups.items(), strict=True):
        for layers, cell in product(LAYERS, CELLS):
            line = curve(group, cell, layers)
            if line:
                axis.plot(
                    *zip(*line, strict=True),
                    color=COLOURS[cell],
                    linestyle=DASHES[layers],
                    marker="o",
                    markersize=3,
                    label=f"{cell.upper()}, {layers} layer{'s' * (layers > 1)}",
                )
        axis.set(title=title, xlabel="parameters", ylabel="bits per character", xscale="log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def curve(group: Sequence[Row], cell: str, layers: int) -> list[tuple[int, float]]:
    """Return the points of a curve: parameters and mean bits per character of each size, ascending."""
    parameters = {
        network_of(row): row["parameters"]
        for row in group
        if (row["cell"], row["layers"]) == (cell, layers)
    }
    return sorted(
        (count, mean_bits(nats_by_seed(group, network))) for network, count in parameters.items()
    )


def read_rows(path: Path) -> list[Row]:
    """Return the rows that were measured so far."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def keep(rows: Sequence[Row], out: Path) -> None:
    """Write the rows, the tables and the picture."""
    out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(render(rows), encoding="utf-8")
    draw(rows, out.with_suffix(".svg"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, choices=SIZES)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("grid"))
    parser.add_argument("--estimate", action="store_true")
    options = parser.parse_args()
    networks = [
        Network(cell, layers, size) for size, layers, cell in product(options.sizes, LAYERS, CELLS)
    ]
    if options.estimate:
        seconds = sum(estimate(text, networks, options.epochs) for text in options.texts)
        print(f"{len(networks)} networks: {seconds * len(options.seeds) / 3600:.1f} hours")
        return
    rows = read_rows(options.out.with_suffix(".json"))
    for network, text, seed in product(networks, options.texts, options.seeds):
        wanted = (Corpus.open([text]).name, network.layers, network.size, network.cell)
        if (*wanted, options.epochs, seed) in map(key, rows):
            continue
        row = measure(text, network, options.epochs, seed)
        rows = sorted([*rows, row], key=key)
        keep(rows, options.out)
        print(
            f"{row['text']}, {network}, seed {seed}: {row['nats']:.4f} nats, {row['seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()
