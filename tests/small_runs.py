"""Small training runs for tests: their text and settings, and ways to create, train and resume them."""

import os
from unittest.mock import patch

from charloom.config import Config
from charloom.engines import native_problem, open_engine
from charloom.model import new_learner
from charloom.store import RunWriter
from charloom.text import Corpus
from charloom.training import loop, train_run
from charloom.training.ngram_counting import choose_missing_pairs, count_missing_ngrams
from compared_engines import TORCH
from reliability.run_training import reopen

LINES = "the {} cat sat on the {} mat, and the {} dog ran round the {} log; "
WORDS = ["red", "blue", "big", "small", "wet", "dry", "old", "new", "odd", "shy"]
TEXT = "".join(LINES.format(*(WORDS[(3 * n + k * n) % 10] for k in range(4))) for n in range(7))
ENGINES = ["reference"] + ([] if native_problem() else ["native"]) + TORCH


def small_config(**settings):
    """Return settings for a run of at most a second, with 45 windows per epoch and frequent records and samples."""
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
    """Return a corpus of `TEXT`, which is not in a file."""
    return Corpus.from_text(TEXT, name)


def create(path, corpus=None, **settings):
    """Create a run, and return its writer, its learner and its text."""
    corpus = corpus or small_corpus()
    learner = new_learner(small_config(**settings), corpus.vocabulary)
    count_missing_ngrams(learner, corpus.ids, open_engine("reference"))
    choose_missing_pairs(learner, corpus.ids)
    return RunWriter.create(path, learner, corpus), learner, corpus


def train(path, corpus=None, engine="reference", halt=lambda: None, **settings):
    """Train a new run, and return its events. Engine calls have a fixed size, because `halt` counts calls."""
    writer, learner, corpus = create(path, corpus, **settings)
    with writer, calls_without_clock():
        return list(train_run(writer, learner, corpus, open_engine(engine), halt))


def train_interrupted(path, engine_class, at, **settings):
    """Train a new run until its engine makes its call number `at`, which sends SIGINT.

    Returns the engine, the learner and the events of the run.
    """
    signals = []
    writer, learner, corpus = create(path, **settings)
    engine = engine_class(at, lambda: signals.append("SIGINT"))
    with writer:
        halt = lambda: signals[0] if signals else None  # noqa: E731
        return engine, learner, list(train_run(writer, learner, corpus, engine, halt))


def calls_without_clock():
    """Let each engine call apply up to 8 updates, however fast the machine is."""
    return patch.object(loop.CallSize, "adapt", lambda size, *_: setattr(size, "updates", 8))


def linked(source, folder, count):
    """Create `count` runs in `folder` whose files are hard links to those of the run `source`."""
    paths = [(path, path.relative_to(source)) for path in sorted(source.rglob("*"))]
    for n in range(count):
        copy = folder / f"copy-{n:05d}"
        copy.mkdir()
        for path, relative in paths:
            if path.is_dir():
                (copy / relative).mkdir()
            else:
                os.link(path, copy / relative)


def resume(path, engine="reference", halt=lambda: None, **changes):
    """Continue a run, and return its events. The size of engine calls does not depend on the clock."""
    writer, learner, corpus = reopen(path, **changes)
    with writer, calls_without_clock():
        return list(train_run(writer, learner, corpus, open_engine(engine), halt))


def after(calls, reason="SIGINT"):
    """Return a `halt` function that returns `reason` from call number `calls` on, and None before."""
    numbers = iter(range(1, 10**9))
    return lambda: reason if next(numbers) >= calls else None
