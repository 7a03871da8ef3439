"""Recipes: named presets of all settings, each with its purpose, its cost and its measured loss.

The losses are those of docs/RESULTS.md, measured on Tiny Shakespeare with two cores. A test
compares them with that file.
"""

from dataclasses import dataclass
from typing import Final, Unpack

from charloom.config import Config, require_one_of
from charloom.settings_types import Changes


@dataclass(frozen=True)
class Recipe:
    """A preset of settings.

    Attributes:
        name: the value of the setting `recipe`.
        purpose: one sentence that says what the recipe is for.
        cost: how long training takes, in words.
        config: the settings of the recipe; users can override each of them.
        minutes: the training time in minutes, from which a short calibration computes the number of
            updates. None if the settings `epochs` or `updates` determine the number of updates.
        nats: the measured loss in nats per character, the mean over the seeds in docs/RESULTS.md.
            It is the validation loss, or the final smooth loss if the recipe has no validation
            part. None if it was not measured.
    """

    name: str
    purpose: str
    cost: str
    config: Config
    minutes: float | None = None
    nats: float | None = None

    @property
    def judged(self) -> str:
        """Return the kind of loss in `nats`: "validation", or "smooth loss" without a validation part."""
        return "validation" if self.config.validation else "smooth loss"


CLASSIC: Final = "classic"  # the recipe of `reproduce`
DEFAULT_RECIPE: Final = "quick"  # the default recipe of `train`

# The settings of the recipe quick, with which other recipes begin.
QUICK: Final = Config(
    recipe="quick",
    cell="gru",
    hidden_size=256,
    ngram_order=8,
    dropout=0.3,
    init="uniform",
    seq_length=64,
    batch_size=16,
    optimizer="adamw",
    weight_decay=0.1,
    weight_decay_on="weights",
    learning_rate=5e-3,
    schedule="cosine",
    cosine_end=0.3,
    averaging=0.1,
    warmup=50,
    clip=1.0,
    clip_by="norm",
    reduction="mean",
    smoothing=0.99,
    validation=0.1,
    patience=10,
    threads=0,
    sample_first=100,
    sample_every=500,
)

RECIPES: Final[dict[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            CLASSIC,
            "the course experiment: plain RNN, 100 units, sequence length 25, AdaGrad",
            "ten epochs; about a minute on one core for a book of 1.1 MB",
            Config(),
            nats=1.861,
        ),
        Recipe(
            "course-2026",
            "a newer course experiment: mean loss, Adam, larger initial weights, no clipping",
            "ten epochs; 72 seconds of one core with AVX2 for a book of 1.1 MB",
            Config(
                recipe="course-2026",
                init="course",
                reduction="mean",
                optimizer="adam",
                learning_rate=1e-3,
                clip=0.0,
            ),
            nats=1.612,
        ),
        Recipe(
            "quick",
            "the lowest bits per character that we reached in one minute; the default of train",
            "about a minute; slower machines make fewer updates",
            QUICK,
            minutes=1.0,
            nats=1.405,
        ),
        Recipe(
            "network",
            "a network without n-grams, to study or to compare; with inputs for pairs of characters",
            "about a minute; slower machines make fewer updates",
            QUICK.replace(
                recipe="network", ngram_order=0, input_pairs=2048, seq_length=32, weight_decay=0.03
            ),
            minutes=1.0,
            nats=1.461,
        ),
        Recipe(
            "char-rnn",
            "char-rnn's network and validation split: LSTM of 2 x 128 units, RMSprop",
            "fifty epochs; four to seven minutes on two cores with AVX-512 for a text of 1.1 MB",
            Config(
                recipe="char-rnn",
                cell="lstm",
                hidden_size=128,
                layers=2,
                dropout=0.2,
                init="uniform",
                seq_length=50,
                batch_size=50,
                epochs=50,
                # char-rnn clips the gradient of the sum of 50 losses at 5. This recipe clips the
                # gradient of their mean, so the limit is 5 / 50.
                clip=0.1,
                reduction="mean",
                optimizer="rmsprop",
                learning_rate=5e-3,
                decay=0.95,
                averaging=0.1,
                smoothing=0.99,
                validation=0.05,
                split="streams",
                threads=0,
            ),
            nats=1.312,
        ),
        Recipe(
            "large",
            "a deeper and wider network for a longer training run: GRU of 2 x 384 units",
            "half an hour; slower machines make fewer updates",
            QUICK.replace(recipe="large", hidden_size=384, layers=2, dropout=0.5),
            minutes=30.0,
            nats=1.379,
        ),
    )
}


def recipe_of(name: str) -> Recipe:
    """Return the recipe with the name `name`.

    Raises:
        ConfigError: no recipe has this name.
    """
    require_one_of("recipe", name, tuple(RECIPES))
    return RECIPES[name]


def configure(recipe: str = CLASSIC, **changes: Unpack[Changes]) -> Config:
    """Return the settings of `recipe` with `changes`. A setting given as None does not change.

    Raises:
        ConfigError: there is no such recipe or setting, or a value is out of its range.
    """
    return recipe_of(recipe).config.replace(**changes)
