"""Plans how to put our parameters in the place of those of a module of PyTorch.

The module may have nn.RNN, nn.LSTM or nn.GRU, their cells, nn.Linear or nn.Parameter, and an embedding,
which becomes the identity. A module is made with sizes that tell its layers apart. If a tensor of the
module is larger than ours, ours is put into its corner, and the rest is zero. Tensors for which we have
no counterpart, such as those of a second layer, keep their first values.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, joined_first
from charloom.diagnosis.forms.module_making import PROBE, Making, makings
from charloom.diagnosis.forms.name_roles import is_state, short
from charloom.diagnosis.forms.parameter_layout import Layout, Part, layouts_of

LAYERS: Final = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
CELL_LAYERS: Final = {"RNNCell": "rnn", "LSTMCell": "lstm", "GRUCell": "gru"}
# Words for a gate in the name of a layer.
GATE_WORDS: Final = {
    "lstm": {"f": ("forget",), "i": ("input", "update"), "g": ("cand", "cell", "modul"), "o": ("output",)},
    "gru": {"r": ("reset",), "z": ("update",), "n": ("cand", "new", "hidden", "out")},
}  # fmt: skip


@dataclass(frozen=True)
class ModulePlan:
    """A class of modules, and what its tensors hold.

    Attributes:
        owner: the class.
        cell: "rnn", "lstm" or "gru".
        weights: the expression for each of the module's tensors, by its name in the module.
        making: how a module is made.
        joined: "hx" or "xh" for layers that read state and input together; "" for others.
        layer: the module's nn.RNN, nn.LSTM or nn.GRU; None if it has none.
        width: the expression for the number of the module's hidden units, if it is not H; or "".
        loops: whether the module's code has a loop.
        takes_logits: whether the file uses PyTorch's cross-entropy, which takes logits.
        gates: the order of the gates in tensors that they share; "" for ours.
    """

    owner: ClassFacts
    cell: str
    weights: dict[str, str]
    making: Making
    joined: str = ""
    layer: Any = None
    width: str = ""
    loops: bool = False
    takes_logits: bool = False
    gates: str = ""

    @property
    def has_output(self) -> bool:
        """Whether the module has the output layer."""
        return any('params["V"]' in value for value in self.weights.values())

    @property
    def states(self) -> int:
        """The number of states: the layers of the recurrent layer times its directions."""
        if self.layer is None:
            return 1
        return int(self.layer.num_layers) * (2 if self.layer.bidirectional else 1)

    @property
    def others(self) -> list[str]:
        """The names of the module's tensors that keep their first values."""
        names = [name for name, _ in self.making.module.named_parameters()]
        return [name for name in names if name not in self.weights and "reverse" not in name]

    def has_layer(self, *kinds: str) -> bool:
        """Return True if the module has a layer of one of these classes of torch.nn."""
        return any(type(m).__name__ in kinds for m in self.making.module.modules())


# Returns the cell, the expressions by tensor, whether a layer reads state and input together, the recurrent
# layer, and the expression for the number of hidden units; or None.
Found = tuple[str, dict[str, str], bool, Any, str]
Reader = Callable[[Any, str], Found | None]


def is_module_class(owner: ClassFacts) -> bool:
    """Return True if a class is a subclass of torch.nn.Module by its source."""
    return any(base.split(".")[-1] == "Module" for base in owner.bases)


def module_plans(contents: Contents, net: Any, last: Reader | None = None) -> Iterator[ModulePlan]:
    """Yield the plans for the classes of modules in a loaded file. `plans_of_module` explains `last`."""
    if not contents.imports("torch"):
        return
    for owner in contents.classes.values():
        if not is_module_class(owner) or is_part_of_another(contents, owner):
            continue
        for making in makings(contents, net, owner):
            found = [
                replace(plan, takes_logits=contents.mentions("CrossEntropyLoss", "cross_entropy"))
                for plan in plans_of_module(owner, making, last)
            ]
            yield from found
            if found:
                break


def is_part_of_another(contents: Contents, owner: ClassFacts) -> bool:
    """Return True if another module of the file has modules of this class as its parts."""
    starts = [
        start
        for other in contents.classes.values()
        if other is not owner
        and is_module_class(other)
        and (start := other.methods.get("__init__")) is not None
    ]
    if any(owner.name in start.called for start in starts):
        return True
    # A class may get a module of this class as an argument, as in RNNLM(RNN(…), vocab_size).
    makes = any(
        isinstance(n, ast.Call) and ast.unparse(n.func).endswith("Linear")
        for n in ast.walk(owner.node)
    )
    return not makes and any(
        short(a) in ("rnn", "rnnlayer", "core") for s in starts for a in s.arguments
    )


