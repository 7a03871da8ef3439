"""Turns a network into a graph of ONNX operators (spec/formats.md: ONNX files).

ONNX has an operator for a whole layer of each cell: RNN, LSTM and GRU.
"""

from typing import Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.model import Learner
from charloom.model.learner import RECENT
from charloom.onnx_format.onnx_model import Graph, Value
from charloom.onnx_format.onnx_weights import biases, in_float32, in_onnx_order
from charloom.onnx_format.pair_inputs import add_identity, add_pair_inputs

# The names of the input and of the output for each array of a state.
STATE_NAMES: Final = {"h": ("h0", "hn"), "cell": ("c0", "cn"), RECENT: ("last0", "lastn")}
DESCRIPTIONS: Final = {
    "h": "the hidden state of each layer",
    "cell": "the cell state of each layer",
    RECENT: "the latest id, -1 for none",
}


def state_names(learner: Learner) -> dict[str, tuple[str, str]]:
    """Return, for each array of the state, the names of the graph's input and of its output."""
    names = [*CELLS[learner.config.cell].states, *([RECENT] if learner.pairs else [])]
    return {name: STATE_NAMES[name] for name in names}


def graph_of_network(learner: Learner) -> Graph:
    """Return the graph of a model's network, in float32.

    Its inputs are `ids` (T, B) and the state before them. Its outputs are `logits` (T, B, K) and the state after the
    last id. T and B can have any length. The model's n-grams are left out.
    """
    graph = Graph()
    _declare_values(graph, learner)
    _split_states(graph, learner)
    x = _inputs(graph, learner)
    for layer in range(learner.config.layers):
        x = _layer(graph, learner, layer, x)
    _join_states(graph, learner)
    V = graph.constant("head.weight", in_float32(learner.parameters["V"].T))
    c = graph.constant("head.bias", in_float32(learner.parameters["c"]))
    graph.call(
        "Add", graph.call("MatMul", x, V, outputs=("head.products",)), c, outputs=("logits",)
    )
    return graph


def _declare_values(graph: Graph, learner: Learner) -> None:
    """Add the graph's inputs and outputs to it."""
    config, K = learner.config, len(learner.vocabulary)
    graph.inputs.append(Value("ids", "int64", ("T", "B"), "the id of each character of B texts"))
    words = "the logits of the character after each id"
    graph.outputs.append(Value("logits", "float32", ("T", "B", K), words))
    numbers = "float32", (config.layers, "B", config.hidden_size)
    for name, (before, after) in state_names(learner).items():
        dtype, shape = ("int64", (1, "B")) if name == RECENT else numbers
        words = DESCRIPTIONS[name]
        graph.inputs.append(Value(before, dtype, shape, f"{words}, before the first id"))
        graph.outputs.append(Value(after, dtype, shape, f"{words}, after the last id"))


def _split_states(graph: Graph, learner: Learner) -> None:
    """Add the state of each layer before the first id to the graph, such as `h0.2` (1, B, H) of layer 2."""
    layers = learner.config.layers
    lengths = graph.constant("states.lengths", np.ones(layers, np.int64))
    for name in CELLS[learner.config.cell].states:
        before, _ = STATE_NAMES[name]
        outputs = tuple(f"{before}.{layer}" for layer in range(layers))
        graph.call("Split", before, lengths, outputs=outputs, axis=0)


def _join_states(graph: Graph, learner: Learner) -> None:
    """Add the state of all layers after the last id to the graph."""
    for name in CELLS[learner.config.cell].states:
        _, after = STATE_NAMES[name]
        parts = [f"{after}.{layer}" for layer in range(learner.config.layers)]
        graph.call("Concat", *parts, outputs=(after,), axis=0)


def _inputs(graph: Graph, learner: Learner) -> str:
    """Add the inputs of layer 0 to the graph, and return their name.

    They are onehots (T, B, K), or with pairs the sums that `add_pair_inputs` adds.
    """
    if learner.pairs is not None:
        return add_pair_inputs(graph, learner, learner.pairs)
    K = graph.constant("K", np.array(len(learner.vocabulary), np.int64))
    values = graph.constant("off_and_on", np.array([0, 1], np.float32))
    return graph.call("OneHot", "ids", K, values, outputs=("onehots",))


def _layer(graph: Graph, learner: Learner, layer: int, x: str) -> str:
    """Add a layer to the graph, and return the name of its outputs (T, B, H). `x` is the name of its inputs.

    ONNX's operators have an axis for the directions in which they read. Here it has the length 1.
    """
    config, parameters = learner.config, learner.parameters
    cell, H = CELLS[config.cell], config.hidden_size
    names = [STATE_NAMES[name] for name in cell.states]
    W = in_onnx_order(learner, parameters[f"layers.{layer}.W"])
    outputs = graph.call(
        cell.torch_class,  # ONNX's operators have the names of PyTorch's classes
        x,
        _input_weight(graph, learner, layer),
        graph.constant(f"layers.{layer}.W", W[None]),
        graph.constant(f"layers.{layer}.biases", biases(learner, layer)[None]),
        "",  # all texts have the same length
        *(f"{before}.{layer}" for before, _ in names),
        outputs=(f"layers.{layer}.outputs", *(f"{after}.{layer}" for _, after in names)),
        hidden_size=H,
        # The reset gate of charloom's GRU is applied after the product with W.
        **({"linear_before_reset": 1} if cell.second_bias else {}),
    )
    directions = graph.constant("axis_of_directions", np.array([1], np.int64))
    return graph.call("Squeeze", outputs, directions, outputs=(f"layers.{layer}.h",))


def _input_weight(graph: Graph, learner: Learner, layer: int) -> str:
    """Add the matrix by which a layer multiplies its inputs to the graph, and return its name."""
    U = in_onnx_order(learner, learner.parameters[f"layers.{layer}.U"])
    if layer == 0 and learner.pairs is not None:
        return add_identity(graph, len(U))
    return graph.constant(f"layers.{layer}.U", U[None])
