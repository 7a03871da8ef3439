"""Kill a training run at random moments, and see that nothing is ever lost.

    python scripts/crash.py --kills 50

A small run is trained in a process of its own that gets SIGKILL, again and again, mostly while it
saves. After each kill the checkpoint that `latest` names must load whole, be no older than before,
and the next process must go on from it. A run that reaches its end must have, byte for byte, what
an uninterrupted run has.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CLOCK_FIELDS = ("seconds", "characters_per_second")
CHARACTERS = 12_000
# What a checkpoint can hold: two states and two slots, streams, masks, judgements.
SETTINGS = {
    "cell": "lstm",
    "hidden_size": 16,
    "batch_size": 3,
    "dropout": 0.1,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "validation": 0.1,
    "judge_every": 40,
    "updates": 300,
    "report_every": 5,
    "sample_first": 20,
    "sample_every": 50,
    "sample_until": 300,
    "sample_length": 50,
    "passage_length": 200,
    # Far less than a save takes: the run saves after every call of the engine.
    "save_seconds": 1e-6,
}
PATIENCE = 60.0  # seconds, for one process


@dataclass
class Tally:
    """What happened so far."""

    kills: int = 0
    in_the_making: int = 0
    in_a_save: int = 0
    resumed: int = 0
    finished: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.in_the_making} before the first checkpoint, "
            f"{self.in_a_save} that left half a save), {self.resumed} resumptions, "
            f"{self.finished} finished runs with the bytes of the uninterrupted one: all whole"
        )


def drive(run: Path, engine: str) -> None:
    """Train the run to its end, from wherever it is: what the killed process does."""
    from charloom.config import Config
    from charloom.engines import open_engine
    from charloom.model import new_learner
    from charloom.store import RunWriter
    from charloom.text import Corpus
    from charloom.training import train_run

    text = Corpus.open(["python-docs"])
    corpus = Corpus.from_text(text.vocabulary.decode(text.ids[:CHARACTERS]), "a part")
    print("ready", flush=True)
    if (run / "checkpoints" / "latest").exists():
        writer, learner, corpus = RunWriter.resume(run)
    else:
        learner = new_learner(Config(**SETTINGS), corpus.vocabulary)
        writer = RunWriter.create(run, learner, corpus)
    with writer:
        print(f"from {learner.update}", flush=True)
        for _ in train_run(writer, learner, corpus, open_engine(engine)):
            pass


def start(run: Path, engine: str) -> "subprocess.Popen[str]":
    """A process that trains the run, ready to open it."""
    command = [sys.executable, __file__, "--drive", str(run), "--engine", engine]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        _, errors = process.communicate(timeout=PATIENCE)
        raise SystemExit(f"the training process did not start:\n{errors}")
    return process


def end(process: "subprocess.Popen[str]") -> tuple[bool, int | None]:
    """Whether the process came to its own end, and the update that it began from, if it did."""
    output, errors = process.communicate(timeout=PATIENCE)
    if process.returncode not in (0, -9):
        raise SystemExit(f"the training process failed:\n{errors}")
    began = [int(line.split()[1]) for line in output.splitlines() if line.startswith("from ")]
    return process.returncode == 0, began[0] if began else None


def latest_update(run: Path) -> int | None:
    """The update of the latest checkpoint, which must be whole; None before the first."""
    from charloom.store import load_model

    if not (run / "checkpoints" / "latest").exists():
        return None
    load_model(run, "best")
    return load_model(run, "latest").update


def half_saved(run: Path, latest: int) -> bool:
    """Whether an interrupted save left something behind."""
    names = [path.name for path in (run / "checkpoints").iterdir()]
    return any(
        name.startswith(".tmp-") or (name.isdigit() and int(name) > latest) for name in names
    )


def lasting(run: Path) -> dict[str, object]:
    """All bytes of a run that no clock has touched."""
    checkpoints = run / "checkpoints"
    kept: dict[str, object] = {}
    for pointer in ("latest", "best"):
        update = (checkpoints / pointer).read_text().strip()
        kept[pointer] = update
        for path in (checkpoints / update).iterdir():
            kept[f"{update}/{path.name}"] = path.read_bytes()
    for name in ("samples.jsonl", "passage.txt"):
        kept[name] = (run / name).read_bytes()
    lines = (run / "metrics.jsonl").read_bytes().splitlines()
    records = [json.loads(line) for line in lines]
    kept["metrics.jsonl"] = [
        {name: value for name, value in record.items() if name not in CLOCK_FIELDS}
        for record in records
    ]
    kept["widths in metrics.jsonl"] = [len(line) for line in lines]
    return kept


def differences(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """The names of what two runs do not share."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def crash(kills: int, directory: Path, engine: str = "auto", seed: int = 0) -> Tally:
    """Kill runs in a directory so many times; a message and exit 1 where anything was lost."""
    chance = random.Random(seed)
    whole = directory / "whole"
    process = start(whole, engine)
    began = time.monotonic()
    end(process)
    duration = time.monotonic() - began
    truth = lasting(whole)

    tally, number = Tally(), 0
    while tally.kills < kills:
        number += 1
        run = directory / f"run{number}"
        before, finished = None, False
        while not finished:
            process = start(run, engine)
            if tally.kills < kills:
                # Some at once, while the run is made or opened again; most while it trains.
                time.sleep(chance.choice([0.05, 0.3, 0.3]) * chance.random() * duration)
                process.kill()
            finished, began_from = end(process)
            if began_from is not None and before is not None:
                if began_from < before:
                    raise SystemExit(f"{run} went on from {began_from}; {before} was saved.")
                tally.resumed += 1
            after = latest_update(run)
            if (after or 0) < (before or 0):
                raise SystemExit(f"{run} was at update {before} and is at {after}.")
            if not finished:
                tally.kills += 1
                tally.in_the_making += after is None
                tally.in_a_save += after is not None and half_saved(run, after)
            before = after
        wrong = differences(truth, lasting(run))
        if wrong:
            raise SystemExit(f"{run} and {whole} differ in {', '.join(wrong)}.")
        tally.finished += 1
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Kill a training run at random moments; see that nothing is lost."
    )
    parser.add_argument("--kills", type=int, default=50, help="how often (50)")
    parser.add_argument("--engine", default="auto", help="auto, native or reference (auto)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (0)")
    parser.add_argument("--keep", type=Path, help="make the runs here and keep them")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive is not None:
        drive(options.drive, options.engine)
        return
    directory = options.keep or Path(tempfile.mkdtemp(prefix="charloom-crash-"))
    directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    tally = crash(options.kills, directory, options.engine, options.seed)
    print(f"{tally} ({time.monotonic() - began:.0f} s)")
    if options.keep is None:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
