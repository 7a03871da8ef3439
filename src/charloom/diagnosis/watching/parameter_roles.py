"""Says what the arrays of a program hold, and converts our parameters to its arrays and its gradients to ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.problem import Array, Arrays
from charloom.diagnosis.watching.held_arrays import Place

Shapes = Mapping[Place, tuple[int, ...]]
Shape = tuple[int, ...]

# Our parameter for each letter of `Role.columns`, in arrays of the gates and of the output layer.
COLUMNS: Final = {"gates": {"x": "U", "h": "W", "1": "b"}, "output": {"h": "V", "1": "c"}}
STATES: Final = ("h", "cell")
UNREAD: Final = (*STATES, "zero", "extra", "embedding")  # blocks whose gradient is not read
LN_2: Final = float(np.log(2))
NEVER: Final = -600.0  # the bias of a character that is not predicted: its probability is 0


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


class Marks(NamedTuple):
    """The marks at the ends of a name in a program, and our characters in their place.

    The program's input for the start is that of our first character. Its end and the character that we have as the
    last target share the probability of this character equally, so that together they are this character.

    Attributes:
        start, end: the program's ids of the marks; None for a mark that it does not have.
        first: our first character of x.
        last: our last character of y.
    """

    start: int | None
    end: int | None
    first: int = 0
    last: int = 0

    def added_loss(self, y: Array) -> float:
        """Return what the marks add to the loss, in nats: the half of each probability of the last character."""
        return 0.0 if self.end is None else LN_2 * int(np.sum(y == self.last))


@dataclass(frozen=True)
class Roles:
    """What the arrays of a program hold.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        roles: what each array holds.
        shapes: the shape of each array.
        ids: the program's ids of our characters, if it has more characters than we use; empty if not.
        width: the number of its characters then.
        marks: its marks at the ends of a name, for the window that is read; None if it has none.
        embedding: the length of a character's vector, if an array turns each character into a vector; 0 if not.
    """

    cell: str
    roles: Mapping[Place, Role]
    shapes: Shapes
    ids: tuple[int, ...] = ()
    width: int = 0
    marks: Marks | None = None
    embedding: int = 0

    def has(self, block: str) -> bool:
        """Return True if an array holds a block."""
        return any(role.block == block for role in self.roles.values())

    @property
    def has_output_bias(self) -> bool:
        """Whether an array has the biases of the output layer."""
        return any(role.block == "output" and "1" in role.columns for role in self.roles.values())

    def written(self, theta: Arrays, state: Arrays) -> dict[Place, Array]:
        """Return the numbers of each array for our parameters and initial states."""
        wide = widened(theta, self.ids, self.width, self.marks) if self.ids else theta
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
            if self.marks is not None and self.marks.start is not None:
                vectors[self.marks.start, self.marks.first] = 1
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
        return narrowed(found, self.ids, self.marks, bool(self.embedding)) if self.ids else found

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
            found = widened(found, self.ids, self.width, None)
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


@dataclass(frozen=True)
class Sizes:
    """The sizes of a network: hidden units, characters, and elements of a character's vector (0: no vectors)."""

    H: int
    K: int
    M: int = 0


def widened(theta: Arrays, ids: Sequence[int], width: int, marks: Marks | None) -> Arrays:
    """Return parameters of a network with `width` characters, of which only those of `ids` are predicted."""
    H = theta["W"].shape[1]
    wide = {**theta, "U": np.zeros((len(theta["U"]), width)), "V": np.zeros((width, H))}
    wide["c"] = np.full(width, NEVER)
    listed = list(ids)
    wide["U"][:, listed], wide["V"][listed], wide["c"][listed] = theta["U"], theta["V"], theta["c"]
    if marks is not None and marks.start is not None:
        wide["U"][:, marks.start] = theta["U"][:, marks.first]
    if marks is not None and marks.end is not None:
        wide["V"][marks.end] = theta["V"][marks.last]
        wide["c"][[marks.end, ids[marks.last]]] = theta["c"][marks.last] - LN_2
    return wide


def narrowed(theta: Arrays, ids: Sequence[int], marks: Marks | None, has_vectors: bool) -> Arrays:
    """Return the gradients of the parameters of which `widened` made those of `theta`.

    If the program has vectors of its characters (`has_vectors`), U has only our characters already.
    """
    listed = list(ids)
    U = theta["U"] if has_vectors else theta["U"][:, listed]
    V, c = theta["V"][listed], theta["c"][listed]
    if marks is not None and marks.start is not None and not has_vectors:
        U[:, marks.first] += theta["U"][:, marks.start]
    if marks is not None and marks.end is not None:
        V[marks.last] += theta["V"][marks.end]
        c[marks.last] += theta["c"][marks.end]
    return {**theta, "U": U, "V": V, "c": c}


def squeezed(shape: Sequence[int]) -> Shape:
    """Return a shape without its axes of length 1."""
    return tuple(size for size in shape if size != 1) or (1,)
