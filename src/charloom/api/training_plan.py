"""Makes the settings of a training run from the user's arguments, and converts minutes to updates by
measuring the speed.
"""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from charloom.api.counting_trial import least_counting_seconds
from charloom.api.plan_messages import (
    long_counting_message,
    speed_message,
    too_few_minutes_message,
)
from charloom.api.text_arguments import Text, open_text
from charloom.api.time_estimates import measure
from charloom.config import WHOLE_LIMIT, Config, require_number
from charloom.cpu_limits import processors
from charloom.engines import engine_for
from charloom.errors import ConfigError
from charloom.finetune import tuned_config
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.ngrams import NGrams
from charloom.model.schedule import Schedule
from charloom.process_rank import LOCAL_PROCESSES, PROCESSES
from charloom.recipes import DEFAULT_RECIPE, RECIPES, configure, recipe_of
from charloom.text import Corpus, UnknownPolicy
from charloom.text.collection import Collection
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.ngram_counting import counted_ngrams
from charloom.training.time_limit import TimeLimit

# Training gets at least this fraction of the given minutes, however long it takes to read the text and to
# measure the speed.
LEAST_SHARE: Final = 0.5
# If fewer seconds are requested, the speed is measured for a shorter time, in proportion.
LONG_SECONDS: Final = 15.0
# To estimate how long counting n-grams takes, count for about this fraction of the requested time.
TRIAL_SHARE: Final = 0.01

# A function that is called with a message about the measured speed, or about the learning rates of a run
# that is continued. The message has no full stop.
MessageListener = Callable[[str], object]


class TrainingPlan(NamedTuple):
    """The settings of a training run, the time at which it must end, and what was counted for the plan.

    Attributes:
        config: the settings; they have the planned number of updates.
        limit: the time limit; None if the run ends after a given number of updates or epochs.
        ngrams: the n-grams of the text, if they were counted to measure the speed. Give them to `begin`, so that
            they are not counted again.
    """

    config: Config
    limit: TimeLimit | None
    ngrams: NGrams | None = None


class FoundRate(NamedTuple):
    """A search for a learning rate before training.

    Attributes:
        search: the result of the search.
        ngrams: the n-grams of the text, which were counted for the search; None if the network uses none.
        seconds: how long the search took, without the time to count the n-grams.
        counting: how many seconds it took to count the n-grams.
    """

    search: LearningRateSearch
    ngrams: NGrams | None
    seconds: float
    counting: float


class PlannedEnd(NamedTuple):
    """The update at which a run will probably have used its minutes, the time limit, and the counted n-grams.

    Attributes:
        update: the update.
        limit: the time limit.
        ngrams: the n-grams of the text, counted to measure the speed; None if the network uses none.
    """

    update: int
    limit: TimeLimit
    ngrams: NGrams | None


def plan_settings(corpus: Corpus, minutes: float | None = None, **options: Any) -> Config:
    """Return the settings of `plan_training`, which also describes the arguments."""
    return plan_training(corpus, minutes, **options).config


def plan_training(
    corpus: Corpus,
    minutes: float | None = None,
    *,
    default: str = DEFAULT_RECIPE,
    model: Learner | None = None,
    began: float | None = None,
    found: FoundRate | None = None,
    on_message: MessageListener = str,
    **settings: Any,
) -> TrainingPlan:
    """Return the complete settings of a training run: a recipe with the changes in `settings`.

    A duration in minutes, from `minutes` or from the recipe, is converted to a number of updates. The value
    0 of `threads` is replaced by a number of threads for this machine.

    Args:
        corpus: the text; the speed is measured on it.
        minutes: duration of training, instead of `epochs` or `updates`.
        default: the recipe to use if `settings` names none and there is no model.
        model: the model to start from; None trains a new network.
        began: the time of `time.monotonic` from which the minutes count; None means now. Give the time
            before the text was opened, so that opening it is part of the minutes.
        found: the search for the learning rate since `began`; None if there was none.
        on_message: called with a message about the number of updates and how long they will take.
        **settings: any setting of `Config`; None keeps the recipe's value.

    Raises:
        ConfigError: a recipe or setting does not exist, a value is out of range, or two of `minutes`,
            `epochs` and `updates` are given.
        TextError: the text is too short for its parts.
    """
    config = with_threads(initial_config(default, model, **settings))
    minutes = planned_minutes(config, minutes, **settings)
    if minutes is None:
        return TrainingPlan(config, None, found.ngrams if found else None)
    end, limit, ngrams = end_after(
        minutes, corpus, config, began=began, found=found, on_message=on_message
    )
    return TrainingPlan(config.replace(updates=end), limit, ngrams)


def planned_minutes(config: Config, minutes: float | None, **settings: Any) -> float | None:
    """Return for how many minutes a run trains; None if it ends after a number of updates or epochs.

    Args:
        config: the settings of the run.
        minutes: the minutes that the user gave; None if the user gave none. Then the recipe may have some.
        **settings: the settings that the user gave.

    Raises:
        ConfigError: two of `minutes`, `epochs` and `updates` are given, or `minutes` is out of range.
    """
    ends = {name: settings.get(name) for name in ("epochs", "updates")}
    require_one_end(minutes=minutes, **ends)
    if minutes is not None:
        return require_minutes(minutes)
    if set(ends.values()) == {None} and config.recipe in RECIPES:
        return RECIPES[config.recipe].minutes
    return None


def require_minutes(minutes: float) -> float:
    """Return `minutes` as a plain float, or raise ConfigError if it is out of range."""
    return require_number("minutes", minutes, above=0.0, below=1e9)


