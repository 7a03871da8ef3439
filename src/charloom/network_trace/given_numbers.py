"""Reads a student's own numbers, from a dict or from a .json, .npz or .csv file. It does not judge them."""

import csv
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from charloom.errors import ConfigError, ReadError
from charloom.formatting import shortened

MOST_BYTES: Final = 50_000_000  # of a file, and of the arrays in an .npz file
ENDINGS: Final = (".json", ".npz", ".csv")
# How much a right number may differ, relative to the largest number of its value, for each dtype of an array.
DTYPE_TOLERANCE: Final = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-9}
# Of numbers that are written with decimals, as many units of the last decimal: with few decimals only a rounding error,
# with more decimals also what rounding every step by hand adds up to.
FEW_DECIMALS: Final = 2
UNITS: Final = 2.0
FEW_UNITS: Final = 0.6
# Numbers with more decimals than this that all fit into float32 were computed in float32.
SHORT: Final = 9


@dataclass(frozen=True, eq=False)
class GivenNumbers:
    """The numbers of one value as the student gave them.

    Attributes:
        array: the numbers in float64; None if they are not numbers, or do not form an array.
        problem: what is wrong if `array` is None, such as "is not a number"; else "".
        decimals: the largest number of decimals with which they are written; None if they are binary numbers.
        relative: how much a right number may differ, relative to the largest one, if they are binary numbers.
    """

    array: NDArray[np.float64] | None
    problem: str = ""
    decimals: int | None = None
    relative: float = DTYPE_TOLERANCE["float64"]

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """Return the numbers of a value: a number, an array, or nested lists of numbers or of `Decimal`."""
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
        return cls(found.astype(np.float64), relative=relative)

    @classmethod
    def _of_objects(cls, name: str, found: NDArray[Any]) -> Self:
        """Return the numbers of an array of objects, which must be numbers or `Decimal`."""
        for one in found.ravel():
            if not isinstance(one, (Decimal, int, float)) or isinstance(one, bool):
                return cls(None, f"{name} has {shortened(one, 40)}, which is not a number")
        exponents = [one.as_tuple().exponent for one in found.ravel() if isinstance(one, Decimal)]
        decimals = max((-e for e in exponents if isinstance(e, int)), default=0)
        array = found.astype(np.float64)
        with np.errstate(over="ignore"):
            single = decimals > SHORT and bool((array == array.astype(np.float32)).all())
        relative = DTYPE_TOLERANCE["float32" if single else "float64"]
        return cls(array, decimals=max(decimals, 0), relative=relative)

    def tolerance(self, right: NDArray[np.float64]) -> float:
        """Return by how much these numbers may differ from the right ones."""
        size = max(1.0, float(np.abs(right).max(initial=0.0)))
        exact = self.relative * size
        if not self.decimals:
            return exact
        units = FEW_UNITS if self.decimals <= FEW_DECIMALS else UNITS
        return max(exact, units * 10.0**-self.decimals)


def read_numbers(path: Path) -> dict[str, GivenNumbers]:
    """Return the numbers in a .json, .npz or .csv file by their names.

    A JSON file is an object of numbers and nested lists; a trace as JSON is one too. A CSV
    file has a name at the beginning of each line, and then its numbers, those of a matrix row by row.

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
    found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    if isinstance(found, dict) and isinstance(found.get("numbers"), dict):
        found = found["numbers"]
    if not isinstance(found, dict):
        raise ValueError('it must be an object of names and numbers, such as {"h_1": [0.5, -0.2]}')
    return found


def _read_npz(path: Path) -> Mapping[str, Any]:
    """Return the arrays in an .npz file. Pickled objects are refused."""
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
            raise ValueError("its arrays are too large")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_csv(path: Path) -> Mapping[str, Any]:
    """Return the numbers in a CSV file by the names at the beginning of its lines."""
    found: dict[str, Any] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            cells = [cell.strip() for cell in row if cell.strip()]
            if not cells:
                continue
            try:
                numbers = [Decimal(cell) for cell in cells[1:]]
            except ArithmeticError:
                if number == 1:  # a heading
                    continue
                raise ValueError(f"line {number} has something that is not a number") from None
            found[cells[0]] = numbers[0] if len(numbers) == 1 else numbers
    return found
