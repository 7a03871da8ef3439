"""Reads one field of each line of a file of JSON lines, with errors that name the line.

The name of a field may be a path: `review.text` is the field `text` of the object in the field `review`, unless the
line has a field with the whole name.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from charloom.errors import TextError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.name_suggestions import did_you_mean

MISSING: Final = object()
MOST_NAMES: Final = 20  # largest number of fields in a message


def jsonl_values(lines: Iterable[str], name: str, field: str) -> Iterator[str]:
    """Yield the value of a field in each line; "" for null. Blank lines are left out.

    Args:
        lines: the lines of the file.
        name: the name of the file in messages.
        field: the name of the field, or a path of names joined by dots.

    Raises:
        TextError: a line is not a JSON object, or its field is missing or is not a string.
    """
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        place = f"{name}, line {number:,}"
        values = _parsed(line, place)
        if not isinstance(values, dict):
            raise TextError(f"{place}: {shortened(line.strip())} is not a JSON object.")
        value = value_at(values, field)
        if value is MISSING:
            raise _missing(values, field, place)
        if not isinstance(value, str | None):
            raise TextError(
                f"{place}: the field {shortened(field)} is {shortened(value)}; it must be a string."
            )
        yield value or ""


def _parsed(line: str, place: str) -> object:
    """Return the value of a line of JSON."""
    try:
        return json.loads(line)
    except ValueError as error:
        reason = getattr(error, "msg", str(error))
        column = getattr(error, "colno", None)
        where = f" at character {column:,}" if column else ""
        raise TextError(
            f"{place} is not valid JSON: {reason}{where}. Each line must be one JSON object."
        ) from None
    except RecursionError:
        raise TextError(f"{place} has too many nested values.") from None


def value_at(values: dict[str, Any], field: str) -> object:
    """Return the value of a field, or at a path of fields; `MISSING` if there is none."""
    if field in values:
        return values[field]
    found: object = values
    for name in field.split("."):
        if not isinstance(found, dict) or name not in found:
            return MISSING
        found = found[name]
    return found


def _missing(values: dict[str, Any], field: str, place: str) -> TextError:
    """Return the error for a line without the field."""
    names = ", ".join(map(shortened, list(values)[:MOST_NAMES]))
    names += " …" if len(values) > MOST_NAMES else ""
    meant = did_you_mean(field, list(values))
    return TextError(
        f"{place} has no field {shortened(field)}; {argument('field')} must be one of "
        f"{names or 'none'}{f'; {meant}' if meant else '.'}"
    )
