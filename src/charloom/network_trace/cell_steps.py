"""One step of each cell forward and backward, with every value noted (spec/mathematics.md: The cells).

The computation is written from the equations for single vectors. It shares no code with the engines.
In the equations, @ stands for the prefix of the layer's names.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np

from charloom.cell_table import CELLS, Cell
from charloom.network_trace.traced_value import Array, LayerValues

LSTM, GRU = CELLS["lstm"], CELLS["gru"]


class CellSteps(Protocol):
    """The steps of a cell."""

    def forward(self, layer: LayerValues, t: int) -> None:
        """Note the values of step t, up to the state after it.

        The layer already has x_t and the state before the step.
        """

    def backward(self, layer: LayerValues, t: int) -> None:
        """Note the gradients of step t: those of the sums, of the parameters and of the state before the step.

        The layer already has dh_t, and an LSTM ds_next_t.
        """


class RnnSteps:
    """h_t = tanh(W h_{t-1} + U x_t + b)."""

    def forward(self, layer: LayerValues, t: int) -> None:
        p, h_prev = layer.parameters, layer[f"h_{t - 1}"]
        a = layer.note(
            f"a_{t}", p["W"] @ h_prev + p["U"] @ layer[f"x_{t}"] + p["b"], sum_words("", t)
        )
        layer.note(f"h_{t}", np.tanh(a), f"tanh(@a_{t})")

    def backward(self, layer: LayerValues, t: int) -> None:
        p, h = layer.parameters, layer[f"h_{t}"]
        da = layer.note(
            f"da_{t}", layer[f"dh_{t}"] * (1 - h * h), f"@dh_{t} ∘ (1 - @h_{t} ∘ @h_{t})"
        )
        note_matrix_terms(layer, t, da, f"@da_{t}")
        layer.note(f"dh_next_{t - 1}", p["W"].T @ da, f"@Wᵀ @da_{t}")


class LstmSteps:
    """The LSTM with gates i, f, g, o. Its gate o is named gate_o, because o is the output of the network."""

    def forward(self, layer: LayerValues, t: int) -> None:
        i, f, g, o = (note_gate(layer, LSTM, gate, t) for gate in LSTM.gates)
        s = layer.note(
            f"s_{t}", f * layer[f"s_{t - 1}"] + i * g, f"@f_{t} ∘ @s_{t - 1} + @i_{t} ∘ @g_{t}"
        )
        tanh_s = layer.note(f"tanh_s_{t}", np.tanh(s), f"tanh(@s_{t})")
        layer.note(f"h_{t}", o * tanh_s, f"@gate_o_{t} ∘ @tanh_s_{t}")

    def backward(self, layer: LayerValues, t: int) -> None:
        p, dh, tanh_s = layer.parameters, layer[f"dh_{t}"], layer[f"tanh_s_{t}"]
        i, f, g, o = (layer[f"{gate}_{t}"] for gate in ("i", "f", "g", "gate_o"))
        ds = layer.note(
            f"ds_{t}",
            layer[f"ds_next_{t}"] + dh * o * (1 - tanh_s * tanh_s),
            f"@ds_next_{t} + @dh_{t} ∘ @gate_o_{t} ∘ (1 - @tanh_s_{t}²)",
        )
        da_i = layer.note(
            f"da_i_{t}", ds * g * i * (1 - i), f"@ds_{t} ∘ @g_{t} ∘ @i_{t} ∘ (1 - @i_{t})"
        )
        da_f = layer.note(
            f"da_f_{t}",
            ds * layer[f"s_{t - 1}"] * f * (1 - f),
            f"@ds_{t} ∘ @s_{t - 1} ∘ @f_{t} ∘ (1 - @f_{t})",
        )
        da_g = layer.note(
            f"da_g_{t}", ds * i * (1 - g * g), f"@ds_{t} ∘ @i_{t} ∘ (1 - @g_{t} ∘ @g_{t})"
        )
        da_o = layer.note(
            f"da_o_{t}",
            dh * tanh_s * o * (1 - o),
            f"@dh_{t} ∘ @tanh_s_{t} ∘ @gate_o_{t} ∘ (1 - @gate_o_{t})",
        )
        words = f"@da_i_{t}, @da_f_{t}, @da_g_{t} and @da_o_{t}, one below another"
        da = layer.note(f"da_{t}", np.concatenate([da_i, da_f, da_g, da_o]), words)
        note_matrix_terms(layer, t, da, f"@da_{t}")
        layer.note(f"ds_next_{t - 1}", ds * f, f"@ds_{t} ∘ @f_{t}")
        layer.note(f"dh_next_{t - 1}", p["W"].T @ da, f"@Wᵀ @da_{t}")


class GruSteps:
    """The GRU with gates r, z, n. The reset gate r acts after the product with W_n."""

    def forward(self, layer: LayerValues, t: int) -> None:
        h_prev = layer[f"h_{t - 1}"]
        r, z = (note_gate(layer, GRU, gate, t) for gate in GRU.sigmoid_gates)
        U_n, W_n, b_n = block_of(layer, GRU, "n")
        q = layer.note(f"q_{t}", W_n @ h_prev + layer.parameters["d"], f"@W_n @h_{t - 1} + @d")
        a_n = layer.note(
            f"a_n_{t}",
            U_n @ layer[f"x_{t}"] + b_n + r * q,
            f"@U_n @x_{t} + @b_n + @r_{t} ∘ @q_{t}",
        )
        n = layer.note(f"n_{t}", np.tanh(a_n), f"tanh(@a_n_{t})")
        layer.note(
            f"h_{t}", (1 - z) * n + z * h_prev, f"(1 - @z_{t}) ∘ @n_{t} + @z_{t} ∘ @h_{t - 1}"
        )

    def backward(self, layer: LayerValues, t: int) -> None:
        p, dh, h_prev = layer.parameters, layer[f"dh_{t}"], layer[f"h_{t - 1}"]
        r, z, n, q = (layer[f"{name}_{t}"] for name in "rznq")
        da_n = layer.note(
            f"da_n_{t}",
            dh * (1 - z) * (1 - n * n),
            f"@dh_{t} ∘ (1 - @z_{t}) ∘ (1 - @n_{t} ∘ @n_{t})",
        )
        da_z = layer.note(
            f"da_z_{t}",
            dh * (h_prev - n) * z * (1 - z),
            f"@dh_{t} ∘ (@h_{t - 1} - @n_{t}) ∘ @z_{t} ∘ (1 - @z_{t})",
        )
        dq = layer.note(f"dq_{t}", da_n * r, f"@da_n_{t} ∘ @r_{t}")
        da_r = layer.note(
            f"da_r_{t}", da_n * q * r * (1 - r), f"@da_n_{t} ∘ @q_{t} ∘ @r_{t} ∘ (1 - @r_{t})"
        )
        words = f"@da_r_{t}, @da_z_{t} and @da_n_{t}, one below another"
        da = layer.note(f"da_{t}", np.concatenate([da_r, da_z, da_n]), words)
        held = np.concatenate([da_r, da_z, dq])
        words = f"(@da_r_{t}, @da_z_{t}, @dq_{t})"
        layer.note(f"dW_{t}", np.outer(held, h_prev), f"{words} @h_{t - 1}ᵀ")
        layer.note(f"dU_{t}", np.outer(da, layer[f"x_{t}"]), f"@da_{t} @x_{t}ᵀ")
        layer.note(f"dh_next_{t - 1}", dh * z + p["W"].T @ held, f"@dh_{t} ∘ @z_{t} + @Wᵀ {words}")


STEPS: Final[Mapping[str, CellSteps]] = {"rnn": RnnSteps(), "lstm": LstmSteps(), "gru": GruSteps()}


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), computed as (1 + tanh(a / 2)) / 2, which cannot overflow."""
    return np.asarray((1 + np.tanh(a / 2)) / 2)


