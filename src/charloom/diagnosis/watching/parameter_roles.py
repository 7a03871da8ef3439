"""Says what the arrays of a program can hold: which of our parameters, in which order of the gates and axes."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.name_roles import is_cell_state
from charloom.diagnosis.forms.parameter_layout import GATES as GATE_NAMES
from charloom.diagnosis.problem import Array, Arrays
from charloom.diagnosis.watching.held_arrays import Field, Place

Shapes = Mapping[Place, tuple[int, ...]]
Shape = tuple[int, ...]

# The cells with the gates that have rows of their own; in an LSTM with coupled gates, i is 1 - f, or f is 1 - i.
GATES: Final = (("rnn", "a"), ("gru", "rzn"), ("lstm", "ifgo"), ("lstm", "fgo"), ("lstm", "igo"))
# Our parameter for each letter of `Role.columns`, in arrays of the gates and of the output layer.
COLUMNS: Final = {"gates": {"x": "U", "h": "W", "1": "b"}, "output": {"h": "V", "1": "c"}}
STATES: Final = ("h", "cell")
UNREAD: Final = (*STATES, "zero", "extra", "embedding")  # blocks whose gradient is not read
NEVER: Final = -600.0  # the bias of a character that is not predicted: its probability is 0
# Words at the end of a place that do not name the array.
VALUES: Final = ("data", "value", "val", "weights", "w", "v", "W", "b", "bias", "weight")


@dataclass(frozen=True)
class Role:
    """What one array of a program holds.

    Attributes:
        block: "gates" or "output" for a matrix or a bias; "d" for the bias of the candidate's recurrent part,
            which may be a part of a bias of all gates; "h" or "cell" for an initial state;
            "zero" for a second bias, which is set to zero; "embedding" for the vectors of the characters; "extra"
            for parameters that our network does not have, such as peepholes, which get numbers that are always
            the same.
        gate: the letters of the gates whose rows it holds.
        columns: what its columns multiply, in order: "x" the input, "h" the state, "1" nothing (a bias).
        transposed: whether the axes are exchanged.
    """

    block: str
    gate: str = ""
    columns: str = ""
    transposed: bool = False


@dataclass(frozen=True)
class Roles:
    """What the arrays of a program hold.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        roles: what each array holds.
        shapes: the shape of each array.
        ids: the program's ids of our characters, if it has more characters than we use; empty if not.
        width: the number of its characters then.
        embedding: the length of a character's vector, if an array turns each character into a vector; 0 if not.
    """

    cell: str
    roles: Mapping[Place, Role]
    shapes: Shapes
    ids: tuple[int, ...] = ()
    width: int = 0
    embedding: int = 0

    def has(self, block: str) -> bool:
        """Return True if an array holds a block."""
        return any(role.block == block for role in self.roles.values())

    def written(self, theta: Arrays, state: Arrays) -> dict[Place, Array]:
        """Return the numbers of each array for our parameters and initial states."""
        wide = widened(theta, self.ids, self.width) if self.ids else theta
        if self.embedding:
            # The vectors of the characters are unit vectors, so that their weights are U.
            U = np.zeros((len(theta["U"]), self.embedding))
            U[:, : theta["U"].shape[1]] = theta["U"]
            wide = {**wide, "U": U}
        return {place: self.numbers(place, wide, state) for place in self.roles}

    def numbers(self, place: Place, theta: Arrays, state: Arrays) -> Array:
        """Return the numbers of one array."""
        role, shape = self.roles[place], self.shapes[place]
        if role.block == "zero":
            return np.zeros(shape)
        if role.block == "extra":
            return np.linspace(-0.5, 0.5, int(np.prod(shape))).reshape(shape)
        if role.block in STATES:
            return np.resize(state[role.block], shape)
        if role.block == "embedding":
            vectors = np.zeros((len(theta["V"]), self.embedding))
            used = self.ids or range(len(theta["V"]))
            vectors[list(used), range(len(used))] = 1
            return (vectors.T if role.transposed else vectors).reshape(shape)
        if role.block == "d":
            parts = [theta["d"] if gate == "n" else 0 * theta["d"] for gate in role.gate or "n"]
            return np.concatenate(parts).reshape(shape)
        parts = [self.rows(theta[COLUMNS[role.block][letter]], role) for letter in role.columns]
        found = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        axes = squeezed(shape)
        if len(axes) == 3:
            stacked = found.reshape(axes[0], -1, found.shape[1])
            return (stacked.transpose(0, 2, 1) if role.transposed else stacked).reshape(shape)
        return (found.T if role.transposed else found).reshape(shape)

    def rows(self, array: Array, role: Role) -> Array:
        """Return the rows of our array that an array of the user holds, in the user's order."""
        if role.block == "output":
            return array
        ours = CELLS[self.cell].blocks
        blocks = dict(zip(ours, np.split(array, len(ours)), strict=True))
        if self.is_coupled:
            blocks["f"] = -blocks["i"]
        return np.concatenate([blocks[gate] for gate in role.gate])

    @property
    def is_coupled(self) -> bool:
        """Whether an LSTM has rows of f but not of i, so that i is 1 - f = σ(-a_f): our rows of i are those of -f."""
        gates = {gate for role in self.roles.values() for gate in role.gate}
        return self.cell == "lstm" and "f" in gates and "i" not in gates

    def read(self, given: Mapping[Place, Array], shapes: Mapping[str, Shape]) -> Arrays:
        """Return our gradients for the gradients of the user's arrays; parameters without one get zeros."""
        found = self.read_wide(given, shapes)
        if self.embedding:
            found["U"] = found["U"][:, : shapes["U"][1]]
            wide = {name: found[name] for name in ("V", "c")}
            return found | (
                {name: p[list(self.ids)] for name, p in wide.items()} if self.ids else {}
            )
        return narrowed(found, self.ids) if self.ids else found

    def values(self, given: Mapping[Place, Array], shapes: Mapping[str, Shape]) -> Arrays:
        """Return our parameters for the numbers of the user's arrays, with all of the program's characters."""
        found = self.read_wide(given, shapes)
        for place, role in self.roles.items():
            if role.block == "embedding":
                vectors = given[place].reshape(squeezed(self.shapes[place]))
                found["U"] = found["U"] @ (vectors if role.transposed else vectors.T)
        return found

    def read_wide(self, given: Mapping[Place, Array], shapes: Mapping[str, Shape]) -> Arrays:
        """Return what the user's arrays hold, for all of the program's characters or elements of their vectors."""
        found = {name: np.zeros(shape) for name, shape in shapes.items()}
        if self.ids:
            found = widened(found, self.ids, self.width)
        if self.embedding:
            found["U"] = np.zeros((shapes["U"][0], self.embedding))
        for place, role in self.roles.items():
            if place not in given or role.block in UNREAD:
                continue
            if role.block == "d":
                parts = np.split(given[place].reshape(-1), len(role.gate or "n"))
                found["d"] = parts[(role.gate or "n").index("n")].copy()
                continue
            self.read_rows(role, self.as_rows(given[place], place, role), found)
        return found

    def as_rows(self, array: Array, place: Place, role: Role) -> Array:
        """Return an array of the user with one row for each unit of each gate, or for each character."""
        axes = squeezed(self.shapes[place])
        given = array.reshape(axes)
        if len(axes) == 1:
            return given[:, None]
        if role.transposed:
            given = given.swapaxes(-1, -2)
        return given.reshape(-1, given.shape[-1])

    def read_rows(self, role: Role, rows: Array, found: Arrays) -> None:
        """Write the rows of the user's array into our gradients `found`."""
        names = COLUMNS[role.block]
        at = 0
        for letter in role.columns:
            name = names[letter]
            width = 1 if letter == "1" else found[name].shape[1]
            part = rows[:, at : at + width]
            at += width
            part = part[:, 0] if letter == "1" else part
            if role.block == "output":
                found[name] = part.copy()
                continue
            H = found["W"].shape[1]
            for gate, block in zip(role.gate, np.split(part, len(role.gate)), strict=True):
                from_f = gate == "f" and self.is_coupled
                start = CELLS[self.cell].blocks.index("i" if from_f else gate) * H
                found[name][start : start + H] = -block if from_f else block


