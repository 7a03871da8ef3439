"""Finds parameters and gradients in nested tuples, lists, dicts and objects, in several of them, or in a flat vector.

It follows the source (`parameter_paths.py`) and reads the names of the places: `params["forget"]["W"]` is
called forget_W, and the second item of `Wf, bf = forget` is bf.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.derived_globals import assignments
from charloom.diagnosis.forms.file_contents import (
    ClassFacts,
    Contents,
    FunctionFacts,
    name_of,
)
from charloom.diagnosis.forms.gradient_sources import GradientSource, stripped
from charloom.diagnosis.forms.name_roles import (
    GRADIENT_HOLDERS,
    is_cell_state,
    is_loss,
    is_state,
    role_of_argument,
    short,
    size_of,
)
from charloom.diagnosis.forms.parameter_holders import Holder
from charloom.diagnosis.forms.parameter_layout import Layout, Part, is_gradient_name, layouts_of
from charloom.diagnosis.forms.parameter_paths import Path, PathReader, leaves

OTHER_ROLES: Final = ("x", "y", "h0", "c0", "T", "one", "zero")


@dataclass(frozen=True)
class NestedHolder(Holder):
    """Parameters in nested containers.

    Attributes:
        places: the path of each parameter, by its name in the layout.
        fills: the paths that hold something else, such as a size, with the expressions to put there.
        is_numbered: whether the gates have numbers instead of names, so that their order is not known.
    """

    places: dict[str, Path] = field(default_factory=dict)
    fills: dict[Path, str] = field(default_factory=dict)
    is_numbered: bool = False

    @property
    def roots(self) -> tuple[str, ...]:
        """The variables that hold the containers, as in `Path`."""
        return tuple(dict.fromkeys(path.root for path in self.places.values()))

    @property
    def is_flat(self) -> bool:
        """Whether the parameters are pieces of one vector."""
        return any(step.kind == "piece" for path in self.places.values() for step in path.steps)

    def in_words(self) -> str:
        """Return where the parameters are, in some words."""
        kind = "in one flat vector" if self.is_flat else "nested"
        return f"parameters {kind} in {', '.join(root.split('.')[-1] for root in self.roots)}"


def nested_holders(
    contents: Contents, functions: Sequence[FunctionFacts], owner: ClassFacts | None
) -> Iterator[NestedHolder]:
    """Yield where functions that are called together can have nested parameters."""
    reader = read_paths(contents, functions, owner)
    words = " ".join(f"{f.owner} {f.name}" for f in functions).lower()
    cell = "lstm" if "lstm" in words else "gru" if "gru" in words else ""
    found = list(leaves(reader.read))
    for naming in (label, long_label, root_label, gate_label):
        names: dict[str, Path] = {}
        twice: set[str] = set()
        for path in found:
            name = naming(reader, path)
            if names.setdefault(name, path) != path:
                twice.add(name)
        for layout in layouts_of(names, cell):
            if twice & set(layout.parts):
                continue
            holder = holder_of({n: names[n] for n in layout.parts}, layout, found, reader)
            if holder is not None:
                yield replace(holder, is_numbered=naming is gate_label)


def read_paths(
    contents: Contents, functions: Sequence[FunctionFacts], owner: ClassFacts | None
) -> PathReader:
    """Return the reader that has read the functions."""
    known = {*contents.functions, *contents.classes}
    own = frozenset(one.name for one in assignments(contents)) - known
    reader = PathReader(contents, owner.name if owner is not None else "", own)
    for facts in functions:
        env = {
            a: Path(a)
            for a in (*facts.arguments, facts.star, facts.double_star)
            if a and role_of_argument(a) not in OTHER_ROLES
        }
        if facts.instance:
            env[facts.instance] = Path("self")
        reader.run(facts, env)
    return reader


def holder_of(
    places: dict[str, Path], layout: Layout, found: Sequence[Path], reader: PathReader
) -> NestedHolder | None:
    """Return the holder of these places; None if a container has items that are not known."""
    roots = {path.root for path in places.values()}
    if all(not path.steps for path in places.values()):
        return None
    fills = {}
    for path in found:
        if path.root not in roots or path in places.values():
            continue
        role = size_of(label(reader, path))
        if (
            path.root.startswith(("net.", "self."))
            and path.steps
            and path.steps[-1].kind == "key"
            and not role
        ):
            continue
        if not role:
            return None
        fills[path] = {"K": "K", "H": "H", "T": "len(x)", "one": "1", "zero": "0.0"}[role]
    base = next((r for r in roots if "." not in r), "")
    return NestedHolder("nested", base, layout, places=places, fills=fills)


def label(reader: PathReader, path: Path) -> str:
    """Return the name of a place: the variable that takes it, or its key or attribute."""
    return reader.labels.get(path) or key_label(reader, path)


def key_label(reader: PathReader, path: Path) -> str:
    """Return the key or the attribute of a place; the variable that takes it if it has none."""
    if not path.steps:
        return path.root.split(".")[-1]
    last = path.steps[-1]
    if last.kind in ("key", "attribute"):
        return str(last.key)
    return reader.labels.get(path, "")


def long_label(reader: PathReader, path: Path) -> str:
    """Return the name of a place before the names of the containers inside the root, such as W_forget."""
    parts = [Path(path.root, path.steps[:n]) for n in range(1, len(path.steps) + 1)]
    names = [key_label(reader, part) for part in parts] or [label(reader, path)]
    return "_".join(name for name in reversed(names) if name)


def root_label(reader: PathReader, path: Path) -> str:
    """Return the name of a place after that of its root."""
    inner = long_label(reader, path) if path.steps else ""
    root = path.root.split(".")[-1]
    return "_".join(name for name in (root, inner) if name)


def gate_label(reader: PathReader, path: Path) -> str:
    """Return the name of a place after that of its root, with the letter of a gate for a number of one.

    The numbers stand for the gates in our order until the losses show another one.
    """
    name = root_label(reader, path)
    last = path.steps[-1] if path.steps else None
    if last is None or last.kind != "index" or path in reader.labels:
        return name
    count = 1 + max(
        p.steps[-1].key
        for p in reader.read
        if p.root == path.root and p.steps and p.steps[-1].kind == "index"
    )
    gates = {4: CELLS["lstm"].blocks, 3: CELLS["gru"].blocks}.get(count, "")
    return f"{name}_{gates[last.key]}" if gates else name


# Gradients.


@dataclass(frozen=True)
class NestedSource(GradientSource):
    """Gradients in nested containers.

    Attributes:
        places: for each parameter, the returned item or the attribute with its gradient, and the steps
            from there as Python source.
        pieces: whether the gradients are pieces of one vector, in the order of the parameters.
    """

    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    pieces: bool = False

    def key_of(self, name: str, part: Part) -> str:
        """Return the name of the array itself, if its gradient has a place; otherwise ""."""
        return name if name in self.places else ""


def nested_sources(facts: FunctionFacts, holder: NestedHolder) -> Iterator[NestedSource]:
    """Yield where a function can leave the gradients of nested parameters."""
    names = tuple(holder.layout.parts)
    if holder.is_flat:
        for n in other_items(facts):
            steps = {name: (str(n), str(place)) for place, name in enumerate(holder.places)}
            yield NestedSource("nested", "", names, holder.layout, places=steps, pieces=True)
    written = written_places(facts)
    mirrored = mirrored_places(facts, holder)
    for places in (matching(holder, written), mirrored, mirrored | matching(holder, written)):
        if places:
            yield NestedSource("nested", "", names, holder.layout, places=places)


def written_places(facts: FunctionFacts) -> dict[str, tuple[str, str]]:
    """Return the item and the steps of each gradient whose place is written in the function, by its names.

    A gradient may have several names: that of its variable, and that of the containers around it.
    """
    found: dict[str, tuple[str, str]] = {}
    literals = {name: value for name, value in facts.assigned() if is_literal(value)}

    def walk(node: ast.expr, item: str, steps: str, names: tuple[str, ...]) -> None:
        if isinstance(node, ast.Name) and node.id in literals and len(names) < 4:
            walk(literals[node.id], item, steps, (*names, node.id))
            return
        if isinstance(node, (ast.Tuple, ast.List)):
            for n, child in enumerate(node.elts):
                walk(child, item, f"{steps}[{n}]", names)
            return
        if isinstance(node, ast.Dict):
            for key, child in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    walk(child, item, f'{steps}["{key.value}"]', (*names, key.value))
            return
        if isinstance(node, ast.Call) and name_of(node.func) == "dict":
            for word in node.keywords:
                walk(word.value, item, f'{steps}["{word.arg}"]', (*names, word.arg or ""))
            return
        own = name_of(node)
        for name in (own, "_".join(names), "_".join((*names[1:], own)), "_".join((*names, own))):
            if name:
                found.setdefault(name, (item, steps))

    for n, node in enumerate(items_of(facts)):
        walk(node, str(n), "", ())
    for base in [n for n in facts.returned if n] + [
        f"{facts.instance}.{a}" for a in GRADIENT_HOLDERS if facts.instance
    ]:
        for keys in key_chains(facts, base):
            item = str(facts.returned.index(base)) if base in facts.returned else base
            steps = "".join(f'["{k}"]' if isinstance(k, str) else f"[{k}]" for k in keys)
            words = [str(k) for k in keys if isinstance(k, str)]
            for name in ("_".join(words), "_".join((base.split(".")[-1], *words))):
                found.setdefault(name, (item, steps))
    return found


def items_of(facts: FunctionFacts) -> list[ast.expr]:
    """Return the returned items."""
    value = facts.last_return
    if isinstance(value, (ast.Tuple, ast.List)):
        return list(value.elts)
    return [value] if value is not None else []


def is_literal(node: ast.expr) -> bool:
    """Return True for a tuple, a list or a dict with items that are written down."""
    if isinstance(node, ast.Dict):
        return bool(node.keys)
    if isinstance(node, (ast.Tuple, ast.List)):
        return bool(node.elts)
    return isinstance(node, ast.Call) and name_of(node.func) == "dict" and bool(node.keywords)


def key_chains(facts: FunctionFacts, base: str) -> list[tuple[str | int, ...]]:
    """Return the constant keys of each `base[key]` or `base[key][key]` in a function."""
    found = []
    for n in ast.walk(facts.node):
        keys: list[str | int] = []
        node: ast.AST = n
        while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, (str, int)):
                keys.insert(0, node.slice.value)
            node = node.value
        if keys and ast.unparse(node) == base and any(isinstance(k, str) for k in keys):
            found.append(tuple(keys))
    longer = {keys[:n] for keys in found for n in range(len(keys))}
    return [keys for keys in dict.fromkeys(found) if keys not in longer]


def matching(
    holder: NestedHolder, written: dict[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """Return the place of the gradient of each parameter, by the names of both."""
    found = {}
    named = {stripped(name) or name: name for name in written if name}
    parts: dict[Part, str] = {}
    for layout in layouts_of(named, holder.layout.cell)[:1]:
        parts = {part: named[name] for name, part in layout.parts.items()}
    for name, part in holder.layout.parts.items():
        exact = next((key for key in written if is_gradient_name(key, name)), None)
        key = exact or parts.get(part)
        if key is not None:
            found[name] = written[key]
    return found


def other_items(facts: FunctionFacts) -> list[int]:
    """Return the positions of the returned items that are neither the loss nor a state."""
    if len(facts.returned) == 1:
        return [0]
    return [
        n
        for n, name in enumerate(facts.returned)
        if not is_loss(name) and not is_state(name) and not is_cell_state(name)
    ]


def mirrored_places(facts: FunctionFacts, holder: NestedHolder) -> dict[str, tuple[str, str]]:
    """Return the places of gradients in containers that are built as those of the parameters."""
    items = [(n, facts.returned[n]) for n in other_items(facts)]
    by_root: dict[str, str] = {}
    roots = list(holder.roots)
    for root in roots:
        word = short(root.split(".")[-1])
        for n, name in items:
            plain = short(name)
            if plain in (
                f"d{word}",
                f"grad{word}",
                f"g{word}",
                f"{word}grad",
                f"{word}grads",
                f"grads{word}",
            ):
                by_root[root] = str(n)
    left = [n for n, name in items if str(n) not in by_root.values()]
    named = [n for n, name in items if short(name) in GRADIENT_HOLDERS and n in left]
    missing = [root for root in roots if root not in by_root]
    if len(missing) == 1 and len(named) == 1:
        by_root[missing[0]] = str(named[0])
    elif len(missing) <= len(left):
        by_root |= {root: str(n) for root, n in zip(missing, left, strict=False)}
    return {
        name: (by_root[path.root], path.suffix)
        for name, path in holder.places.items()
        if path.root in by_root
    }