def end_after(
    minutes: float,
    corpus: Corpus,
    config: Config,
    done: int = 0,
    *,
    trained: float = 0.0,
    began: float | None = None,
    found: FoundRate | None = None,
    on_message: MessageListener = str,
) -> PlannedEnd:
    """Return the update at which a run must end to train for about `minutes`, and the time limit.

    Counts the n-grams of the text if the network uses them. The time for this is part of the minutes.

    Args:
        minutes: duration of training, counted from the time `began`.
        corpus: the text; the speed is measured on it.
        config: the settings of the run.
        done: number of updates that the run has done already.
        trained: how many seconds the run was trained already.
        began: the time of `time.monotonic` from which the minutes count; None means now.
        found: the search for the learning rate since `began`; None if there was none.
        on_message: called with a message about the number of updates and how long they will take.

    Raises:
        ConfigError: `minutes` is out of range, or gives more updates than a run can have.
    """
    minutes = require_minutes(minutes)
    began, requested_seconds = time.monotonic() if began is None else began, 60 * minutes
    searching, counted_before = (found.seconds, found.counting) if found else (0.0, 0.0)
    opened = time.monotonic() - began - searching - counted_before
    schedule, ngrams = Schedule.of(config, len(corpus)), found.ngrams if found else None
    if ngrams is None:
        ngrams = ngrams_in_time(corpus, config, requested_seconds, on_message)
    counting = time.monotonic() - began - opened - searching
    costs = measure(corpus, config, ngrams, min(1.0, requested_seconds / LONG_SECONDS))
    before = time.monotonic() - began
    # Counting n-grams is a part of training, not of what comes before it.
    least = LEAST_SHARE * requested_seconds - counting
    left = max(requested_seconds - before, least)
    end = costs.updates_within(left, schedule, done, trained)
    if end >= WHOLE_LIMIT:
        raise ConfigError(
            f"{argument('minutes')} is {minutes:g}, which gives {end:,} updates; a run can have at most "
            f"{WHOLE_LIMIT - 1:,}. Give fewer minutes."
        )
    whole = before + costs.seconds(schedule, end, done, trained)
    on_message(speed_message(end - done, whole, opened, searching, counting))
    if (problem := too_few_minutes_message(costs, requested_seconds, left)) is not None:
        on_message(problem)
    return PlannedEnd(end, TimeLimit(requested_seconds, began + before + left, costs), ngrams)


def with_counted_ngrams(plan: TrainingPlan, corpus: Corpus) -> TrainingPlan:
    """Return `plan` with the n-grams of the text, counted now unless the plan has them or the network uses none."""
    config = plan.config
    if plan.ngrams is not None or not config.ngram_order:
        return plan
    engine = engine_for(config)
    return plan._replace(ngrams=counted_ngrams(config, corpus.vocabulary, corpus.ids, engine))


def ngrams_in_time(
    corpus: Corpus, config: Config, seconds: float, on_message: MessageListener
) -> NGrams | None:
    """Count the n-grams of the training part of a text; return None if the network uses none.

    If counting will take longer than the requested `seconds`, call `on_message` before it.
    """
    if not config.ngram_order:
        return None
    engine = engine_for(config)
    estimate = least_counting_seconds(corpus, config, engine, TRIAL_SHARE * seconds)
    if (problem := long_counting_message(estimate, seconds)) is not None:
        on_message(problem)
    return counted_ngrams(config, corpus.vocabulary, corpus.ids, engine)


def with_threads(config: Config) -> Config:
    """Return `config` with the number of threads to use.

    If the setting `threads` is 0, it becomes the number of processors, but at most the number of streams.
    Several processes that train together share the processors and the streams.
    """
    if config.threads:
        return config
    streams = max(1, config.batch_size // PROCESSES.get())
    return config.replace(threads=max(1, min(streams, processors() // LOCAL_PROCESSES.get())))


def initial_config(default: str, model: Learner | None = None, **settings: Any) -> Config:
    """Return the settings of a training run, without converting a duration in minutes to updates.

    The arguments and errors are those of `plan_settings`.
    """
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
    """Return the text of a training run, read according to the settings of the run.

    If `model` is given, the text is read with the vocabulary of this model.

    Args:
        text: paths, or the name of a built-in text.
        string: the text itself, instead of `text`.
        default: the recipe to use if `settings` names none and there is no model.
        model: the model to start from; None trains a new network.
        **settings: any setting of `Config`; None keeps the recipe's value.

    Raises:
        ConfigError: a setting is not valid, or both or none of `text` and `string` are given.
        TextError: the text is missing or empty, or has only one distinct character.
        UnknownCharacterError: the text has a character outside the model's vocabulary.
    """
    config = initial_config(default, model, **settings)
    if model is not None and model.vocabulary.boundary is not None and not config.has_items:
        raise ConfigError(
            f"{argument('items')} is stream, but the model learned items; give a collection of items, such as "
            f"{argument('items', 'lines')}."
        )
    return open_text(
        text,
        string,
        None if model is None else model.vocabulary,
        tokens=config.tokens,
        policy=UnknownPolicy(config.unknown, config.replacement),
        collection=Collection.of(config),
    )


def require_one_end(**ends: float | None) -> None:
    """Raise ConfigError if more than one of the settings for the end of training is not None."""
    given = [name for name, value in ends.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(
            f"{' and '.join(map(argument, given))} each set the end of training; give only one of them."
        )
