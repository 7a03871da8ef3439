"""The whole network over one window: loss, and its exact gradient by BPTT (SPEC: The network).

x and y are ids of shape (T, B); h has shape (B, H), logits and probabilities (…, B, K).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.engines.reference.cells import RnnCell

Array = NDArray[Any]


def cell_of(parameters: Mapping[str, Array]) -> RnnCell:
    """The cell that these parameters (or gradients) belong to; it shares their arrays."""
    return RnnCell(parameters["layers.0.U"], parameters["layers.0.W"], parameters["layers.0.b"])


def output(parameters: Mapping[str, Array], h: Array) -> Array:
    """The logits o = V h + c, shape (…, B, K)."""
    return np.asarray(h @ parameters["V"].mT + parameters["c"][..., np.newaxis, :])


def log_softmax(o: Array) -> Array:
    """ln softmax(o) over the last axis; shifted by the largest real part, so nothing overflows."""
    shifted = o - o.real.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def losses(parameters: Mapping[str, Array], x: Array, y: Array, h: Array) -> Array:
    """The loss of one window: nats, summed over T, averaged over B.

    Parameters may carry leading axes (…, one network each); the result has those axes. Complex
    parameters give the complex loss that the complex step needs.
    """
    cell = cell_of(parameters)
    streams = np.arange(x.shape[1])
    loss: Array = np.zeros(())
    for x_t, y_t in zip(x, y, strict=True):
        h = cell.forward(x_t, h)
        loss = loss - log_softmax(output(parameters, h))[..., streams, y_t].mean(axis=-1)
    return np.asarray(loss)


def loss_and_gradients(
    parameters: Mapping[str, Array], x: Array, y: Array, h_0: Array
) -> tuple[float, dict[str, Array], Array]:
    """The loss of one window, the exact gradient of every parameter, and the last h (B, H)."""
    T, B = x.shape
    cell = cell_of(parameters)
    gradients = {name: np.zeros_like(parameter) for name, parameter in parameters.items()}
    cell_gradients = cell_of(gradients)

    h = np.empty((T + 1, *h_0.shape), dtype=np.result_type(h_0, parameters["V"]))
    h[0] = h_0
    for t in range(T):
        h[t + 1] = cell.forward(x[t], h[t])
    log_p = log_softmax(output(parameters, h[1:]))
    targets = np.arange(T)[:, np.newaxis], np.arange(B), y
    loss = -log_p[targets].sum() / B

    do = np.exp(log_p)
    do[targets] -= 1
    do /= B
    gradients["V"][...] = np.tensordot(do, h[1:], axes=((0, 1), (0, 1)))
    gradients["c"][...] = do.sum(axis=(0, 1))
    dh_output = do @ parameters["V"]
    dh_next: Array = np.zeros_like(h_0)
    for t in reversed(range(T)):
        dh = dh_output[t] + dh_next
        dh_next = cell.backward(x[t], h[t], h[t + 1], dh, cell_gradients)
    return float(loss), gradients, h[-1]
