"""Small runs for tests: a text, settings, and ways to train, break and compare run directories."""

import errno
import io
import json
import os
from pathlib import Path

from charloom.config import Config
from charloom.engines import native_problem, open_engine
from charloom.model import new_learner
from charloom.store import RunWriter
from charloom.text import Corpus
from charloom.training import train_run

LINES = "the {} cat sat on the {} mat, and the {} dog ran round the {} log; "
WORDS = ["red", "blue", "big", "small", "wet", "dry", "old", "new", "odd", "shy"]
TEXT = "".join(LINES.format(*(WORDS[(3 * n + k * n) % 10] for k in range(4))) for n in range(7))

ENGINES = ["reference"] + ([] if native_problem() else ["native"])

CLOCK_FIELDS = ("seconds", "characters_per_second")


def small_config(**settings):
    """A run of a second or less: about 45 windows an epoch, everything due often."""
    defaults = {
        "hidden_size": 8,
        "seq_length": 10,
        "epochs": 2,
        "sigma": 0.1,
        "report_every": 7,
        "sample_first": 5,
        "sample_every": 20,
        "sample_until": 60,
        "sample_length": 30,
        "passage_length": 50,
    }
    return Config(**{**defaults, **settings})


def small_corpus(name="cat"):
    """A text that no file holds."""
    return Corpus.from_text(TEXT, name)


def create(path, corpus=None, **settings):
    """A new run: its writer, its learner, its text."""
    corpus = corpus or small_corpus()
    learner = new_learner(small_config(**settings), corpus.vocabulary)
    return RunWriter.create(path, learner, corpus), learner, corpus


def train(path, corpus=None, engine="reference", halt=lambda: None, **settings):
    """Train a new run; everything that it told."""
    writer, learner, corpus = create(path, corpus, **settings)
    with writer:
        return list(train_run(writer, learner, corpus, open_engine(engine), halt))


def resume(path, engine="reference", halt=lambda: None, **changes):
    """Go on with a run; everything that it told."""
    writer, learner, corpus = RunWriter.resume(path, **changes)
    with writer:
        return list(train_run(writer, learner, corpus, open_engine(engine), halt))


def after(calls, reason="SIGINT"):
    """A `halt` that gives its reason when it was asked so many times."""
    asked = iter(range(1, 10**9))
    return lambda: reason if next(asked) >= calls else None


def lines_of(path):
    """The objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def tree(directory):
    """The bytes of every file under a directory, by relative path."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def lasting(run):
    """What two runs of the same settings must share: all bytes that no clock has touched."""
    checkpoints = run / "checkpoints"
    kept = {name: (checkpoints / name).read_bytes() for name in ("latest", "best")}
    for name in ("latest", "best"):
        update = kept[name].decode().split()[0]
        files = tree(checkpoints / update)
        kept |= {f"{update}/{file}": data for file, data in files.items()}
    for name in ("samples.jsonl", "passage.txt"):
        kept[name] = (run / name).read_bytes() if (run / name).exists() else None
    records = lines_of(run / "metrics.jsonl")
    for record in records:
        for field in CLOCK_FIELDS:
            del record[field]
    kept["metrics.jsonl"] = records
    kept["length of metrics.jsonl"] = (run / "metrics.jsonl").stat().st_size
    return kept


class FullDisk:
    """A disk that refuses one call: the `at`-th that would change it, once `armed`.

    With `forever`, every call from that one on.
    """

    CHANGES = ("write", "fsync", "rename", "replace", "mkdir")

    def __init__(self, monkeypatch, code=errno.ENOSPC):
        self.armed, self.forever, self.at, self.calls, self.code = False, False, 0, 0, code
        for name in self.CHANGES:
            monkeypatch.setattr(os, name, self.guard(getattr(os, name)))
        really_open = io.open

        def guarded_open(file, mode="r", *arguments, **more):
            if set(mode) & set("wxa"):
                self.count()
            return really_open(file, mode, *arguments, **more)

        monkeypatch.setattr(io, "open", guarded_open)

    def guard(self, function):
        """The function, but refused where it is its turn."""

        def guarded(*arguments, **more):
            self.count()
            return function(*arguments, **more)

        return guarded

    def count(self):
        """Refuse, if this is the call."""
        if self.armed:
            self.calls += 1
            if self.calls == self.at or (self.forever and self.calls > self.at):
                raise OSError(self.code, os.strerror(self.code))

    def arm(self, at, forever=False):
        """Refuse the call number `at`, counted from now."""
        self.armed, self.at, self.calls, self.forever = True, at, 0, forever

    def disarm(self):
        """Refuse nothing; whether anything was refused since `arm`."""
        self.armed = False
        return self.calls >= self.at


def temporaries(directory):
    """Whatever an interrupted writer left."""
    return list(Path(directory).rglob(".tmp-*"))
