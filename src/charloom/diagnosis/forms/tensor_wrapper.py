"""Writes the body of a wrapper for a plan whose parameters and gradients are tensors of PyTorch.

The user's tensors are made of ours by operations that PyTorch can differentiate. So the user's gradients
go back through these operations, and come out in our shapes, whatever the shapes of the user's are.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.autograd_forms import IN_TORCH, translated
from charloom.diagnosis.forms.parameter_layout import Part
from charloom.diagnosis.forms.passing import Passing, usual_ways
from charloom.diagnosis.forms.planned_calls import Argument, PlannedCall
from charloom.diagnosis.forms.planned_wrapper import (
    Body,
    argument_value,
    held_lines,
    instance_lines,
    parameters_name,
    split_lines,
    value_of,
    where,
)
from charloom.diagnosis.forms.tensor_plans import LEAVES, TensorPlan
from charloom.diagnosis.forms.wrapper_text import call_text

KEPT: Final = """
kept = {}  # your tensors of the last call


def leaf(name, value, old=None):
    \"\"\"Return your tensor with a new value: the old tensor, because lists and optimizers may hold it.\"\"\"
    old = kept.get(name) if old is None else old
    if not (torch.is_tensor(old) and old.is_leaf and old.requires_grad):
        old = value.detach().clone().requires_grad_()
    if old.shape != value.shape:
        old.grad = None
    old.data = value.detach().clone()
    kept[name] = old
    return old
"""

BACK: Final = '''
def in_our_shapes(params, given, gradients):
    """Return the gradients of `params` from those of your tensors, which `given` has as they were made."""
    for name, gradient in gradients.items():
        if gradient is not None and given[name].requires_grad:
            gradient = torch.as_tensor(gradient, dtype=torch.float64).detach()
            if gradient.squeeze().shape == given[name].squeeze().shape:  # a row or a column for a vector
                gradient = gradient.reshape(given[name].shape)
            given[name].backward(gradient, retain_graph=True)
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in params.items()}
'''

NOTED: Final = '''
if not hasattr(torch.Tensor.backward, "losses"):
    original = torch.Tensor.backward

    def backward(self, *args, **kwargs):
        """Note the loss that your code differentiates, because it may return another number, such as a mean."""
        backward.losses.append(float(self.detach().sum()))
        return original(self, *args, **kwargs)

    backward.losses = []
    torch.Tensor.backward = backward
'''

LOSS: Final = '''
def loss_of(outputs, y):
    """Return the loss of the outputs of all steps: probabilities, their logarithms, or logits."""
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    outputs = outputs if torch.is_tensor(outputs) else torch.stack(list(outputs))
    outputs = outputs.detach().reshape(len(y), -1)
    if torch.allclose(outputs.sum(1), torch.ones(len(y))) and (outputs >= 0).all():
        outputs = outputs.log()
    return torch.nn.functional.cross_entropy(outputs, y, reduction="sum")
'''

OUTPUT: Final = '''
def output_layer(hs, y, V, c):
    """Return the loss of softmax(V h + c), and the gradients of hs (T, H), V and c."""
    o = hs @ V.T + c
    p = torch.softmax(o, dim=1)
    loss = torch.nn.functional.cross_entropy(o, y, reduction="sum")
    p[torch.arange(len(y)), y] -= 1
    return loss, p @ V, p.T @ hs, p.sum(dim=0)
'''

ORDER: Final = '''
def rows(array):
    """Return the rows of the gates in your order."""
    blocks = dict(zip("{ours}", torch.tensor_split(array, {count})))
    return torch.cat([blocks[gate] for gate in "{yours}"])
'''

# How tensors of all steps become (T, H), and back.
STATES: Final = {
    "NTK": ("{h}[0]", "{dh}[None]"),
    "NT": ("{h}[0]", "{dh}[None]"),
    "TNK": ("stacked({h})[:, 0]", "{dh}[:, None]"),
    "KT": ("{h}.T", "{dh}.T"),
    "KNT": ("{h}[:, 0].T", "{dh}.T[:, None]"),
    "TK1": ("stacked({h})[:, :, 0]", "{dh}[:, :, None]"),
    "columns": ("stacked({h})[:, :, 0]", "{dh}[:, :, None]"),
}
STACKED: Final = '''
def stacked(states):
    """Return the states of all steps as one tensor."""
    return states if torch.is_tensor(states) else torch.stack(list(states))
'''

# Ways that are usual for tensors besides those for arrays: x, y, biases and states.
MORE: Final = (
    ("TNK", "TN", "flat", "row"),
    ("TN", "TN", "flat", "row"),
    ("NTK", "ids", "flat", "row"),
    ("NT", "ids", "flat", "row"),
    ("NT", "NT", "flat", "box"),
    ("NTK", "NT", "flat", "box"),
    ("TN", "TN", "flat", "box"),
    ("TNK", "ids", "flat", "box"),
    ("TNK", "TN", "flat", "box"),
    ("vectors", "ids", "flat", "flat"),
    ("columns", "ids", "column", "column"),
    ("TK1", "ids", "column", "column"),
    ("KT", "ids", "column", "column"),
    ("ids", "ids", "column", "column"),
    ("ids", "ids", "row", "row"),
    ("ids", "ids", "flat", "row"),
    ("TK", "ids", "flat", "row"),
    ("TNK", "TN", "row", "row"),
    ("TN", "TN", "row", "row"),
)


def tensor_ways(plan: TensorPlan, order: str) -> Iterator[Passing]:
    """Yield the ways to pass tensors, the likeliest first. `order` is that of h and x in joined matrices."""
    first = Passing("ids", "ids", "flat", "flat", joined=order, transposed=True)
    yield from usual_ways(first, plan.holder.layout.is_joined, MORE, lists=False)


def tensor_body(plan: TensorPlan, way: Passing) -> Body:
    """Return the lines of `checked` for a plan on tensors, if they are passed in this way."""
    cell = bool(CELLS[plan.holder.layout.cell].states[1:])
    states = "h0, c0" if cell else "h0"
    lines = ["h0, c0 = h0"] if cell else []
    lines += [
        'K, H, T = len(params["c"]), len(h0), len(x)',
        "params = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}",
        f"x, y, {states} = (torch.tensor(a) for a in (x, y, {states}))",
        *split_lines(plan),
        *given_lines(plan, way),
        *holder_lines(plan, way),
    ]
    lines += ["torch.Tensor.backward.losses.clear()"] if plan.derives else []
    for call in plan.calls:
        lines += upstream_lines(plan, way) if call.has("upstream") else []
        lines += call_lines(plan, call, way)
    lines += return_lines(plan)
    lines = translated(lines, IN_TORCH)
    text = "\n".join(lines)
    helpers = {
        "leaf(": KEPT,
        ".losses": NOTED,
        "kept[": "kept = {}  # instances of your class by their sizes",
        "in_our_shapes(": BACK,
        "loss_of(": LOSS,
        "output_layer(": OUTPUT,
        "stacked(": STACKED,
    }
    found = [helper for name, helper in helpers.items() if name in text]
    if "rows(" in text:
        found.append(order_of_rows(plan.holder.layout.cell, way.gates))
    return Body(lines, found)


def order_of_rows(cell: str, order: str) -> str:
    """Return the helper `rows` for tensors, for gates in another order."""
    ours = CELLS[cell].blocks
    return ORDER.format(ours=ours, yours=order, count=len(ours))


def given_lines(plan: TensorPlan, way: Passing) -> list[str]:
    """Return the lines that make the user's tensors of ours."""
    parts = plan.holder.layout.parts
    if plan.holder.kind == "flat":
        values = (value_of(parts[name], way) for name in plan.holder.order)
        return [
            "given = {",
            f'    "{plan.holder.base}": torch.cat(',
            f"        [one.reshape(-1) for one in ({', '.join(values)})]",
            "    ),",
            "}",
        ]
    return [
        "given = {",
        *(f'    "{name}": {tensor_of(plan, part, way)},' for name, part in parts.items()),
        "}",
    ]


