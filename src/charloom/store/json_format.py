"""Writes canonical JSON, which has the same bytes for the same value, and reads untrusted JSON.

Canonical JSON is ASCII with sorted keys and without spaces, NaN and infinity (spec/formats.md:
Canonical JSON).
"""

import json
from typing import Any, Final

from charloom.errors import DamagedError


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a value; equal values always give equal bytes.

    Raises:
        ValueError: the value contains a NaN or an infinity.
    """
    return json.dumps(
        value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode("ascii")


def parse_json(data: bytes | str, what: str) -> Any:
    """Return the value of untrusted JSON; `what` names it in messages.

    Raises:
        DamagedError: it is not JSON, or has NaN, infinity, too deep nesting or too long numbers.
    """
    try:
        if isinstance(data, bytes):
            data = data.decode(json.detect_encoding(data), "surrogatepass")
        return _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{what} is not valid JSON ({error}).") from None


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in untrusted bytes; `what` names it in messages.

    Raises:
        DamagedError: it is not JSON, or not a JSON object.
    """
    value = parse_json(data, what)
    if not isinstance(value, dict):
        raise DamagedError(f"{what} is damaged: it is not a JSON object.")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


# json.loads would create a decoder for each line of a journal, which takes longer than parsing the line.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
