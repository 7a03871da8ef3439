"""Reads and writes the lists of numbers with which users choose the rows and columns of a table of texts."""

from collections.abc import Iterable

from charloom.config import as_number
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument


def number_list(numbers: Iterable[float]) -> str:
    """Return numbers as a user writes them in an option: 0.5,0.8,1."""
    return ",".join(f"{number:g}" for number in numbers)


def given_numbers(name: str, text: str | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers in `text`, the value of the option `name`, or `default` if it was not given.

    Raises:
        ConfigError: a part of the text between two commas is not a number.
    """
    if text is None:
        return default
    return tuple(_number(name, part, text) for part in text.replace(" ", "").split(","))


def _number(name: str, part: str, text: str) -> float:
    try:
        return as_number(float(part))
    except ValueError:
        raise ConfigError(
            f"{argument(name)} is {shortened(text)}, and {shortened(part)} is not a number; give numbers "
            f"separated by commas, such as 0.5,0.8,1."
        ) from None
