"""Makes hostile runs: each function changes one thing in a good run."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reliability.hostile_models import METADATA_SIZE, many_fields

Build = Callable[[Path, int], Path]  # gets a good run and the size of large files; returns the run
CHECKPOINT = "checkpoints/5"
OTHER_RUN = "mine"  # the folder of another run of the user
GUESSED_TOKEN = "0" * 16
AT_GUESSED_NAMES = "links at names that a writer will use"


def with_link(name: str, target: str) -> Build:
    """Return a function that replaces a file of the run by a link."""

    def build(run: Path, _: int) -> Path:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)
        return run

    return build


def with_link_to_other_run(name: str) -> Build:
    """Return a function that replaces a directory of the run by a link into another run of the user."""

    def build(run: Path, _: int) -> Path:
        shutil.rmtree(run / name)
        (run / name).symlink_to(run.parent / OTHER_RUN / name)
        return run

    return build


def with_pipe(name: str) -> Build:
    """Return a function that replaces a file of the run by a pipe without a writer."""

    def build(run: Path, _: int) -> Path:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
        return run

    return build


def with_bytes(name: str, content: Callable[[int], bytes] | bytes) -> Build:
    """Return a function that writes other bytes into a file of the run."""

    def build(run: Path, size: int) -> Path:
        (run / name).write_bytes(content if isinstance(content, bytes) else content(size))
        return run

    return build


def with_text(**changes: Any) -> Build:
    """Return a function that changes the description of the text in config.json."""

    def build(run: Path, _: int) -> Path:
        values = json.loads((run / "config.json").read_bytes())
        values["text"] |= changes
        del values["sha256"]  # an attacker could write a fitting seal
        (run / "config.json").write_text(json.dumps(values))
        return run

    return build


def with_other_text(run: Path, size: int) -> Path:
    """Make config.json name another file of the user as the run's text."""
    return with_text(sources=[str(run.parent / "diary")])(run, size)


def with_links_at_guessed_names(run: Path, _: int) -> Path:
    """Create links at the names of a writer's temporary files, as if their random part were guessed."""
    for name in ("report.html", "loss.svg", "loss.png", "control.json", "status.json"):
        (run / f".tmp-{name}-{GUESSED_TOKEN}").symlink_to(run.parent / "precious")
    return run


HOSTILE_RUNS: dict[str, Build] = {
    **{f"{name} is a link to a secret": with_link(name, "../secret") for name in (
        "config.json", "metrics.jsonl", "samples.jsonl", "events.jsonl", "passage.txt",
        "gradcheck.json", "learning_rates.json", "status.json", "control.json", "checkpoints/latest",
        "checkpoints/best",
        f"{CHECKPOINT}/state.json", f"{CHECKPOINT}/model.safetensors", f"{CHECKPOINT}/MANIFEST",
    )},
    **{f"{name} is a link to /dev/zero": with_link(name, "/dev/zero") for name in (
        "metrics.jsonl", "passage.txt", "text.txt", "status.json", "learning_rates.json", "checkpoints/latest",
        f"{CHECKPOINT}/state.json", f"{CHECKPOINT}/model.safetensors",
    )},
    **{f"{name} is a pipe": with_pipe(name) for name in (
        "config.json", "metrics.jsonl", "passage.txt", "text.txt", "status.json",
        "control.json", "checkpoints/latest", f"{CHECKPOINT}/model.safetensors",
    )},
    "the lock is a link to another file": with_link("lock", "../precious"),
    "the checkpoints directory is a link into another run": with_link_to_other_run("checkpoints"),
    "a checkpoint is a link into another run": with_link_to_other_run(CHECKPOINT),
    AT_GUESSED_NAMES: with_links_at_guessed_names,
    "a pointer to another folder": with_bytes("checkpoints/latest", b"../../secret\n"),
    "a pointer to an absolute path": with_bytes("checkpoints/latest", b"/etc\n"),
    "a pointer of many bytes": with_bytes("checkpoints/latest", lambda size: b"5" * size),
    "a manifest of empty lines": with_bytes(f"{CHECKPOINT}/MANIFEST", lambda size: b"\n" * size),
    "a manifest with a path out of the run": with_bytes(f"{CHECKPOINT}/MANIFEST", b"0" * 64 + b" 3 ../../secret\n"),
    "a state of objects": with_bytes(
        f"{CHECKPOINT}/state.json", lambda size: b'{"a":[' + b"{}," * (size // 3) + b"{}]}"
    ),
    "settings of objects": with_bytes(
        "config.json", lambda size: b'{"a":[' + b"{}," * (min(size, METADATA_SIZE) // 3) + b"{}]}"
    ),
    "settings with many fields": with_bytes("config.json", lambda size: many_fields(min(size, METADATA_SIZE)).encode()),
    "deeply nested settings": with_bytes("config.json", b'{"config":' * 100_000),
    "settings of another program": with_bytes("config.json", b'{"compilerOptions":{}}'),
    "a text at /dev/zero": with_text(sources=["/dev/zero"]),
    "a text at standard input": with_text(sources=["-"]),
    "a text that is a folder": with_text(sources=["/"]),
    "a text at a relative path": with_text(sources=["../secret"]),
    "a text given as a pattern": with_text(sources=["/**/*"]),
    "a text that is another file": with_other_text,
    "a text name with control characters": with_text(name="\x1b[2J<script>alert(1)</script>"),
    "samples that are a page": with_bytes(
        "samples.jsonl", b'{"text":"</pre><script>alert(1)</script>","update":5}\n'
    ),
    "a record with a wrong type": with_bytes("metrics.jsonl", b'{"update":"<script>"}\n'),
    "records that are lists": with_bytes("metrics.jsonl", b"[]\n"),
    "records with NaN": with_bytes("metrics.jsonl", b'{"update":NaN}\n'),
}  # fmt: skip
