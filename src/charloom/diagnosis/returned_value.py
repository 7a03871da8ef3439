"""Reads one value that the user's function returned, as an array or a number.

It checks the shape before it copies anything, so that a huge value needs no memory. This module
does not know parameters or losses.
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

NUMBERS: Final = "biufcO"  # values of `dtype.kind` for arrays that may hold real numbers
LISTED: Final = 12  # a message lists at most this many items
LONGEST_NAME: Final = 40  # a description shortens longer names to this many characters
DEEPEST: Final = 4  # largest number of axes that are counted in lists within lists


class NotNumbers(Exception):
    """Raised if a value does not consist of real numbers. The message describes the value.

    For a value that the user can convert, such as a sparse array, the message also says how.
    """


def as_array(value: Any) -> Array:
    """Return the real numbers of `value` as an array.

    Real numbers keep their dtype. Complex numbers become real if their imaginary parts are zero, and
    Python objects become float64. Lists are copied, so the caller should check their size with
    `shape_of` first.

    Raises:
        NotNumbers: `value` is sparse, has masked entries, or has entries that are not real numbers.
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
    """Return `value` as a float, if it is a number, or an array or a tensor with a single entry.

    Raises:
        NotNumbers: `value` is something else, or is not a real number.
    """
    if not is_scalar(value):
        raise NotNumbers(described(value))
    return float(as_array(value).reshape(()).astype(np.float64))


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, a tensor or nested lists, and () for a number.

    The shape of nested lists has the length of the first list of each level. Return None if `value`
    has no shape.
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
    """Return a NumPy array for a tensor of PyTorch, and any other value unchanged."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def is_array(value: Any) -> bool:
    """Return True if `value` is an array or a tensor."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and shape_of(value) is not None


def is_scalar(value: Any) -> bool:
    """Return True if `value` is a single number, or an array or tensor with a single entry."""
    if isinstance(value, bool):
        return False
    return isinstance(value, Number) or (is_array(value) and math.prod(shape_of(value) or ()) == 1)


def is_sparse(value: Any) -> bool:
    """Return True if `value` is a sparse array of SciPy or a sparse tensor of PyTorch."""
    layout = str(getattr(value, "layout", "torch.strided"))
    return is_array(value) and (hasattr(value, "toarray") or layout != "torch.strided")


def described(value: Any, depth: int = 0) -> str:
    """Return a description of the type and the shape of `value`, without its contents.

    It is text for an error message, such as "an array of shape (3, 4)". With `depth` above 0, a
    list or a tuple is described only by its number of items.
    """
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
    """Return text such as " and 3 more" for the items of `value` after the first `LISTED` items.

    Return "" if there are no further items.
    """
    return f" and {len(value) - LISTED:,} more" if len(value) > LISTED else ""
