"""Adds the list of all settings to the docstring of a function, so that `help` shows it."""

from collections.abc import Callable
from dataclasses import fields
from textwrap import fill
from typing import Final, TypeVar

from charloom.config import CHOICES, Config, help_of
from charloom.messages import for_python

HELP_WIDTH: Final = 100

Function = TypeVar("Function", bound=Callable[..., object])


def with_settings_help(function: Function) -> Function:
    """Add the settings to the docstring of `function`, each with its help and its default in the recipe classic."""
    head = "Settings, each with its value in the recipe classic:"
    function.__doc__ = f"{function.__doc__}\n\n    {head}\n{settings_lines()}\n"
    return function


def settings_lines() -> str:
    """Return a paragraph for each setting."""
    return "\n".join(
        fill(
            setting_text(field.name, field.default),
            HELP_WIDTH,
            initial_indent=8 * " ",
            subsequent_indent=12 * " ",
        )
        for field in fields(Config)
    )


def setting_text(name: str, default: object) -> str:
    """Return the name of a setting, its default, its help and its allowed values."""
    choices = f" One of {', '.join(CHOICES[name])}." if name in CHOICES else ""
    return f"{name} = {default!r}: {for_python(help_of(name))}.{choices}"
