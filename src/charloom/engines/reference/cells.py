"""The recurrent cells: one step forward and one step backward (spec/mathematics.md: The cells).

A cell knows one layer and one step. Its input is either characters or the output of the layer below.

Shapes: B streams, H hidden units, G·H rows of stacked gates. A cell's state is a dict of arrays
(…, B, H): `h`, and for the LSTM also `cell`. Leading axes of the parameters broadcast in the forward
step, so one call can run many perturbed networks.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Carried = dict[str, Array]
Cache = tuple[Array, ...]


class Characters(NamedTuple):
    """The characters that layer 0 reads in one step, and the rows of their pairs.

    Attributes:
        ids: the id that each stream reads, shape (B,).
        rows: the row of P for the pair of this character and the one before, shape (B,); -1 for a pair
            without a row. None without pairs.
    """

    ids: Array
    rows: Array | None = None


Input = Characters | Array


class Cell(Protocol):
    """The interface of every cell."""

    def forward(self, x: Input, prev: Carried) -> tuple[Carried, Cache]:
        """Return the state after one step, and the cache that `backward` needs.

        Args:
            x: the input: characters, or the output of the layer below, shape (…, B, H).
            prev: the state before the step.
        """

    def backward(
        self, x: Input, prev: Carried, cache: Cache, d: Carried, gradients: Any
    ) -> tuple[Array, Carried]:
        """Return the gradients of `x` and of `prev`, and add those of the parameters to `gradients`.

        Args:
            x: the input of `forward`. If it is characters, the returned gradient of x has no meaning.
            prev: the state before the step.
            cache: the cache that `forward` returned.
            d: the gradients with respect to the next state, arrays (B, H).
            gradients: a cell of the same class that holds the sums of the parameter gradients.
        """


@dataclass(frozen=True)
class RnnCell:
    """The plain RNN cell: h_t = tanh(W h_{t-1} + U x_t + b). U (H, input), W (H, H), b (H).

    In layer 0 of a network with pairs, P (R, H) adds the row of the pair to U x_t. If `apart` is True, the products
    of each stream are computed alone (`product`).
    """

    U: Array
    W: Array
    b: Array
    P: Array | None = field(default=None, kw_only=True)
    apart: bool = field(default=False, kw_only=True)

    def forward(self, x: Input, prev: Carried) -> tuple[Carried, Cache]:
        a = product(prev["h"], self.W, self.apart) + read(self, x) + self.b[..., np.newaxis, :]
        h = np.tanh(a)
        return {"h": h}, (h,)

    def backward(
        self, x: Input, prev: Carried, cache: Cache, d: Carried, gradients: "RnnCell"
    ) -> tuple[Array, Carried]:
        (h,) = cache
        da = d["h"] * (1 - h * h)
        gradients.W[...] += da.T @ prev["h"]
        gradients.b[...] += da.sum(axis=0)
        return read_backward(self, x, da, gradients), {"h": da @ self.W}


@dataclass(frozen=True)
class LstmCell:
    """The LSTM cell with gates i, f, g, o (Hochreiter and Schmidhuber 1997; Gers and others 2000).

    U (4H, input), W (4H, H), b (4H); with pairs P (R, 4H), and `apart`, as in `RnnCell`.
    """

    U: Array
    W: Array
    b: Array
    P: Array | None = field(default=None, kw_only=True)
    apart: bool = field(default=False, kw_only=True)

    def forward(self, x: Input, prev: Carried) -> tuple[Carried, Cache]:
        a = product(prev["h"], self.W, self.apart) + read(self, x) + self.b[..., np.newaxis, :]
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        cell = f * prev["cell"] + i * g
        tanh_cell = np.tanh(cell)
        return {"h": o * tanh_cell, "cell": cell}, (i, f, g, o, tanh_cell)

    def backward(
        self, x: Input, prev: Carried, cache: Cache, d: Carried, gradients: "LstmCell"
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
        dx = read_backward(self, x, da, gradients)
        return dx, {"h": da @ self.W, "cell": dcell * f}


@dataclass(frozen=True)
class GruCell:
    """The GRU cell with gates r, z, n (Cho and others 2014, in PyTorch's form).

    U (3H, input), W (3H, H), b (3H), d (H); with pairs P (R, 3H), and `apart`, as in `RnnCell`. The reset
    gate r multiplies W h + d in gate n.
    """

    U: Array
    W: Array
    b: Array
    d: Array
    P: Array | None = field(default=None, kw_only=True)
    apart: bool = field(default=False, kw_only=True)

    def forward(self, x: Input, prev: Carried) -> tuple[Carried, Cache]:
        read_r, read_z, read_n = np.split(read(self, x) + self.b[..., np.newaxis, :], 3, axis=-1)
        held = product(prev["h"], self.W, self.apart)
        held_r, held_z, held_n = np.split(held, 3, axis=-1)
        r, z = sigmoid(read_r + held_r), sigmoid(read_z + held_z)
        held = held_n + self.d[..., np.newaxis, :]
        n = np.tanh(read_n + r * held)
        return {"h": (1 - z) * n + z * prev["h"]}, (r, z, n, held)

    def backward(
        self, x: Input, prev: Carried, cache: Cache, d: Carried, gradients: "GruCell"
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
        dx = read_backward(self, x, da, gradients)
        return dx, {"h": d["h"] * z + dWh @ self.W}


def product(x: Array, W: Array, apart: bool) -> Array:
    """Return W x of each stream, shape (…, B, rows), for x of shape (…, B, columns) and W (…, rows, columns).

    If `apart` is True, each stream has a product of its own. Then no bit of its result depends on the other streams.
    In a product of all streams, the order of a sum may depend on how many there are.
    """
    if not apart:
        return np.asarray(x @ W.mT)
    return np.asarray((x[..., np.newaxis, :] @ W.mT[..., np.newaxis, :, :])[..., 0, :])


def read(cell: RnnCell | LstmCell | GruCell, x: Input) -> Array:
    """Return what the input adds to the sums of the gates in each stream, shape (…, B, G·H).

    This is U x. For characters, U x is the column of U for each id, and the row of each pair is added. The
    other arguments and shapes are those of `Cell.forward`.
    """
    if not isinstance(x, Characters):
        return product(x, cell.U, cell.apart)
    sums = cell.U[..., :, x.ids].mT
    if cell.P is not None and x.rows is not None:
        has_row = x.rows[:, np.newaxis] >= 0
        sums = sums + np.where(has_row, cell.P[..., x.rows, :], 0)
    return np.asarray(sums)


def read_backward(
    cell: RnnCell | LstmCell | GruCell, x: Input, da: Array, gradients: RnnCell | LstmCell | GruCell
) -> Array:
    """Return the gradient of x, shape (B, input), and add those of U and P to `gradients`.

    `da` is the gradient of what `read` returns, shape (B, G·H). The other arguments are those of
    `Cell.backward`.
    """
    if not isinstance(x, Characters):
        gradients.U[...] += da.T @ x
    else:
        np.add.at(gradients.U.T, x.ids, da)
        if gradients.P is not None and x.rows is not None:
            has_row = x.rows >= 0
            np.add.at(gradients.P, x.rows[has_row], da[has_row])
    return np.asarray(da @ cell.U)


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)) for each entry of a, real or complex, without overflow."""
    negative = a.real < 0
    e = np.exp(np.where(negative, a, -a))
    return np.asarray(np.where(negative, e, 1) / (1 + e))
