"""Compares two runs: every byte must be equal except clock times."""

import json
from pathlib import Path
from typing import Any

CLOCK_FIELDS = ("seconds", "characters_per_second")


def lasting(run: Path) -> dict[str, Any]:
    """Return everything that two runs with the same settings must share: all bytes but clock times."""
    checkpoints = run / "checkpoints"
    kept: dict[str, Any] = {}
    for pointer in ("latest", "best"):
        kept[pointer] = (checkpoints / pointer).read_bytes()
        update = kept[pointer].decode().split()[0]
        for path in (checkpoints / update).iterdir():
            kept[f"{update}/{path.name}"] = path.read_bytes()
    for name in ("samples.jsonl", "passage.txt"):
        kept[name] = (run / name).read_bytes() if (run / name).exists() else None
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    kept["widths in metrics.jsonl"] = [len(line) for line in lines]
    records = [json.loads(line) for line in lines]
    kept["metrics.jsonl"] = [
        {name: value for name, value in record.items() if name not in CLOCK_FIELDS}
        for record in records
    ]
    return kept


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of the entries in which two runs differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def require_same(run: Path, truth: dict[str, Any], what: str) -> None:
    """Raise AssertionError if a run differs from the uninterrupted run."""
    try:
        found = lasting(run)
    except (OSError, ValueError) as error:
        raise AssertionError(f"{what}: {run} is not a complete run: {error}") from error
    wrong = differences(truth, found)
    assert not wrong, f"{what}: {', '.join(wrong)} differ from the uninterrupted run's"
