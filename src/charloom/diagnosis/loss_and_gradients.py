"""Reads the loss and the gradient of each parameter from the value that the user's function returned.

The value is (loss, gradients) or only the gradients. The gradients are in a dict, an object or a
tuple. Their names may have prefixes, and biases may be columns. If neither names nor shapes show to
which parameter a gradient belongs, an error asks for the names. This module does not run the user's
code.
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
from charloom.formatting import number_of
from charloom.messages import argument

MOST: Final = 100  # largest number of items of a tuple, or of keys of a dict, that are read

# Usual names of the parameters, in lower case and without underscores.
ALIASES: Final = {
    "U": ("u", "wxh", "wx", "win", "wih", "whx", "wax", "weightihl0", "wi"),
    "W": ("w", "whh", "wh", "waa", "wrec", "weighthhl0", "wr"),
    "b": ("b", "bh", "ba", "bhh", "biasihl0", "biash", "biashidden", "hbias"),
    "d": ("d", "bn", "bhn"),
    "V": ("v", "why", "wy", "wya", "wout", "who", "wyh", "woh", "wo"),
    "c": ("c", "by", "bo", "bout", "biasy", "biaso", "biasout", "ybias"),
}
EXAMPLE: Final = {"U": "Wxh", "W": "Whh", "b": "bh", "V": "Why", "c": "by"}
LOSSES: Final = (
    "loss",
    "cost",
    "total_loss",
    "error",
)  # usual names of the loss in a returned dict
BIASES: Final = ("b", "c", "d")
PREFIXES: Final = ("", "d", "grad", "g", "delta", "dl", "dld", "grads")


class Reply(NamedTuple):
    """The loss and the gradients that the function returned.

    Attributes:
        loss: the loss; None if the function returned no loss.
        gradients: the gradient of each parameter, as float64.
        float32: whether all returned gradients are float32 arrays.
    """

    loss: float | None
    gradients: dict[str, Array]
    float32: bool


def parameter_of(name: str, known: Sequence[str], names: Mapping[str, str]) -> str | None:
    """Return the parameter in `known` that is called `name`, such as "W" for "Whh".

    `name` may be a usual name of the parameter, or the user's name for it. `names` maps parameters
    to the user's names. Return None if no parameter is called `name`.
    """
    for parameter, users_name in names.items():
        if name == users_name:
            return parameter
    if name in known:
        return name
    return next((parameter for parameter in known if plain(name) in ALIASES[parameter]), None)


def plain(name: str) -> str:
    """Return `name` in lower case and without underscores."""
    return name.lower().replace("_", "")


def gradient_of(name: str, known: Sequence[str], names: Mapping[str, str]) -> str | None:
    """Return the parameter in `known` whose gradient is called `name`, such as "W" for "dW" or "grad_W".

    The name of a gradient is a usual name of the parameter or the user's name for it, with or without
    a prefix such as "d" or "grad_". `names` maps parameters to the user's names. Return None if no
    gradient is called `name`.
    """
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
    """Return the loss and the gradients in the value that the function returned.

    Args:
        returned: the value that the function returned.
        shapes: the shape of each parameter in the arguments of the function.
        names: maps charloom's name of a parameter to the user's name.
        order: for each item of a returned tuple: the parameter whose gradient it is, "loss", or "_"
            for anything else. Empty if the user did not say.
        T: number of steps of the window.

    Raises:
        DoctorError: a gradient is missing, has the wrong shape, or is not an array of real numbers.
    """
    loss, values = loss_and_values(returned, shapes, names, order)
    missing = [name for name in shapes if name not in values]
    if missing == ["d"]:
        # A GRU without the second bias d: the gradient of a bias that is not used is zero.
        values["d"], missing = np.zeros(shapes["d"]), []
    if missing:
        raise DoctorError(
            f"the function returned no gradient of {', '.join(missing)}; it returned "
            f"{described(returned)}. It must return (loss, gradients), with a gradient for each of "
            f"{', '.join(shapes)}. If your gradients have other names, give them, for example "
            f"{argument('names', EXAMPLE)}."
        )
    arrays = {name: gradient_array(name, values[name], shapes[name], T) for name in shapes}
    single = all(array.dtype == np.float32 for array in arrays.values())
    gradients = {name: array.astype(np.float64) for name, array in arrays.items()}
    return Reply(loss, gradients, single)


def loss_and_values(
    returned: Any,
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    order: Sequence[str],
) -> tuple[float | None, dict[str, Any]]:
    """Return the loss (None if there is none), and a dict that maps each parameter to its gradient.

    A parameter without a gradient is left out. `read_reply` explains the arguments.
    """
    items = items_of(returned) or [returned]
    flat = [part for item in items for part in (items_of(item) or [item])]
    if order:
        if len(order) != len(flat) and "loss" not in order:
            flat = [item for item in flat if not is_scalar(item)]
        if len(order) != len(flat):
            raise DoctorError(
                f"{argument('gradients')} names {number_of(len(order), 'item')} ({', '.join(order)}), but "
                f"the function returned {len(flat)}: {described(returned)}. Name each item in order; _ "
                "stands for an item that is not a gradient."
            )
        named = dict(zip(order, flat, strict=True))
        loss = loss_number(named["loss"]) if "loss" in named else first_number(items)
        return loss, {name: named[name] for name in shapes if name in named}
    loss = first_number(flat)
    holders = [item for item in flat if not is_scalar(item) and not is_array(item)]
    arrays = [item for item in flat if is_array(item) and not is_scalar(item)]
    for holder in holders:
        values = values_in(holder, shapes, names)
        if values:
            return loss_in(holder) if loss is None else loss, values
    return loss, by_shape(flat, shapes) if arrays else {}


def items_of(value: Any) -> list[Any]:
    """Return the items of a tuple or a list of at most `MOST` items; an empty list for other values."""
    return list(value) if isinstance(value, (tuple, list)) and len(value) <= MOST else []


def values_in(
    holder: Any, shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> dict[str, Any]:
    """Return a dict that maps each parameter to its gradient in `holder`, a dict or an object.

    A parameter without a gradient in `holder` is left out.
    """
    if isinstance(holder, Mapping):
        items = {str(key): value for key, value in islice(holder.items(), MOST)}
    else:
        known = [*names.values(), *shapes]
        tried = [f"{prefix}{name}" for name in known for prefix in ("", "d", "grad_", "d_")]
        items = {name: getattr(holder, name) for name in tried if hasattr(holder, name)}
        items |= {k: v for k, v in getattr(holder, "__dict__", {}).items() if is_array(v)}
    found: dict[str, Any] = {}
    # Look at the names in `shapes`, such as W, last: in dict(W=…, dW=…) the gradient is dW, not W.
    for name, value in sorted(items.items(), key=lambda item: item[0] in shapes):
        parameter = gradient_of(name, list(shapes), names)
        if parameter is not None and parameter not in found and value is not None:
            found[parameter] = value
    return found


def loss_in(holder: Any) -> float | None:
    """Return the loss in a dict or an object that also has the gradients; None if there is none."""
    items = holder if isinstance(holder, Mapping) else getattr(holder, "__dict__", {})
    return next(
        (loss_number(items[name]) for name in LOSSES if name in items and is_scalar(items[name])),
        None,
    )


def by_shape(items: Sequence[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return a dict that maps each parameter to its gradient, the only array in `items` with the parameter's shape.

    Axes of length 1 are ignored. `shapes` maps each parameter to its shape.

    Raises:
        DoctorError: no array or more than one array has the shape of a parameter.
    """
    wanted = {name: squeezed(shape) for name, shape in shapes.items()}
    arrays = [item for item in items if is_array(item) and not is_scalar(item)]
    found: dict[str, Any] = {}
    for name, shape in wanted.items():
        fitting = [array for array in arrays if squeezed(shape_of(array) or ()) == shape]
        if len(fitting) != 1:
            raise DoctorError(
                f"the function returned arrays without names, with these shapes in order: "
                f"{shapes_text(items)}; {'no array has' if not fitting else 'more than one array has'} the shape of {name}, "
                f"{shapes[name]}. Name the returned items in order, for example "
                f"{argument('gradients', suggested_order(items, wanted))}; _ stands for an item that is not a gradient."
            )
        found[name] = fitting[0]
    return found


