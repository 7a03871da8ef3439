"""The recurrent cells: one step forward, one step backward, side by side (SPEC: The plain cell).

Shapes: B streams, H hidden units, K characters. Any leading axes of the parameters broadcast in
the forward direction, so that many perturbed networks run as one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class RnnCell:
    """The plain cell: a_t = W h_{t-1} + U x_t + b, h_t = tanh(a_t). U (H, K), W (H, H), b (H)."""

    U: Array
    W: Array
    b: Array

    def forward(self, x: Array, h_prev: Array) -> Array:
        """The next h (…, B, H), from the ids x (B,) and the previous h (…, B, H)."""
        U_x = self.U[..., :, x].mT
        return np.asarray(np.tanh(h_prev @ self.W.mT + U_x + self.b[..., np.newaxis, :]))

    def backward(self, x: Array, h_prev: Array, h: Array, dh: Array, gradients: "RnnCell") -> Array:
        """Add this step's gradients, given dh (B, H); return the gradient of h_prev (B, H)."""
        da = dh * (1 - h * h)
        np.add.at(gradients.U.T, x, da)
        gradients.W[...] += da.T @ h_prev
        gradients.b[...] += da.sum(axis=0)
        return np.asarray(da @ self.W)
