"""Makes the settings of a training from what the user asked for, and turns minutes into updates by
measuring.
"""

import os
import time
from collections.abc import Callable
from typing import Any, Final

from charloom.api.costs import measure
from charloom.api.texts import Text, open_text
from charloom.config import WHOLE_LIMIT, Config, require_number
from charloom.errors import ConfigError
from charloom.finetune import tuned_config
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.recipes import DEFAULT_RECIPE, RECIPES, configure, recipe_of
from charloom.spelling import counted, duration
from charloom.text import Corpus

LEAST_SHARE: Final = (
    0.5  # of the minutes asked for that go into training, however long the rest took
)
SHORT_SECONDS: Final = 1.0  # what it is not worth to tell

# What is told of a measurement, a sentence without its point.
Tell = Callable[[str], object]


def settle(
    corpus: Corpus,
    minutes: float | None = None,
    *,
    default: str = DEFAULT_RECIPE,
    model: Learner | None = None,
    began: float | None = None,
    tell: Tell = str,
    **settings: Any,
) -> Config:
    """The settings of a training: a recipe's with some of them changed, and nothing left open.

    Minutes, asked for or the recipe's own, become updates; threads 0 become a number.

    Args:
        corpus: the text; how fast it is learnt is measured on it.
        minutes: of training, instead of `epochs` or `updates`.
        default: the recipe where `settings` names none and there is no model.
        model: what to train further; by default a new network learns.
        began: when the minutes began, as `time.monotonic` has it: opening the text and measuring
            count among them. By default now.
        tell: called with how many updates were made of the minutes, and how long all will take.
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
    return config.replace(updates=end_after(minutes, corpus, config, began=began, tell=tell))


def end_after(
    minutes: float,
    corpus: Corpus,
    config: Config,
    done: int = 0,
    *,
    began: float | None = None,
    tell: Tell = str,
) -> int:
    """The last update of a training that ends about so many minutes after it began, `done` updates
    made before; other arguments as `settle`.

    Raises:
        ConfigError: no such number of minutes, or more updates than a run can have.
    """
    minutes = require_number("minutes", minutes, above=0.0, below=1e9)
    began, asked = time.monotonic() if began is None else began, 60 * minutes
    opened = time.monotonic() - began
    schedule, costs = Schedule.of(config, len(corpus)), measure(corpus, config)
    before = time.monotonic() - began
    end = costs.updates_within(max(asked - before, LEAST_SHARE * asked), schedule, done)
    if end >= WHOLE_LIMIT:
        raise ConfigError(
            f"{argument('minutes')} is {minutes:g}; that would be {end:,} updates, and a run can have at most "
            f"{WHOLE_LIMIT - 1:,}. Give fewer minutes."
        )
    took = f", {duration(opened)} of it for opening the text" if opened >= SHORT_SECONDS else ""
    whole = before + costs.seconds(schedule, end, done)
    tell(
        f"measured: {counted(end - done, 'update')} will take about {duration(whole)} in all{took}"
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
        raise ConfigError(
            f"{' and '.join(map(argument, given))} each say when to end; give one of them."
        )


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
