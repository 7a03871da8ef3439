"""Writes the wrapper for modules of nn.Linear, nn.RNNCell and similar layers, or of nn.Parameter.

A module is made with sizes that tell its layers apart. The wrapper puts our parameters in the place of
the module's with `torch.func.functional_call`, so that the gradients come back in our shapes.
"""

import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, joined_first
from charloom.diagnosis.forms.name_roles import is_state, role_of_argument, short, size_of
from charloom.diagnosis.forms.parameter_layout import Part, layouts_of
from charloom.diagnosis.forms.passing import SIZES

PROBE: Final = {"K": 7, "H": 4, "T": 6, "one": 1, "zero": 0.0}
CELL_LAYERS: Final = {"RNNCell": "rnn", "LSTMCell": "lstm", "GRUCell": "gru"}
# Words for a gate in the name of a layer.
GATE_WORDS: Final = {
    "lstm": {"f": ("forget",), "i": ("input", "update"), "g": ("cand", "cell", "modul"), "o": ("output",)},
    "gru": {"r": ("reset",), "z": ("update",), "n": ("cand", "new", "hidden")},
}  # fmt: skip
# The ways to pass a whole window, or one step, to a module; and the initial state.
WINDOWS: Final = (
    ("x[None]", "ids (1, T)"),
    ("E[x][None]", "one-hot (1, T, K)"),
    ("x", "ids (T,)"),
    ("E[x]", "one-hot (T, K)"),
    ("E[x][:, None]", "one-hot (T, 1, K)"),
    ("x[:, None]", "ids (T, 1)"),
)
STEPS: Final = (
    ("E[k][None]", "one-hot (1, K)"),
    ("E[k]", "one-hot (K,)"),
    ("k[None]", "an id (1,)"),
    ("k", "an id"),
    ("E[k][None, None]", "one-hot (1, 1, K)"),
    ("k[None, None]", "an id (1, 1)"),
)
STATES: Final = ("{h}[None]", "{h}", "{h}[None, None]")


@dataclass(frozen=True)
class ModulePlan:
    """A class of modules, and what its tensors hold.

    Attributes:
        owner: the class.
        cell: "rnn", "lstm" or "gru".
        weights: the expression for each of the module's tensors, by its name in the module.
        made: the arguments of the class, as expressions.
        joined: "hx" or "xh" for layers that read state and input together; "" for others.
        has_output: whether the module has the output layer.
    """

    owner: ClassFacts
    cell: str
    weights: dict[str, str]
    made: tuple[str, ...]
    joined: str = ""
    has_output: bool = True

    @property
    def has_embedding(self) -> bool:
        """Whether the module has an embedding, which the wrapper replaces by the identity."""
        return any(value == "E" for value in self.weights.values())


def module_plans(contents: Contents, net: Any) -> Iterator[ModulePlan]:
    """Yield the plans for the classes of modules in a loaded file."""
    if not contents.imports("torch"):
        return
    for owner in contents.classes.values():
        if any(base.split(".")[-1] == "Module" for base in owner.bases):
            made = arguments_of_class(owner)
            module = None if made is None else instance(net, owner, made)
            if module is not None and made is not None:
                yield from plans_of_module(owner, module, made)


def arguments_of_class(owner: ClassFacts) -> list[tuple[str, str]] | None:
    """Return the name and the size of each argument that a class needs; None if one is unknown."""
    start = owner.methods.get("__init__")
    found = []
    for name in () if start is None else start.arguments:
        size = size_of(name)
        assert start is not None
        if size and (size != "zero" or name in start.required):
            found.append((name if name not in start.required else "", size))
        elif name in start.required:
            return None
    return found


def instance(net: Any, owner: ClassFacts, made: list[tuple[str, str]]) -> Any:
    """Return a module with the sizes of `PROBE`; None if the class cannot be called with them."""
    plain = [PROBE[size] for name, size in made if not name]
    named = {name: PROBE[size] for name, size in made if name}
    try:
        return getattr(net, owner.name)(*plain, **named)
    except Exception:
        return None


def plans_of_module(
    owner: ClassFacts, module: Any, made: list[tuple[str, str]]
) -> Iterator[ModulePlan]:
    """Yield the plans for a module, one for each order of state and input in a joined layer."""
    given = tuple(f"{name}={SIZES[size]}" if name else SIZES[size] for name, size in made)
    for joined in ("hx", "xh"):
        found = (
            from_cell(module)
            or from_linear_layers(module, joined)
            or from_parameters(module, joined)
        )
        if found is None:
            return
        cell, weights, is_joined = found
        if is_joined and joined == "hx" and reads_input_first(owner):
            continue
        has_output = any('params["V"]' in value for value in weights.values())
        yield ModulePlan(owner, cell, weights, given, joined if is_joined else "", has_output)
        if not is_joined:
            return


