"""Named presets: each a whole Config, with what it is for."""

from dataclasses import dataclass
from typing import Any

from charloom.config import Config
from charloom.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """A preset with a name and what it is for."""

    name: str
    purpose: str
    config: Config


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "classic",
            "the course experiment: plain RNN, 100 units, windows of 25, AdaGrad, ten epochs",
            Config(),
        ),
    )
}

DEFAULT_RECIPE = "classic"


def configure(recipe: str | None = None, **changes: Any) -> Config:
    """The recipe's settings with some of them changed (None means: as the recipe has it).

    Raises:
        ConfigError: no such recipe, no such setting, or a value out of its range.
    """
    name = DEFAULT_RECIPE if recipe is None else recipe
    if name not in RECIPES:
        raise ConfigError(f"recipe is {name!r}; it must be one of {', '.join(RECIPES)}.")
    return RECIPES[name].config.replace(**changes)
