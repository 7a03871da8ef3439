"""Trains the small runs of the checks: their text, their settings and their folders."""

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from charloom.config import Config
from charloom.engines import Engine, open_engine
from charloom.model import Learner, new_learner
from charloom.store import (
    RunWriter,
    TrainingEnd,
    inspect_run,
    plan_to_resume,
    read_status,
    unless_in_use,
)
from charloom.text import Corpus
from charloom.training import Ended, TrainingEvent, train_run
from charloom.training.ngram_counting import choose_missing_pairs, count_missing_ngrams

MEMORY = Path("/dev/shm")


# Everything a checkpoint can hold, due often.
SETTINGS: dict[str, Any] = {
    "cell": "lstm",
    "hidden_size": 6,
    "ngram_order": 4,
    "batch_size": 3,
    "seq_length": 10,
    "dropout": 0.1,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "validation": 0.1,
    "judge_every": 10,
    "updates": 40,
    "report_every": 5,
    "sample_first": 3,
    "sample_every": 20,
    "sample_until": 40,
    "sample_length": 20,
    "passage_length": 40,
    # Far less than a save takes: the run saves after every call of the engine.
    "save_seconds": 1e-6,
}


def text(characters: int = 2_000, seed: int = 0) -> str:
    """Return a text of random words."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefgh", k=chance.randint(1, 6))) for _ in range(50)]
    written = ""
    while len(written) < characters:
        written += chance.choice(words) + chance.choice("  \n")
    return written[:characters]


@contextmanager
def folder(in_memory: bool = False) -> Iterator[Path]:
    """Create a temporary folder; in memory if the check does not need a real disk."""
    where = MEMORY if in_memory and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="charloom-", dir=where) as name:
        yield Path(name)


def reopen(
    run: Path,
    *,
    epochs: int | None = None,
    updates: int | None = None,
    text: Sequence[str | Path] | None = None,
    allow_older: bool = False,
) -> tuple[RunWriter, Learner, Corpus]:
    """Open a run to continue it, as `charloom.resume` does: its writer, its learner and its text."""
    with unless_in_use(run):
        inspection = inspect_run(run)
    plan = plan_to_resume(inspection, text=text, allow_older=allow_older)
    return RunWriter.reopen(plan, TrainingEnd(epochs, updates)), plan.learner, plan.corpus


def pid_of(run: Path) -> int | None:
    """Return the id of the process that wrote the last status of a run; None without a status."""
    status = read_status(run)
    return None if status is None else status.pid


def opened(
    run: Path, settings: dict[str, Any], engine: Engine | None = None
) -> tuple[RunWriter, Learner, Corpus]:
    """Open a run at its last checkpoint, or create it. `engine` counts the n-grams of a new run."""
    if (run / "checkpoints" / "latest").exists():
        return reopen(run)
    corpus = Corpus.from_text(text(), "words")
    learner = new_learner(Config(**{**SETTINGS, **settings}), corpus.vocabulary)
    count_missing_ngrams(learner, corpus.ids, engine or open_engine("auto"))
    choose_missing_pairs(learner, corpus.ids)
    return RunWriter.create(run, learner, corpus), learner, corpus


def train(
    run: Path,
    settings: dict[str, Any] | None = None,
    engine: str | Engine = "auto",
    halt: Callable[[], str | None] = lambda: None,
    on_item: Callable[[TrainingEvent], object] = lambda item: None,
) -> Ended:
    """Train a run from its last checkpoint until it ends or is halted."""
    chosen = open_engine(engine) if isinstance(engine, str) else engine
    writer, learner, corpus = opened(run, settings or {}, chosen)
    with writer:
        for item in train_run(writer, learner, corpus, chosen, halt):
            on_item(item)
    assert isinstance(item, Ended)
    return item
