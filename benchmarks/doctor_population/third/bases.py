"""How each program of this population is called, and which network it computes.

`layout` arranges arrays with the names and shapes of the oracle as the program has them. It moves
entries and changes none, so it arranges derivatives and the names of gates just as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .oracle import GATES, Network

FORMS = {
    1: "module globals",
    2: "layers with caches",
    3: "a dict of parameters, course style",
    4: "classes",
    5: "LSTM of four matrices over [h, x]",
    6: "LSTM of four matrices over [x, h]",
    7: "LSTM stacked in rows",
    8: "LSTM stacked in columns",
    9: "GRU of three",
    10: "GRU stacked",
    11: "step functions",
    12: "batches, batch first",
    13: "two layers",
    14: "plain Python lists",
    15: "PyTorch autograd",
    16: "JAX value_and_grad",
    17: "torch.autograd.Function",
    18: "a notebook as a script",
    19: "f(params, x, y)",
}
H, K = 3, 6  # different from each other, and from T and N


@dataclass
class Problem:
    """Random parameters, states and ids: C has the names of the oracle, y the shape (N, T)."""

    C: dict[str, np.ndarray]
    ids: np.ndarray
    y: np.ndarray

    @cached_property
    def x1(self) -> list[int]:
        """The inputs of the only stream."""
        return self.ids[0].tolist()

    @cached_property
    def y1(self) -> list[int]:
        """The targets of the only stream."""
        return self.y[0].tolist()

    def state(self, name: str, level: int = 0) -> np.ndarray:
        """Return a copy of the only stream's h0 or s0 in a layer, as a vector."""
        return self.C[name][level, 0].copy()

    def column(self, name: str) -> np.ndarray:
        """Return a copy of the only stream's h0 or s0, as a column."""
        return self.state(name)[:, None]


Call = Callable[[], tuple[float, dict]]
Layout = Callable[[dict], dict]


@dataclass(frozen=True, eq=False)
class Base:
    """A program.

    start: takes the namespace of the program, its arrays and the problem; returns a function that
        calls it on them and returns the loss and the gradients under the names of `layout`.
    function: the function or class that a user would name, or None if several are used.
    states: the initial states that it reads; the others are zero.
    biases: False if it has none in the cell.
    clip: the limit at which it clips every entry, or 0.
    """

    name: str
    form: int
    network: Network
    function: str | None
    layout: Layout
    start: Callable[[dict, dict, Problem], Call]
    batched: bool = False
    states: tuple[str, ...] = ("h0", "s0")
    absent: tuple[str, ...] = ("d0",)
    clip: float = 0.0
    gates: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "gates", GATES[self.network.cell])

    def problem(self, T: int, N: int = 1, absent: tuple[str, ...] = (), seed: int = 7) -> Problem:
        """Return a random problem with T different inputs and large weights."""
        rng = np.random.default_rng(seed)
        N = N if self.batched else 1
        rows = len(self.gates) * H
        C = {}
        for level in range(self.network.layers):
            C[f"U{level}"] = rng.uniform(-1, 1, (rows, H if level else K))
            C[f"W{level}"] = rng.uniform(-1, 1, (rows, H))
            C[f"b{level}"] = rng.uniform(-1, 1, rows)
            C[f"d{level}"] = rng.uniform(-1, 1, H)
        C["V"], C["c"] = rng.uniform(-1, 1, (K, H)), rng.uniform(-1, 1, K)
        for name in ("h0", "s0"):
            C[name] = rng.uniform(-0.9, 0.9, (self.network.layers, N, H)) * (name in self.states)
        for name in (*self.absent, *absent):
            C[name] *= 0
        ids = np.array([rng.permutation(K)[np.arange(T) % K] for _ in range(N)])
        C["x"] = np.eye(K)[ids]
        targets = (ids + rng.integers(1, K, (N, T))) % K  # never the input of the same step
        return Problem(C, ids, targets)

    def labelled(self, problem: Problem) -> tuple[dict, dict]:
        """Return the gate and the column of U0 to which each entry of the program's arrays belongs.

        Gates are counted from 1. Both are 0 where there is none; columns are counted from 1 too.
        """
        gates = {name: np.zeros(value.shape, int) for name, value in problem.C.items()}
        columns = {name: np.zeros(value.shape, int) for name, value in problem.C.items()}
        for level in range(self.network.layers):
            rows = 1 + np.arange(len(self.gates) * H) // H
            for name in "UWb":
                array = gates[f"{name}{level}"]
                array[:] = rows if name == "b" else rows[:, None]
            gates[f"d{level}"][:] = len(self.gates)
        columns["U0"][:] = 1 + np.arange(K)
        return self.layout(gates), self.layout(columns)


def gate(C: dict, name: str, index: int) -> np.ndarray:
    """Return the rows of a gate."""
    return C[name][index * H : (index + 1) * H]


def over(C: dict, index: int, order: str) -> np.ndarray:
    """Return a gate's matrix over [h, x] or [x, h]."""
    parts = {"h": gate(C, "W0", index), "x": gate(C, "U0", index)}
    return np.hstack([parts[letter] for letter in order])


def stacked(C: dict, name: str, order: tuple[int, ...]) -> np.ndarray:
    """Return the rows of the gates in another order."""
    return np.concatenate([gate(C, name, index) for index in order])


def column(vector: np.ndarray) -> np.ndarray:
    """Return a vector as a column."""
    return vector[:, None]


def renamed(**names: str) -> Layout:
    """Return a layout that renames arrays; a name ending in `|` becomes a column, in `^` transposed."""

    def layout(C: dict) -> dict:
        found = {}
        for name, source in names.items():
            value = C[source.rstrip("|^")]
            found[name] = value[:, None] if source[-1] == "|" else value
            found[name] = found[name].T if source[-1] == "^" else found[name]
        return found

    return layout


def split(input_name: str, hidden_name: str, bias_name: str, gates: str, order, tail: Layout):
    """Return a layout with a matrix of the input, one of the state and a bias for each gate."""

    def layout(C: dict) -> dict:
        found = {}
        for letter, index in zip(gates, order, strict=True):
            found[input_name + letter] = gate(C, "U0", index)
            found[hidden_name + letter] = gate(C, "W0", index)
            found[bias_name + letter] = gate(C, "b0", index)
        return found | tail(C)

    return layout


def columns_too(layout: Layout) -> Layout:
    """Return a layout whose vectors are columns."""
    return lambda C: {k: v[:, None] if v.ndim == 1 else v for k, v in layout(C).items()}


def joint(names: dict[str, int], weight: str, bias: str, order: str, tail: Layout) -> Layout:
    """Return a layout with a matrix over [h, x] or [x, h] and a bias for each gate."""

    def layout(C: dict) -> dict:
        found = {}
        for name, index in names.items():
            found[weight + name] = over(C, index, order)
            found[bias + name] = gate(C, "b0", index)
        return found | tail(C)

    return layout
