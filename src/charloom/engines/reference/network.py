"""The whole network over one window: loss, and its exact gradient by BPTT (spec/mathematics.md: The network).

x and y are ids of shape (T, B), states dicts of arrays (L, B, H), masks what dropout multiplies
each layer's outputs by, (T, L, B, H); logits and probabilities have shape (…, B, K).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.reference.cells import Cache, Carried, Cell, GruCell, LstmCell, RnnCell
from charloom.random import dropout_mask

Array = NDArray[Any]
State = dict[str, Array]

CELLS: Final[dict[int, type[Any]]] = {1: RnnCell, 3: GruCell, 4: LstmCell}  # by their gates G


def cells_of(parameters: Mapping[str, Array]) -> list[Cell]:
    """The cell of each layer that these parameters (or gradients) hold; it shares their arrays."""
    layers = sum(name.endswith(".W") for name in parameters)
    G_H, H = parameters["layers.0.W"].shape[-2:]
    return [
        CELLS[G_H // H](
            **{
                name.rpartition(".")[2]: array
                for name, array in parameters.items()
                if name.startswith(f"layers.{layer}.")
            }
        )
        for layer in range(layers)
    ]


def unstack(state: Mapping[str, Array]) -> list[Carried]:
    """What each layer carries."""
    return [
        {name: array[layer] for name, array in state.items()} for layer in range(len(state["h"]))
    ]


def stack(carried: Sequence[Carried]) -> State:
    """The inverse of `unstack`."""
    return {name: np.stack([layer[name] for layer in carried]) for name in carried[0]}


def step(
    cells: Sequence[Cell], ids: Array, carried: Sequence[Carried], masks: Array | None = None
) -> tuple[list[Carried], Array, list[tuple[Array, Cache]]]:
    """One step of every layer: what each carries on, the top's output (…, B, H), and, of each
    layer, what it read and what its way back needs. ids (B,), masks (L, B, H)."""
    x, after, caches = ids, [], []
    for layer, cell in enumerate(cells):
        new, cache = cell.forward(x, carried[layer])
        after.append(new)
        caches.append((x, cache))
        x = new["h"] if masks is None else new["h"] * masks[layer]
    return after, x, caches


def output(parameters: Mapping[str, Array], h: Array) -> Array:
    """The logits o = V h + c, shape (…, B, K)."""
    return np.asarray(h @ parameters["V"].mT + parameters["c"][..., np.newaxis, :])


def log_softmax(o: Array) -> Array:
    """ln softmax(o) over the last axis; shifted by the largest real part, so nothing overflows."""
    shifted = o - o.real.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def dropout_masks(config: Config, update: int | None, T: int, B: int) -> Array | None:
    """The masks (T, L, B, H) of one update, or None where nothing is dropped (spec/mathematics.md: Dropout)."""
    if update is None or not config.dropout:
        return None
    H, p = config.hidden_size, config.dropout
    masks = [
        dropout_mask(config.seed, update, layer, stream, t, H, p)
        for t in range(T)
        for layer in range(config.layers)
        for stream in range(B)
    ]
    return np.array(masks, dtype=config.dtype).reshape(T, config.layers, B, H)


def losses(
    parameters: Mapping[str, Array],
    x: Array,
    y: Array,
    state: Mapping[str, Array],
    masks: Array | None = None,
) -> Array:
    """The loss of one window: nats, summed over T, averaged over B.

    Parameters may carry leading axes (…, one network each); the result has those axes. Complex
    parameters give the complex loss that the complex step needs.
    """
    cells, carried = cells_of(parameters), unstack(state)
    streams = np.arange(x.shape[1])
    loss: Array = np.zeros(())
    for t in range(len(x)):
        carried, h, _ = step(cells, x[t], carried, None if masks is None else masks[t])
        loss = loss - log_softmax(output(parameters, h))[..., streams, y[t]].mean(axis=-1)
    return np.asarray(loss)


def loss_and_gradients(
    parameters: Mapping[str, Array],
    x: Array,
    y: Array,
    state: Mapping[str, Array],
    masks: Array | None = None,
    blur: Callable[[Array], Array] | None = None,
) -> tuple[float, dict[str, Array], State]:
    """The loss of one window, the exact gradient of every parameter, and the state after it.

    `blur` changes all that the way back makes use of, the gates and the probabilities: to find out
    what their rounding does to the gradient.
    """
    T, B = x.shape
    cells = cells_of(parameters)
    carried, caches, tops = [unstack(state)], [], []
    for t in range(T):
        after, h, way_back = step(cells, x[t], carried[t], None if masks is None else masks[t])
        carried.append(after)
        caches.append(way_back)
        tops.append(h)
    top = np.stack(tops)
    log_p = log_softmax(output(parameters, top))
    targets = np.arange(T)[:, np.newaxis], np.arange(B), y
    loss = -log_p[targets].sum() / B

    gradients = {name: np.zeros_like(parameter) for name, parameter in parameters.items()}
    cell_gradients = cells_of(gradients)
    do = np.exp(log_p)  # the probabilities, so far
    if blur is not None:
        do = blur(do)
        caches = [[(read, tuple(map(blur, kept))) for read, kept in step] for step in caches]
    do[targets] -= 1
    do /= B
    gradients["V"][...] = np.tensordot(do, top, axes=((0, 1), (0, 1)))
    gradients["c"][...] = do.sum(axis=(0, 1))
    dtop = do @ parameters["V"]
    d_next = [{name: np.zeros_like(array) for name, array in c.items()} for c in carried[0]]
    for t in reversed(range(T)):
        dh = dtop[t]
        for layer in reversed(range(len(cells))):
            own = dh if masks is None else dh * masks[t, layer]
            d = {**d_next[layer], "h": own + d_next[layer]["h"]}
            x_t, cache = caches[t][layer]
            dh, d_next[layer] = cells[layer].backward(
                x_t, carried[t][layer], cache, d, cell_gradients[layer]
            )
    return float(loss), gradients, stack(carried[-1])
