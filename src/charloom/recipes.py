"""Named presets: each a whole Config, with what it is for, what it costs and what it reaches.

The figures are those of docs/RESULTS.md, on Tiny Shakespeare and two cores; a test holds them to it.
"""

from dataclasses import dataclass
from typing import Any, Final

from charloom.config import Config
from charloom.errors import ConfigError
from charloom.messages import argument
from charloom.spelling import shortened


@dataclass(frozen=True)
class Recipe:
    """A preset of settings.

    Attributes:
        name: the value of the setting `recipe`.
        purpose: what it is for, in a sentence.
        cost: how long it takes, in words.
        config: its settings; each can be overridden.
        minutes: how long it trains, where neither epochs nor updates say so: the updates follow from
            a short calibration.
        nats: what it reaches per character, the mean of the seeds in docs/RESULTS.md: on the
            validation part where it holds one out, otherwise the smooth loss at the end; None where
            nothing was measured.
    """

    name: str
    purpose: str
    cost: str
    config: Config
    minutes: float | None = None
    nats: float | None = None

    @property
    def judged(self) -> str:
        """What its figures are measured on: "validation", or "smooth loss" of the training text."""
        return "validation" if self.config.validation else "smooth loss"


CLASSIC: Final = "classic"  # what `reproduce` starts from
DEFAULT_RECIPE: Final = "quick"  # what `train` starts from

RECIPES: Final[dict[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            CLASSIC,
            "the course experiment: plain RNN, 100 units, windows of 25, AdaGrad",
            "ten epochs; 14 to 75 seconds of one core for a book of 1.1 MB",
            Config(),
            nats=1.861,
        ),
        Recipe(
            "course-2026",
            "the newer handout of the course: mean loss, Adam, larger first weights, no clipping",
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
            "the lowest bits per character that we found for a minute; what train starts from",
            "about a minute of the clock; slower machines make fewer updates",
            Config(
                recipe="quick",
                cell="gru",
                hidden_size=256,
                dropout=0.1,
                init="uniform",
                seq_length=64,
                batch_size=16,
                optimizer="adam",
                learning_rate=5e-3,
                schedule="cosine",
                warmup=50,
                clip=1.0,
                clip_by="norm",
                reduction="mean",
                smoothing=0.99,
                validation=0.1,
                threads=0,
                sample_first=100,
                sample_every=500,
            ),
            minutes=1.0,
            nats=1.525,
        ),
        Recipe(
            "char-rnn",
            "char-rnn's own settings and way of judging: LSTM of 2 x 128 units, RMSprop",
            "fifty epochs; seven minutes on two cores with AVX-512 for a text of 1.1 MB",
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
                clip=0.1,  # of the mean; it clips at 5 what it sums over the 50 steps
                reduction="mean",
                optimizer="rmsprop",
                learning_rate=2e-3,
                decay=0.95,
                schedule="step",
                step_after=10,
                step_factor=0.97,
                smoothing=0.99,
                validation=0.05,
                split="streams",
                threads=0,
            ),
            nats=1.345,
        ),
        Recipe(
            "large",
            "a model to keep: GRU of 2 x 384 units with dropout",
            "half an hour by a calibration beforehand; 41 minutes measured",
            Config(
                recipe="large",
                cell="gru",
                hidden_size=384,
                layers=2,
                dropout=0.4,
                init="uniform",
                seq_length=64,
                batch_size=32,
                optimizer="adam",
                learning_rate=3e-3,
                schedule="cosine",
                warmup=100,
                clip=1.0,
                clip_by="norm",
                reduction="mean",
                smoothing=0.99,
                validation=0.1,
                threads=0,
                report_every=20,
                sample_first=100,
                sample_every=500,
            ),
            minutes=30.0,
            nats=1.470,
        ),
    )
}


def recipe_of(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"{argument('recipe')} is {shortened(name)}; it must be one of {', '.join(RECIPES)}."
        )
    return RECIPES[name]


def configure(recipe: str = CLASSIC, **changes: Any) -> Config:
    """The recipe's settings with some of them changed (None means: as the recipe has it).

    Raises:
        ConfigError: no such recipe, no such setting, or a value out of its range.
    """
    return recipe_of(recipe).config.replace(**changes)
