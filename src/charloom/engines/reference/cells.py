"""The recurrent cells: one step forward and one step backward (spec/mathematics.md: The cells).

A cell knows one layer and one step. Its input is either ids or the output of the layer below.

Shapes: B streams, H hidden units, G·H rows of stacked gates. A cell's state is a dict of arrays
(…, B, H): `h`, and for the LSTM also `cell`. Leading axes of the parameters broadcast in the forward
step, so one call can run many perturbed networks.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Carried = dict[str, Array]
Cache = tuple[Array, ...]


class Cell(Protocol):
    """The interface of every cell."""

    def forward(self, x: Array, prev: Carried) -> tuple[Carried, Cache]:
        """Return the state after one step, and the cache that `backward` needs.

        Args:
            x: the input: ids of shape (B,), or the output of the layer below, shape (…, B, H).
            prev: the state before the step.
        """

    def backward(
        self, x: Array, prev: Carried, cache: Cache, d: Carried, gradients: Any
    ) -> tuple[Array, Carried]:
        """Return the gradients of `x` and of `prev`, and add those of the parameters to `gradients`.

        Args:
            x: the input of `forward`. If it is ids, the returned gradient of x has no meaning.
            prev: the state before the step.
            cache: the cache that `forward` returned.
            d: the gradients with respect to the next state, arrays (B, H).
            gradients: a cell of the same class that holds the sums of the parameter gradients.
        """


@dataclass(frozen=True)
class RnnCell:
    """The plain RNN cell: h_t = tanh(W h_{t-1} + U x_t + b). U (H, input), W (H, H), b (H)."""

    U: Array
    W: Array
    b: Array

    def forward(self, x: Array, prev: Carried) -> tuple[Carried, Cache]:
        a = prev["h"] @ self.W.mT + read(self.U, x) + self.b[..., np.newaxis, :]
        h = np.tanh(a)
        return {"h": h}, (h,)

    def backward(
        self, x: Array, prev: Carried, cache: Cache, d: Carried, gradients: "RnnCell"
    ) -> tuple[Array, Carried]:
        (h,) = cache
        da = d["h"] * (1 - h * h)
        gradients.W[...] += da.T @ prev["h"]
        gradients.b[...] += da.sum(axis=0)
        return read_backward(self.U, x, da, gradients.U), {"h": da @ self.W}


@dataclass(frozen=True)
class LstmCell:
    """The LSTM cell with gates i, f, g, o (Hochreiter and Schmidhuber 1997; Gers and others 2000).

    U (4H, input), W (4H, H), b (4H).
    """

    U: Array
    W: Array
    b: Array

    def forward(self, x: Array, prev: Carried) -> tuple[Carried, Cache]:
        a = prev["h"] @ self.W.mT + read(self.U, x) + self.b[..., np.newaxis, :]
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        cell = f * prev["cell"] + i * g
        tanh_cell = np.tanh(cell)
        return {"h": o * tanh_cell, "cell": cell}, (i, f, g, o, tanh_cell)

    def backward(
        self, x: Array, prev: Carried, cache: Cache, d: Carried, gradients: "LstmCell"
    ) -> tuple[Array, Carried]:
        i, f, g, o, tanh_cell = cache
        do = d["h"] * tanh_cell
        dcell = d["cell"] + d["h"] * o * (1 - tanh_cell * tanh_cell)
        da_i = dcell * g * i * (1 - i)
        da_f = dcell * prev["cell"] * f * (1 - f)
        da_g = dcell * i * (1 - g * g)
        da_o = do * o * (1 - o)
        da = np.concatenate([da_i, da_f, da_g, da_o], axis=-1)
        gradients.W[...] += da.T @ prev["h"]
        gradients.b[...] += da.sum(axis=0)
        dx = read_backward(self.U, x, da, gradients.U)
        return dx, {"h": da @ self.W, "cell": dcell * f}


@dataclass(frozen=True)
class GruCell:
    """The GRU cell with gates r, z, n (Cho and others 2014, in PyTorch's form).

    U (3H, input), W (3H, H), b (3H), d (H). The reset gate r multiplies W h + d in gate n.
    """

    U: Array
    W: Array
    b: Array
    d: Array

    def forward(self, x: Array, prev: Carried) -> tuple[Carried, Cache]:
        read_r, read_z, read_n = np.split(read(self.U, x) + self.b[..., np.newaxis, :], 3, axis=-1)
        held_r, held_z, held_n = np.split(prev["h"] @ self.W.mT, 3, axis=-1)
        r, z = sigmoid(read_r + held_r), sigmoid(read_z + held_z)
        held = held_n + self.d[..., np.newaxis, :]
        n = np.tanh(read_n + r * held)
        return {"h": (1 - z) * n + z * prev["h"]}, (r, z, n, held)

    def backward(
        self, x: Array, prev: Carried, cache: Cache, d: Carried, gradients: "GruCell"
    ) -> tuple[Array, Carried]:
        r, z, n, held = cache
        da_n = d["h"] * (1 - z) * (1 - n * n)
        da_z = d["h"] * (prev["h"] - n) * z * (1 - z)
        da_r = da_n * held * r * (1 - r)
        dheld = da_n * r
        da = np.concatenate([da_r, da_z, da_n], axis=-1)
        dWh = np.concatenate([da_r, da_z, dheld], axis=-1)
        gradients.W[...] += dWh.T @ prev["h"]
        gradients.b[...] += da.sum(axis=0)
        gradients.d[...] += dheld.sum(axis=0)
        dx = read_backward(self.U, x, da, gradients.U)
        return dx, {"h": d["h"] * z + dWh @ self.W}


def read(U: Array, x: Array) -> Array:
    """Return the product U x for each stream, shape (…, B, G·H).

    If x is ids of shape (B,), the product is the column of U for each id. Otherwise x has shape (…, B, H).
    """
    if np.issubdtype(x.dtype, np.integer):
        return np.asarray(U[..., :, x].mT)
    return np.asarray(x @ U.mT)


def read_backward(U: Array, x: Array, da: Array, dU: Array) -> Array:
    """Add this step's gradient of U to `dU`, and return the gradient of x, shape (B, input).

    `da` is the gradient of the product U x, shape (B, G·H).
    """
    if np.issubdtype(x.dtype, np.integer):
        np.add.at(dU.T, x, da)
    else:
        dU[...] += da.T @ x
    return np.asarray(da @ U)


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)) for each entry of a, real or complex, without overflow."""
    negative = a.real < 0
    e = np.exp(np.where(negative, a, -a))
    return np.asarray(np.where(negative, e, 1) / (1 + e))