def plans_of_module(
    owner: ClassFacts, making: Making, last: Reader | None = None
) -> Iterator[ModulePlan]:
    """Yield the plans for a module, one for each order of state and input in a joined layer.

    `last` is asked if neither the layers nor the names of the tensors show what they hold.
    """
    module = making.module
    for joined in ("hx", "xh"):
        found = (
            from_layer(module)
            or from_cell(module)
            or from_linear_layers(module, joined)
            or from_parameters(module, joined)
            or (last(module, joined) if last is not None else None)
        )
        if found is None:
            return
        cell, weights, is_joined, layer, width = found
        if is_joined and joined == "hx" and reads_input_first(owner):
            continue
        order = joined if is_joined else ""
        yield ModulePlan(owner, cell, weights, making, order, layer, width, has_loop(owner))
        if not is_joined:
            return


def has_loop(owner: ClassFacts) -> bool:
    """Return True if a method of a class, except its constructor, has a loop."""
    return any(
        isinstance(node, (ast.For, ast.While, ast.comprehension))
        for name, method in owner.methods.items()
        if not name.startswith("init") and name != "__init__"
        for node in ast.walk(method.node)
    )


def reads_input_first(owner: ClassFacts) -> bool:
    """Return True if the module joins the input and the state in this order."""
    return any(joined_first(method, is_state) == "xh" for method in owner.methods.values())


def layers_of(module: Any, *kinds: str) -> list[tuple[str, Any]]:
    """Return the name and the layer of each layer of some classes of torch.nn, such as "Linear"."""
    return [
        (name, layer)
        for name, layer in module.named_modules()
        if type(layer).__name__ in kinds and type(layer).__module__.startswith("torch.nn.")
    ]


def fitted(value: str, name: str, ours: tuple[int, ...], theirs: Any, gates: int = 1) -> str:
    """Return the expression for a tensor of the module; ours is put into its corner if it is larger.

    `ours` and `theirs` are the shapes of both in a module of `PROBE`.
    """
    if ours == tuple(theirs):
        return value
    count = f", {gates}" if gates > 1 else ""
    return f'fitted({value}, sizes["{name}"]{count})'


def input_width(module: Any) -> int:
    """Return the length of the vectors that the recurrence reads: that of the embedding, or K."""
    found = layers_of(module, "Embedding")
    return int(found[0][1].embedding_dim) if found else PROBE["K"]


def common_weights(module: Any, width: int) -> dict[str, str] | None:
    """Return the tensors of the embedding and of the output layer; None if the embedding is too small.

    `width` is the number of the module's hidden units.
    """
    K, H = PROBE["K"], PROBE["H"]
    weights: dict[str, str] = {}
    for name, layer in layers_of(module, "Embedding")[:1]:
        if layer.num_embeddings < K or layer.embedding_dim < K:
            return None
        weights[f"{name}.weight"] = fitted("E", f"{name}.weight", (K, K), layer.weight.shape)
    output = output_layer(module, width)
    if output is not None:
        name, layer = output
        weights[f"{name}.weight"] = fitted(
            'params["V"]', f"{name}.weight", (K, H), layer.weight.shape
        )
        if layer.bias is not None:
            bias = fitted('params["c"]', f"{name}.bias", (K,), layer.bias.shape)
            weights[f"{name}.bias"] = bias.replace("])", "], fill=-1e9)")
    return weights


def output_layer(module: Any, width: int) -> tuple[str, Any] | None:
    """Return the name and the layer of nn.Linear that gives the logits; None if there is none."""
    found = [
        (name, layer)
        for name, layer in layers_of(module, "Linear")
        if layer.in_features in (width, 2 * width) and layer.out_features >= PROBE["K"]
    ]
    exact = [one for one in found if one[1].out_features == PROBE["K"]]
    larger = [one for one in found if one[1].out_features != width]
    return next((some[-1] for some in (exact, larger, found) if some), None)


