"""Canonical JSON, which has the same bytes for the same value, and seals, which are made from it.

Canonical JSON is ASCII with sorted keys and without spaces, NaN and infinity (spec/formats.md:
Canonical JSON).
"""

import hashlib
import json
from typing import Any, Final

SEAL: Final = "sha256"  # the field of a JSON object that holds its seal


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a value; equal values always give equal bytes.

    Raises:
        ValueError: the value contains a NaN or an infinity.
    """
    return json.dumps(
        value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode("ascii")


def seal_of(values: dict[str, Any]) -> str:
    """Return the seal of an object without one: the SHA-256 of its canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(values)).hexdigest()
