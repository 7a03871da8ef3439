"""Finds the arrays that the variables of a program hold, in containers and objects too, and reads and writes them.

Arrays are those of NumPy, tensors of PyTorch, arrays of JAX, and lists of numbers.
"""

import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from charloom.diagnosis.problem import Array

# How to come from a variable to a value: its name, then keys, indices (int) and attributes (".name").
Place: TypeAlias = tuple[Any, ...]

DEPTH: Final = 9  # number of steps from a variable to an array
MOST_ITEMS: Final = 400  # a longer container is not searched
MOST_VALUES: Final = 6000  # number of values that one search looks at
LARGEST: Final = 2_000_000  # a larger array is not a parameter
KEYS: Final = (str, int, tuple, bool, float, bytes, type(None))  # of a dict that is searched
# Values in which no array is looked for.
OPAQUE: Final = (
    str, bytes, int, bool, type(None), type, types.ModuleType, types.BuiltinFunctionType, np.random.Generator,
    np.random.RandomState, types.GeneratorType, types.CodeType, types.FrameType, range, set, frozenset,
)  # fmt: skip


@dataclass(frozen=True)
class Held:
    """An array that a program holds.

    Attributes:
        place: how to reach it.
        value: the object itself, which the program can change.
    """

    place: Place
    value: Any

    def array(self) -> Array:
        """Return a copy of its numbers, as float64."""
        return numbers_of(self.value)


class Attribute(str):
    """The name of an attribute in a place, unlike a key of a dict."""

    __slots__ = ()


class Field(int):
    """The index of a field in a named tuple, with its name."""

    name: str

    def __new__(cls, index: int, name: str) -> "Field":
        field = super().__new__(cls, index)
        field.name = name
        return field


def numbers_of(value: Any) -> Array:
    """Return a copy of the numbers of an array, a tensor, or a list of numbers, as float64."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.array(value, np.float64)


def is_array(value: Any) -> bool:
    """Return True for an array of numbers: of NumPy, PyTorch or JAX, or a list of floats or of such lists."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub" and value.size <= LARGEST
    if isinstance(value, list):
        return is_list_of_numbers(value)
    kind = type(value)
    if kind.__module__.split(".")[0] == "torch":
        return (
            hasattr(value, "detach")
            and not is_wrapped(value)
            and not value.is_complex()
            and value.numel() <= LARGEST
        )
    return hasattr(value, "dtype") and hasattr(value, "shape") and "jax" in kind.__module__


def is_list_of_numbers(value: list[Any]) -> bool:
    """Return True for a list of numbers, or of lists of numbers with the same length."""
    if not value:
        return False
    first = value[0]
    if isinstance(first, list):
        size = len(first)
        return size > 0 and all(
            isinstance(row, list)
            and len(row) == size
            and all(isinstance(n, (float, int, np.number)) for n in row)
            for row in value
        )
    return len(value) <= LARGEST and all(
        isinstance(n, (float, int, np.number)) and not isinstance(n, bool) for n in value
    )


def is_number(value: Any) -> bool:
    """Return True for one number that may be a loss: a float, or an array or a tensor of one number."""
    if isinstance(value, (float, np.floating)):
        return True
    if isinstance(value, np.ndarray):
        return value.size == 1 and value.dtype.kind == "f"
    return (
        hasattr(value, "numel")
        and hasattr(value, "is_floating_point")
        and not is_wrapped(value)
        and value.numel() == 1
        and value.is_floating_point()
    )


def is_wrapped(value: Any) -> bool:
    """Return True for a tensor inside `torch.func`, whose numbers cannot be read."""
    try:
        value.detach().data_ptr()
    except RuntimeError:
        return True
    return False


