"""Lists what the arrays of a program can hold, the likeliest first: every way in which their shapes are a network."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.name_roles import is_cell_state
from charloom.diagnosis.forms.parameter_layout import GATES as GATE_NAMES
from charloom.diagnosis.watching.array_names import distinct, name_of
from charloom.diagnosis.watching.bias_candidates import vector_roles
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.parameter_roles import Role, Roles, Shape, Shapes, Sizes, squeezed

# The cells with the gates that have rows of their own; in an LSTM with coupled gates, i is 1 - f, or f is 1 - i.
GATES: Final = (("rnn", "a"), ("gru", "rzn"), ("lstm", "ifgo"), ("lstm", "fgo"), ("lstm", "igo"))


@dataclass(frozen=True)
class Fit:
    """One way in which a matrix fits: the array, its block, how many gates, the columns, the axes."""

    place: Place
    block: str
    gates: int
    columns: str
    transposed: bool


def fits(place: Place, shape: Shape, sizes: Sizes, gates: int) -> Iterator[Fit]:
    """Yield the ways in which a matrix can hold rows of the gates or of the output layer."""
    H, K = sizes.H, sizes.K
    axes = squeezed(shape)
    D = sizes.M or K
    columns = {"x": D, "h": H, "hx": H + D, "x1": D + 1, "h1": H + 1, "hx1": H + D + 1}
    for transposed in (False, True):
        if len(axes) == 3:
            count, rows, width = (axes[0], *(axes[:0:-1] if transposed else axes[1:]))
            rows = count * rows if rows == H else 0
        else:
            rows, width = axes[::-1] if transposed else axes
        for letters, size in columns.items():
            if width != size:
                continue
            if rows == K and letters in ("h", "h1"):
                yield Fit(place, "output", 0, letters, transposed)
            if rows % H == 0 and 1 <= rows // H <= gates and (len(axes) == 2 or rows // H > 1):
                yield Fit(place, "gates", rows // H, letters, transposed)


def candidates(shapes: Shapes, sizes: Sizes, states: Sequence[Place]) -> Iterator[Roles]:
    """Yield what the arrays can hold, the likeliest first; an embedding is looked for if they are nothing else.

    Args:
        shapes: the shapes of the arrays on which the loss depends.
        sizes: the sizes of the network.
        states: those of the arrays that are initial states, not parameters.
    """
    found = False
    for roles in plain_candidates(shapes, sizes, states):
        found = found or not roles.has("extra")
        yield roles
    if found:
        return
    for place, shape in shapes.items():
        axes = squeezed(shape)
        if place in states or len(axes) != 2 or sizes.K not in axes or axes[0] == axes[1]:
            continue
        M = axes[1] if axes[0] == sizes.K else axes[0]
        others = {p: one for p, one in shapes.items() if p != place}
        role = Role("embedding", transposed=axes[0] != sizes.K)
        for one in plain_candidates(others, replace(sizes, M=M), states):
            yield replace(one, roles={**one.roles, place: role}, shapes=shapes, embedding=M)


def plain_candidates(shapes: Shapes, sizes: Sizes, states: Sequence[Place]) -> Iterator[Roles]:
    """Yield what the arrays can hold if none turns characters into vectors that `sizes` does not know."""
    vectors = [p for p, shape in shapes.items() if p not in states and len(squeezed(shape)) == 1]
    matrices = [p for p in shapes if p not in vectors and p not in states]
    for cell, blocks in GATES:
        for chosen in chosen_fits(matrices, shapes, sizes, len(blocks)):
            for roles in with_gates(chosen, cell, blocks):
                for others in vector_roles(vectors, shapes, sizes, blocks, roles):
                    for kept in state_roles(states, cell):
                        yield Roles(cell, {**roles, **others, **kept}, shapes)


def chosen_fits(
    matrices: Sequence[Place], shapes: Shapes, sizes: Sizes, gates: int
) -> Iterator[list[Fit]]:
    """Yield one way for each matrix, such that together they are a network with `gates` gates."""
    ways = [list(fits(p, shapes[p], sizes, gates)) for p in matrices]
    if any(not way for way in ways) or np.prod([len(way) for way in ways]) > 5000:
        return
    for chosen in itertools.product(*ways):
        count = dict.fromkeys("xh", 0)
        outputs = 0
        turns: dict[str, set[bool]] = {}
        for one in chosen:
            if one.block == "output":
                outputs += 1
                continue
            turns.setdefault(one.columns, set()).add(one.transposed)
            for letter in one.columns:
                if letter != "1":
                    count[letter] += one.gates
        if (
            outputs == 1
            and set(count.values()) == {gates}
            and all(len(t) == 1 for t in turns.values())
        ):
            yield list(chosen)


def with_gates(chosen: Sequence[Fit], cell: str, blocks: str) -> Iterator[dict[Place, Role]]:
    """Yield the roles of the matrices, for each order of the gates and of the columns."""
    families: dict[str, list[Fit]] = {}
    for one in chosen:
        families.setdefault(one.block + one.columns, []).append(one)
    for order in map("".join, itertools.permutations(blocks)):
        for columns in itertools.product(
            *(column_orders(one[0].columns) for one in families.values())
        ):
            found: dict[Place, Role] = {}
            for letters, members in zip(columns, families.values(), strict=True):
                if members[0].block == "output":
                    found[members[0].place] = Role("output", "", letters, members[0].transposed)
                    continue
                left = order
                for one in in_named_order(members, cell, blocks):
                    found[one.place] = Role("gates", left[: one.gates], letters, one.transposed)
                    left = left[one.gates :]
            yield found


def column_orders(columns: str) -> list[str]:
    """Return the orders in which columns can stand; a bias stands first or last."""
    if "1" not in columns:
        return list(dict.fromkeys((columns, columns[::-1])))
    return [
        order
        for inner in column_orders(columns.replace("1", ""))
        for order in (inner + "1", "1" + inner)
    ]


def in_named_order(members: Sequence[Fit], cell: str, blocks: str) -> list[Fit]:
    """Return matrices of single gates in our order, by their names; as they are if the names say nothing."""
    if len(members) != len(blocks) or len(members) == 1:
        return list(members)
    found: list[Fit] = []
    words = distinct([name_of(one.place) for one in members])
    for gate in blocks:
        usual = GATE_NAMES[cell][gate]
        at = [
            one
            for u in usual
            for one, w in zip(members, words, strict=True)
            if w == u and one not in found
        ]
        if not at:
            return list(members)
        found.append(at[0])
    return found


def state_roles(states: Sequence[Place], cell: str) -> Iterator[dict[Place, Role]]:
    """Yield what the arrays can hold that are initial states."""
    labels = CELLS[cell].states
    if len(labels) == 1 or len(states) < 2:
        for label in labels:
            yield {p: Role(label) for p in states}
        return
    first, second, *_ = sorted(states, key=lambda p: is_cell_state(name_of(p)))
    for pair in ((first, second), (second, first)):
        yield {p: Role(label) for p, label in zip(pair, labels, strict=True)}
