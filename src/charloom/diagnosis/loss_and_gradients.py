"""Reads what a function returned as a loss and gradients by name.

People return (loss, gradients) or only gradients; gradients are a dict, an object or a tuple; names
have prefixes, biases are columns. What cannot be told is asked for. It calls nothing.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np

from charloom.diagnosis.returned_value import (
    Array,
    NotNumbers,
    as_array,
    as_number,
    described,
    is_array,
    is_scalar,
    shape_of,
)
from charloom.errors import DoctorError
from charloom.messages import argument

MOST: Final = 100  # items of a tuple, or names in a dict, that are looked at

# What people call the parameters; compared in lower case, without underscores.
ALIASES: Final = {
    "U": ("u", "wxh", "wx", "win", "wih", "whx", "wax", "weightihl0", "wi"),
    "W": ("w", "whh", "wh", "waa", "wrec", "weighthhl0", "wr"),
    "b": ("b", "bh", "ba", "bhh", "biasihl0", "biash", "biashidden", "hbias"),
    "d": ("d", "bn", "bhn"),
    "V": ("v", "why", "wy", "wya", "wout", "who", "wyh", "woh", "wo"),
    "c": ("c", "by", "bo", "bout", "biasy", "biaso", "biasout", "ybias"),
}
EXAMPLE: Final = {"U": "Wxh", "W": "Whh", "b": "bh", "V": "Why", "c": "by"}
BIASES: Final = ("b", "c", "d")
PREFIXES: Final = ("", "d", "grad", "g", "delta", "dl", "dld", "grads")


class Reply(NamedTuple):
    """A loss (None where none was returned) and gradients, shaped as they were returned."""

    loss: float | None
    gradients: dict[str, Array]
    float32: bool


def parameter_of(name: str, known: Sequence[str], names: Mapping[str, str]) -> str | None:
    """Which parameter somebody means by a name, of those that are known; None where none."""
    for parameter, own in names.items():
        if name == own:
            return parameter
    if name in known:
        return name
    plain = name.lower().replace("_", "")
    for parameter in known:
        if plain in ALIASES[parameter]:
            return parameter
    return None


def gradient_of(name: str, known: Sequence[str], names: Mapping[str, str]) -> str | None:
    """Which parameter's gradient a name means: the parameter's, or that with a prefix."""
    found = parameter_of(name, known, names)
    for prefix in PREFIXES[1:]:
        for start in (prefix + "_", prefix):
            if found is None and name.lower().startswith(start):
                found = parameter_of(name[len(start) :], known, names)
    return found


def read_reply(
    returned: Any,
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    order: Sequence[str],
    T: int,
) -> Reply:
    """Loss and gradients out of what a function returned.

    `shapes` are those of the parameters as they were given, `names` what the user calls them,
    `order` what the items of a tuple are: parameters, `loss`, or `_` for anything else.
    """
    loss, found = parts_of(returned, shapes, names, order)
    missing = [name for name in shapes if name not in found]
    if missing == ["d"]:
        raise DoctorError(
            "the function returned no gradient of d. charloom's GRU has a bias of its own inside the "
            "reset, n = tanh(U_n x + b_n + r ∘ (W_n h + d)): read params['d'] there and return its "
            "gradient. A GRU without it is another network, and cannot be judged by this one."
        )
    if missing:
        raise DoctorError(
            f"the function returned no gradient of {', '.join(missing)}; it returned "
            f"{described(returned)}. It must return (loss, gradients), with a gradient for each of "
            f"{', '.join(shapes)}. If yours has other names, say for example "
            f"{argument('names', EXAMPLE)}."
        )
    arrays = {name: shaped(name, found[name], shapes[name], T) for name in shapes}
    single = all(array.dtype == np.float32 for array in arrays.values())
    gradients = {name: array.astype(np.float64) for name, array in arrays.items()}
    return Reply(loss, gradients, single)


def parts_of(
    returned: Any,
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    order: Sequence[str],
) -> tuple[float | None, dict[str, Any]]:
    """The loss, and what was found for each parameter."""
    items = parts(returned) or [returned]
    flat = [part for item in items for part in (parts(item) or [item])]
    if order:
        if len(order) != len(flat) and "loss" not in order:
            flat = [item for item in flat if not is_scalar(item)]
        if len(order) != len(flat):
            raise DoctorError(
                f"{argument('gradients')} names {len(order)} items, {', '.join(order)}; the function returned "
                f"{len(flat)}: {described(returned)}. Name each of them; _ is anything else."
            )
        named = dict(zip(order, flat, strict=True))
        loss = number(named["loss"]) if "loss" in named else first_number(items)
        return loss, {name: named[name] for name in shapes if name in named}
    loss = first_number(flat)
    holders = [item for item in flat if not is_scalar(item) and not is_array(item)]
    arrays = [item for item in flat if is_array(item) and not is_scalar(item)]
    for holder in holders:
        found = held_by(holder, shapes, names)
        if found:
            return loss, found
    return loss, by_shape(arrays, shapes) if arrays else {}


def parts(value: Any) -> list[Any]:
    """The items of a tuple or a list; none of anything else, and of one that is longer than any
    answer with an item for each parameter."""
    return list(value) if isinstance(value, (tuple, list)) and len(value) <= MOST else []


def held_by(
    holder: Any, shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> dict[str, Any]:
    """The gradients that a dict or an object holds, by the parameters' names."""
    if isinstance(holder, Mapping):
        items = {str(key): value for key, value in islice(holder.items(), MOST)}
    else:
        known = [*names.values(), *shapes]
        tried = [f"{prefix}{name}" for name in known for prefix in ("", "d", "grad_", "d_")]
        items = {name: getattr(holder, name) for name in tried if hasattr(holder, name)}
        items |= {k: v for k, v in getattr(holder, "__dict__", {}).items() if is_array(v)}
    found: dict[str, Any] = {}
    # A gradient's name with its prefix says more than a bare one: dict(W=…, dW=…) means dW.
    for name, value in sorted(items.items(), key=lambda item: item[0] in shapes):
        parameter = gradient_of(name, list(shapes), names)
        if parameter is not None and parameter not in found and value is not None:
            found[parameter] = value
    return found


