"""Reads one value that a function returned as an array or a number.

Its shape is looked at before anything of it is copied, so that a value of an absurd size costs
nothing. It knows no parameters and no losses.
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
TOLD: Final = 12  # items that are named of many
LONGEST_NAME: Final = 40  # characters of a name that are told
DEEPEST: Final = 4  # lists within lists that are looked into


class NotNumbers(Exception):
    """A value holds no real numbers; the message says what it is, and what to do."""


def as_array(value: Any) -> Array:
    """A value as an array with the dtype that it has; complex numbers without imaginary part are real.

    Look at `shape_of` first: this copies lists.

    Raises:
        NotNumbers: it is sparse, has masked entries, or holds something else than real numbers.
    """
    if is_sparse(value):
        raise NotNumbers(f"{described(value)}; return a dense one (toarray, or to_dense)")
    if isinstance(value, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(value).sum())
        if masked:
            raise NotNumbers(f"a masked array with {masked:,} masked entries; return a plain array")
        value = value.data
    try:
        array = np.asarray(plain(value))
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
    """One number out of a number, an array of one entry, or a tensor.

    Raises:
        NotNumbers: it is something else.
    """
    if not is_scalar(value):
        raise NotNumbers(described(value))
    return float(as_array(value).reshape(()).astype(np.float64))


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of an array, a tensor, or lists within lists (by their first items); of a number ().

    None where a value has none.
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


def plain(value: Any) -> Any:
    """A tensor of PyTorch as an array; anything else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def is_array(value: Any) -> bool:
    """Whether a value is an array or a tensor."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and shape_of(value) is not None


def is_scalar(value: Any) -> bool:
    """Whether a value is one number, such as a loss."""
    if isinstance(value, bool):
        return False
    return isinstance(value, Number) or (is_array(value) and math.prod(shape_of(value) or ()) == 1)


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse array of SciPy, or a sparse tensor of PyTorch."""
    layout = str(getattr(value, "layout", "torch.strided"))
    return is_array(value) and (hasattr(value, "toarray") or layout != "torch.strided")


def described(value: Any, depth: int = 0) -> str:
    """What a value is, for people, without its contents."""
    if value is None:
        return "None"
    if is_array(value):
        kind = f"a sparse array ({type(value).__name__})" if is_sparse(value) else "an array"
        return f"{kind} of shape {shape_of(value)}"
    if isinstance(value, Mapping):
        names = ", ".join(excerpt(str(name), LONGEST_NAME) for name in islice(value, TOLD))
        return f"a dict with {names or 'nothing in it'}{more(value)}"
    if isinstance(value, (tuple, list)):
        if depth or len(value) > TOLD:
            return f"a {type(value).__name__} of {len(value):,} items"
        return f"({', '.join(described(item, 1) for item in value)})"
    if isinstance(value, Number):
        return "a number"
    if hasattr(value, "__next__"):
        return f"something of the type {type(value).__name__}, which gives its values one by one"
    return f"something of the type {type(value).__name__}"


def more(value: Mapping[Any, Any] | Sequence[Any]) -> str:
    """How many items there are beside those that are named; empty where there are none."""
    return f" and {len(value) - TOLD:,} more" if len(value) > TOLD else ""
