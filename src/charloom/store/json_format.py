"""Parses JSON that may come from unknown programs. Refuses NaN, infinity and too deep nesting."""

import json
from typing import Any, Final

from charloom.errors import DamagedError


def parse_json(data: bytes | str, label: str) -> Any:
    """Return the value in untrusted JSON. `label` is the name of the JSON in messages.

    Raises:
        DamagedError: `data` is not JSON, or has NaN, infinity, too deep nesting or too long numbers.
    """
    try:
        if isinstance(data, bytes):
            data = data.decode(json.detect_encoding(data), "surrogatepass")
        return _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{label} is not valid JSON ({error}).") from None


def parse_object(data: bytes | str, label: str) -> dict[str, Any]:
    """Return the object in untrusted JSON. `label` is the name of the JSON in messages.

    Raises:
        DamagedError: `data` is not JSON that `parse_json` accepts, or its value is not an object.
    """
    value = parse_json(data, label)
    if not isinstance(value, dict):
        raise DamagedError(f"{label} is damaged: it is not a JSON object.")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


# json.loads would create a decoder for each line of a journal, which takes longer than parsing the line.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
