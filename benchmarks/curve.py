"""Compares what `quick` and other methods reach in how many seconds, and draws the curve.

    python benchmarks/curve.py TEXT --seconds 15 30 60 180 --out curve

All methods learn from the first 90 % of the text and are evaluated on all of the rest, in one run of this
script with the same number of threads:

- `quick`: a training run of its own for each number of seconds, because its learning rate falls until the end.
- n-grams: the Kneser-Ney models of order 1 to 8, and the seconds that counting and evaluating took.
- PyTorch's LSTM as in many tutorials: one layer of 256 units, 32 streams, 64 steps, Adam at 0.002.
- a small GPT in PyTorch with the settings that nanoGPT's README gives for a computer without a GPU: 4 layers
  of 4 heads, 128 channels, 64 characters of context, 12 sequences per update, 2,000 updates of AdamW from
  0.001 to 0.0001 with 100 updates of warm-up, no dropout.

Seconds are those of training; the evaluations along the way do not count. OUT.json has the points and OUT.svg
the picture. Needs PyTorch. Run nothing else on the machine meanwhile.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import charloom
from charloom.baselines import ngram_nats
from charloom.bench.machine_info import machine
from charloom.recipes import recipe_of
from charloom.text import Corpus
from charloom.text.windows import Windows

CONTEXT, SEQUENCES, GPT_UPDATES, WARMUP = 64, 12, 2_000, 100
STREAMS, STEPS = 32, 64
EVALUATIONS = 8  # of each PyTorch model along its training


class Point(NamedTuple):
    """A loss in nats per character on the validation part, after some seconds of training."""

    method: str
    seconds: float
    nats: float


class Parts(NamedTuple):
    """The ids of the training part and of the validation part, and the number of characters K."""

    train: np.ndarray
    validation: np.ndarray
    characters: int


def parts_of(text: str) -> Parts:
    """Return the parts of a text, split as the recipe `quick` does."""
    corpus = Corpus.open([text])
    parts = Windows.of(recipe_of("quick").config, len(corpus)).parts
    (train,), (validation,) = parts["train"], parts["validation"]
    ids = np.asarray(corpus.ids, dtype=np.int64)
    return Parts(ids[slice(*train)], ids[slice(*validation)], len(corpus.vocabulary))


def quick(text: str, seconds: float, threads: int) -> Point:
    """Train `quick` for some seconds."""
    started = time.perf_counter()
    model = charloom.train(text, minutes=seconds / 60, threads=threads)
    took = time.perf_counter() - started
    return Point("quick", took, model.evaluate(text, split="validation", streams=1).nats)


def ngrams(parts: Parts) -> Iterator[Point]:
    """Count the n-grams of each order, and evaluate them."""
    for order in range(1, 9):
        started = time.perf_counter()
        nats = ngram_nats([parts.train], [parts.validation], parts.characters, orders=order)
        yield Point(f"{order}-grams", time.perf_counter() - started, float(nats[order - 1].mean()))


class Lstm(nn.Module):
    """An embedding of the characters, one LSTM layer, and a linear output layer."""

    def __init__(self, characters: int, units: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, units)
        self.lstm = nn.LSTM(units, units)
        self.output = nn.Linear(units, characters)

    def forward(self, x, state=None):
        """Return the logits (T, B, K) and the next state."""
        h, state = self.lstm(self.embedding(x), state)
        return self.output(h), state


def lstm(parts: Parts, seconds: float) -> Iterator[Point]:
    """Train PyTorch's LSTM for some seconds, and evaluate it along the way."""
    model = Lstm(parts.characters)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    length = (len(parts.train) - 1) // STREAMS
    ids = torch.from_numpy(parts.train[: STREAMS * length + 1])
    x, y = ids[:-1].view(STREAMS, length).T, ids[1:].view(STREAMS, length).T
    spent, place, state = 0.0, 0, None
    for n in range(1, EVALUATIONS + 1):
        started = time.perf_counter()
        while spent + time.perf_counter() - started < seconds * n / EVALUATIONS:
            if place + STEPS > length:
                place, state = 0, None
            logits, state = model(x[place : place + STEPS], state)
            state = tuple(s.detach() for s in state)
            loss = functional.cross_entropy(
                logits.flatten(0, 1), y[place : place + STEPS].flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            place += STEPS
        spent += time.perf_counter() - started
        yield Point("PyTorch LSTM", spent, lstm_nats(model, parts.validation))


@torch.no_grad()
def lstm_nats(model: Lstm, ids: np.ndarray) -> float:
    """Return the loss on the validation part, read in one stream."""
    read = torch.from_numpy(ids)[:, None]
    total, state = 0.0, None
    for first in range(0, len(ids) - 1, 10_000):
        x = read[first : min(first + 10_000, len(ids) - 1)]
        logits, state = model(x, state)
        y = read[first + 1 : first + 1 + len(x)]
        total += functional.cross_entropy(logits[:, 0], y[:, 0], reduction="sum").item()
    return total / (len(ids) - 1)


class Block(nn.Module):
    """A layer of the GPT: attention to earlier characters, then two linear layers, each with a residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(channels, bias=False) for _ in range(2))
        self.attention = nn.Linear(channels, 3 * channels, bias=False)
        self.mixed = nn.Linear(channels, channels, bias=False)
        self.wider = nn.Linear(channels, 4 * channels, bias=False)
        self.narrower = nn.Linear(4 * channels, channels, bias=False)

    def forward(self, x):
        """Return the next layer's input; x and the result have the shape (sequences, steps, channels)."""
        n, t, c = x.shape
        parts = self.attention(self.norms[0](x)).view(n, t, 3, self.heads, c // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mixed(found.transpose(1, 2).reshape(n, t, c))
        return x + self.narrower(functional.gelu(self.wider(self.norms[1](x))))


class Gpt(nn.Module):
    """A small GPT whose output layer shares its weights with the embedding of the characters."""

    def __init__(
        self, characters: int, layers: int = 4, heads: int = 4, channels: int = 128
    ) -> None:
        super().__init__()
        self.characters = nn.Embedding(characters, channels)
        self.places = nn.Embedding(CONTEXT, channels)
        self.blocks = nn.Sequential(*(Block(channels, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(channels, bias=False)
        for name, weight in self.named_parameters():
            # GPT-2 starts the layers that end a residual branch with smaller weights.
            last = name.endswith(("mixed.weight", "narrower.weight"))
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers) if last else 0.02)

    def forward(self, x):
        """Return the logits of the characters after x, shape (sequences, steps, K)."""
        h = self.characters(x) + self.places(torch.arange(x.shape[1]))
        return self.norm(self.blocks(h)) @ self.characters.weight.T


def gpt_rate(update: int) -> float:
    """Return the learning rate of an update, counted from 0."""
    if update < WARMUP:
        return 1e-3 * (update + 1) / (WARMUP + 1)
    done = (update - WARMUP) / (GPT_UPDATES - WARMUP)
    return 1e-4 + (1e-3 - 1e-4) * (1 + math.cos(math.pi * done)) / 2


def gpt(parts: Parts) -> Iterator[Point]:
    """Train the GPT for its 2,000 updates, and evaluate it along the way."""
    model = Gpt(parts.characters)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
    ids, choose, spent = torch.from_numpy(parts.train), np.random.default_rng(0), 0.0
    for update in range(GPT_UPDATES):
        started = time.perf_counter()
        places = choose.integers(0, len(ids) - CONTEXT, SEQUENCES)
        window = torch.stack([ids[a : a + CONTEXT + 1] for a in places.tolist()])
        for group in optimizer.param_groups:
            group["lr"] = gpt_rate(update)
        loss = functional.cross_entropy(
            model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten()
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        spent += time.perf_counter() - started
        if (update + 1) % (GPT_UPDATES // EVALUATIONS) == 0:
            yield Point("small GPT", spent, gpt_nats(model, parts.validation))


@torch.no_grad()
def gpt_nats(model: Gpt, ids: np.ndarray) -> float:
    """Return the mean loss over the validation part, divided into windows of 64 characters."""
    windows = (len(ids) - 1) // CONTEXT
    x = torch.from_numpy(ids[: windows * CONTEXT]).view(windows, CONTEXT)
    y = torch.from_numpy(ids[1 : windows * CONTEXT + 1]).view(windows, CONTEXT)
    sums = [
        functional.cross_entropy(model(a).flatten(0, 1), b.flatten(), reduction="sum").item()
        for a, b in zip(x.split(100), y.split(100), strict=True)
    ]
    return sum(sums) / y.numel()


def draw(points: Sequence[Point], title: str, path: Path) -> None:
    """Draw the nats of each method against its seconds."""
    figure, axis = plt.subplots(figsize=(7, 4.5))
    counted = [point for point in points if point.method.endswith("-grams")]
    others = [point for point in points if point not in counted]
    for method in dict.fromkeys(point.method for point in others):
        of_method = [point[1:] for point in others if point.method == method]
        axis.plot(*zip(*of_method, strict=True), marker="o", markersize=3, label=method)
    if counted:
        best = min(counted, key=lambda point: point.nats)
        axis.plot(best.seconds, best.nats, "k*", label=f"{best.method} (Kneser-Ney)")
    axis.set(title=title, xlabel="seconds of training", ylabel="nats per character", xscale="log")
    axis.set_ylim(top=2.2)
    axis.legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--seconds", nargs="+", type=float, default=[15, 30, 60, 180])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("curve"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    parts, points = parts_of(options.text), []
    methods = (
        ngrams(parts),
        (quick(options.text, seconds, options.threads) for seconds in options.seconds),
        lstm(parts, max(options.seconds)),
        gpt(parts),
    )
    for method in methods:
        for point in method:
            points.append(point)
            print(f"{point.method:14} {point.seconds:7.1f} s  {point.nats:.4f} nats", flush=True)
    title = f"{Corpus.open([options.text]).name}, {options.threads} threads, {machine()}"
    draw(points, title, options.out.with_suffix(".svg"))
    rows = [point._asdict() for point in points]
    about = {"title": title, "version": charloom.__version__, "torch": torch.__version__}
    written = json.dumps({**about, "points": rows}, indent=1)
    options.out.with_suffix(".json").write_text(written + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
