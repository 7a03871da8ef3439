"""Makes what holds a network's parameters with the user's own code, and finds the arrays in it.

A class or a function such as `build(n_chars, n_units)` makes an object, a dict, a list or a named tuple,
which may have others inside. Every array in it has a path, such as `["cell"]["in"]` or `.rnn.U`, and a
shape, which shows the sizes. It knows no gradients.
"""

import contextlib
import inspect
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, FunctionFacts
from charloom.diagnosis.forms.instance_facts import CHARACTERS, MAPPING
from charloom.diagnosis.forms.name_roles import short, size_of
from charloom.diagnosis.forms.passing import SIZES

H, K = 5, 7  # the sizes of what is made to be looked at: all sums and multiples of them differ
DEEPEST_CONTAINERS: Final = 5  # number of containers in one another
MOST_ARRAYS: Final = 200
MOST_UNKNOWN: Final = 3  # largest number of arguments that may be either size
RANDOM: Final = ("rng", "rs", "random", "randomstate", "generator", "prng", "r", "gen")
VOCABULARY: Final = (
    "alphabet",
    "vocab",
    "chars",
    "letters",
    "symbols",
    "toix",
    "toid",
    "toindex",
    "stoi",
)
DRAWING: Final = ("randn", "rand", "normal", "uniform", "standard_normal", "random_sample")
MAKING: Final = ("init", "make", "build", "create", "new", "param", "weight", "random", "setup", "get", "allocate", "theta", "model")  # fmt: skip


class Leaf(NamedTuple):
    """An array in a container: its path as source, the names in the path, and the array itself."""

    path: str
    words: tuple[str, ...]
    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return tuple(self.array.shape)


@dataclass(frozen=True)
class Container:
    """What the user's code makes.

    Attributes:
        name: the class or function that makes it.
        arguments: what is passed to it, as expressions in K and H.
        leaves: the arrays in it.
        value: the container itself.
    """

    name: str
    arguments: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    value: Any

    @property
    def inner(self) -> frozenset[str]:
        """The classes of the user's objects in it, such as the layers of a network."""
        return frozenset(classes_in(self.value, 0)) - {self.name}