def tensor_of(plan: TensorPlan, part: Part, way: Passing) -> str:
    """Return the expression for the tensor that holds `part`, with an axis for the gates if the user has one."""
    if not plan.folded or part.block not in ("U", "W", "b"):
        return value_of(part, way)
    gates = len(CELLS[plan.holder.layout.cell].blocks)
    value = value_of(part, replace(way, transposed=False, bias="flat"))
    if part.block == "b":
        return f"{value}.reshape({gates}, H)"
    turned = ".transpose(1, 2)" if way.transposed else ""
    return f"{value}.reshape({gates}, H, -1){turned}"


def holder_lines(plan: TensorPlan, way: Passing) -> list[str]:
    """Return the lines that put the tensors where the user's functions read them."""
    holder = plan.holder
    made = "yours = {name: value.detach().clone() for name, value in given.items()}"
    lines = []
    if plan.owner is not None:
        lines += [*plan.globals_set, *made_lines(plan, way)]
    if holder.kind == "instance" and plan.owner is not None:
        lines += instance_values(plan)
        return lines
    if plan.leaves_gradients:
        old = {
            "globals": ", getattr(net, name, None)",
            "global dict": f", net.{holder.base}.get(name)",
            "instance dict": f", model.{holder.base}.get(name)",
            "global object": f", getattr(net.{holder.base}, name, None)",
        }.get(holder.kind, "")
        made = f"yours = {{name: leaf(name, value{old}) for name, value in given.items()}}"
    lines.append(made)
    if plan.cleared and plan.leaves_gradients:
        lines += [
            "for one in yours.values():",
            "    one.grad = None  # as your own code does before a call",
        ]
    if holder.kind == "flat":
        return [*lines, f'{parameters_name(plan)} = yours["{holder.base}"]', *plan.globals_set]
    values = {name: f'yours["{name}"]' for name in holder.layout.parts}
    lines += held_lines(plan, values)
    if plan.owner is None:
        lines += plan.globals_set
        lines += [
            f"net.{name} = {way.vector(role, way.state)}" for role, name in plan.states_set.items()
        ]
    return lines


