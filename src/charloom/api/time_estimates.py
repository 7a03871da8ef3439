"""Measures how long the parts of a training run take on this machine, by short trials whose results
are discarded.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from charloom.config import WHOLE_LIMIT, Config
from charloom.cooperative import run_all_slices
from charloom.engines import Engine, engine_for
from charloom.errors import DivergedError
from charloom.model import Learner, new_learner
from charloom.model.ngrams import NGrams
from charloom.model.schedule import Schedule
from charloom.scoring import characters_read, cut_into_pieces, mean_nats_in_slices
from charloom.store.atomic_files import blocks_of, write_all
from charloom.store.checkpoint import checkpoint_files
from charloom.text import Corpus
from charloom.training import Progress, learn
from charloom.training.loop import sample
from charloom.training.progress_records import evaluated_pieces
from charloom.training.run_costs import Costs
from charloom.training.start_measurement import measure_starts

CALIBRATION_SECONDS: Final = 1.0
# How long the trial of the validation loss takes, in seconds. The loss is computed for some of the
# characters, and the time for the remaining characters is estimated.
EVALUATION_SECONDS: Final = 0.5


def measure(
    corpus: Corpus, config: Config, ngrams: NGrams | None = None, scale: float = 1.0
) -> Costs:
    """Measure how long the parts of a training run on a text take with the settings in `config`.

    The measurement uses a new network and takes about two seconds.

    Args:
        corpus: the text.
        config: the settings of the run.
        ngrams: the n-grams of the text, if they are counted already. None uses those of an empty text.
        scale: multiplies the duration of the measurement. A shorter one is less exact.
    """
    learner = new_learner(config, corpus.vocabulary)
    learner.ngrams = ngrams or learner.ngrams
    engine = engine_for(config)
    validation, whole = (
        evaluation_seconds(corpus, learner, engine, scale) if config.validation else (0.0, 0.0)
    )
    if (
        config.validation
    ):  # nearly every validation loss is the best so far, and then the starts are measured
        validation += start_seconds(corpus, learner, engine)
    sample = sample_seconds(corpus, learner, engine)
    return Costs(
        update=1 / updates_per_second(corpus, config, ngrams, scale),
        validation=validation,
        whole=whole,
        sample=sample,
        passage=sample * config.passage_length / config.sample_length,
        save=save_seconds(corpus, learner),
    )


def evaluation_seconds(
    corpus: Corpus, learner: Learner, engine: Engine, scale: float = 1.0
) -> tuple[float, float]:
    """Return two durations in seconds: of one validation loss, and of the loss on the whole validation part.

    `scale` multiplies the duration of the trial.

    The second duration is 0 if every validation loss during training already uses the whole validation part.
    """
    windows = Schedule.of_text(learner.config, corpus.ids).windows
    pieces, all_of_it = (
        evaluated_pieces(learner.config, windows),
        cut_into_pieces(windows.parts["validation"]),
    )
    # Leave out the warm-up, the characters that are read before the scored ones. They are read as a single
    # stream, which is slow and would make the average wrong.
    cold = [replace(piece, warm=False) for piece in pieces]
    each = seconds_per_character(mean_nats_in_slices(engine, learner, corpus.ids, cold), scale)
    validation, whole = each * characters_read(pieces), each * characters_read(all_of_it)
    return validation, whole if pieces != all_of_it else 0.0


def seconds_per_character(scoring_slices: Iterable[int], scale: float = 1.0) -> float:
    """Measure how many seconds the engine takes to read one character.

    `scoring_slices` is a generator that calls the engine several times. After each call, it yields the
    number of characters that this call read. The first call also allocates memory and starts threads, so
    only the later calls are measured, at least one; if there is no later call, the first call is measured. `scale` multiplies
    the duration of the trial.
    """
    marks = [(0, time.perf_counter())]
    for characters in scoring_slices:
        marks.append((marks[-1][0] + characters, time.perf_counter()))
        if len(marks) > 2 and marks[-1][1] - marks[0][1] >= scale * EVALUATION_SECONDS:
            break
    (before, began), (after, ended) = marks[1 if len(marks) > 2 else 0], marks[-1]
    return (ended - began) / (after - before)


def start_seconds(corpus: Corpus, learner: Learner, engine: Engine) -> float:
    """Return how many seconds it takes to measure the losses from the states in which a text can begin."""
    windows = Schedule.of_text(learner.config, corpus.ids).windows
    return seconds_of(lambda: run_all_slices(measure_starts(learner, corpus.ids, windows, engine)))


def sample_seconds(corpus: Corpus, learner: Learner, engine: Engine) -> float:
    """Return how many seconds one sample takes."""
    windows = Schedule.of_text(learner.config, corpus.ids).windows
    return seconds_of(lambda: sample(learner, corpus.ids, windows, engine))


def save_seconds(corpus: Corpus, learner: Learner) -> float:
    """Return how many seconds it takes to save one checkpoint; 0 if it cannot be measured.

    The checkpoint is written to an unnamed file in the system's temporary directory. This file disappears
    even if the process is killed.
    """
    with suppress(OSError), tempfile.TemporaryFile() as file:
        return seconds_of(lambda: write_checkpoint(file.fileno(), learner, corpus.fingerprint))
    return 0.0


def write_checkpoint(descriptor: int, learner: Learner, fingerprint: str) -> None:
    """Write the files of a checkpoint to the open file `descriptor`, and flush each to the disk.

    Raises:
        OSError: a file cannot be written.
    """
    for data in checkpoint_files(learner, {}, fingerprint).values():
        for block in blocks_of(data):
            write_all(descriptor, block)
        os.fsync(descriptor)


def seconds_of(action: Callable[[], object]) -> float:
    """Return how many seconds `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def updates_per_second(
    corpus: Corpus, config: Config, ngrams: NGrams | None = None, scale: float = 1.0
) -> float:
    """Measure how many updates per second this machine does with the settings in `config`.

    `ngrams` are the n-grams of the text, if they are counted already.

    The measurement trains a new network for about `scale` seconds. The first call of the engine also allocates
    memory and starts threads, so it is not measured, unless it alone takes a second.
    """
    never = WHOLE_LIMIT - 1
    config = config.replace(
        updates=never, judge_every=never, report_every=never, sample_first=never, sample_every=never,
        sample_length=1,
    )  # fmt: skip
    learner = new_learner(config, corpus.vocabulary)
    learner.ngrams = ngrams or learner.ngrams
    engine = engine_for(config)
    marks: list[tuple[int, float]] = []
    # If the loss diverges, the trial ends. The training run itself will raise the error.
    with suppress(DivergedError):
        for item in learn(learner, corpus.ids, engine):
            if isinstance(item, Progress):
                marks.append((item.update, time.perf_counter()))
                seconds = marks[-1][1] - marks[1 if len(marks) > 2 else 0][1]
                if seconds >= (scale if len(marks) > 2 else 1.0) * CALIBRATION_SECONDS:
                    break
    (before, began), (after, ended) = marks[1 if len(marks) > 2 else 0], marks[-1]
    return max(after - before, 1) / max(ended - began, 1e-9)