def sum_words(gate: str, t: int) -> str:
    """Return the right side of the equation of a sum in step t, such as "W_i h_0 + U_i x_1 + b_i"."""
    block = f"_{gate}" if gate else ""
    return f"@W{block} @h_{t - 1} + @U{block} @x_{t} + @b{block}"


def block_of(layer: LayerValues, cell: Cell, gate: str) -> tuple[Array, Array, Array]:
    """Return the rows of U, W and b that belong to a gate."""
    p = layer.parameters
    rows = cell.rows(gate, p["W"].shape[1])
    return p["U"][rows], p["W"][rows], p["b"][rows]


def note_gate(layer: LayerValues, cell: Cell, gate: str, t: int) -> Array:
    """Note the sum and the value of a gate in step t; return the value."""
    U, W, b = block_of(layer, cell, gate)
    a = layer.note(
        f"a_{gate}_{t}", W @ layer[f"h_{t - 1}"] + U @ layer[f"x_{t}"] + b, sum_words(gate, t)
    )
    function, words = (sigmoid, "σ") if gate in cell.sigmoid_gates else (np.tanh, "tanh")
    name = "gate_o" if gate == "o" else gate
    return layer.note(f"{name}_{t}", function(a), f"{words}(@a_{gate}_{t})")


def note_matrix_terms(layer: LayerValues, t: int, da: Array, words: str) -> None:
    """Note what step t adds to dW and dU. `da` is the gradient of the sums, and `words` its name."""
    layer.note(f"dW_{t}", np.outer(da, layer[f"h_{t - 1}"]), f"{words} @h_{t - 1}ᵀ")
    layer.note(f"dU_{t}", np.outer(da, layer[f"x_{t}"]), f"{words} @x_{t}ᵀ")
