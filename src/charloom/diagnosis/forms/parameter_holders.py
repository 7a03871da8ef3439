"""Finds out where a user's functions read their parameters: arguments, a dict, globals, an instance."""

import ast
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from charloom.diagnosis.forms.cell_hints import cell_of_functions
from charloom.diagnosis.forms.equation_meanings import meanings_of
from charloom.diagnosis.forms.file_contents import (
    ClassFacts,
    Contents,
    FunctionFacts,
    dict_keys,
)
from charloom.diagnosis.forms.instance_facts import constructor_arguments
from charloom.diagnosis.forms.name_roles import (
    GRADIENT_HOLDERS,
    VALUE_FIELDS,
    role_of_argument,
    short,
    size_of,
)
from charloom.diagnosis.forms.parameter_layout import Layout, Part
from charloom.diagnosis.forms.passing import SIZES
from charloom.diagnosis.forms.wrapper_text import BLANK

# Dicts with an optimizer's memory of each parameter.
MEMORIES: Final = (
    "cache",
    "mem",
    "memory",
    "m",
    "v",
    "velocity",
    "momentum",
    "adagrad",
    "sums",
    "history",
)


@dataclass(frozen=True)
class Holder:
    """Where the parameters are, and which they are.

    Attributes:
        kind: "arguments"; "dict", "object", "tuple" or "flat" (a vector) for one argument; "globals", "global dict" or
            "global object"; "instance", "instance dict" or "constructor".
        base: the argument, the global variable or the attribute with the dict; "" if there is none.
        layout: the network.
        order: the names in the order of a tuple.
        field: the attribute of a parameter's object with its value, for the kind "global fields".
        made_by: the class of the file whose instance an object is; "" if none is known.
        is_record: whether this class is a named tuple or a dataclass of the parameters alone.
        sizes: further attributes of an object, such as hidden_size, and their values.
        makes: the expressions with which this class makes an instance; None if they are unknown.
    """

    kind: str
    base: str
    layout: Layout
    order: tuple[str, ...] = ()
    field: str = ""
    made_by: str = ""
    is_record: bool = False
    sizes: dict[str, str] = dataclasses.field(default_factory=dict)
    makes: tuple[str, ...] | None = None

    def in_words(self) -> str:
        """Return where the parameters are, in some words."""
        return {
            "arguments": "each parameter is an argument",
            "dict": f"parameters in the dict {self.base}",
            "object": f"parameters as attributes of {self.base}",
            "tuple": f"parameters in the tuple {self.base}",
            "flat": f"parameters in the flat vector {self.base}",
            "globals": "parameters are module globals",
            "global dict": f"parameters in the module's dict {self.base}",
            "global object": f"parameters as attributes of the module's {self.base}",
            "global fields": f"parameters as objects in the module's {self.base}",
            "instance": "parameters are attributes of the instance",
            "instance dict": f"parameters in self.{self.base}",
            "constructor": "parameters are arguments of the class",
            "container": "parameters are in what your code makes",
        }[self.kind]


def holders(
    contents: Contents, functions: Sequence[FunctionFacts], owner: ClassFacts | None
) -> Iterator[Holder]:
    """Yield where functions that are called together can have their parameters, the likeliest first."""
    reached = tuple(dict.fromkeys(r for f in functions for r in contents.reached_from(f)))
    words = " ".join(f"{f.owner} {f.name}" for f in functions).lower()
    taken = {a for f in functions for a in f.arguments}
    has_cell = any(role_of_argument(a) == "c0" and (a != "c" or "h" in taken) for a in taken)
    cell = "lstm" if "lstm" in words or has_cell else "gru" if "gru" in words else ""
    cell = cell or cell_of_functions(reached)
    arguments = list(dict.fromkeys(a for f in functions for a in f.arguments))
    for layout in meanings_of(contents).layouts_of(arguments, cell):
        yield Holder("arguments", "", layout)
    yield from in_one_argument(contents, functions, reached, cell)
    if owner is not None:
        yield from in_instance(contents, owner, cell)
    yield from in_globals(contents, reached, cell)


def strings_of(contents: Contents, facts: FunctionFacts) -> Iterator[str]:
    """Yield the strings in a function and in the constants of the module that it reads."""
    yield from facts.strings
    for node in contents.tree.body:
        if isinstance(node, ast.Assign) and facts.read_globals & {
            n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)
        }:
            for n in ast.walk(node.value):
                if isinstance(n, ast.Constant) and isinstance(n.value, str):
                    yield n.value