def by_shape(arrays: Sequence[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arrays without names, told apart by their shapes; asks where they do not tell."""
    wanted = {name: squeezed(shape) for name, shape in shapes.items()}
    found: dict[str, Any] = {}
    for name, shape in wanted.items():
        fitting = [array for array in arrays if squeezed(shape_of(array) or ()) == shape]
        if len(fitting) != 1:
            raise DoctorError(
                f"the function returned arrays of shapes {told_shapes(arrays)} without names, and "
                f"{'none' if not fitting else 'more than one'} of them has the shape of {name}, "
                f"{shapes[name]}. Say what they are, in their order, for example "
                f"{argument('gradients', ['loss', *shapes])}; _ is anything else."
            )
        found[name] = fitting[0]
    return found


def shaped(name: str, value: Any, shape: tuple[int, ...], T: int) -> Array:
    """One gradient as an array: a bias flat, a matrix as it was returned. Its shape is compared
    before anything of it is copied."""
    given = shape_of(value)
    if given is None:
        raise DoctorError(unreadable(name, described(value), shape))
    bias, n = name in BIASES, math.prod(shape)
    over_time = bias and squeezed(given) in ((n, T), (T, n))  # a bias that is not summed
    if not over_time and (math.prod(given) != n if bias else given not in (shape, shape[::-1])):
        raise DoctorError(
            f"the gradient of {name} has shape {given}; the parameter has {shape}, and they must "
            "be the same."
        )
    try:
        array = as_array(value).reshape(given)
    except (NotNumbers, ValueError) as error:
        told = str(error) if isinstance(error, NotNumbers) else described(value)
        raise DoctorError(unreadable(name, told, shape)) from None
    if over_time:
        rows = array.reshape(squeezed(given))
        return rows if rows.shape == (n, T) else rows.T
    return array.reshape(n) if bias else array


def unreadable(name: str, told: str, shape: tuple[int, ...]) -> str:
    """The message about a gradient that holds no real numbers."""
    return (
        f"the gradient of {name} is {told}; it must be an array of real numbers of shape {shape}."
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of length 1."""
    return tuple(n for n in shape if n != 1)


def number(value: Any) -> float:
    """The loss as a number."""
    try:
        return as_number(value)
    except NotNumbers as error:
        raise DoctorError(f"the loss is {error}; it must be one real number.") from None


def first_number(items: Sequence[Any]) -> float | None:
    """The loss: the first single number of what was returned; None where there is none."""
    return next((number(item) for item in items if is_scalar(item)), None)


def told_shapes(arrays: Sequence[Any]) -> str:
    """The shapes of arrays, for people."""
    return ", ".join(str(shape_of(array)) for array in arrays)
