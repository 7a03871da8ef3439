"""Canonical JSON, in which equal values have equal bytes, and checksums of JSON objects.

Canonical JSON is ASCII with sorted keys and without spaces, NaN and infinity (spec/formats.md:
Canonical JSON).
"""

import hashlib
import json
from typing import Any, Final

SEAL: Final = "sha256"  # the field of a JSON object that holds its checksum
ENCODER: Final = json.JSONEncoder(
    ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False
)


def canonical_json(value: Any) -> bytes:
    """Return a value as canonical JSON. Equal values always give equal bytes.

    Raises:
        ValueError: the value contains a NaN or an infinity.
    """
    return ENCODER.encode(value).encode("ascii")


def seal_of(values: dict[str, Any]) -> str:
    """Return the checksum (seal) of a JSON object: the SHA-256 of its canonical JSON, in hexadecimal.

    `values` are all fields of the object except `SEAL`, the field that stores the checksum.
    """
    return hashlib.sha256(canonical_json(values)).hexdigest()
