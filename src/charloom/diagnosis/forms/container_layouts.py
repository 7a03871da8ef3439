"""Finds out which arrays of a container are a network's parameters, by their names and their shapes."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from charloom.diagnosis.forms.containers import H, K, Leaf
from charloom.diagnosis.forms.equation_meanings import Meanings
from charloom.diagnosis.forms.gradient_sources import stripped
from charloom.diagnosis.forms.name_roles import (
    GRADIENT_FIELDS,
    GRADIENT_HOLDERS,
    VALUE_FIELDS,
    is_cell_state,
    is_state,
    short,
)
from charloom.diagnosis.forms.parameter_layout import Layout, Part

CELLS_BY_GATES: Final = {1: "rnn", 3: "gru", 4: "lstm"}
MEMORIES: Final = ("m", "mem", "cache", "momentum", "velocity", "vel", "memory", "adagrad", "moments", "s", "sq")  # fmt: skip
MOST_LAYOUTS: Final = 6  # largest number of layouts that are tried


def name_in(leaf: Leaf) -> str:
    """Return the name of the parameter in a path: the last one that does not only say "the value"."""
    words = [w for w in leaf.words if not w.isdigit()]
    while len(words) > 1 and words[-1] in VALUE_FIELDS:
        words.pop()
    return words[-1] if words else leaf.path


def is_parameter(leaf: Leaf, leaves: Sequence[Leaf]) -> bool:
    """Return False for an array that is a gradient, an optimizer's memory or a state, by its name."""
    *holders, last = leaf.words or ("",)
    if any(short(word) in (*GRADIENT_HOLDERS, *MEMORIES) for word in holders):
        return False
    fields = {one.words[-1] for one in leaves if one.words[:-1] == leaf.words[:-1] and one.words}
    if last in (*GRADIENT_FIELDS, *MEMORIES) and fields & set(VALUE_FIELDS) and last != "w":
        return last in VALUE_FIELDS and not any(f in fields for f in VALUE_FIELDS[:3])
    names = {name_in(one) for one in leaves if one is not leaf}
    is_gradient = (rest := stripped(last)) and rest in names
    state = is_state(last) or is_cell_state(last)
    single = leaf.array.size == H
    return not is_gradient and not (state and single and not short(last).startswith("b"))


def layouts_in(leaves: Sequence[Leaf], meanings: Meanings, cell: str) -> Iterator[Layout]:
    """Yield the networks that the arrays of a container can be; the names of the parts are the paths."""
    likely = [leaf for leaf in leaves if is_parameter(leaf, leaves)]
    found: list[Layout] = []
    for layout in (*by_names(likely, meanings, cell), *by_shapes(likely)):
        if layout not in found:
            found.append(layout)
    found.sort(key=lambda layout: -len(layout.blocks))
    yield from found[:MOST_LAYOUTS]


def by_names(leaves: Sequence[Leaf], meanings: Meanings, cell: str) -> Iterator[Layout]:
    """Yield the networks that the names show and that the shapes allow."""
    yield from by_these_names([name_in(leaf) for leaf in leaves], leaves, meanings, cell)
    for order in (
        -1,
        1,
    ):  # the gate's name stands before or after that of the array, as in z.W or W["z"]
        joined = [
            "".join([w for w in leaf.words if w not in VALUE_FIELDS or len(w) == 1][-2:][::order])
            for leaf in leaves
        ]
        found = by_these_names(joined, leaves, meanings, cell)
        yield from (layout for layout in found if layout.has_gates)


def by_these_names(
    given: Sequence[str], leaves: Sequence[Leaf], meanings: Meanings, cell: str
) -> Iterator[Layout]:
    """Yield the networks that these names of the arrays show and that the shapes allow."""
    names: dict[str, Leaf] = {}
    for name, leaf in zip(given, leaves, strict=True):
        names.setdefault(name, leaf)
    for layout in meanings.layouts_of(names, cell):
        parts = {names[name].path: part for name, part in layout.parts.items()}
        shapes = {leaf.path: leaf.shape for leaf in leaves}
        if layout.has_gates:
            fits = all(allowed(shapes[path], part, 1) for path, part in parts.items())
            if fits:
                yield Layout(layout.cell, parts)
            continue
        for gates, kind in CELLS_BY_GATES.items():
            kept = {
                path: part for path, part in parts.items() if allowed(shapes[path], part, gates)
            }
            one = Layout(kind, kept)
            if one.blocks >= {"U", "W"}:
                yield one


def expected(block: str, gates: int) -> tuple[int, ...]:
    """Return the shape of a block with this number of gates."""
    return {
        "U": (gates * H, K), "W": (gates * H, H), "WU": (gates * H, H + K), "1WU": (gates * H, H + K + 1),
        "b": (gates * H,), "d": (H,), "zero": (gates * H,), "V": (K, H), "c": (K,),
        "peephole": (H,),
    }[block]  # fmt: skip


def allowed(shape: tuple[int, ...], part: Part, gates: int) -> bool:
    """Return True if an array of this shape can hold a part, transposed or not."""
    wanted = expected(part.block, gates)
    if len(wanted) == 1:
        return int(max(shape)) == wanted[0] and len([n for n in shape if n != 1]) == 1
    return shape in (wanted, wanted[::-1])


def by_shapes(leaves: Sequence[Leaf]) -> Iterator[Layout]:
    """Yield the networks that the shapes alone allow, those with U before V in the container first."""
    for gates, cell in CELLS_BY_GATES.items():
        chosen = {
            block: [leaf.path for leaf in leaves if allowed(leaf.shape, Part(block), gates)]
            for block in ("W", "U", "WU", "b", "V", "c")
        }
        recurrent = [(w, u) for w, u in itertools.product(chosen["W"][:1], chosen["U"]) if w != u]
        joined = [(one,) for one in chosen["WU"][:1]]
        for matrices in (*recurrent, *joined):
            blocks = ("W", "U") if len(matrices) == 2 else ("WU",)
            parts = dict(zip(matrices, map(Part, blocks), strict=True))
            for block in ("V", "b", "c"):
                left = [path for path in chosen[block] if path not in parts]
                if left:
                    parts[left[0]] = Part(block)
            order = [leaf.path for leaf in leaves if leaf.path in parts]
            yield Layout(cell, {path: parts[path] for path in order})


def with_cell(layout: Layout, cell: str) -> Layout:
    """Return the layout for another cell."""
    return replace(layout, cell=cell)