def reads_input_first(owner: ClassFacts) -> bool:
    """Return True if the module joins the input and the state in this order."""
    return any(joined_first(method, is_state) == "xh" for method in owner.methods.values())


Found = tuple[str, dict[str, str], bool]


def layers_of(module: Any, kind: str) -> list[tuple[str, Any]]:
    """Return the name and the layer of each layer of a class of torch.nn, such as "Linear"."""
    return [(name, layer) for name, layer in module.named_modules() if type(layer).__name__ == kind]


def common_weights(module: Any) -> dict[str, str] | None:
    """Return the tensors of the output layer and of embeddings; None if an embedding is not (K, K)."""
    K, H = PROBE["K"], PROBE["H"]
    weights: dict[str, str] = {}
    for name, layer in layers_of(module, "Embedding"):
        if tuple(layer.weight.shape) != (K, K):
            return None
        weights[f"{name}.weight"] = "E"
    for name, layer in layers_of(module, "Linear"):
        if (layer.in_features, layer.out_features) == (H, K):
            weights[f"{name}.weight"] = 'params["V"]'
            if layer.bias is not None:
                weights[f"{name}.bias"] = 'params["c"]'
    return weights


def from_cell(module: Any) -> Found | None:
    """Return the tensors of a module with one nn.RNNCell, nn.LSTMCell or nn.GRUCell; None if it has none."""
    for kind, cell in CELL_LAYERS.items():
        layers = layers_of(module, kind)
        weights = common_weights(module)
        if len(layers) != 1 or weights is None:
            continue
        name, layer = layers[0]
        if layer.input_size != PROBE["K"]:
            continue
        weights |= {f"{name}.weight_ih": 'params["U"]', f"{name}.weight_hh": 'params["W"]'}
        if layer.bias:
            second = 'torch.zeros_like(params["b"])'
            if cell == "gru":
                second = 'torch.cat([torch.zeros_like(params["b"])[: 2 * H], params["d"]])'
            weights |= {f"{name}.bias_ih": 'params["b"]', f"{name}.bias_hh": second}
        return cell, weights, False
    return None


def from_linear_layers(module: Any, joined: str) -> Found | None:
    """Return the tensors of a module whose recurrence consists of nn.Linear; None if it does not."""
    K, H = int(PROBE["K"]), int(PROBE["H"])
    weights = common_weights(module)
    layers = layers_of(module, "Linear")
    if weights is None:
        return None
    both = [pair for pair in layers if pair[1].in_features == K + H and pair[1].out_features == H]
    inputs = [pair for pair in layers if (pair[1].in_features, pair[1].out_features) == (K, H)]
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
    complete = both or (inputs and len(states) == len(inputs))
    return (cell, weights, bool(both)) if complete else None


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
    tensors = dict(module.named_parameters())
    layout = next(iter(layouts_of(tensors, "")), None)
    weights = common_weights(module)
    if layout is None or weights is None:
        return None
    shapes = {name: tuple(tensors[name].shape) for name in layout.parts}
    transposed = any(
        shapes[name][0] != height(part, layout.cell)
        for name, part in layout.parts.items()
        if part.block in ("U", "V", "WU")
    )
    for name, part in layout.parts.items():
        value, shape = part_value(part, joined), shapes[name]
        if len(shape) == 2 and 1 in shape:
            value += "[:, None]" if shape[1] == 1 else "[None]"
        elif len(shape) == 2 and transposed:
            value += ".T"
        weights[name] = value
    return layout.cell, weights, layout.is_joined


def height(part: Part, cell: str) -> int:
    """Return the number of rows of the array with these rows, in our orientation, in a module of `PROBE`."""
    if part.block in ("V", "c"):
        return int(PROBE["K"])
    return int(PROBE["H"]) * (1 if part.gate else len(CELLS[cell].blocks))


def part_value(part: Part, joined: str) -> str:
    """Return the expression for one array of the user."""
    if part.block == "zero":
        return "torch.zeros(H, dtype=torch.float64)"
    if part.block in ("U", "W", "WU"):
        return block_value(part.block, part.gate, joined)
    return f'{part.block}["{part.gate}"]' if part.gate else f'params["{part.block}"]'


# The body of the wrapper.


