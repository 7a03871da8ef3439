"""Reads the gradient checks of a run from its gradcheck.json (spec/mathematics.md: The gradient check).

No other module reads this file. A check whose values have wrong types is left out.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from charloom.errors import DamagedError
from charloom.gradient_check.check import NORM_LIMITS
from charloom.gradient_check.check_result import GradientCheck, Row
from charloom.run_file_names import GRADCHECK
from charloom.store.atomic_files import read_file
from charloom.store.format_versions import GRADCHECK_FORMAT, refuse_later_format
from charloom.store.json_format import parse_object

PARAMETER: Final = re.compile(r"([1-9][0-9]{0,3}\.)?[bdcUWV]|ngram\.(weight|bias)|pairs\.weight")
LARGEST: Final = 1e15  # settings and counts must be smaller than this number


@dataclass(frozen=True)
class StoredChecks:
    """The gradient checks that were read from a run.

    Attributes:
        begun: True if the run has a gradcheck.json. `reproduce` creates this file in each of its
            runs.
        checks: the checks that could be read; empty if they are not finished yet.
        damage: a sentence that says what could not be read; "" if everything was read.
    """

    begun: bool
    checks: tuple[GradientCheck, ...] = ()
    damage: str = ""


def read_checks(run: Path) -> StoredChecks:
    """Return the gradient checks in the run directory `run`.

    If the file is damaged, no error is raised; the result says what could not be read.

    Raises:
        NewerFormatError: a later version of charloom wrote the checks.
        ReadError: the disk failed while reading.
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
    """Return the gradient check with the plain data `value`, which comes from a JSON file.

    Return None if `value` is not the data of a valid gradient check.
    """
    if not isinstance(value, Mapping):
        return None
    try:
        check = GradientCheck.from_dict(value)
        return check if fits(check, GradientCheck) and makes_sense(check) else None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def fits(value: Any, kind: Any) -> bool:
    """Return True if `value` has the type `kind`.

    If `kind` is a dataclass, each field of `value` must have its declared type.
    """
    if dataclasses.is_dataclass(kind):
        return all(fits(getattr(value, name), k) for name, k in get_type_hints(kind).items())
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(fits(part, parts[0]) for part in value)
    if parts:
        return any(fits(value, part) for part in parts)
    return type(value) in ((int, float) if kind is float else (kind,))


def makes_sense(check: GradientCheck) -> bool:
    """Return True if `check` can be shown: it has rows, and all of its numbers are in valid ranges."""
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
    """Return True if `row`, the result for one parameter, can be shown to users.

    All numbers of the result must be in valid ranges. Its `curve` must have one value for each step
    size of the central differences; `steps` is the number of step sizes.
    """
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
    """Return True if `value` is above 0 and finite."""
    return value > 0 and math.isfinite(value)