def widened(theta: Arrays, ids: Sequence[int], width: int) -> Arrays:
    """Return parameters of a network with `width` characters, of which only those of `ids` are predicted."""
    H = theta["W"].shape[1]
    wide = {**theta, "U": np.zeros((len(theta["U"]), width)), "V": np.zeros((width, H))}
    wide["c"] = np.full(width, NEVER)
    listed = list(ids)
    wide["U"][:, listed], wide["V"][listed], wide["c"][listed] = theta["U"], theta["V"], theta["c"]
    return wide


def narrowed(theta: Arrays, ids: Sequence[int]) -> Arrays:
    """Return what `widened` was made of."""
    listed = list(ids)
    return {**theta, "U": theta["U"][:, listed], "V": theta["V"][listed], "c": theta["c"][listed]}


def squeezed(shape: Sequence[int]) -> Shape:
    """Return a shape without its axes of length 1."""
    return tuple(size for size in shape if size != 1) or (1,)


def name_of(place: Place) -> str:
    """Return the name of an array: the last part of its place that names it."""
    words = [getattr(step, "name", str(step)) for step in place if isinstance(step, (str, Field))]
    words = [w.removeprefix("global ").removeprefix("caller's ") for w in words]
    if len(words) > 1 and words[-1] in VALUES:
        return f"{words[-2]}_{words[-1]}"
    return words[-1] if words else ""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a network: hidden units, characters, and elements of a character's vector (0: no vectors)."""

    H: int
    K: int
    M: int = 0


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


