"""The network over one window: its loss, and the exact gradient by backpropagation through time.

See spec/mathematics.md: The network. x and y are ids of shape (T, B). States are dicts of arrays
(L, B, H). Dropout masks (T, L, B, H) multiply each layer's output. Logits and probabilities have
shape (…, B, K). With pairs, rows (T, B) are the rows of `pairs.weight`; -1 for a pair without a row.
With a boundary of items, begins (T, B) is True where a stream begins an item (spec/mathematics.md: Items). Then the
forward pass computes the products of each stream alone, so that an item has the same bits in every batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.reference.cells import (
    Cache,
    Carried,
    Cell,
    Characters,
    GruCell,
    Input,
    LstmCell,
    RnnCell,
    product,
)
from charloom.model import hidden_arrays
from charloom.model.input_pairs import PAIRS
from charloom.random import dropout_mask
from charloom.registered_cells import refuse_registered

Array = NDArray[Any]
State = dict[str, Array]

CELL_CLASSES: Final[dict[str, type[Any]]] = {"rnn": RnnCell, "lstm": LstmCell, "gru": GruCell}


def cells_of(parameters: Mapping[str, Array], cell: str, apart: bool = False) -> list[Cell]:
    """Return one cell object per layer. The cell objects use the arrays of `parameters` without a copy.

    `cell` is "rnn", "lstm" or "gru". `parameters` may also be gradients, to which `Cell.backward` adds. With
    `apart`, the forward pass computes the products of each stream alone.
    """
    refuse_registered(cell, "reference")
    layers = sum(name.endswith(".W") for name in parameters)
    arrays: list[dict[str, Array]] = [
        {
            name.rpartition(".")[2]: array
            for name, array in parameters.items()
            if name.startswith(f"layers.{layer}.")
        }
        for layer in range(layers)
    ]
    if PAIRS in parameters:
        arrays[0]["P"] = parameters[PAIRS]
    return [CELL_CLASSES[cell](**of_layer, apart=apart) for of_layer in arrays]


def unstack(state: Mapping[str, Array]) -> list[Carried]:
    """Return the hidden state of each layer as a list. Each array of `state` holds all layers."""
    hidden = hidden_arrays(state)
    return [
        {name: array[layer] for name, array in hidden.items()} for layer in range(len(state["h"]))
    ]


def stack(carried: Sequence[Carried]) -> State:
    """Return the states of all layers as one state, whose arrays hold all layers. Inverse of `unstack`."""
    return {name: np.stack([layer[name] for layer in carried]) for name in carried[0]}


def zero_where(begins: Array | None, carried: Sequence[Carried]) -> list[Carried]:
    """Return the states of all layers, or their gradients, with zeros for the streams that begin an item.

    `begins` is True for these streams, shape (B,); None without a boundary of items, which changes nothing.
    """
    if begins is None:
        return list(carried)
    return [
        {name: np.where(begins[:, np.newaxis], 0, array) for name, array in layer.items()}
        for layer in carried
    ]


def begins_at(t: int, begins: Array | None) -> Array | None:
    """Return which streams begin an item at step t, shape (B,); None without a boundary of items."""
    return None if begins is None else begins[t]


def step(
    cells: Sequence[Cell], read: Characters, carried: Sequence[Carried], masks: Array | None = None
) -> tuple[list[Carried], Array, list[tuple[Input, Cache]]]:
    """Run every layer for one step.

    Args:
        cells: one per layer.
        read: the characters that layer 0 reads.
        carried: the state of each layer before the step.
        masks: dropout masks, shape (L, B, H); None for no dropout.

    Returns:
        First the state of each layer after the step. Second the top layer's output after dropout,
        shape (…, B, H), where … are leading axes of the parameters, if they have any (see
        `cells.py`). Third, for each layer, its input and the cache for the backward step.
    """
    x: Input = read
    h, after, caches = np.empty(0), [], []
    for layer, cell in enumerate(cells):
        new, cache = cell.forward(x, carried[layer])
        after.append(new)
        caches.append((x, cache))
        x = h = new["h"] if masks is None else new["h"] * masks[layer]
    return after, h, caches


def characters_at(t: int, x: Array, rows: Array | None) -> Characters:
    """Return the characters of step t of a window, with the rows of their pairs if there are pairs."""
    return Characters(x[t], None if rows is None else rows[t])


def output(
    parameters: Mapping[str, Array], h: Array, log_q: Array | None = None, apart: bool = False
) -> Array:
    """Return the logits o = V h + c, shape (…, B, K).

    If `log_q` is given, the logarithms of the n-grams' probabilities, it is added with the weight of
    the n-grams. With `apart`, the products of each stream are computed alone.
    """
    o = product(h, parameters["V"], apart) + parameters["c"][..., np.newaxis, :]
    if log_q is not None:
        weight = product(h, parameters["ngram.weight"], apart)
        weight = weight + parameters["ngram.bias"][..., np.newaxis, :]
        o = o + weight * log_q
    return np.asarray(o)


def log_softmax(o: Array) -> Array:
    """Return ln softmax(o) over the last axis. Subtracts the largest real part first to avoid overflow."""
    shifted = o - o.real.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def dropout_masks(config: Config, update: int | None, T: int, B: int) -> Array | None:
    """Return the dropout masks of one update, shape (T, L, B, H).

    Returns None if `update` is None or the config has no dropout.

    See spec/mathematics.md: Dropout.
    """
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
    cell: str,
    x: Array,
    y: Array,
    state: Mapping[str, Array],
    masks: Array | None = None,
    log_q: Array | None = None,
    rows: Array | None = None,
    begins: Array | None = None,
) -> Array:
    """Return the loss of one window in nats, summed over T and averaged over B.

    `log_q` has the logarithms of the n-grams' probabilities, shape (T, B, K); None without n-grams.
    `rows` has the rows of the pairs, shape (T, B); None without pairs.
    `begins` is True where a stream begins an item, shape (T, B); None without a boundary of items.

    To compute many networks in one call, give the parameters leading axes. The result then has these
    leading axes, with one loss per network. Complex parameters give a complex loss, which the
    complex-step gradient check needs.
    """
    apart = begins is not None
    cells, carried = cells_of(parameters, cell, apart), unstack(state)
    streams = np.arange(x.shape[1])
    loss: Array = np.zeros(())
    for t in range(len(x)):
        read = characters_at(t, x, rows)
        before = zero_where(begins_at(t, begins), carried)
        carried, h, _ = step(cells, read, before, None if masks is None else masks[t])
        o = output(parameters, h, None if log_q is None else log_q[t], apart)
        loss = loss - log_softmax(o)[..., streams, y[t]].mean(axis=-1)
    return np.asarray(loss)


def loss_and_gradients(
    parameters: Mapping[str, Array],
    cell: str,
    x: Array,
    y: Array,
    state: Mapping[str, Array],
    masks: Array | None = None,
    log_q: Array | None = None,
    rows: Array | None = None,
    begins: Array | None = None,
    blur: Callable[[Array], Array] | None = None,
) -> tuple[float, dict[str, Array], State]:
    """Return the loss of one window, the exact gradient of every parameter, and the hidden state after it.

    `log_q` has the logarithms of the n-grams' probabilities, shape (T, B, K); None without n-grams.
    `rows` has the rows of the pairs, shape (T, B); None without pairs.
    `begins` is True where a stream begins an item, shape (T, B); None without a boundary of items.

    If `blur` is given, it is applied to the probabilities and to the cells' caches (the gates) before
    the backward pass. A `blur` that adds small errors shows how much the rounding of these values
    changes the gradient.
    """
    T, B = x.shape
    apart = begins is not None
    cells = cells_of(parameters, cell, apart)
    after, before, caches, tops = (
        unstack(state),
        [],
        [],
        [],
    )  # `before` has the states before each step
    for t in range(T):
        read = characters_at(t, x, rows)
        before.append(zero_where(begins_at(t, begins), after))
        after, h, way_back = step(cells, read, before[t], None if masks is None else masks[t])
        caches.append(way_back)
        tops.append(h)
    top = np.stack(tops)
    log_p = log_softmax(output(parameters, top, log_q, apart))
    targets = np.arange(T)[:, np.newaxis], np.arange(B), y
    loss = -log_p[targets].sum() / B

    gradients = {name: np.zeros_like(parameter) for name, parameter in parameters.items()}
    cell_gradients = cells_of(gradients, cell)
    # `do` holds the probabilities at first. Later, subtracting 1 at each target makes it the gradient of the
    # logits.
    do = np.exp(log_p)
    if blur is not None:
        do = blur(do)
        caches = [[(read, tuple(map(blur, kept))) for read, kept in step] for step in caches]
    do[targets] -= 1
    do /= B
    gradients["V"][...] = np.tensordot(do, top, axes=((0, 1), (0, 1)))
    gradients["c"][...] = do.sum(axis=(0, 1))
    dtop = do @ parameters["V"]
    if log_q is not None:
        dweight = (do * log_q).sum(axis=-1, keepdims=True)
        gradients["ngram.weight"][...] = np.tensordot(dweight, top, axes=((0, 1), (0, 1)))
        gradients["ngram.bias"][...] = dweight.sum(axis=(0, 1))
        dtop = dtop + dweight @ parameters["ngram.weight"]
    d_next = [{name: np.zeros_like(array) for name, array in c.items()} for c in after]
    for t in reversed(range(T)):
        dh = dtop[t]
        for layer in reversed(range(len(cells))):
            own = dh if masks is None else dh * masks[t, layer]
            d = {**d_next[layer], "h": own + d_next[layer]["h"]}
            x_t, cache = caches[t][layer]
            dh, d_next[layer] = cells[layer].backward(
                x_t, before[t][layer], cache, d, cell_gradients[layer]
            )
        d_next = zero_where(begins_at(t, begins), d_next)
    return float(loss), gradients, stack(after)
