"""Reads a student's own numbers, from a dict or from a .json, .npz or .csv file. It does not judge them."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from charloom.errors import ConfigError, ReadError
from charloom.formatting import excerpt, shortened
from charloom.network_trace.csv_numbers import numbers_in_csv

MOST_BYTES: Final = 50_000_000  # of a file, and of the arrays in an .npz file
ENDINGS: Final = (".json", ".npz", ".csv")
# How much a right number may differ, relative to the largest number of its value, for each dtype of an array.
DTYPE_TOLERANCE: Final = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-9}
# Of rounded numbers, as many units of the last decimal: with few decimals only a rounding error, with more decimals also
# what rounding every step by hand adds up to.
FEW_DECIMALS: Final = 2
UNITS: Final = 2.0
FEW_UNITS: Final = 0.6
WHOLE_UNITS: Final = 0.5  # of numbers without decimals
# Significant digits from which on they count, too: fewer are also those of numbers that were rounded to decimals.
FEWEST_DIGITS: Final = 3
# Numbers with more decimals than this that all fit into float32 were computed in float32.
SHORT: Final = 9
MOST_COUNTED: Final = 100_000  # numbers of an array whose digits are counted


@dataclass(frozen=True, eq=False)
class GivenNumbers:
    """The numbers of one value as the student gave them.

    Attributes:
        array: the numbers in float64; None if they are not numbers, or do not form an array.
        problem: what is wrong if `array` is None, such as "is not a number"; else "".
        decimals: the largest number of decimals of a number.
        digits: the largest number of significant digits of a number.
        relative: how much a right number may differ, relative to the largest one, however many decimals they have.
    """

    array: NDArray[np.float64] | None
    problem: str = ""
    decimals: int = 0
    digits: int = 0
    relative: float = DTYPE_TOLERANCE["float64"]

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """Return the numbers of a value: a number, an array, or nested lists of numbers or of `Decimal`.

        Binary numbers have the digits with which Python writes them, so that rounded ones are judged as rounded text.
        """
        try:
            found = np.asarray(value)
        except ValueError:
            return cls(None, f"{name} has rows of different lengths")
        if found.dtype == object:
            return cls._of_objects(name, found)
        if found.dtype.kind not in "iufb":
            return cls(
                None,
                f"{name} is {shortened(value, 40)}, which is not a number or an array of numbers",
            )
        relative = DTYPE_TOLERANCE.get(found.dtype.name, DTYPE_TOLERANCE["float64"])
        written = []
        if found.dtype.kind == "f" and found.size <= MOST_COUNTED:
            written = [Decimal(str(one)).normalize() for one in found.ravel()]
        return cls._written(found.astype(np.float64), written, relative)

    @classmethod
    def _of_objects(cls, name: str, found: NDArray[Any]) -> Self:
        """Return the numbers of an array of objects, which must be numbers or `Decimal`."""
        for one in found.ravel():
            if not isinstance(one, (Decimal, int, float)) or isinstance(one, bool):
                return cls(None, f"{name} has {shortened(one, 40)}, which is not a number")
        written = [one for one in found.ravel() if isinstance(one, Decimal)]
        return cls._written(found.astype(np.float64), written, DTYPE_TOLERANCE["float64"])

    @classmethod
    def _written(
        cls, array: NDArray[np.float64], written: Sequence[Decimal], relative: float
    ) -> Self:
        """Return numbers with the digits of `written`."""
        finite = [one.as_tuple() for one in written if one.is_finite()]
        decimals = max(
            (-one.exponent for one in finite if isinstance(one.exponent, int)), default=0
        )
        digits = max((len(one.digits) for one in finite), default=0)
        with np.errstate(over="ignore"):
            single = decimals > SHORT and bool((array == array.astype(np.float32)).all())
        relative = max(relative, DTYPE_TOLERANCE["float32"]) if single else relative
        return cls(array, decimals=max(decimals, 0), digits=digits, relative=relative)

    @property
    def whole(self) -> bool:
        """True if the numbers have no decimals and are not all 0: they may be rounded to whole numbers."""
        if self.array is None or self.decimals or not self.array.any():
            return False
        return bool((self.array == np.round(self.array)).all())

    def part(self, array: NDArray[np.float64]) -> Self:
        """Return some of these numbers, which are as exact as all of them."""
        return replace(self, array=array)

    def tolerance(
        self, own: NDArray[np.float64], right: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return by how much each of these numbers may differ from the right one.

        Args:
            own: these numbers in the shape of the right ones.
            right: the right numbers.
        """
        if self.whole:
            return np.full(right.shape, WHOLE_UNITS)
        size = max(1.0, float(np.abs(right).max(initial=0.0)))
        limit: NDArray[np.float64] = np.full(right.shape, self.relative * size)
        if self.decimals:
            units = FEW_UNITS if self.decimals <= FEW_DECIMALS else UNITS
            limit = np.maximum(limit, units * 10.0**-self.decimals)
        if self.decimals and self.digits >= FEWEST_DIGITS:
            with np.errstate(all="ignore"):
                last = np.floor(np.log10(np.abs(own))) - (self.digits - 1)
                unit = np.where(np.isfinite(last), 10.0**last, 0.0)
            limit = np.maximum(limit, UNITS * unit)
        return limit


