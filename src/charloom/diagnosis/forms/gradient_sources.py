"""Finds where a user's function leaves the gradients: in a tuple, a dict, an object, or attributes.

It reads only the source. The names of returned expressions, of keys and of attributes say which
gradient each of them is.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from charloom.diagnosis.forms.equation_meanings import Meanings, meanings_of
from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts, dict_keys, name_of
from charloom.diagnosis.forms.name_roles import (
    GRADIENT_FIELDS,
    GRADIENT_HOLDERS,
    VALUE_FIELDS,
    short,
)
from charloom.diagnosis.forms.parameter_layout import (
    OUTPUT,
    PLAIN,
    Layout,
    Part,
    is_gradient_name,
)

# Beginnings of the names of gradients, the longest first.
BEGINNINGS = ("dldl", "dloss_d", "dL_d", "dLd", "dJd", "dl_d", "dE_d", "dEd", "grad_", "grads_", "delta_", "d_", "d", "g")  # fmt: skip


USUAL_NAMES = frozenset(
    name for names in (*PLAIN.values(), *OUTPUT.values()) for name in names if len(name) > 2
)


@dataclass(frozen=True)
class GradientSource:
    """Where the gradients are after a call.

    Attributes:
        kind: "fields" if each parameter is an object that also has its gradient; "items" if they are returned one by one, "dict" or "object" if they are in one returned
            value or in an attribute of the instance, "instance" if they are attributes of the instance,
            or "globals".
        base: the name of the dict or object in the user's source, such as "grads" or "self.grads".
        names: the names of the items, keys or attributes.
        layout: what the gradients are, by these names.
        field: the attribute of a parameter's object with its gradient; "" if there is none.
    """

    kind: str
    base: str
    names: tuple[str, ...]
    layout: Layout
    field: str = ""

    def key_of(self, name: str, part: Part) -> str:
        """Return the item, key or attribute with the gradient of the array `name`; "" if there is none."""
        for key in self.names:
            if is_gradient_name(key, name) or key == name:
                return key
        return next((key for key, one in self.layout.parts.items() if one == part), "")


def sources_in(contents: Contents, facts: FunctionFacts) -> Iterator[GradientSource]:
    """Yield the places in which a function can leave the gradients, the likeliest first."""
    reached = contents.reached_from(facts)
    meanings = meanings_of(contents)

    def is_gradient(name: str) -> bool:
        return bool(meanings.parameter_of(name) or stripped(name))

    cell = "lstm" if mentions(facts, "lstm") else "gru" if mentions(facts, "gru") else ""
    yield from from_items(facts, cell, meanings)
    for base in bases(facts):
        keys = keys_by_base(reached, base)
        if (layout := gradient_layout(keys, cell, meanings)) is not None:
            yield GradientSource("dict", base, tuple(keys), layout)
        attributes = [a for one in reached for a in one.attributes_of(base, stored=True)]
        if (fields := fields_made(contents, facts, base)) and (
            layouts := meanings.layouts_of(fields, cell)
        ):
            yield GradientSource("object", base, fields, layouts[0])
        if base in facts.arguments and short(base) not in GRADIENT_HOLDERS:
            attributes = [a for a in attributes if is_gradient(a)]
        if (layout := gradient_layout(attributes, cell, meanings)) is not None:
            yield GradientSource("object", base, tuple(attributes), layout)
    if facts.instance:
        stored = [
            a
            for one in reached
            if one.instance
            for a in one.attributes_of(one.instance, stored=True)
        ]
        only = [a for a in stored if is_gradient(a)]
        if (layout := gradient_layout(only, cell, meanings)) is not None:
            yield GradientSource("instance", "", tuple(only), layout)
    declared = [
        name for one in reached for name in sorted(one.declared_global) if is_gradient(name)
    ]
    if (layout := gradient_layout(declared, cell, meanings)) is not None:
        yield GradientSource("globals", "", tuple(declared), layout)
    yield from from_fields(reached, cell, meanings)


def fields_made(contents: Contents, facts: FunctionFacts, base: str) -> tuple[str, ...]:
    """Return the fields of a variable to which a function assigns an instance of a class of the file; or ()."""
    for name, value in facts.assigned():
        if name == base and isinstance(value, ast.Call):
            made = contents.classes.get(name_of(value.func))
            if made is not None:
                return made.fields
    return ()


def from_fields(
    reached: Iterable[FunctionFacts], cell: str, meanings: Meanings
) -> Iterator[GradientSource]:
    """Yield the gradients that are attributes of the parameters' objects, such as `p.W_f.d`.

    A helper function may add to them, as in `weight.grad += ...`.
    """
    reached = list(reached)
    stored = {name for one in reached for name in one.stored_fields()} & set(GRADIENT_FIELDS)
    names: dict[str, list[str]] = {}
    for base, name, field in (entry for one in reached for entry in one.fields()):
        if field in (*GRADIENT_FIELDS, *VALUE_FIELDS):
            names.setdefault(base, []).append(name)
    for base, found in names.items():
        for layout in meanings.layouts_of(found, cell)[:1]:
            for field in sorted(stored):
                yield GradientSource("fields", base, tuple(dict.fromkeys(found)), layout, field)


def mentions(facts: FunctionFacts, word: str) -> bool:
    """Return True if the name of a function or of its class contains `word`."""
    return word in f"{facts.owner}.{facts.name}".lower()


def from_items(facts: FunctionFacts, cell: str, meanings: Meanings) -> Iterator[GradientSource]:
    """Yield the gradients that the function returns one by one, or in a dict that `return` writes down."""
    names = flat_items(facts)
    likely = [n for n in names if meanings.parameter_of(n) or stripped(n)]
    if (layout := gradient_layout(likely, cell, meanings)) is not None:
        yield GradientSource("items", "", names, layout)
    for place, item in facts.nested.items():
        keys = dict_keys(item)
        if isinstance(item, ast.Call) and (
            layout := gradient_layout(words_of(item), cell, meanings)
        ):
            yield GradientSource("object", place, words_of(item), layout)
        if (layout := gradient_layout(keys, cell, meanings)) is not None:
            yield GradientSource("dict", place, keys, layout)


def words_of(call: ast.Call) -> tuple[str, ...]:
    """Return the names with which a call passes arguments."""
    return tuple(word.arg for word in call.keywords if word.arg)


def flat_items(facts: FunctionFacts) -> tuple[str, ...]:
    """Return the names of the returned items, and instead of a tuple in them those of its items."""
    found: list[str] = []
    for place, name in enumerate(facts.returned):
        inner = facts.nested.get(str(place))
        if isinstance(inner, (ast.Tuple, ast.List)):
            found += [name_of(item) for item in inner.elts]
        else:
            found.append(name)
    return tuple(found)


def bases(facts: FunctionFacts) -> list[str]:
    """Return the sources of values that can hold all gradients: returned names, attributes, arguments."""
    found = [name for name in facts.returned if name]
    found += [a for a in facts.arguments if short(a) in GRADIENT_HOLDERS]
    found += [a for a in facts.arguments if any(map(stripped, facts.attributes_of(a, stored=True)))]
    if facts.instance:
        found += [
            f"{facts.instance}.{name}" for name in (*GRADIENT_HOLDERS, *facts.returned) if name
        ]
    return list(dict.fromkeys(found))


def keys_by_base(reached: Iterable[FunctionFacts], base: str) -> list[str]:
    """Return the constant keys of the dict `base` in the functions, in the order of the source."""
    found: list[str] = []
    for one in reached:
        found += one.dict_literals.get(base, ())
        found += one.keys_of(base)
    return list(dict.fromkeys(found))


def gradient_layout(names: Iterable[str], cell: str, meanings: Meanings) -> Layout | None:
    """Return what gradients with these names are, by the names; None if U or W is not among them."""
    names = list(dict.fromkeys(names))
    by_parameter = {
        meanings.parameter_of(name) or stripped(name) or name: name for name in names if name
    }
    found = meanings.layouts_of(by_parameter, cell)
    if not found:
        return None
    return Layout(
        found[0].cell, {by_parameter[name]: part for name, part in found[0].parts.items()}
    )


def stripped(name: str) -> str:
    """Return the name of the parameter in the name of a gradient, such as "Wf" for "dWf"; or ""."""
    for beginning in BEGINNINGS:
        if name.startswith(beginning) and len(name) > len(beginning):
            rest = name[len(beginning) :].lstrip("_")
            if rest and known_parameter(rest):
                return rest
    for ending in ("_grad", "_gradient", "_diff", "_delta", "grad"):
        if name.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return ""


def known_parameter(name: str) -> bool:
    """Return True if a name is a usual one of a parameter, or looks like one: it begins with U, W, b, V or c."""
    if short(name) in USUAL_NAMES:
        return True
    return name[:1] in "UWVRubvwcBC" and not name.startswith(("c_next", "cnext", "cell", "c_prev"))


def matched(layout: Layout, source: GradientSource) -> Mapping[str, str]:
    """Return the item, key or attribute of the gradient of each array in `layout` that has one."""
    found = {name: source.key_of(name, part) for name, part in layout.parts.items()}
    return {name: key for name, key in found.items() if key}