def module_bodies(plan: ModulePlan, module_forward: Any) -> Iterator[tuple[list[str], str]]:
    """Yield the lines of `checked` for each way to call a module, and the way in words."""
    names = [
        name
        for name, p in inspect.signature(module_forward).parameters.items()
        if name != "self" and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    roles = ["x", *(role_of_argument(name) for name in names[1:])]
    takes_state = "h0" in roles or "c0" in roles
    for kind, state in itertools.product(("window", "step"), STATES if takes_state else ("",)):
        if kind == "step" and not takes_state:
            continue
        for value, words in WINDOWS if kind == "window" else STEPS:
            lines = head_lines(plan)
            lines += (
                window_lines(plan, roles, value, state)
                if kind == "window"
                else step_lines(plan, roles, value, state)
            )
            yield [*lines, *tail_lines()], f"x as {words}; weights as tensors"


def head_lines(plan: ModulePlan) -> list[str]:
    """Return the lines that make the module and the tensors."""
    cell = bool(CELLS[plan.cell].states[1:])
    states = "h0, c0" if cell else "h0"
    lines = ["h0, c0 = h0"] if cell else []
    lines += [
        'K, H, T = len(params["c"]), len(h0), len(x)',
        "params = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}",
        f"x, y, {states} = (torch.tensor(a) for a in (x, y, {states}))",
        "E = torch.eye(K, dtype=torch.float64)",
    ]
    if any('["' in v and "params" not in v for v in plan.weights.values()) or any(
        'W["' in v for v in plan.weights.values()
    ):
        gates = CELLS[plan.cell].blocks
        lines.append(
            f'U, W, b = (dict(zip("{gates}", torch.tensor_split(params[name], {len(gates)}))) for name in "UWb")'
        )
    lines.append(f"model = net.{plan.owner.name}({', '.join(plan.made)}).double()")
    return [*lines, "weights = {", *(f'    "{n}": {v},' for n, v in plan.weights.items()), "}"]


def states_value(roles: list[str], state: str, h: str, c: str, cell: bool) -> list[str]:
    """Return what to pass for the states: h and c as two arguments, or as a pair."""
    one, two = state.format(h=h), state.format(h=c)
    if not cell:
        return [one]
    return [one, two] if "c0" in roles else [f"({one}, {two})"]


def window_lines(plan: ModulePlan, roles: list[str], value: str, state: str) -> list[str]:
    """Return the lines that call a module once, on the whole window."""
    cell = bool(CELLS[plan.cell].states[1:])
    given = [value]
    if state:
        given += states_value(roles, state, "h0", "c0", cell)
    if "y" in roles:
        given.insert(roles.index("y"), value.replace("x", "y") if "E[" not in value else "y")
    lines = [
        f"found = torch.func.functional_call(model, weights, ({', '.join(given)},))",
        "out = found[0] if isinstance(found, tuple) else found",
    ]
    if not plan.has_output:
        lines.append('out = out.reshape(T, H) @ params["V"].T + params["c"]')
    if "y" in roles:
        return [
            *lines,
            "loss = next(t for t in (found if isinstance(found, tuple) else (found,)) if t.numel() == 1)",
        ]
    return [
        *lines,
        'loss = torch.nn.functional.cross_entropy(out.reshape(T, K), y, reduction="sum")',
    ]


def step_lines(plan: ModulePlan, roles: list[str], value: str, state: str) -> list[str]:
    """Return the lines that call a module for each step of the window."""
    cell = bool(CELLS[plan.cell].states[1:])
    first = ", ".join(state.format(h=h) for h in (("h0", "c0") if cell else ("h0",)))
    names = ("h, c" if "c0" in roles else "(h, c)") if cell else "h"
    target = names
    lines = [f"{'h, c' if cell else 'h'} = {first}", "loss = 0", "for k, target in zip(x, y):"]
    call = f"torch.func.functional_call(model, weights, ({value}, {names}))"
    if plan.has_output:
        lines.append(f"    out, {target} = {call}")
    else:
        lines += [
            f"    {'h, c' if cell else 'h'} = {call}",
            '    out = h @ params["V"].T + params["c"]',
        ]
    return [
        *lines,
        '    loss = loss + torch.nn.functional.cross_entropy(out.reshape(1, K), target[None], reduction="sum")',
    ]


def tail_lines() -> list[str]:
    """Return the lines that compute and return the gradients."""
    return [
        "loss.backward()",
        "return loss.item(), {",
        "    name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in params.items()",
        "}",
    ]