def instance_values(plan: TensorPlan) -> list[str]:
    """Return the lines that give the tensors of an instance our values, so that they stay the same tensors."""
    cleared = [
        "    if yours[name].grad is not None:",
        "        yours[name].grad = torch.zeros_like(value)  # as your own code does before a call",
    ]
    return [
        "yours = {name: getattr(model, name) for name in given}",
        "for name, value in given.items():",
        "    yours[name].data = value.detach().clone()",
        *(cleared if plan.cleared and plan.leaves_gradients else []),
    ]


def made_lines(plan: TensorPlan, way: Passing) -> list[str]:
    """Return the lines that make an instance of the user's class.

    An instance whose tensors keep the gradients is made once, because they may add up over calls.
    """
    lines = instance_lines(plan, way)
    if not plan.leaves_gradients or plan.holder.kind != "instance":
        return lines
    end = next(n for n, line in enumerate(lines) if line.endswith(")"))
    making = [f"    {line}" for line in lines[: end + 1]]
    return [
        "if (K, H) not in kept:",
        *making,
        "    kept[K, H] = model",
        "model = kept[K, H]",
        *lines[end + 1 :],
    ]


def call_lines(plan: TensorPlan, call: PlannedCall, way: Passing) -> list[str]:
    """Return the lines of one call of a user's function."""
    owner = "model" if plan.owner is not None else "net"
    given = []
    for a in call.arguments:
        value = tensor_value(plan, call, a, way)
        if call.listed and a.kind in ("x", "y"):
            value = f"[{value}]"
        given.append(f"{a.name}={value}" if a.by_name else value)
    results = ", ".join(call.results)
    head = f"{results} = " if results else ""
    if call.fields and len(call.results) > 1:
        return [
            *call_text(f"found = {owner}.{call.facts.name}", given),
            f"{head}vars(found).values()",
        ]
    return call_text(f"{head}{owner}.{call.facts.name}", given)


def tensor_value(plan: TensorPlan, call: PlannedCall, argument: Argument, way: Passing) -> str:
    """Return the expression for an argument; a state that the function unpacks is a tuple of states."""
    if argument.kind == "parameter":
        return f'yours["{argument.value}"]'
    if argument.kind == "h0" and plan.takes_pair(call):
        return f"({', '.join(way.vector(name, way.state) for name in ('h0', 'c0'))})"
    return argument_value(plan, argument, way)


def upstream_lines(plan: TensorPlan, way: Passing) -> list[str]:
    """Return the lines that compute the loss and the gradient of the states that the backward pass gets."""
    into, back = STATES.get(way.ids, ("stacked({h})", "{dh}"))
    return [
        f"hs = {into.format(h=plan.states)}.detach()  # the states (T, H)",
        'loss, dhs, dV, dc = output_layer(hs, y, params["V"].detach(), params["c"].detach())',
        f"dh = {back.format(dh='dhs')}",
    ]


def return_lines(plan: TensorPlan) -> list[str]:
    """Return the lines that bring the gradients into our shapes and return them."""
    if plan.source.kind == LEAVES:
        lines = ["gradients = {name: one.grad for name, one in yours.items()}"]
    elif plan.holder.kind == "flat":
        base = plan.source.base
        place = plan.gradient_call.facts.returned.index(base)
        lines = [f'gradients = {{"{plan.holder.base}": {plan.gradient_call.results[place]}}}']
    else:
        items = (f'    "{name}": {where(plan, key)},' for name, key in plan.gradients.items())
        lines = ["gradients = {", *items, "}"]
    lines.append("gradients = in_our_shapes(params, given, gradients)")
    if plan.has("upstream"):
        lines.append('gradients |= {"V": dV, "c": dc}')
    if plan.loss == "outputs":
        return [*lines, f"return loss_of({plan.outputs}, y), gradients"]
    loss = "loss" if plan.loss == "ours" else plan.loss
    if plan.derives:
        differentiated = "loss_ = sum(torch.Tensor.backward.losses)"
        return [differentiated, *lines, f"return loss_ or {loss or None}, gradients"]
    return [*lines, f"return {loss}, gradients" if loss else "return gradients"]