def read_numbers(path: Path) -> dict[str, GivenNumbers]:
    """Return the numbers in a .json, .npz or .csv file by their names.

    A JSON file is an object of numbers and nested lists; a trace as JSON is one too. A CSV
    file has a name at the beginning of each line, and then its numbers, those of a matrix row by row; or names as headings
    of its columns.

    Raises:
        ConfigError: the file has another ending, is too large, or has other contents.
        ReadError: the file cannot be read.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"{shortened(path)} has an unknown ending; numbers must be in a .json, .npz or .csv file."
        )
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(
                f"{shortened(path)} is too large: the most is {MOST_BYTES // 10**6} MB."
            )
        reader = {".json": _read_json, ".npz": _read_npz, ".csv": _read_csv}[path.suffix.lower()]
        found = reader(path)
    except OSError as error:
        raise ReadError(f"{shortened(path)} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{shortened(path)} is not a readable {path.suffix.lower()} file: {shortened(str(error))}."
        ) from error
    if not found:
        raise ConfigError(
            f"{shortened(path)} has no numbers; give at least one name with its numbers."
        )
    return numbers_by_name(found)


def numbers_by_name(found: Mapping[str, Any]) -> dict[str, GivenNumbers]:
    """Return the numbers of values by name. A dict of steps, such as {"h": {"1": …}}, gives h_1 and so on."""
    given: dict[str, GivenNumbers] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            given |= {
                f"{name}_{step}": GivenNumbers.of(f"{name}_{step}", one)
                for step, one in value.items()
            }
        else:
            given[name] = GivenNumbers.of(name, value)
    return given


def _read_json(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file. Numbers are `Decimal`, so that their decimals can be counted."""
    text = path.read_text(encoding="utf-8-sig")
    found = json.loads(
        text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=_without_repeated_names
    )
    if isinstance(found, dict) and isinstance(found.get("numbers"), dict):
        found = found["numbers"]
    if not isinstance(found, dict):
        raise ValueError('it must be an object of names and numbers, such as {"h_1": [0.5, -0.2]}')
    return found


def _without_repeated_names(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict; raise ValueError if a name stands twice in it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for n, name in enumerate(names) if name in names[:n])
        raise ValueError(f"it has {excerpt(again, 40)} twice; give each name once")
    return found


def _read_npz(path: Path) -> Mapping[str, Any]:
    """Return the arrays in an .npz file. Pickled objects are refused."""
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
            raise ValueError("its arrays are too large")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_csv(path: Path) -> Mapping[str, Any]:
    """Return the numbers in a CSV file by name."""
    return numbers_in_csv(path.read_text(encoding="utf-8-sig"))
