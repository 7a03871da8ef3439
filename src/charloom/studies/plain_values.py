"""Turns the values of a specification from Python into those that a TOML file can have."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from charloom.config import as_number, as_whole, is_bool
from charloom.errors import ConfigError
from charloom.formatting import shortened


def plain_section(values: Mapping[Any, Any], name: str = "") -> dict[str, Any]:
    """Return a section, or without `name` a whole specification, with plain values.

    Tuples, ranges and NumPy arrays become lists, NumPy numbers those of Python, and paths strings.

    Raises:
        ConfigError: a value is not finite, or has another type; the message names it.
    """
    wrong = [key for key in values if not isinstance(key, str)]
    if wrong:
        raise ConfigError(
            f"{name or 'the study'} has the name {shortened(wrong[0])}; it must be a string."
        )
    return {key: plain(value, f"{name}.{key}" if name else key) for key, value in values.items()}


def plain(value: Any, name: str) -> Any:
    """Return a value as a plain one, as `plain_section` does; `name` says in messages what it is."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return plain_section(value, name)
    if getattr(value, "ndim", 0):
        return plain(value.tolist(), name)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(one, name) for one in value]
    return plain_number(value, name)


def plain_number(value: Any, name: str) -> int | float | bool:
    """Return a number or a bool of NumPy, or of another package, as one of Python."""
    if is_bool(value):
        return bool(value)
    whole = as_whole(value)
    if whole is not None:
        return whole
    number = as_number(value)
    if math.isfinite(number):
        return number
    wanted = (
        "a finite number"
        if isinstance(value, float)
        else "a number, a string, true, false, or a list or a section of these"
    )
    raise ConfigError(f"{name} is {shortened(value)}; it must be {wanted}.")
