"""Adds the inputs of pairs of characters to a graph of ONNX operators (spec/mathematics.md: Pairs)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.model import Learner
from charloom.model.input_pairs import PAIRS, InputPairs
from charloom.onnx_format.onnx_model import Graph
from charloom.onnx_format.onnx_weights import in_onnx_order


def add_pair_inputs(graph: Graph, learner: Learner, pairs: InputPairs) -> str:
    """Add U x_t plus the input of the pair at each step, (T, B, G·H), to the graph, and return its name.

    Layer 0 then has the identity in place of U, because ONNX's operators have no other input for the sum. Also adds
    `lastn`, the last id of each text.
    """
    parameters = learner.parameters
    U = graph.constant("characters.weight", in_onnx_order(learner, parameters["layers.0.U"]).T)
    weight = in_onnx_order(learner, parameters[PAIRS].T).T
    without_row = np.zeros((1, weight.shape[1]), np.float32)
    P = graph.constant("pairs.weight", np.concatenate([weight, without_row]))
    return graph.call(
        "Add",
        graph.call("Gather", U, "ids", outputs=("characters.inputs",), axis=0),
        graph.call("Gather", P, _rows(graph, pairs), outputs=("pairs.inputs",), axis=0),
        outputs=("inputs",),
    )


def add_identity(graph: Graph, size: int) -> str:
    """Add the identity (1, size, size) to the graph, and return its name.

    It is computed when the file is opened, because as a constant it could be the largest part of the file.
    """
    shape = graph.constant("identity.shape", np.array([size, size], np.int64))
    zeros = graph.call("ConstantOfShape", shape, outputs=("identity.zeros",))
    identity = graph.call("EyeLike", zeros, outputs=("identity.matrix",))
    axis = graph.constant("identity.axis", np.array([0], np.int64))
    return graph.call("Unsqueeze", identity, axis, outputs=("identity",))


def _rows(graph: Graph, pairs: InputPairs) -> str:
    """Add the row of `pairs.weight` for each id (T, B) to the graph, and return its name."""
    lines, columns, table = pair_table(pairs)
    line = graph.call(
        "Gather",
        graph.constant("pairs.line_of_first", lines),
        _previous_ids(graph),
        outputs=("pairs.lines",),
        axis=0,
    )
    column = graph.call(
        "Gather",
        graph.constant("pairs.column_of_second", columns),
        "ids",
        outputs=("pairs.columns",),
        axis=0,
    )
    place = graph.call("Add", line, column, outputs=("pairs.places",))
    rows = graph.constant("pairs.table", table)
    return graph.call("Gather", rows, place, outputs=("pairs.rows",), axis=0)


def pair_table(pairs: InputPairs) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return three arrays from which the row of each pair of ids can be looked up.

    A table for all K² pairs could be large. So the table has a line only for each character that is the first of a
    pair, and a column only for each that is the second. All other characters share line 0 and column 0, which have
    no pair.

    Returns:
        For each id from -1 on, where its line of the table begins (K + 1). For each id, its column of the table (K).
        The table: the row of each pair, or R, the row after the last one, for a pair without a row.
    """
    used = pairs.ids[: pairs.used]
    firsts, line = np.unique(used[:, 0], return_inverse=True)
    seconds, column = np.unique(used[:, 1], return_inverse=True)
    width = len(seconds) + 1
    lines, columns = np.zeros(pairs.characters + 1, np.int64), np.zeros(pairs.characters, np.int64)
    lines[firsts + 1] = (np.arange(len(firsts)) + 1) * width
    columns[seconds] = np.arange(len(seconds)) + 1
    table = np.full((len(firsts) + 1) * width, len(pairs.ids), np.int64)
    table[(line + 1) * width + column + 1] = np.arange(len(used))
    return lines, columns, table


def _previous_ids(graph: Graph) -> str:
    """Add the id before each id plus 1 (T, B) to the graph, and return its name. Also adds `lastn`."""
    joined = graph.call("Concat", "last0", "ids", outputs=("last_and_ids",), axis=0)
    first, last, end, axis = (
        graph.constant(f"slice.{name}", np.array([value], np.int64))
        for name, value in {"first": 0, "last": -1, "end": 2**31 - 1, "axis": 0}.items()
    )
    graph.call("Slice", joined, last, end, axis, outputs=("lastn",))
    previous = graph.call("Slice", joined, first, last, axis, outputs=("previous_ids",))
    one = graph.constant("one", np.array(1, np.int64))
    return graph.call("Add", previous, one, outputs=("previous_ids_plus_1",))
