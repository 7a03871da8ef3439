"""Computes every value of a network over one window, forward and backward (spec/mathematics.md: The network)."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from charloom.network_trace.cell_steps import STEPS
from charloom.network_trace.traced_value import Array, LayerValues, TracedValue, ValueList

MOST_WRITTEN: Final = 5  # terms of a sum that its equation names one by one


def values_of_window(
    parameters: Mapping[str, Array],
    cell: str,
    x: Sequence[int],
    y: Sequence[int],
    state: Mapping[str, Array],
) -> tuple[TracedValue, ...]:
    """Return every value of a network over one window, in the order of their computation.

    Args:
        parameters: arrays by full name, such as layers.0.W, V and c. Complex arrays give complex values.
        cell: "rnn", "lstm" or "gru".
        x: ids that the network reads, one per step.
        y: ids that it must predict, one per step.
        state: the initial state, arrays (L, H): "h", and for an LSTM "cell".
    """
    noted, T = ValueList(), len(x)
    layers = _note_given(noted, parameters, x, y, state)
    V, c = parameters["V"], parameters["c"]
    for t in range(1, T + 1):
        noted.begin("forward", t)
        _note_forward(noted, layers, cell, V, c, int(x[t - 1]), int(y[t - 1]), t)
    noted.begin("forward")
    losses = [f"loss_{t}" for t in range(1, T + 1)]
    noted.note("loss", sum(noted[name] for name in losses), sum_of(losses))
    noted.begin("backward")
    for layer in layers:
        after = "0, because no step follows step " + str(T)
        layer.note(f"dh_next_{T}", np.zeros(len(layer["h_0"])), after)
        if cell == "lstm":
            layer.note(f"ds_next_{T}", np.zeros(len(layer["h_0"])), after)
    for t in range(T, 0, -1):
        noted.begin("backward", t)
        _note_backward(noted, layers, cell, V, int(y[t - 1]), t)
    noted.begin("gradients")
    _note_sums(noted, layers, cell, T)
    return tuple(noted.values.values())


def _note_given(
    noted: ValueList,
    parameters: Mapping[str, Array],
    x: Sequence[int],
    y: Sequence[int],
    state: Mapping[str, Array],
) -> list[LayerValues]:
    """Note what is given: the ids, the parameters and the initial state. Return the layers."""
    noted.note("x", np.array(x))
    noted.note("y", np.array(y))
    L = len(state["h"])
    layers = []
    for number in range(L):
        own = {
            name.rpartition(".")[2]: array
            for name, array in parameters.items()
            if name.startswith(f"layers.{number}.")
        }
        layer = LayerValues(noted, "" if L == 1 else f"layers.{number}.", own)
        layers.append(layer)
        for symbol, array in own.items():
            layer.note(symbol, array)
    noted.note("V", parameters["V"])
    noted.note("c", parameters["c"])
    for number, layer in enumerate(layers):
        layer.note("h_0", state["h"][number])
        if "cell" in state:
            layer.note("s_0", state["cell"][number])
    return layers


def _note_forward(
    noted: ValueList,
    layers: Sequence[LayerValues],
    cell: str,
    V: Array,
    c: Array,
    read: int,
    wanted: int,
    t: int,
) -> None:
    """Note the values of step t, which reads the id `read` and must predict the id `wanted`."""
    below, words = np.eye(len(c))[read], f"onehot({read})"
    for layer in layers:
        layer.note(f"x_{t}", below, words)
        STEPS[cell].forward(layer, t)
        below, words = layer[f"h_{t}"], f"{layer.prefix}h_{t}"
    o = noted.note(f"o_{t}", V @ below + c, f"V {words} + c")
    shifted = o - o.real.max()  # so that nothing overflows
    log_p = shifted - np.log(np.exp(shifted).sum())
    noted.note(f"p_{t}", np.exp(log_p), f"softmax(o_{t})")
    noted.note(f"loss_{t}", -log_p[wanted], f"-ln p_{t}[{wanted}]")


def _note_backward(
    noted: ValueList, layers: Sequence[LayerValues], cell: str, V: Array, wanted: int, t: int
) -> None:
    """Note the gradients of step t. The values of the forward steps and of step t+1 are there."""
    top = layers[-1]
    do = noted.note(
        f"do_{t}", noted[f"p_{t}"] - np.eye(len(V))[wanted], f"p_{t} - onehot({wanted})"
    )
    noted.note(f"dV_{t}", np.outer(do, top[f"h_{t}"]), f"do_{t} {top.prefix}h_{t}ᵀ")
    above, words = V.T @ do, f"Vᵀ do_{t}"
    for number, layer in reversed(list(enumerate(layers))):
        layer.note(f"dh_{t}", above + layer[f"dh_next_{t}"], f"{words} + @dh_next_{t}")
        STEPS[cell].backward(layer, t)
        if number:
            above = layer.note(
                f"dx_{t}", layer.parameters["U"].T @ layer[f"da_{t}"], f"@Uᵀ @da_{t}"
            )
            words = f"{layer.prefix}dx_{t}"


def _note_sums(noted: ValueList, layers: Sequence[LayerValues], cell: str, T: int) -> None:
    """Note the gradients of the parameters, which are sums over the steps."""
    bias = {"b": "da"} | ({"d": "dq"} if cell == "gru" else {})
    for layer in layers:
        for symbol in layer.parameters:
            term = bias.get(symbol, f"d{symbol}")
            names = [f"{term}_{t}" for t in range(1, T + 1)]
            layer.note(f"d{symbol}", sum(layer[name] for name in names), sum_of(names, "@"))
    for name, term in (("dV", "dV"), ("dc", "do")):
        names = [f"{term}_{t}" for t in range(1, T + 1)]
        noted.note(name, sum(noted[name] for name in names), sum_of(names))


def sum_of(names: Sequence[str], before: str = "") -> str:
    """Return the sum of several values in words: "dW_1 + dW_2", or "dW_1 + dW_2 + … + dW_25".

    `before` is put before each name.
    """
    shown = list(names)
    if len(shown) > MOST_WRITTEN:
        shown = [*shown[:2], "…", shown[-1]]
    return " + ".join(name if name == "…" else before + name for name in shown)