def children(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the values that a container or an object holds, each with the step to it."""
    if isinstance(value, Mapping):
        if len(value) <= MOST_ITEMS:
            # The keys of an optimizer's state are parameters, which no other run has.
            yield from ((key, one) for key, one in list(value.items()) if isinstance(key, KEYS))
    elif isinstance(value, (list, tuple)) or type(value).__name__ in ("deque", "ParameterList"):
        if len(value) <= MOST_ITEMS:
            names = getattr(value, "_fields", ())
            for number, one in enumerate(value):
                yield (Field(number, names[number]) if names else number), one
    elif isinstance(value, types.MethodType):
        yield Attribute("__self__"), value.__self__
    elif isinstance(value, types.FunctionType):
        for number, cell in enumerate(value.__closure__ or ()):
            try:
                yield ("cell", number), cell.cell_contents
            except ValueError:
                continue
    else:
        with_fields = getattr(value, "__dict__", None)
        if isinstance(with_fields, dict):
            yield from ((Attribute(name), one) for name, one in list(with_fields.items()))
        for owner in type(value).__mro__:
            for name in owner.__dict__.get("__slots__", ()):
                if isinstance(name, str) and hasattr(value, name):
                    yield Attribute(name), getattr(value, name)


def values_in(
    variables: Mapping[str, Any], wanted: Callable[[Any], bool], depth: int = DEPTH
) -> Iterator[Held]:
    """Yield what `variables` hold and `wanted` accepts, each once, the nearest first."""
    seen: set[int] = set()
    level: list[tuple[Place, Any]] = [((name,), value) for name, value in variables.items()]
    looked = 0
    for _ in range(depth):
        below: list[tuple[Place, Any]] = []
        for place, value in level:
            looked += 1
            if looked > MOST_VALUES:
                return
            if id(value) in seen or isinstance(value, (type, types.ModuleType)):
                continue
            if not isinstance(value, (float, str)):
                seen.add(id(value))
            if wanted(value):
                yield Held(place, value)
                gradient = gradient_of(value)
                if gradient is not None and id(gradient) not in seen:
                    seen.add(id(gradient))
                    yield Held((*place, Attribute("grad")), gradient)
                continue
            if isinstance(value, (np.ndarray, *OPAQUE)) or is_library_value(value):
                continue
            below += [((*place, step), child) for step, child in children(value)]
        level = below


def gradient_of(value: Any) -> Any:
    """Return the attribute `grad` of a leaf tensor of PyTorch; None if there is none."""
    if type(value).__module__.startswith("torch") and getattr(value, "is_leaf", False):
        return value.grad
    return None


def is_library_value(value: Any) -> bool:
    """Return True for an object of a library that holds no parameters, such as a figure or a file."""
    root = type(value).__module__.split(".")[0]
    if root == "torch":
        return not hasattr(value, "_parameters") and not hasattr(value, "param_groups")
    return root in ("matplotlib", "io", "_io", "argparse", "logging", "threading", "re", "random", "tqdm", "numpy", "jax", "jaxlib")  # fmt: skip


def arrays_in(variables: Mapping[str, Any], depth: int = DEPTH) -> list[Held]:
    """Return the arrays that variables hold."""
    return list(values_in(variables, is_array, depth))


def arrays_at(variables: Mapping[str, Any], places: Iterable[Place]) -> dict[Place, Array]:
    """Return copies of the arrays at places, even of those that a nearer variable holds, too."""
    found = {}
    for place in places:
        value = value_at(variables, place)
        if value is not None and is_array(value):
            found[place] = numbers_of(value)
    return found


def numbers_in(variables: Mapping[str, Any], depth: int = 3) -> list[Held]:
    """Return the single numbers that variables hold."""
    return list(values_in(variables, is_number, depth))


def texts_in(variables: Mapping[str, Any], depth: int = 3) -> list[Held]:
    """Return the texts of several characters that variables hold."""
    return list(values_in(variables, is_text, depth))


def is_text(value: Any) -> bool:
    """Return True for a text of several characters."""
    return isinstance(value, str) and len(value) > 1


def value_at(variables: Mapping[str, Any], place: Place) -> Any:
    """Return the value at a place; None if there is none."""
    value: Any = variables
    for step in place:
        try:
            if isinstance(step, tuple) and len(step) == 2 and step[0] == "cell":
                value = value.__closure__[step[1]].cell_contents
            elif isinstance(step, Attribute):
                value = getattr(value, step)
            else:
                value = value[step]
        except (KeyError, IndexError, AttributeError, TypeError, ValueError):
            return None
    return value


def write(value: Any, numbers: Array) -> bool:
    """Write numbers into an array, tensor or list of the same shape; return False if it cannot be changed."""
    if isinstance(value, np.ndarray):
        if not value.flags.writeable:
            return False
        value[...] = numbers
        return True
    if isinstance(value, list):
        for place, row in enumerate(numbers.tolist()):
            if isinstance(row, list):
                value[place][:] = row
            else:
                value[place] = row
        return True
    if hasattr(value, "detach"):
        torch = sys.modules["torch"]
        with torch.no_grad():
            value.data.copy_(torch.from_numpy(np.array(numbers)).reshape(value.shape))
        return True
    return False


def like(value: Any, numbers: Array) -> Any:
    """Return numbers in an array of the same library, for an array that cannot be changed."""
    if "jax" in type(value).__module__:
        return sys.modules["jax"].numpy.asarray(numbers, dtype=value.dtype)
    return numbers.astype(getattr(value, "dtype", np.float64))


def replaced(value: Any, steps: Place, new: Any) -> Any:
    """Return `value` with `new` at the end of `steps`; containers that can be changed are changed."""
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    inner = value_at({"value": value}, ("value", step))
    changed = replaced(inner, rest, new)
    if changed is inner:
        return value
    if isinstance(step, Attribute):
        try:
            setattr(value, step, changed)
        except AttributeError:
            object.__setattr__(value, step, changed)
        return value
    if isinstance(value, tuple):
        items = [*value[:step], changed, *value[step + 1 :]]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    value[step] = changed
    return value
