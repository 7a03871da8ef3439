"""Draws the values of settings for a study with random runs (spec/mathematics.md: Random settings)."""

import math
import zlib
from dataclasses import dataclass, fields
from typing import Any, Final

from charloom.config import Config, as_number, as_whole
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.random import uniforms

SCALES: Final = ("linear", "log")
FIELDS: Final = ("low", "high", "scale")
# The settings that need not be whole numbers, also if the limits of a range are.
FLOATS: Final = frozenset(one.name for one in fields(Config) if "float" in str(one.type))


@dataclass(frozen=True)
class Range:
    """The values of a setting between two limits, of which each draw takes one at random.

    Attributes:
        low: the smallest value.
        high: the largest value. If `low` and `high` are whole numbers (int), so is each drawn value, and `high`
            is possible. Otherwise the drawn values are below `high`.
        scale: "linear", or "log", with which as many values are drawn from 0.001 to 0.01 as from 0.01 to 0.1.
    """

    low: float
    high: float
    scale: str = "linear"

    def value(self, uniform: float) -> float:
        """Return the value for a random number in [0, 1)."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        if self.scale == "log":
            drawn = math.exp(math.log(low) + uniform * (math.log(high) - math.log(low)))
        else:
            drawn = low + uniform * (high - low)
        return min(max(round(drawn), self.low), self.high) if whole else drawn


@dataclass(frozen=True)
class Choice:
    """The values of a setting of which each draw takes one at random."""

    values: tuple[Any, ...]

    def value(self, uniform: float) -> Any:
        """Return the value for a random number in [0, 1)."""
        return self.values[int(uniform * len(self.values))]


def parse_draw(name: str, given: object, section: str = "random") -> Range | Choice:
    """Return what the study draws for the setting `name` in a section: from a list of values, or from a range.

    Raises:
        ConfigError: `given` is neither a list nor a range such as {low = 0.001, high = 0.1, scale = "log"}.
    """
    if isinstance(given, list) and given:
        return Choice(tuple(given))
    if not isinstance(given, dict) or not {"low", "high"} <= set(given) <= set(FIELDS):
        raise ConfigError(
            f"{section}.{name} is {shortened(given)}; it must be a list of values, or a range such as "
            f'{{ low = 0.001, high = 0.1, scale = "log" }}.'
        )
    low, high = (number(f"{section}.{name}.{field}", given[field]) for field in ("low", "high"))
    scale = given.get("scale", "linear")
    if scale not in SCALES:
        raise ConfigError(
            f"{section}.{name}.scale is {shortened(scale)}; it must be one of {', '.join(SCALES)}."
        )
    if low >= high or (scale == "log" and low <= 0):
        above = ", and above 0 if the scale is log" if scale == "log" else ""
        raise ConfigError(
            f"{section}.{name} goes from {low:g} to {high:g}; low must be below high{above}."
        )
    return Range(float(low), float(high), scale) if name in FLOATS else Range(low, high, scale)


def number(name: str, given: object) -> float:
    """Return a limit of a range as an int or a float; raise ConfigError if it is not a finite number."""
    whole = as_whole(given)
    value = as_number(given) if whole is None else whole
    if not math.isfinite(value):
        raise ConfigError(f"{name} is {shortened(given)}; it must be a finite number.")
    return value


def drawn_settings(draws: dict[str, Range | Choice], count: int, seed: int) -> list[dict[str, Any]]:
    """Return `count` dicts with a drawn value for each setting.

    The values of a setting depend only on `seed`, on its name and on the number of the draw, and not on the
    other settings. So a study with more draws begins with the same ones.
    """
    columns = {
        name: uniforms(seed, "study", count, stream=zlib.crc32(name.encode()))
        for name in sorted(draws)
    }
    return [
        {name: draws[name].value(float(columns[name][n])) for name in draws} for n in range(count)
    ]