def from_layer(module: Any) -> Found | None:
    """Return the tensors of a module with nn.RNN, nn.LSTM or nn.GRU; None if it has none.

    Our parameters go into the first of them, and into its first layer.
    """
    layers = [one for one in layers_of(module, *LAYERS) if not one[1].proj_size]
    if not layers:
        return None
    name, layer = layers[0]
    cell = LAYERS[type(layer).__name__]
    names = [f"{name}.{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    return from_tensors(module, cell, layer, names, layer)


def from_cell(module: Any) -> Found | None:
    """Return the tensors of a module with nn.RNNCell, nn.LSTMCell or nn.GRUCell; None if it has none."""
    layers = layers_of(module, *CELL_LAYERS)
    if not layers:
        return None
    name, layer = layers[0]
    cell = CELL_LAYERS[type(layer).__name__]
    names = [f"{name}.{part}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    return from_tensors(module, cell, layer, names, None)


def from_tensors(
    module: Any, cell: str, layer: Any, names: list[str], recurrent: Any
) -> Found | None:
    """Return the tensors of a module with one of PyTorch's recurrent layers or cells; None if one is too small.

    `names` are the names of the layer's tensors: of both weights, and of both biases.
    """
    K, H = PROBE["K"], PROBE["H"]
    M, D, G = layer.hidden_size, layer.input_size, len(CELLS[cell].blocks) or 1
    weights = common_weights(module, M)
    if weights is None or M < H or D < K:
        return None
    weights[names[0]] = fitted('params["U"]', names[0], (G * H, K), (G * M, D), G)
    weights[names[1]] = fitted('params["W"]', names[1], (G * H, H), (G * M, M), G)
    if layer.bias:
        second = 'torch.zeros_like(params["b"])'
        if cell == "gru":
            second = 'torch.cat([torch.zeros_like(params["b"])[: 2 * H], params["d"]])'
        for name, value in ((names[2], 'params["b"]'), (names[3], second)):
            weights[name] = fitted(value, name, (G * H,), (G * M,), G)
    return cell, weights, False, recurrent, "" if M == H else f'sizes["{names[1]}"][1]'


def from_linear_layers(module: Any, joined: str) -> Found | None:
    """Return the tensors of a module whose recurrence consists of nn.Linear; None if it does not."""
    H = PROBE["H"]
    D = input_width(module)
    weights = common_weights(module, H)
    layers = layers_of(module, "Linear")
    if weights is None or PROBE["K"] != D:
        return None
    both = [pair for pair in layers if (pair[1].in_features, pair[1].out_features) == (D + H, H)]
    inputs = [pair for pair in layers if (pair[1].in_features, pair[1].out_features) == (D, H)]
    states = [pair for pair in layers if (pair[1].in_features, pair[1].out_features) == (H, H)]
    cell = {1: "rnn", 3: "gru", 4: "lstm"}.get(len(both) or len(inputs), "")
    if not cell:
        return None
    for pairs, block in ((both, "WU"), (inputs, "U"), (states, "W")):
        gates = gates_of_layers([name for name, _ in pairs], cell) if pairs else {}
        if gates is None:
            return None
        for name, layer in pairs:
            weights[f"{name}.weight"] = block_value(block, gates[name], joined)
            if layer.bias is not None:
                first = block != "W" or not any(p[1].bias is not None for p in inputs)
                weights[f"{name}.bias"] = bias_value(gates[name], first, cell)
    if both and not any('params["V"]' in value for value in weights.values()):
        weights |= joined_output(layers, joined)
    complete = both or (inputs and len(states) == len(inputs))
    return (cell, weights, bool(both), None, "") if complete else None


def joined_output(layers: list[tuple[str, Any]], joined: str) -> dict[str, str]:
    """Return the tensors of an output layer that reads input and state together, as in [x, h]."""
    K, H = PROBE["K"], PROBE["H"]
    zeros = "torch.zeros(K, K)"
    parts = ('params["V"]', zeros) if joined == "hx" else (zeros, 'params["V"]')
    for name, layer in layers:
        if (layer.in_features, layer.out_features) == (K + H, K):
            bias = {} if layer.bias is None else {f"{name}.bias": 'params["c"]'}
            return {f"{name}.weight": f"torch.hstack([{', '.join(parts)}])", **bias}
    return {}


def gates_of_layers(names: list[str], cell: str) -> dict[str, str] | None:
    """Return our gate for each layer by its name, "" for a plain cell; None if a name shows none."""
    if cell == "rnn":
        return dict.fromkeys(names, "")
    layout = next(iter(layouts_of([*names], cell)), None)
    if layout is not None and set(names) <= set(layout.parts):
        return {name: layout.parts[name].gate for name in names}
    found: dict[str, str] = {}
    for name in names:
        gate = gate_in_name(name.split(".")[-1], cell)
        if not gate or gate in found.values():
            return None
        found[name] = gate
    return found


def gate_in_name(name: str, cell: str) -> str:
    """Return our gate in the name of a layer, such as "f" for forget_gate or Wf; "" if there is none."""
    word = short(name)
    for gate, words in GATE_WORDS[cell].items():
        if any(one in word for one in words):
            return gate
    for start in ("w", "u", "x2", "h2", "lin", "linear", "gate", "fc", "wx", "wh", "i2", ""):
        rest = word.removeprefix(start)
        for gate in CELLS[cell].gates:
            if rest in (
                gate,
                f"{gate}gate",
                f"{gate}h",
                f"{gate}x",
                f"x{gate}",
                f"h{gate}",
                f"i{gate}",
            ):
                return gate
    return {"lstm": {"wc": "g", "c": "g", "wxc": "g", "whc": "g"}, "gru": {"wh": "n", "h": "n"}}[
        cell
    ].get(word, "")


def block_value(block: str, gate: str, joined: str) -> str:
    """Return the expression for a weight, in our shape, which is also that of nn.Linear."""
    if block != "WU":
        return f'{block}["{gate}"]' if gate else f'params["{block}"]'
    order = ("W", "U") if joined == "hx" else ("U", "W")
    return f"torch.hstack([{', '.join(block_value(one, gate, '') for one in order)}])"


def bias_value(gate: str, first: bool, cell: str) -> str:
    """Return the expression for a bias; the second one of a gate is zero, or d of a GRU."""
    own = f'b["{gate}"]' if gate else 'params["b"]'
    if first:
        return own
    return 'params["d"]' if cell == "gru" and gate == "n" else f"torch.zeros_like({own})"


def from_parameters(module: Any, joined: str) -> Found | None:
    """Return the tensors of a module of nn.Parameter, by their names; None if the names show nothing."""
    tensors = {name.split(".")[-1]: (name, p) for name, p in module.named_parameters()}
    weights = common_weights(module, PROBE["H"])
    for renamed in (False, True):
        usual = {usual_name(name, tensors) if renamed else name: name for name in tensors}
        for layout in layouts_of(usual, cell_by_rows(p for _, p in tensors.values())):
            shapes = {name: tuple(tensors[usual[name]][1].shape) for name in layout.parts}
            found = values_in_layout(layout, shapes, joined)
            if weights is not None and found is not None:
                weights |= {tensors[usual[name]][0]: value for name, value in found.items()}
                return layout.cell, weights, layout.is_joined, None, ""
    return None


def cell_by_rows(tensors: Iterable[Any]) -> str:
    """Return the cell whose gates share one tensor with these rows or columns; "" for a plain cell."""
    sizes = {size for tensor in tensors for size in tensor.shape}
    gated = {len(cell.blocks) * PROBE["H"]: cell.name for cell in CELLS.values() if cell.gates}
    return next((name for size, name in gated.items() if size in sizes), "")


def usual_name(name: str, names: Iterable[str]) -> str:
    """Return the name W_i for V_i, and W for U beside W, as some tutorials call the recurrent weight."""
    if name.startswith("V_") and f"U_{name[2:]}" in names:
        return f"W_{name[2:]}"
    if {"W", "U", "bias"} <= set(names):
        return {"W": "U", "U": "W"}.get(name, name)
    return name


def values_in_layout(
    layout: Layout, shapes: dict[str, tuple[int, ...]], joined: str
) -> dict[str, str] | None:
    """Return the expression for each tensor of a layout; None if the shapes do not fit."""
    transposed = any(
        shapes[name][0] != height(part, layout.cell)
        for name, part in layout.parts.items()
        if part.block in ("U", "V", "WU")
    )
    found = {}
    for name, part in layout.parts.items():
        value, shape = part_value(part, joined), shapes[name]
        ours = (height(part, layout.cell), *width(part))
        if len(shape) == 2 and 1 in shape:
            value += "[:, None]" if shape[1] == 1 else "[None]"
        elif len(shape) == 2 and transposed:
            value, ours = f"{value}.T", ours[::-1]
        if tuple(n for n in shape if n != 1) != ours:
            return None
        found[name] = value
    return found


def width(part: Part) -> tuple[int, ...]:
    """Return the number of columns of the array with these rows, in a module of `PROBE`; () for a vector."""
    K, H = PROBE["K"], PROBE["H"]
    return {"U": (K,), "W": (H,), "V": (H,), "WU": (H + K,)}.get(part.block, ())


def height(part: Part, cell: str) -> int:
    """Return the number of rows of the array with these rows, in our orientation, in a module of `PROBE`."""
    if part.block in ("V", "c"):
        return PROBE["K"]
    return PROBE["H"] * (1 if part.gate else len(CELLS[cell].blocks))


def part_value(part: Part, joined: str) -> str:
    """Return the expression for one array of the user."""
    if part.block == "zero":
        return "torch.zeros(H)"
    if part.block in ("U", "W", "WU"):
        return block_value(part.block, part.gate, joined)
    return f'{part.block}["{part.gate}"]' if part.gate else f'params["{part.block}"]'