def suggested_order(items: Sequence[Any], wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return an example for the argument `gradients`, which names each item that the function returned.

    The example names an item after the parameter with the same shape. It names the first number
    "loss", and anything else "_". If a parameter is left without an item, the example is "loss"
    followed by all parameters. `wanted` maps each parameter to its shape without axes of length 1.
    """
    left, order = {"loss": (), **wanted}, []
    for item in items:
        shape = () if is_scalar(item) else squeezed(shape_of(item) or ())
        name = next((name for name, fitting in left.items() if fitting == shape), "_")
        left.pop(name, None)
        order.append(name)
    return ["loss", *wanted] if set(left) & set(wanted) else order


def gradient_array(name: str, value: Any, shape: tuple[int, ...], T: int) -> Array:
    """Return `value`, the gradient of the parameter `name`, as an array.

    The gradient of a bias has the shape (n,), or (n, T) if the function did not sum it over the T
    steps. A matrix keeps its shape. `shape` is the shape of the parameter.

    Raises:
        DoctorError: the shape is wrong, or the value is not an array of real numbers.
    """
    given = shape_of(value)
    if given is None:
        raise DoctorError(unreadable(name, described(value), shape))
    bias, n = name in BIASES, math.prod(shape)
    # The function may return the gradient of a bias for each step, without the sum over time.
    over_time = bias and squeezed(given) in ((n, T), (T, n))
    if not over_time and (math.prod(given) != n if bias else given not in (shape, shape[::-1])):
        raise DoctorError(
            f"the gradient of {name} has the shape {given}; it must have the shape of the parameter, "
            f"{shape}."
        )
    try:
        array = as_array(value).reshape(given)
    except (NotNumbers, ValueError) as error:
        description = str(error) if isinstance(error, NotNumbers) else described(value)
        raise DoctorError(unreadable(name, description, shape)) from None
    if over_time:
        rows = array.reshape(squeezed(given))
        return rows if rows.shape == (n, T) else rows.T
    return array.reshape(n) if bias else array


def unreadable(name: str, description: str, shape: tuple[int, ...]) -> str:
    """Return the error message about the gradient of `name`, which is not an array of real numbers.

    `description` describes the value. `shape` is the shape that the gradient must have.
    """
    return (
        f"the gradient of {name} is {description}; it must be an array of real numbers of shape "
        f"{shape}."
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` without the axes of length 1."""
    return tuple(n for n in shape if n != 1)


def loss_number(value: Any) -> float:
    """Return the loss `value` as a float; raise DoctorError if it is not a single real number."""
    try:
        return as_number(value)
    except NotNumbers as error:
        raise DoctorError(f"the loss is {error}; it must be one real number.") from None


def first_number(items: Sequence[Any]) -> float | None:
    """Return the loss, which is the first item that is a single number; None if there is no such item."""
    return next((loss_number(item) for item in items if is_scalar(item)), None)


def shapes_text(items: Sequence[Any]) -> str:
    """Return the shapes of returned items as text, separated by commas; a number has the shape ()."""
    return ", ".join("()" if is_scalar(item) else str(shape_of(item)) for item in items)
