"""Says what to pass to a user's class, and which attributes an instance then has.

An instance shows names that the source does not, such as those that `setattr` makes in a loop.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from charloom.diagnosis.forms.file_contents import ClassFacts, FunctionFacts
from charloom.diagnosis.forms.name_roles import short, size_of
from charloom.diagnosis.forms.passing import SIZES
from charloom.diagnosis.forms.wrapper_text import BLANK

MAPPINGS: Final = ("toix", "toidx", "toindex", "toid", "tochar", "tok", "2i", "2c", "2id", "stoi", "itos", "vocab", "chars", "charix", "ixchar")  # fmt: skip
TEXTS: Final = ("data", "text", "corpus", "traintext", "string")
FILES: Final = (
    "path",
    "file",
    "filename",
    "folder",
    "logger",
    "optimizer",
    "activation",
    "callback",
)
GENERATORS: Final = ("rng", "rs", "rand", "random", "randomstate", "generator", "rnd", "prng")
SMALL: Final = {"K": 7, "H": 4, "x": np.arange(6)}  # the sizes of the instance that is looked at
MAPPING: Final = "dict(zip(range(K), range(K)))"
CHARACTERS: Final = '"".join(chr(97 + k) for k in range(K))'  # a text with K different characters


def constructor_arguments(start: FunctionFacts, given: dict[str, str]) -> Iterator[str]:
    """Yield what to pass to a class: sizes, and parameters if it takes them.

    An argument with an unknown name and no default is taken for a size.

    Args:
        start: the method `__init__`.
        given: the expressions of the arguments that are parameters.
    """
    known: list[str] = []
    for name in start.arguments:
        optional = name not in start.required
        prefix = f"{name}=" if optional or name in start.only_by_name else ""
        role = size_of(name)
        if name in given:
            yield prefix + given[name]
        elif role:
            known.append(role)
            if role != "zero" or not optional:
                yield prefix + SIZES[role]
        elif optional:
            continue
        elif any(word in short(name) for word in MAPPINGS):
            yield prefix + MAPPING
        elif short(name) in GENERATORS:
            yield prefix + "np.random.RandomState(0)"
        elif short(name) == "seed":
            yield prefix + "0"
        elif short(name) in TEXTS:
            yield prefix + CHARACTERS
        elif any(word in short(name) for word in FILES):
            yield f"{prefix}{BLANK}{name}"
        else:
            size = "H" if "K" in known and "H" not in known else "K"
            known.append(size)
            yield prefix + size


def with_instance(owner: ClassFacts, net: Any) -> ClassFacts:
    """Return the facts of a class with the attributes that a small instance has, if one can be made."""
    start = owner.methods.get("__init__")
    given = [] if start is None else list(constructor_arguments(start, {}))
    if any(BLANK in one for one in given):
        return owner
    made: Any = None
    quiet = io.StringIO()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(quiet):
        made = eval(f"net.{owner.name}({', '.join(given)})", {"net": net, "np": np, **SMALL})
    attributes = getattr(made, "__dict__", {})
    keys = {
        name: tuple(key for key in value if isinstance(key, str))
        for name, value in attributes.items()
        if isinstance(value, dict)
    }
    lists = [
        name
        for name, value in attributes.items()
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], np.ndarray)
    ]
    return replace(owner, attributes=tuple(attributes), known_keys=keys, lists=frozenset(lists))
