"""Runs with known records, and the report of a run as a browser would show it."""

import math
from pathlib import Path
from typing import Any

from charloom.config import Config
from charloom.gradient_check import GradientCheck
from charloom.report import write_report
from charloom.store import canonical_json
from pages import Page

TITLES = [
    "Comparing analytical and numerical gradients",
    "Graph of smooth loss function",
    "Evolution of text generation",
    "Generated long text passage",
    "Settings",
]
K, T, PER_EPOCH = 30, 25, 400
CHARACTERS = PER_EPOCH * T + 1


def records(updates: int, every: int = 50) -> list[dict[str, Any]]:
    """Return records as training writes them."""
    kept = sorted({1, *range(every, updates + 1, every), *range(PER_EPOCH, updates + 1, PER_EPOCH)})
    return [
        {
            "update": u,
            "epoch": u / PER_EPOCH,
            "characters": u * T,
            "seconds": u / 1000,
            "loss": 80.0,
            "smooth_loss": 40 + 45 * math.exp(-u / 300),
            "train_nats": 2.0,
            "validation_nats": None,
            "learning_rate": 0.1,
            "gradient_norm": 3.0,
            "characters_per_second": 25_000.0,
        }
        for u in kept
        if u <= updates
    ]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))


def make_run(
    path: Path,
    *,
    metrics: list[dict[str, Any]] | None = None,
    samples: list[dict[str, Any]] | None = None,
    passage: str | None = "A passage.\nOf two lines.",
    checks: list[GradientCheck] | None = None,
    state: str = "finished",
    engine: str = "reference (NumPy)",
    events: list[dict[str, Any]] | None = None,
    text: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Write a run directory as the store does, and return its path. By default it has three epochs."""
    metrics = records(3 * PER_EPOCH) if metrics is None else metrics
    samples = [{"update": 0, "text": "xqz"}] if samples is None else samples
    config = Config(**{"hidden_size": 10, "epochs": 3, **settings})
    about = {
        "name": "book.txt",
        "sources": ["/books/my book.txt"],
        "characters": CHARACTERS,
        "fingerprint": "ab" * 32,
        "vocabulary_size": K,
        **(text or {}),
    }
    path.mkdir()
    (path / "config.json").write_bytes(
        canonical_json({"format": 1, "config": config.to_dict(), "text": about, "version": "0.0.9"})
    )
    write_lines(path / "metrics.jsonl", metrics)
    write_lines(path / "samples.jsonl", samples)
    started = {"event": "started", "update": 0, "engine": engine, "python": "3.14.0"}
    write_lines(path / "events.jsonl", [started, *(events or [])])
    update = metrics[-1]["update"] if metrics else 0
    status = {"format": 1, "pid": 1, "state": state, "reason": None, "update": update}
    (path / "status.json").write_bytes(
        canonical_json({**status, "updates": 3 * PER_EPOCH, "heartbeat": 0.0})
    )
    if passage is not None:
        (path / "passage.txt").write_bytes(passage.encode("utf-8", "surrogatepass"))
    if checks is not None:
        plain = {"format": 1, "checks": [check.to_dict() for check in checks]}
        (path / "gradcheck.json").write_bytes(canonical_json(plain))
    return path


def report(run: Path) -> tuple[str, Page]:
    html = write_report(run).read_text(encoding="utf-8")
    return html, Page(html)