def in_one_argument(
    contents: Contents,
    functions: Sequence[FunctionFacts],
    reached: Sequence[FunctionFacts],
    cell: str,
) -> Iterator[Holder]:
    """Yield the holders that are one argument of the functions: a dict, an object or a tuple."""
    meanings = meanings_of(contents)
    names = dict.fromkeys(a for f in functions for a in f.arguments)
    likely = sorted(names, key=lambda name: role_of_argument(name) != "params")
    for name in likely:
        bases = {
            name,
            *(a for f in reached for a in f.arguments if role_of_argument(a) == "params"),
        }
        if role_of_argument(name) != "params":
            bases = {name}
        keys = [key for f in reached for base in sorted(bases) for key in f.keys_of(base)]
        if role_of_argument(name) == "params":
            for known in dicts_made(contents):
                if set(known) >= set(keys):
                    yield from (
                        Holder("dict", name, layout) for layout in meanings.layouts_of(known, cell)
                    )
            keys += [text for f in reached for text in strings_of(contents, f)]
        for layout in meanings.layouts_of(keys, cell):
            yield Holder("dict", name, layout)
        attributes = [a for f in reached for base in sorted(bases) for a in f.attributes_of(base)]
        for layout in meanings.layouts_of(attributes, cell):
            made = class_with(contents, layout)
            yield Holder(
                "object", name, layout,
                made_by=made.name if made is not None else "",
                makes=making_of(made),
                is_record=made is not None and is_record(made, layout),
                sizes={a: SIZES[r] for a in attributes if len(a) > 1 and a not in layout.parts and (r := size_of(a))},
            )  # fmt: skip
        order: tuple[str, ...] = next((o for f in functions if (o := f.unpacked_from(name))), ())
        for layout in meanings.layouts_of(order, cell):
            yield Holder("tuple", name, completed(layout, order), order)
        order = next((o for f in functions if (o := f.unpacked_through(name))), ())
        for layout in meanings.layouts_of(order, cell):
            yield Holder("flat", name, completed(layout, order), order)


def dicts_made(contents: Contents) -> Iterator[tuple[str, ...]]:
    """Yield the keys of each dict of at least four items that the file writes down, such as its parameters."""
    for node in ast.walk(contents.tree):
        if isinstance(node, (ast.Dict, ast.Call)) and len(keys := dict_keys(node)) > 3:
            yield keys


def completed(layout: Layout, order: Sequence[str]) -> Layout:
    """Return a layout with the only matrix or vector of a tuple whose name is unknown: that of the output."""
    unknown = [name for name in order if name not in layout.parts]
    missing = [block for block in ("V", "c") if block not in layout.blocks]
    if len(unknown) != 1 or not missing:
        return layout
    return replace(layout, parts={**layout.parts, unknown[0]: Part(missing[0])})


def class_with(contents: Contents, layout: Layout) -> ClassFacts | None:
    """Return the class of the file whose instances have the parameters as attributes; None if there is none."""
    wanted = set(layout.parts)
    return next((c for c in contents.classes.values() if wanted <= set(c.fields)), None)


def making_of(made: ClassFacts | None) -> tuple[str, ...] | None:
    """Return what to pass to a class to make an instance; None if this is unknown."""
    start = None if made is None else made.methods.get("__init__")
    if start is None:
        return None
    given = tuple(constructor_arguments(start, {}))
    return None if any(BLANK in one for one in given) else given


def is_record(made: ClassFacts, layout: Layout) -> bool:
    """Return True for a named tuple or a dataclass that has the parameters and nothing else."""
    return (made.is_named_tuple or made.is_dataclass) and set(made.fields) == set(layout.parts)


def in_instance(contents: Contents, owner: ClassFacts, cell: str) -> Iterator[Holder]:
    """Yield the holders that belong to an instance of a class."""
    meanings = meanings_of(contents)
    start = owner.methods.get("__init__")
    if start is not None:
        for layout in meanings.layouts_of(start.arguments, cell):
            yield Holder("constructor", "", layout)
    attributes = ("params", "parameters", "weights", *owner.stored_attributes())
    others = (*GRADIENT_HOLDERS, *MEMORIES)
    for attribute in dict.fromkeys(a for a in attributes if short(a) not in others):
        for layout in meanings.layouts_of(owner.keys(attribute), cell):
            yield Holder("instance dict", attribute, layout)
    for layout in meanings.layouts_of(owner.stored_attributes(), cell):
        yield Holder("instance", "", layout)


def whole_numbers(contents: Contents) -> set[str]:
    """Return the global variables that are whole numbers, such as V in `V, H = 27, 64`: they are sizes."""
    found: set[str] = set()
    for node in contents.tree.body:
        for target, value in pairs_of(node):
            is_length = isinstance(value, ast.Call) and ast.unparse(value.func) == "len"
            if is_length or (isinstance(value, ast.Constant) and type(value.value) is int):
                found.add(ast.unparse(target))
    return found


def pairs_of(node: ast.stmt) -> list[tuple[ast.expr, ast.expr]]:
    """Return each target of an assignment with its value; `a, b = 1, 2` has two."""
    if not isinstance(node, ast.Assign):
        return []
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=False))
    return [(one, value) for one in node.targets]


def in_globals(contents: Contents, reached: Iterable[FunctionFacts], cell: str) -> Iterator[Holder]:
    """Yield the holders that are global variables of the file."""
    meanings = meanings_of(contents)
    reached = list(reached)
    known = {*contents.functions, *contents.classes, *whole_numbers(contents)}
    read = [n for f in reached for n in sorted(f.read_globals) if n not in known]
    for layout in meanings.layouts_of(read, cell):
        yield Holder("globals", "", layout)
    for name in dict.fromkeys(read):
        for layout in meanings.layouts_of([key for f in reached for key in f.keys_of(name)], cell):
            yield Holder("global dict", name, layout)
        for layout in meanings.layouts_of(
            [a for f in reached for a in f.attributes_of(name)], cell
        ):
            yield Holder("global object", name, layout)
    names: dict[tuple[str, str], list[str]] = {}
    for base, name, field in (entry for f in reached for entry in f.fields()):
        if field in VALUE_FIELDS and base not in known:
            names.setdefault((base, field), []).append(name)
    for (base, field), found in names.items():
        for layout in meanings.layouts_of(found, cell):
            yield Holder("global fields", base, layout, field=field)
