"""Measures the memory and time of encoding and training a text that is larger than the allowed memory.

python benchmarks/large_text.py [--gigabytes 1] [--minutes 1] [--source FILE] [--engine auto]
python benchmarks/large_text.py --commands [--megabytes 10 30 200] [--minutes 0.25] [--updates 30]

With --commands it times the command `train` on texts of these sizes, with --minutes and with --updates, and
prints how many updates were done in the minutes.

The text repeats a source (by default a built-in text) and perturbs each repetition. It is read,
encoded and trained in a separate process. Its anonymous memory is measured (RssAnon in /proc, so only on
Linux); pages that are mapped from files do not count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from charloom.text import Corpus

PERTURBED = 0.01  # share of the characters that each repetition replaces
MEGABYTE = 1_000_000
LIMIT = 500  # megabytes of anonymous memory beyond the model

TRAINING = """
import json, os, sys, time
import charloom
from charloom.text import Corpus
from charloom.training import Record
path, run, minutes, engine = sys.argv[1:]
def say(**facts):
    print(json.dumps(facts), flush=True)
say(stage="imported")
started = time.perf_counter()
corpus = Corpus.open([path])
say(stage="first start", seconds=time.perf_counter() - started, characters=len(corpus))
del corpus
started = time.perf_counter()
Corpus.open([path])
say(stage="second start", seconds=time.perf_counter() - started)
last = {}
def listen(item):
    if isinstance(item, Record):
        last.update(update=item.update, characters_per_second=item.characters_per_second)
started = time.perf_counter()
model = charloom.train(path, run, minutes=float(minutes), engine=engine, recipe="quick", ngram_order=0,
                       validation=0.001, listener=listen)
size = sum(p.nbytes for p in model.parameters.values())
say(stage="trained", seconds=time.perf_counter() - started, model_bytes=size, **last)
started = time.perf_counter()
charloom.resume(run)
say(stage="opened again, verified", seconds=time.perf_counter() - started)
"""


def make_text(path: Path, source: str, size: int) -> None:
    """Create a UTF-8 file of about this many bytes: repetitions of the source, each one changed."""
    corpus = Corpus.open([source])
    random = np.random.default_rng(0)
    ids, written = corpus.ids.copy(), 0
    with path.open("wb") as file:
        while written < size:
            places = random.integers(0, len(ids), int(PERTURBED * len(ids)))
            ids[places] = random.permutation(ids[places])
            written += file.write(corpus.vocabulary.to_bytes(ids))


def anonymous_megabytes(pid: int) -> float:
    """Return the anonymous memory that a process uses now, in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    return 0.0


class Watch(threading.Thread):
    """Measures the memory of a process twenty times per second. Its user resets `peak` for each stage."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0.0, False

    def run(self) -> None:
        while not self.over:
            try:
                self.peak = max(self.peak, anonymous_megabytes(self.pid))
            except OSError:
                return
            time.sleep(0.05)


def time_commands(options: argparse.Namespace) -> int:
    """Time the command on texts of several sizes, each in a separate folder."""
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "large.txt"
            make_text(path, options.source, int(megabytes * MEGABYTE))
            for end in (f"--minutes {options.minutes}", f"--updates {options.updates}"):
                run = Path(folder) / f"run{end.split()[0]}"
                words = ["train", str(path), "--run", str(run), "--json", *end.split()]
                started = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-m", "charloom", *words, "--engine", options.engine],
                    capture_output=True, text=True, check=True,
                    env={**os.environ, "CHARLOOM_CACHE": str(Path(folder) / "cache")},
                )  # fmt: skip
                seconds = time.perf_counter() - started
                told = json.loads(done.stdout)
                print(
                    f"{megabytes:g} MB {end}: {seconds:.1f} s, {told['updates']:,} updates, "
                    f"training {told['seconds']:.1f} s, validation {told['validation_nats']:.3f} nats",
                    flush=True,
                )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", action="store_true")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10.0, 30.0, 200.0])
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--source", default="python-docs")
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    if options.commands:
        return time_commands(options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.txt"
        make_text(path, options.source, int(options.gigabytes * 1000 * MEGABYTE))
        os.utime(path, ns=(10**18, 10**18))  # no file that might still be written
        size = path.stat().st_size / MEGABYTE
        print(f"text: {size:,.0f} MB, made of {options.source}")
        words = [str(path), str(Path(folder) / "run"), str(options.minutes), options.engine]
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "CHARLOOM_CACHE": str(Path(folder) / "cache")},
        )
        watch = Watch(process.pid)
        watch.start()
        peak, model = 0.0, 0.0
        assert process.stdout is not None
        for line in process.stdout:
            facts = json.loads(line)
            stage, seconds = facts.pop("stage"), facts.pop("seconds", None)
            model = facts.get("model_bytes", 0) / MEGABYTE or model
            peak = max(peak, watch.peak)
            told = f"{stage}: RssAnon peak {watch.peak:,.0f} MB"
            if seconds is not None:
                told += f", {seconds:.1f} s"
            if stage == "first start":
                told += f", {size / seconds:,.0f} MB/s"
            print(told + "".join(f", {name} {value:,.0f}" for name, value in facts.items()))
            watch.peak = 0.0
        watch.over = True
        if process.wait() != 0:
            return 1
    kept = peak - model <= LIMIT
    print(
        f"peak {peak:,.0f} MB, the model {model:,.1f} MB: {'within' if kept else 'beyond'} {LIMIT} MB"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
