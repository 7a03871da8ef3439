"""Writes JSON with one spelling for each value, and reads JSON that may come from a stranger.

Canonical JSON is pure ASCII with sorted keys and no spaces, and knows no NaN and no infinity
(spec/formats.md: Canonical JSON). Reading trusts nothing but the standard parser.
"""

import json
from typing import Any, Final

from charloom.errors import DamagedError


def canonical_json(value: Any) -> bytes:
    """The one spelling of a value; the same value gives the same bytes everywhere.

    Raises:
        ValueError: the value holds a NaN or an infinity.
    """
    return json.dumps(
        value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode("ascii")


def parse_json(data: bytes | str, what: str) -> Any:
    """The value of JSON bytes that may come from anywhere.

    Raises:
        DamagedError: no JSON, or JSON with NaN, infinity, absurd depth or absurd numbers.
    """
    try:
        if isinstance(data, bytes):
            data = data.decode(json.detect_encoding(data), "surrogatepass")
        return _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{what} is not valid JSON ({error}).") from None


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object from bytes that may come from anywhere.

    Raises:
        DamagedError: no JSON, or JSON that is no object.
    """
    value = parse_json(data, what)
    if not isinstance(value, dict):
        raise DamagedError(f"{what} is damaged: it is not a JSON object.")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


# json.loads would make a new one for each line of a journal, which takes longer than to parse the line.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
