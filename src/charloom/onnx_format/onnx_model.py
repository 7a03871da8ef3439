"""A graph of ONNX operators as plain data, and its encoding as an ONNX model.

The numbers of the fields are those of onnx.proto, the definition of the format. This module does not know networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from numpy.typing import NDArray

from charloom.onnx_format.protobuf import Message, message_field, number_field, string_field
from charloom.store.tensor_file import block_of

# ONNX's numbers of the types of tensors, by dtype.
ELEMENT_TYPES: Final = {"float32": 1, "int32": 6, "int64": 7}
INTEGER_ATTRIBUTE: Final = 2  # ONNX's number of the type of an attribute that is a whole number
OPERATOR_SET: Final = 17  # the version of the operators; onnxruntime has it since 1.12 (2022)
IR_VERSION: Final = 8  # the version of the file format that came with these operators


@dataclass(frozen=True)
class Value:
    """An input or output of a graph.

    Attributes:
        name: the name of the value.
        dtype: the dtype of its entries, such as "float32".
        shape: its shape; an axis of any length has a name, such as "T", instead of a number.
        description: what the value is.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    description: str


@dataclass(frozen=True)
class Node:
    """A call of an operator.

    Attributes:
        operator: the name of the operator, such as "MatMul".
        inputs: the names of the operator's inputs; "" for an optional input that is left out.
        outputs: the names of the values that the operator computes, likewise.
        attributes: whole numbers, from 0 on, that configure the operator, by name.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, int]


@dataclass
class Graph:
    """A graph of operators that computes outputs from inputs and constants.

    Attributes:
        inputs: what the caller gives.
        outputs: what the caller gets.
        constants: arrays by name.
        nodes: the calls of operators, in an order in which they can be made.
    """

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant to the graph, and return its name."""
        self.constants[name] = array
        return name

    def call(self, operator: str, *inputs: str, outputs: tuple[str, ...], **attributes: int) -> str:
        """Add a call of an operator to the graph, and return the name of its first output."""
        self.nodes.append(Node(operator, inputs, outputs, attributes))
        return outputs[0]


def model_message(graph: Graph, description: str, metadata: Mapping[str, str]) -> Message:
    """Return an ONNX model (ModelProto) as consecutive blocks of bytes, which share memory with the constants.

    Args:
        graph: the graph of the model.
        description: what the model is.
        metadata: strings to store in the model, by name.
    """
    return [
        *number_field(1, IR_VERSION),
        *string_field(2, "charloom"),  # the program that made the file
        *string_field(6, description),
        *message_field(7, _graph_message(graph)),
        *message_field(8, number_field(2, OPERATOR_SET)),
        *_joined(
            message_field(14, string_field(1, name) + string_field(2, text))
            for name, text in metadata.items()
        ),
    ]


def _graph_message(graph: Graph) -> Message:
    """Return a GraphProto."""
    return [
        *_joined(message_field(1, _node_message(node)) for node in graph.nodes),
        *string_field(2, "network"),
        *_joined(message_field(5, _tensor_message(*item)) for item in graph.constants.items()),
        *_joined(message_field(11, _value_message(value)) for value in graph.inputs),
        *_joined(message_field(12, _value_message(value)) for value in graph.outputs),
    ]


def _node_message(node: Node) -> Message:
    """Return a NodeProto."""
    return [
        *_joined(string_field(1, name) for name in node.inputs),
        *_joined(string_field(2, name) for name in node.outputs),
        *string_field(4, node.operator),
        *_joined(
            message_field(
                5,
                string_field(1, name)
                + number_field(3, value)
                + number_field(20, INTEGER_ATTRIBUTE),
            )
            for name, value in node.attributes.items()
        ),
    ]


def _tensor_message(name: str, array: NDArray[Any]) -> Message:
    """Return a TensorProto with the bytes of an array."""
    return [
        *_joined(number_field(1, length) for length in array.shape),
        *number_field(2, ELEMENT_TYPES[array.dtype.name]),
        *string_field(8, name),
        *message_field(9, [block_of(array)]),
    ]


def _value_message(value: Value) -> Message:
    """Return a ValueInfoProto."""
    axes = (
        number_field(1, length) if isinstance(length, int) else string_field(2, length)
        for length in value.shape
    )
    shape = _joined(message_field(1, axis) for axis in axes)
    tensor = number_field(1, ELEMENT_TYPES[value.dtype]) + message_field(2, shape)
    return [
        *string_field(1, value.name),
        *message_field(2, message_field(1, tensor)),
        *string_field(3, value.description),
    ]


def _joined(fields: Any) -> Message:
    """Return the blocks of several fields, one field after another."""
    return list(chain.from_iterable(fields))
