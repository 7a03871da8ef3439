"""Finds a learning rate for a training run: decides how many updates the search may take, and runs it."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Unpack

from charloom.api.model import Model, learner_of
from charloom.api.settings_help import with_settings_help
from charloom.api.text_arguments import Text
from charloom.api.time_estimates import updates_per_second
from charloom.api.training_plan import (
    FoundRate,
    MessageListener,
    initial_config,
    ngrams_in_time,
    planned_minutes,
    text_to_learn,
    with_threads,
)
from charloom.config import Config, require_whole
from charloom.cooperative import SliceLoop
from charloom.engines import Engine, engine_for
from charloom.errors import ConfigError
from charloom.finetune import tuned_learner
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.model import Learner, new_learner, weights_per_character
from charloom.model.memory_limit import require_memory_for_copies
from charloom.model.schedule import Schedule
from charloom.recipes import DEFAULT_RECIPE
from charloom.settings_types import Settings
from charloom.text import Corpus
from charloom.training.learning_rate_search import (
    COPIES,
    LEAST_UPDATES,
    MOST_WORK,
    LearningRateSearch,
    search_learning_rate,
)
from charloom.training.ngram_counting import count_missing_ngrams, set_counted_ngrams

SHARE: Final = 0.1  # the part of the minutes of a run that the search may take
SECONDS: Final = 5.0  # how long a search may take at these speeds if the run has no minutes
# How many multiply-adds each engine does in a second on an ordinary machine. They are not measured, because
# then the result of a search would depend on the clock.
SPEEDS: Final = {"native": 3e10, "reference": 3e9, "torch": 3e10}
MOST_UPDATES: Final = 10_000  # of the longest trials, enough for all recipes (docs/LOG.md)

# A function that is called with the number of updates of all trials until now, and with the most updates that
# they can have together.
SearchListener = Callable[[int, int], object]


def ignore_updates(done: int, most: int) -> None:
    """Ignore the number of updates of a search."""


@with_settings_help(DEFAULT_RECIPE)
def find_learning_rate(
    text: Text | None = None,
    *,
    string: str | None = None,
    from_model: str | Path | Model | None = None,
    trial_updates: int | None = None,
    listener: SearchListener = ignore_updates,
    **settings: Unpack[Settings],
) -> LearningRateSearch:
    """Search for a good learning rate for a training run, and return it with the losses of all trials.

    Copies of the new network are trained for a short time, each at one rate from 0.00001 to 10. The best of
    them train on, and the rates beside the best one are tried too. Nothing is stored, and no network is
    returned. `train` searches in this way if its argument `find_learning_rate` is True.

    Args:
        text: one path or several, or the name of a built-in text, as for `train`.
        string: the text itself, instead of `text`.
        from_model: the model to start from, as for `train`.
        trial_updates: number of updates of the longest trials, at least 12. All trials together have at
            most 8 times as many. None chooses a number by the size of the network, so that a search takes 1 to
            30 seconds on an ordinary machine. With the same number, the result is always the same.
        listener: called again and again with the number of updates of all trials until now, and with the
            most updates that they can have together.
        **settings: any setting of `Config` except `learning_rate`, and `recipe`, as for `train`.

    Raises:
        ConfigError: a setting does not exist, is out of range, or contradicts the model.
        TextError: the text is missing, empty or too short, or has only one distinct character.
        UnknownCharacterError: as for `train`.
        DivergedError: at every learning rate, a loss or a gradient was not finite.
    """
    refuse_rate_of_search(settings)
    if settings.get("minutes") is not None:
        raise ConfigError(
            f"this function trains no run, so it has no {argument('minutes')}; give trial_updates to "
            f"set how long it searches."
        )
    if trial_updates is not None:
        trial_updates = require_whole("trial_updates", trial_updates, least=LEAST_UPDATES)
    model = learner_of(from_model)
    corpus = text_to_learn(text, string, model=model, **settings)
    config = with_threads(initial_config(DEFAULT_RECIPE, model, **settings))
    planned_minutes(config, None, **settings)  # refuses two ends of the run
    start, engine = new_start(corpus, config, model, rate_allowed=False), engine_for(config)
    updates = trial_updates or usual_updates(start, len(corpus), engine)
    return search(start, corpus, engine, updates, listener, rate_allowed=False)


def search_before_training(
    corpus: Corpus,
    minutes: float | None = None,
    *,
    model: Learner | None = None,
    listener: SearchListener = ignore_updates,
    on_message: MessageListener = str,
    **settings: Any,
) -> FoundRate:
    """Search for the learning rate of a training run with the same arguments.

    Return it with the n-grams of the text, which need not be counted again. If the run trains for a number
    of minutes, the search takes about a tenth of them, without the time to count the n-grams.

    Args:
        corpus: the text.
        minutes: duration of training, instead of `epochs` or `updates`.
        model: the model to start from; None trains a new network.
        listener: as for `find_learning_rate`.
        on_message: called with a message if counting the n-grams takes longer than the minutes.
        **settings: any setting of `Config` except `learning_rate`; None keeps the recipe's value.

    Raises:
        ConfigError: a setting is not valid, or the minutes are too few for a search.
        TextError: the text is too short for its parts.
        DivergedError: at every learning rate, a loss or a gradient was not finite.
    """
    began = time.monotonic()
    config = with_threads(initial_config(DEFAULT_RECIPE, model, **settings))
    minutes = planned_minutes(config, minutes, **settings)
    start, engine = new_start(corpus, config, model), engine_for(config)
    counting = counting_seconds(start, corpus, engine, minutes, on_message)
    if minutes is None:
        updates = usual_updates(start, len(corpus), engine)
    else:
        # Measuring takes at most a second, and at most a sixth as long as the search.
        speed = updates_per_second(corpus, config, start.ngrams, min(1.0, 10 * SHARE * minutes))
        updates = updates_within(minutes, speed)
    found = search(start, corpus, engine, updates, listener)
    return FoundRate(found, start.ngrams, time.monotonic() - began - counting, counting)


def refuse_given_rate(settings: Mapping[str, object]) -> None:
    """Raise ConfigError if `settings` have a learning rate, although the learning rate is to be found."""
    if settings.get("learning_rate") is not None:
        raise ConfigError(
            f"{argument('find_learning_rate')} and {argument('learning_rate')} both set the learning rate; give "
            f"only one of them."
        )


def refuse_rate_of_search(settings: Mapping[str, object]) -> None:
    """Raise ConfigError if `settings`, those of the function `find_learning_rate`, have a learning rate."""
    rate = settings.get("learning_rate")
    if rate is not None:
        raise ConfigError(
            f"{argument('learning_rate')} is {shortened(rate)}, but this function searches for the learning rate; "
            f"leave {argument('learning_rate')} out."
        )


def new_start(
    corpus: Corpus, config: Config, model: Learner | None, *, rate_allowed: bool = True
) -> Learner:
    """Return the learner of a run before its first update. If `model` is given, it has the weights of `model`.

    `rate_allowed` is described in `search_learning_rate`.

    Raises:
        ConfigError: the copies of the network that the search needs do not fit into memory.
    """
    require_memory_for_copies(config, len(corpus.vocabulary), COPIES, rate_allowed)
    return (
        tuned_learner(config, model, corpus.vocabulary)
        if model
        else new_learner(config, corpus.vocabulary)
    )


def counting_seconds(
    start: Learner,
    corpus: Corpus,
    engine: Engine,
    minutes: float | None,
    on_message: MessageListener,
) -> float:
    """Give `start` the n-grams of the text, if it needs them, and return how many seconds counting them took.

    Args:
        start: the learner of the run before its first update; gets new `ngrams`.
        corpus: the text.
        engine: counts if the run has no minutes.
        minutes: duration of the run; None if it has no time limit.
        on_message: called with a message before counting, if counting takes longer than the minutes.
    """
    began = time.monotonic()
    if minutes is None:
        count_missing_ngrams(start, corpus.ids, engine)
    else:
        set_counted_ngrams(start, ngrams_in_time(corpus, start.config, 60 * minutes, on_message))
    return time.monotonic() - began


def usual_updates(start: Learner, characters: int, engine: Engine) -> int:
    """Return the number of updates of the longest trials of a run that has no minutes.

    The number depends only on the settings and the engine, never on the clock. A trial is at most as long as
    the run, but has at least 12 updates.

    Args:
        start: the learner of the run before its first update.
        characters: length of the text.
        engine: the engine of the run.
    """
    config = start.config
    # Each weight that a character reads takes one multiply-add forward, and two backward.
    work = 3 * weights_per_character(start.parameters) * config.batch_size * config.seq_length
    within = int(SECONDS * SPEEDS[engine.name] / work / MOST_WORK)
    run = Schedule.of(config, characters).updates
    return max(min(within, run, MOST_UPDATES), LEAST_UPDATES)


def updates_within(minutes: float, speed: float) -> int:
    """Return the number of updates of the longest trials of a run that trains for `minutes`.

    Args:
        minutes: duration of the run.
        speed: updates per second, measured on this machine.

    Raises:
        ConfigError: there is not enough time for the shortest search.
    """
    updates = int(SHARE * 60 * minutes * speed / MOST_WORK)
    if updates < LEAST_UPDATES:
        needed = LEAST_UPDATES * MOST_WORK / speed
        # A tenth more, because the speed that is measured next time may be lower.
        enough = math.ceil(1.1 * needed / 60 / SHARE * 10) / 10
        raise ConfigError(
            f"{argument('minutes')} is {minutes:g}, of which the search for a learning rate may take "
            f"{SHARE:.0%}; on this machine it takes at least {needed:.2g} s. Give "
            f"{argument('minutes', enough)} or more, or {argument('learning_rate')} instead "
            f"of {argument('find_learning_rate')}."
        )
    return min(updates, MOST_UPDATES)


def search(
    start: Learner,
    corpus: Corpus,
    engine: Engine,
    updates: int,
    listener: SearchListener,
    *,
    rate_allowed: bool = True,
) -> LearningRateSearch:
    """Search for a learning rate, and call `listener` after each call of the engine.

    Args:
        start: the learner of the run before its first update.
        corpus: the text.
        engine: computes the updates.
        updates: number of updates of the longest trials.
        listener: as for `find_learning_rate`.
        rate_allowed: as for `search_learning_rate`.
    """
    done, most = 0, round(MOST_WORK * updates)
    loop = SliceLoop(
        search_learning_rate(start, corpus.ids, engine, updates, rate_allowed=rate_allowed)
    )
    for count in loop:
        done += count
        listener(done, most)
    return loop.result
