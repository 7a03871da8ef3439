"""The map from a network's state to its next state for a constant input, and its exact Jacobian, in float64.

See spec/mathematics.md: Fixed points. A state is one vector of n numbers: for each layer its h, and for an LSTM
then its cell. The gradients here are derived again, independently of the engines.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.hidden_units.gate_values import sigmoid
from charloom.model import Learner
from charloom.model.input_pairs import PAIRS
from charloom.registered_cells import built_in_cell

Vector = NDArray[Any]
Matrix = NDArray[np.float64]


class StateMap:
    """The map F from the state of a network to its next state, when it reads the same input at every step.

    Args:
        learner: the model.
        character: the id of the character that the network reads at every step, after the same character; None
            for no input, so that layer 0 reads only its bias.

    A held unit has no state: its numbers are 0 after every step, so its eigenvalues are 0.

    Attributes:
        size: the number n of numbers in a state.
    """

    def __init__(self, learner: Learner, character: int | None) -> None:
        config = learner.config
        self.cell = built_in_cell(config.cell, "finding fixed points")
        self.H, self.L = config.hidden_size, config.layers
        self._per_layer = len(self.cell.states) * self.H
        self.size = self.L * self._per_layer
        self._weights = {
            name: array.astype(np.float64) for name, array in learner.parameters.items()
        }
        self._free = np.ones((self.L, len(self.cell.states), self.H))
        for clamp in learner.clamps:
            self._free[clamp.layer, :, clamp.unit] = 0
        self._held = {(c.layer, c.unit): c.value for c in learner.clamps}
        self._read = self._weights["layers.0.b"].copy()
        if character is not None:
            self._read += self._weights["layers.0.U"][:, character]
            if learner.pairs is not None:
                row = int(learner.pairs.rows(np.array([character]), np.array([character]))[0])
                if row >= 0:
                    self._read += self._weights[PAIRS][row]

    def vector(self, state: dict[str, Vector]) -> Vector:
        """Return a state as one vector. Each array of `state` has shape (L, H)."""
        return np.stack([state[name] for name in self.cell.states], axis=1).reshape(-1)

    def arrays(self, vectors: Vector) -> dict[str, Vector]:
        """Return the arrays of states, each of shape (F, L, H). `vectors` has shape (F, n)."""
        parts = vectors.reshape(len(vectors), self.L, len(self.cell.states), self.H)
        return {name: parts[:, :, place] for place, name in enumerate(self.cell.states)}

    def hidden_states(self, vectors: Vector) -> Vector:
        """Return the h of states, shape (F, L, H); of a held unit the held value. `vectors` has shape (F, n)."""
        found = self.arrays(vectors)["h"].copy()
        for (layer, unit), value in self._held.items():
            found[:, layer, unit] = value
        return found

    def reachable(self, vector: Vector) -> bool:
        """Return True unless a step can keep the state, but never lead to it: an h of a GRU beyond -1 or 1.

        A GRU with a full update gate keeps any h. Every other step of any cell gives h between -1 and 1.
        """
        return self.cell.name != "gru" or bool(np.abs(vector).max() <= 1)

    def __call__(self, vector: Vector) -> Vector:
        """Return the next state F(s). `vector` may be complex, to compute derivatives by complex steps."""
        states = np.concatenate([state for state, _ in self._layer_by_layer(vector)])
        return np.asarray(states * self._free.reshape(-1))

    def _layer_by_layer(self, vector: Vector) -> list[tuple[Vector, tuple[Vector, ...]]]:
        """Return the next state of each layer, and the values that its derivatives need."""
        steps: list[tuple[Vector, tuple[Vector, ...]]] = []
        for layer in range(self.L):
            before = vector[layer * self._per_layer : (layer + 1) * self._per_layer]
            U, W, b = (self._weights[f"layers.{layer}.{name}"] for name in "UWb")
            read = self._read if layer == 0 else b + U @ steps[-1][0][: self.H]
            held = W @ before[: self.H]
            if self.cell.name == "rnn":
                h = np.tanh(read + held)
                steps.append((h, (h,)))
            elif self.cell.name == "lstm":
                steps.append(_lstm_step(read + held, before[self.H :]))
            else:
                d = self._weights[f"layers.{layer}.d"]
                steps.append(_gru_step(read, held, d, before))
        return steps

    def with_jacobian(self, vector: Vector) -> tuple[Vector, Matrix]:
        """Return the next state F(s) of shape (n,), and the Jacobian dF/ds of shape (n, n), row by output."""
        jacobian = np.zeros((self.size, self.size))
        found = []
        below: Matrix | None = None  # the rows of the layer below for its h
        for layer, (state, values) in enumerate(self._layer_by_layer(vector)):
            rows = slice(layer * self._per_layer, (layer + 1) * self._per_layer)
            U, W = (self._weights[f"layers.{layer}.{name}"] for name in "UW")
            by_state, by_input = self._derivatives(values, vector[rows], W, U)
            jacobian[rows, rows] = by_state
            if below is not None:
                jacobian[rows, : rows.start] += by_input @ below[:, : rows.start]
            below = jacobian[rows][: self.H]
            found.append(state)
        free = self._free.reshape(-1)
        return np.concatenate(found) * free, jacobian * free[:, np.newaxis]

    def _derivatives(
        self, values: tuple[Vector, ...], before: Vector, W: Matrix, U: Matrix
    ) -> tuple[Matrix, Matrix]:
        """Return the derivatives of a layer's next state by its state before and by its input."""
        H = self.H
        if self.cell.name == "rnn":
            slope = 1 - values[0] ** 2
            return slope[:, np.newaxis] * W, slope[:, np.newaxis] * U
        if self.cell.name == "lstm":
            i, f, g, o, tanh_cell = values
            slopes = (g * i * (1 - i), before[H:] * f * (1 - f), i * (1 - g * g))
            outer, own = o * (1 - tanh_cell**2), tanh_cell * o * (1 - o)

            def through(matrix: Matrix) -> Matrix:
                blocks = matrix.reshape(4, H, -1)
                by_cell = sum(
                    s[:, np.newaxis] * block for s, block in zip(slopes, blocks, strict=False)
                )
                by_h = outer[:, np.newaxis] * by_cell + own[:, np.newaxis] * blocks[3]
                return np.asarray(np.concatenate([by_h, by_cell]))

            of_cell = np.concatenate([np.diag(outer * f), np.diag(f)])
            return np.concatenate([through(W), of_cell], axis=1), through(U)
        r, z, n, held = values
        slope_n = (1 - z) * (1 - n * n)
        slopes_r, slopes_z = slope_n * held * r * (1 - r), (before - n) * z * (1 - z)

        def through_gates(matrix: Matrix, of_n: Vector) -> Matrix:
            to_r, to_z, to_n = matrix.reshape(3, H, -1)
            slopes = (slopes_r, slopes_z, of_n)
            parts = zip(slopes, (to_r, to_z, to_n), strict=True)
            return np.asarray(sum(slope[:, np.newaxis] * block for slope, block in parts))

        return np.diag(z) + through_gates(W, slope_n * r), through_gates(U, slope_n)


def _lstm_step(sums: Vector, cell_before: Vector) -> tuple[Vector, tuple[Vector, ...]]:
    """Return the next state of an LSTM layer, h and then cell, and the values i, f, g, o and tanh(cell)."""
    a_i, a_f, a_g, a_o = np.split(sums, 4)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    cell = f * cell_before + i * g
    tanh_cell = np.tanh(cell)
    return np.concatenate([o * tanh_cell, cell]), (i, f, g, o, tanh_cell)


def _gru_step(
    read: Vector, held: Vector, d: Vector, h: Vector
) -> tuple[Vector, tuple[Vector, ...]]:
    """Return the next state of a GRU layer, and the values r, z, n and W_n h + d."""
    read_r, read_z, read_n = np.split(read, 3)
    held_r, held_z, held_n = np.split(held, 3)
    r, z, inside = sigmoid(read_r + held_r), sigmoid(read_z + held_z), held_n + d
    n = np.tanh(read_n + r * inside)
    return (1 - z) * n + z * h, (r, z, n, inside)