def common_beginning(names: Sequence[str]) -> str:
    """Return the letters with which all names begin."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names in lower case, without the beginning and the end that all of them have."""
    plain = [name.lower().replace("_", "") for name in names]
    if len(set(plain)) == 1:
        return plain
    first = len(common_beginning(plain))
    last = len(common_beginning([name[first:][::-1] for name in plain]))
    return [name[first : len(name) - last] or name for name in plain]


def vector_roles(
    vectors: Sequence[Place],
    shapes: Shapes,
    sizes: Sizes,
    blocks: str,
    matrices: Mapping[Place, Role],
) -> Iterator[dict[Place, Role]]:
    """Yield what the vectors of parameters can hold: biases, and what our network does not have."""
    size = {p: int(np.prod(shapes[p])) for p in vectors}
    outputs = [p for p in vectors if size[p] == sizes.K]
    inner = [p for p in vectors if p not in outputs]
    if any(size[p] % sizes.H or size[p] // sizes.H > len(blocks) for p in inner):
        return
    fixed = {p: Role("output" if n == 0 else "zero", "", "1") for n, p in enumerate(outputs)}
    for biases in bias_roles(inner, size, sizes.H, blocks, matrices):
        left = [p for p in inner if p not in biases]
        labels = ["zero", "extra"] if left else ["zero"]
        if blocks == "rzn" and len(left) == 1 and size[left[0]] == sizes.H:
            labels.insert(0, "d")
        for label in labels:
            yield {**fixed, **biases, **{p: Role(label) for p in left}}


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


def bias_roles(
    vectors: Sequence[Place],
    size: Mapping[Place, int],
    H: int,
    blocks: str,
    matrices: Mapping[Place, Role],
) -> Iterator[dict[Place, Role]]:
    """Yield the biases of the gates: none, one of all gates, one for each gate, or one for each matrix."""
    order = next((role.gate for role in matrices.values() if len(role.gate) == len(blocks)), blocks)
    whole = [p for p in vectors if size[p] == len(blocks) * H]
    by_matrix = {
        role.gate: p
        for p, role in matrices.items()
        if role.block == "gates" and len(role.gate) < len(blocks)
    }
    if whole:
        for first in whole if len(blocks) > 1 or len(whole) < 4 else whole[:3]:
            second = [p for p in whole if p != first] if len(blocks) > 1 else []
            kept = Role("d", order) if "n" in blocks else Role("zero")
            yield {first: Role("gates", order, "1"), **dict.fromkeys(second, kept)}
    if by_matrix and len(blocks) > 1:
        fitting = {gate: [p for p in vectors if size[p] == len(gate) * H] for gate in by_matrix}
        if pairs := paired(by_matrix, fitting):
            yield {p: Role("gates", gate, "1") for gate, p in pairs.items()}
        taken: dict[Place, str] = {}
        for gate, usual in fitting.items():
            free = [p for p in usual if p not in taken]
            if free:
                taken[free[0]] = gate
        if len(taken) == len(by_matrix):
            yield {p: Role("gates", gate, "1") for p, gate in taken.items()}
    yield {}


def paired(
    by_gate: Mapping[str, Place], fitting: Mapping[str, Sequence[Place]]
) -> dict[str, Place]:
    """Return the bias of each gate whose name is like that of its matrix; {} if it is not clear."""
    found: dict[str, Place] = {}
    words = dict(zip(by_gate, distinct([name_of(p) for p in by_gate.values()]), strict=True))
    for gate, word in words.items():
        likely = [p for p in fitting[gate] if name_of(p).lower().replace("_", "").endswith(word)]
        likely = likely or [p for p in fitting[gate] if word in name_of(p).lower()]
        if len(likely) != 1 or likely[0] in found.values():
            return {}
        found[gate] = likely[0]
    return found
