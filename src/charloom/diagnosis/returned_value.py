"""Reads one value that the user's function returned, as an array or a number.

It checks the shape before it copies anything, so that a huge value costs no memory. It does not know
parameters or losses.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from numbers import Number
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.formatting import excerpt

Array = NDArray[Any]

NUMBERS: Final = "biufcO"  # kinds of dtype that may hold real numbers
LISTED: Final = 12  # largest number of items that a description lists
LONGEST_NAME: Final = 40  # largest number of characters of a name in a description
DEEPEST: Final = 4  # levels of lists within lists that are counted


class NotNumbers(Exception):
    """The value does not consist of real numbers; the message says what it is and what to do."""


def as_array(value: Any) -> Array:
    """Return a value as an array with its own dtype; complex numbers without an imaginary part are real.

    It copies lists, so check `shape_of` first.

    Raises:
        NotNumbers: it is sparse, has masked entries, or has entries that are not real numbers.
    """
    if is_sparse(value):
        raise NotNumbers(f"{described(value)}; return a dense one (toarray, or to_dense)")
    if isinstance(value, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(value).sum())
        if masked:
            raise NotNumbers(f"a masked array with {masked:,} masked entries; return a plain array")
        value = value.data
    try:
        array = np.asarray(without_torch(value))
        if array.dtype.kind not in NUMBERS:
            raise NotNumbers(f"an array of {array.dtype}")
        if array.dtype.kind == "O":
            if not all(isinstance(item, Number) for item in array.flat):
                raise NotNumbers(f"{described(array)} of Python objects")
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise NotNumbers(described(value)) from None
    if np.iscomplexobj(array):
        if array.imag.any():
            raise NotNumbers(f"{described(array)} of complex numbers")
        array = array.real
    return array


def as_number(value: Any) -> float:
    """Return one number from a number, an array with one entry, or a tensor with one entry.

    Raises:
        NotNumbers: it is something else.
    """
    if not is_scalar(value):
        raise NotNumbers(described(value))
    return float(as_array(value).reshape(()).astype(np.float64))


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, a tensor, or nested lists (by their first items); () for a number.

    Return None if the value has no shape.
    """
    if hasattr(value, "shape"):
        try:
            return tuple(int(n) for n in value.shape)
        except (TypeError, ValueError):
            return None
    found: list[int] = []
    while isinstance(value, (list, tuple)) and len(found) < DEEPEST:
        found.append(len(value))
        value = value[0] if value else None
    return tuple(found) if found or isinstance(value, Number) else None


def without_torch(value: Any) -> Any:
    """Return a tensor of PyTorch as an array, and any other value unchanged."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def is_array(value: Any) -> bool:
    """Return True for an array or a tensor."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and shape_of(value) is not None


def is_scalar(value: Any) -> bool:
    """Return True for a single number, such as a loss."""
    if isinstance(value, bool):
        return False
    return isinstance(value, Number) or (is_array(value) and math.prod(shape_of(value) or ()) == 1)


def is_sparse(value: Any) -> bool:
    """Return True for a sparse array of SciPy or a sparse tensor of PyTorch."""
    layout = str(getattr(value, "layout", "torch.strided"))
    return is_array(value) and (hasattr(value, "toarray") or layout != "torch.strided")


def described(value: Any, depth: int = 0) -> str:
    """Return what a value is, such as its type and its shape, without its contents."""
    if value is None:
        return "None"
    if is_array(value):
        kind = f"a sparse array ({type(value).__name__})" if is_sparse(value) else "an array"
        return f"{kind} of shape {shape_of(value)}"
    if isinstance(value, Mapping):
        if not value:
            return "an empty dict"
        names = ", ".join(excerpt(str(name), LONGEST_NAME) for name in islice(value, LISTED))
        return f"a dict with the keys {names}{more(value)}"
    if isinstance(value, (tuple, list)):
        if depth or len(value) > LISTED:
            return f"a {type(value).__name__} of {len(value):,} items"
        return f"({', '.join(described(item, 1) for item in value)})"
    if isinstance(value, Number):
        return "a number"
    if hasattr(value, "__next__"):
        return f"an iterator of the type {type(value).__name__}"
    return f"an object of the type {type(value).__name__}"


def more(value: Mapping[Any, Any] | Sequence[Any]) -> str:
    """Return how many items a description does not list; empty if it lists all."""
    return f" and {len(value) - LISTED:,} more" if len(value) > LISTED else ""