def leaves_of(
    value: Any, path: str = "", words: tuple[str, ...] = (), seen: frozenset[int] = frozenset()
) -> Iterator[Leaf]:
    """Yield the arrays of numbers in a value: in dicts, lists, tuples, and attributes of the user's objects."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and 1 <= value.ndim <= 2:
        yield Leaf(path, words, value)
        return
    if id(value) in seen or len(seen) > DEEPEST_CONTAINERS:
        return
    seen |= {id(value)}
    if isinstance(value, dict):
        for key, one in value.items():
            if isinstance(key, str):
                yield from leaves_of(one, f'{path}["{key}"]', (*words, key), seen)
    elif hasattr(value, "_fields"):
        for name in value._fields:
            yield from leaves_of(getattr(value, name), f"{path}.{name}", (*words, name), seen)
    elif isinstance(value, (list, tuple)) and len(value) <= MOST_ARRAYS:
        for place, one in enumerate(value):
            yield from leaves_of(one, f"{path}[{place}]", (*words, str(place)), seen)
    elif hasattr(value, "__dict__") and not inspect.isclass(value) and not callable(value):
        for name, one in vars(value).items():
            yield from leaves_of(one, f"{path}.{name}", (*words, name), seen)


def classes_in(value: Any, depth: int) -> Iterator[str]:
    """Yield the names of the classes of the objects in a value."""
    if depth > DEEPEST_CONTAINERS or isinstance(value, np.ndarray):
        return
    if isinstance(value, dict):
        for one in value.values():
            yield from classes_in(one, depth + 1)
    elif isinstance(value, (list, tuple)) and len(value) <= MOST_ARRAYS:
        for one in value:
            yield from classes_in(one, depth + 1)
    elif hasattr(value, "__dict__") and not callable(value):
        yield type(value).__name__
        yield from classes_in(vars(value), depth + 1)


def made_containers(contents: Contents, net: Any) -> Iterator[Container]:
    """Yield what the functions and classes of a file make, if it has a square matrix of the size H."""
    for facts in contents.functions.values():
        if is_maker(facts):
            yield from made(facts.name, facts, net)
    for owner in contents.classes.values():
        if (one := made_by_class(owner, net)) is not None:
            yield one


def made_by_class(owner: ClassFacts, net: Any) -> Container | None:
    """Return a small instance of a class with its arrays; None if none can be made with them."""
    start = owner.methods.get("__init__")
    return None if start is None else next(made(owner.name, start, net), None)


def is_maker(facts: FunctionFacts) -> bool:
    """Return True for a function that may make parameters: its name says so, or it draws random numbers."""
    named = any(word in short(facts.name) for word in MAKING)
    return bool(facts.last_return) and (named or bool(facts.called & set(DRAWING)))


def made(name: str, facts: FunctionFacts, net: Any) -> Iterator[Container]:
    """Yield what a function or a class makes, for the likeliest arguments that give a square matrix."""
    for given in possible_arguments(facts):
        quiet = io.StringIO()
        value = None
        text = f"net.{name}({', '.join(given)})"
        with contextlib.suppress(Exception), contextlib.redirect_stdout(quiet):
            value = eval(text, {"net": net, "np": np, "K": K, "H": H, "types": __import__("types")})
        found = tuple(itertools.islice(leaves_of(value), MOST_ARRAYS))
        if any(is_recurrent(leaf.shape) for leaf in found):
            yield Container(name, given, found, value)
            return


def is_recurrent(shape: tuple[int, ...]) -> bool:
    """Return True for the shape of a matrix that can be W: H x H, with several gates, or joined with U."""
    return any(
        {(rows, columns), (columns, rows)} & {shape}
        for gates in (1, 3, 4)
        for rows in (gates * H,)
        for columns in (H, H + K, H + K + 1)
    )


def possible_arguments(facts: FunctionFacts) -> Iterator[tuple[str, ...]]:
    """Yield what may be passed to a function or a class that makes parameters, the likeliest first."""
    fixed: dict[str, str] = {}
    open_: list[str] = []
    defaults = defaults_of(facts)
    for name in facts.arguments:
        optional = name not in facts.required
        role = size_of(name)
        if short(name) in RANDOM and not role:
            if not optional:
                fixed[name] = "np.random.default_rng(0)"
        elif short(name) == "seed":
            fixed[name] = "0"
        elif any(word in short(name) for word in VOCABULARY) and not optional:
            open_.append(name)
        elif keys := [key for key in facts.keys_of(name) if size_of(key)]:
            pairs = ", ".join(f'"{key}": {SIZES[size_of(key)]}' for key in dict.fromkeys(keys))
            fixed[name] = f"{{{pairs}}}"
        elif attributes := [a for a in facts.attributes_of(name) if size_of(a)]:
            pairs = ", ".join(f"{a}={SIZES[size_of(a)]}" for a in dict.fromkeys(attributes))
            fixed[name] = f"types.SimpleNamespace({pairs})"
        elif role and role not in ("zero", "T"):
            fixed[name] = SIZES[role]
        elif role and not optional:
            fixed[name] = {"zero": "0.1", "T": "6"}[role]
        elif not optional or type(defaults.get(name)) is int:
            open_.append(name)
    open_ = open_[:MOST_UNKNOWN]
    choices = [
        ("K", CHARACTERS, MAPPING)
        if any(word in short(name) for word in VOCABULARY)
        else ("K", "H", "")
        for name in open_
    ]
    for chosen in itertools.product(*choices):
        given = fixed | {n: v for n, v in zip(open_, chosen, strict=True) if v}
        if any(name not in given for name in facts.required):
            continue
        yield tuple(
            f"{name}={given[name]}" if name not in facts.required else given[name]
            for name in facts.arguments
            if name in given
        )


def defaults_of(facts: FunctionFacts) -> dict[str, Any]:
    """Return the constants that are defaults of a function's arguments."""
    every = [*facts.node.args.posonlyargs, *facts.node.args.args]
    values = facts.node.args.defaults
    pairs = zip([a.arg for a in every][len(every) - len(values) :], values, strict=True)
    return {name: getattr(value, "value", None) for name, value in pairs}
