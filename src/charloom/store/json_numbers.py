"""Checks the numbers in JSON that may come from unknown programs."""

import math
from typing import Final, TypeGuard

COUNT_LIMIT: Final = 2**63


def is_count(value: object) -> TypeGuard[int]:
    """Return True if a value is an int from 0 to 2⁶³ - 1; a bool does not count as an int."""
    return type(value) is int and 0 <= value < COUNT_LIMIT


def is_number(value: object) -> TypeGuard[float]:
    """Return True if a value is a finite float."""
    return type(value) is float and math.isfinite(value)
