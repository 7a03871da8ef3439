"""The gradient checks of a run, read from its gradcheck.json (spec/mathematics.md: The gradient check).

This is the only reader of that file: what it returns has the right types, whoever wrote the file.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from charloom.errors import DamagedError
from charloom.gradcheck.check import NORM_LIMITS
from charloom.gradcheck.result import GradientCheck, Row
from charloom.store.canonical import parse_object
from charloom.store.files import read_file
from charloom.store.formats import GRADCHECK_FORMAT, refuse_later_format
from charloom.store.layout import GRADCHECK

PARAMETER: Final = re.compile(r"([1-9][0-9]{0,3}\.)?[bdcUWV]")
LARGEST: Final = 1e15  # of a setting or a count


@dataclass(frozen=True)
class StoredChecks:
    """What a run holds of gradient checks.

    Attributes:
        begun: whether there is a gradcheck.json, by which `reproduce` marks its runs.
        checks: those that are whole; none where they were begun and not finished.
        damage: a sentence about what could not be read; empty where all could.
    """

    begun: bool
    checks: tuple[GradientCheck, ...] = ()
    damage: str = ""


def read_checks(run: Path) -> StoredChecks:
    """The gradient checks that a run directory holds; damage is told, not raised.

    Raises:
        NewerFormatError: a later charloom wrote them.
    """
    path = run / GRADCHECK
    try:
        data = read_file(path)
        if data is None:
            return StoredChecks(begun=False)
        values = parse_object(data, str(path))
        refuse_later_format(values, GRADCHECK_FORMAT, str(path))
        found = values.get("checks")
        if not isinstance(found, list):
            raise DamagedError(f"{path} is damaged: it has no list of gradient checks.")
    except DamagedError as error:
        return StoredChecks(begun=True, damage=error.message)
    read = [check_of(value) for value in found]
    checks = tuple(check for check in read if check is not None)
    damage = ""
    if len(checks) < len(read):
        damage = (
            f"{path} is damaged: {len(read) - len(checks)} of {len(read)} gradient checks cannot be "
            f"read and are left out."
        )
    return StoredChecks(True, checks, damage)


def check_of(value: object) -> GradientCheck | None:
    """A gradient check from plain data; None where the data is not one."""
    if not isinstance(value, Mapping):
        return None
    try:
        check = GradientCheck.from_dict(value)
        return check if fits(check, GradientCheck) and makes_sense(check) else None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def fits(value: Any, kind: Any) -> bool:
    """Whether a value, and in a dataclass each of its fields, is of the type that it is said to be."""
    if dataclasses.is_dataclass(kind):
        return all(fits(getattr(value, name), k) for name, k in get_type_hints(kind).items())
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(fits(part, parts[0]) for part in value)
    if parts:
        return any(fits(value, part) for part in parts)
    return type(value) in ((int, float) if kind is float else (kind,))


def makes_sense(check: GradientCheck) -> bool:
    """Whether a check can be shown: its numbers are in their ranges and there is something to show."""
    settings = check.settings
    numbers = [value for value in vars(settings).values() if type(value) in (int, float)]
    return (
        settings.dtype in NORM_LIMITS
        and all(0 <= number < LARGEST for number in numbers)
        and bool(check.rows)
        and bool(check.steps)
        and all(map(is_positive, check.steps))
        and all(row_makes_sense(row, len(check.steps)) for row in check.rows)
    )


def row_makes_sense(row: Row, steps: int) -> bool:
    """The same of the row of a parameter, whose curve has a point for each step."""
    limit = row.elementwise_limit
    return (
        PARAMETER.fullmatch(row.parameter) is not None
        and is_positive(row.norm_limit)
        and is_positive(row.central.step)
        and (limit is None or is_positive(limit))
        and 0 <= row.checked <= row.total < LARGEST
        and all(0 <= place < LARGEST for place in row.worst.index)
        and len(row.curve) == steps
    )


def is_positive(value: float) -> bool:
    """Whether a number is above 0 and finite."""
    return value > 0 and math.isfinite(value)
