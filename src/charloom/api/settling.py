"""From what is asked for to the settings of a training: minutes become updates, by measuring."""

import os
import time
from contextlib import suppress
from typing import Any, Final

from charloom.api.texts import Text, open_text
from charloom.config import WHOLE_LIMIT, Config, require_number
from charloom.engines import open_engine
from charloom.errors import ConfigError, DivergedError
from charloom.finetune import tuned_config
from charloom.model import Learner, new_learner
from charloom.recipes import DEFAULT_RECIPE, RECIPES, configure, recipe_of
from charloom.scoring import mean_nats
from charloom.text import Corpus, Windows
from charloom.training import Progress, learn

CALIBRATION_SECONDS: Final = 1.0
JUDGED_CHARACTERS: Final = 65_536  # of each segment that times a judgement
JUDGED_SEGMENTS: Final = 64


def settle(
    corpus: Corpus,
    minutes: float | None = None,
    *,
    default: str = DEFAULT_RECIPE,
    model: Learner | None = None,
    **settings: Any,
) -> Config:
    """The settings of a training: a recipe's with some of them changed, and nothing left open.

    Minutes, asked for or the recipe's own, become updates; threads 0 become a number.

    Args:
        corpus: the text; how fast it is learnt is measured on it.
        minutes: of training, instead of `epochs` or `updates`.
        default: the recipe where `settings` names none and there is no model.
        model: what to train further; by default a new network learns.
        **settings: any setting of `Config`; None leaves the recipe's.

    Raises:
        ConfigError: no such recipe or setting, a value out of its range, or two ends.
        TextError: the text is too short for its division.
    """
    config = with_threads(chosen(default, model, **settings))
    ends = {name: settings.get(name) for name in ("epochs", "updates")}
    require_one_end(minutes=minutes, **ends)
    if minutes is None and set(ends.values()) == {None}:
        minutes = RECIPES[config.recipe].minutes if config.recipe in RECIPES else None
    if minutes is None:
        return config
    return config.replace(updates=end_after(minutes, corpus, config))


def end_after(minutes: float, corpus: Corpus, config: Config, done: int = 0) -> int:
    """The last update of a training that takes about so many minutes more, after `done` updates.

    Raises:
        ConfigError: no such number of minutes, or more updates than a run can have.
    """
    minutes = require_number("minutes", minutes, above=0.0, below=1e9)
    end = done + updates_within(60 * minutes, corpus, config)
    if end >= WHOLE_LIMIT:
        raise ConfigError(
            f"minutes is {minutes:g}; that would be {end:,} updates, and a run can have at most "
            f"{WHOLE_LIMIT - 1:,}. Give fewer minutes."
        )
    return end


def with_threads(config: Config) -> Config:
    """The settings with a number of threads, where it was left open."""
    if config.threads:
        return config
    return config.replace(threads=min(config.batch_size, processors()))


def chosen(default: str, model: Learner | None = None, **settings: Any) -> Config:
    """The settings before anything was measured; arguments and errors as `settle`."""
    recipe = settings.pop("recipe", None)
    if model is None:
        return configure(recipe or default, **settings)
    base = None if recipe is None else recipe_of(recipe).config
    return tuned_config(model.config, base, **settings)


def text_to_learn(
    text: Text | None,
    string: str | None = None,
    *,
    default: str = DEFAULT_RECIPE,
    model: Learner | None = None,
    **settings: Any,
) -> Corpus:
    """The text of a training, read as its settings say; arguments and errors as `settle`.

    With a model the text is read by the model's vocabulary.
    """
    config = chosen(default, model, **settings)
    return open_text(
        text,
        string,
        None if model is None else model.vocabulary,
        tokens=config.tokens,
        unknown=config.unknown,
        replacement=config.replacement,
    )


def require_one_end(**ends: float | None) -> None:
    """Refuse two settings that both say when a training ends."""
    given = [name for name, value in ends.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} each say when to end; give one of them.")


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def updates_within(seconds: float, corpus: Corpus, config: Config) -> int:
    """How many updates, with their judgements on the validation part, take about so long here."""
    windows = Windows.of(config, len(corpus))
    judgement = judgement_seconds(corpus, config, windows) if config.validation else 0.0
    every = config.judge_every or windows.per_epoch
    update = 1 / updates_per_second(corpus, config) + judgement / every
    return max(1, int((seconds - judgement) / update))  # one more comes at the end


def judgement_seconds(corpus: Corpus, config: Config, windows: Windows) -> float:
    """How long one judgement takes, from that of a part of the validation part."""
    learner = new_learner(config, corpus.vocabulary)
    engine = open_engine(config.engine, config.threads)
    segments = windows.parts["validation"]
    part = [(a, min(b, a + JUDGED_CHARACTERS)) for a, b in segments[:JUDGED_SEGMENTS]]
    began = time.perf_counter()
    mean_nats(engine, learner, corpus.ids, part)
    seconds = time.perf_counter() - began
    return seconds * sum(b - a for a, b in segments) / sum(b - a for a, b in part)


def updates_per_second(corpus: Corpus, config: Config) -> float:
    """How fast these settings learn on this machine, from a short training that is thrown away.

    The first call of the engine, in which memory and threads are made ready, counts only where it
    takes as long as the whole measurement may.
    """
    never = WHOLE_LIMIT - 1
    config = config.replace(
        updates=never, judge_every=never, report_every=never, sample_first=never, sample_every=never
    )
    learner = new_learner(config, corpus.vocabulary)
    engine = open_engine(config.engine, config.threads)
    marks: list[tuple[int, float]] = []
    with suppress(DivergedError):  # the training itself will say so
        for item in learn(learner, corpus.ids, engine):
            if isinstance(item, Progress):
                marks.append((item.update, time.perf_counter()))
                seconds = marks[-1][1] - marks[1 if len(marks) > 2 else 0][1]
                if seconds >= CALIBRATION_SECONDS:
                    break
    (before, began), (after, ended) = marks[1 if len(marks) > 2 else 0], marks[-1]
    return max(after - before, 1) / max(ended - began, 1e-9)
