"""Adds the list of all settings to the docstring of a function, so that `help` shows it."""

from collections.abc import Callable
from dataclasses import fields
from textwrap import fill
from typing import Final, TypeVar

from charloom.config import CHOICES, Config, help_of
from charloom.messages import for_python
from charloom.recipes import recipe_of

HELP_WIDTH: Final = 100

Function = TypeVar("Function", bound=Callable[..., object])


def with_settings_help(recipe: str) -> Callable[[Function], Function]:
    """Return a decorator that adds the settings to a docstring, each with its help and its value in a recipe.

    `recipe` is the one that the function uses if none is given.
    """

    def decorate(function: Function) -> Function:
        head = f"Settings, each with its value in the recipe {recipe}:"
        lines = settings_lines(recipe_of(recipe).config)
        function.__doc__ = f"{function.__doc__}\n\n    {head}\n{lines}\n"
        return function

    return decorate


def settings_lines(config: Config) -> str:
    """Return a paragraph for each setting, with its value in `config`."""
    return "\n".join(
        fill(
            setting_text(field.name, getattr(config, field.name)),
            HELP_WIDTH,
            initial_indent=8 * " ",
            subsequent_indent=12 * " ",
        )
        for field in fields(Config)
    )


def setting_text(name: str, value: object) -> str:
    """Return the name of a setting, its value in a recipe, its help and its allowed values."""
    choices = f" One of {', '.join(CHOICES[name])}." if name in CHOICES else ""
    return f"{name} = {value!r}: {for_python(help_of(name))}.{choices}"
