"""Writes the body of a wrapper for a plan and a way to pass the arrays."""

import re
from typing import Final, NamedTuple

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.autograd_forms import AutogradPlan, autograd_body_of
from charloom.diagnosis.forms.container_plans import ContainerPlan, states_in
from charloom.diagnosis.forms.file_contents import name_of
from charloom.diagnosis.forms.instance_facts import constructor_arguments
from charloom.diagnosis.forms.name_roles import TRUNCATION, role_of_argument, short
from charloom.diagnosis.forms.nested_parameters import NestedHolder, NestedSource
from charloom.diagnosis.forms.nested_text import container_name, nested_gradient, nested_lines
from charloom.diagnosis.forms.parameter_layout import Part
from charloom.diagnosis.forms.passing import SIZES, STATES, Passing
from charloom.diagnosis.forms.planned_calls import RESERVED, Argument, Plan, PlannedCall
from charloom.diagnosis.forms.step_functions import StepPlan, loop_lines
from charloom.diagnosis.forms.wrapper_text import (
    BLANK,
    BOTH,
    FIXED,
    OUTPUT,
    call_text,
    order_helper,
)

MATRICES: Final = ("U", "W", "V")


# Variables of a wrapper, which the user's parameters must not replace.
TAKEN: Final = (*RESERVED, "T", "given", "yours", "kept", "leaf")


class Body(NamedTuple):
    """The lines of `checked`, and the definitions that they need."""

    lines: list[str]
    helpers: list[str]


def body_of(plan: Plan, way: Passing) -> Body:
    """Return the lines of `checked` for a plan, if the arrays are passed in this way."""
    if isinstance(plan, AutogradPlan):
        return autograd_body(plan, way)
    lines = [*lines_of_calls(plan, way), *gradient_lines(plan, way)]
    helpers = []
    text = "\n".join(lines)
    if "rows(" in text:
        helpers.append(order_helper(plan.holder.layout.cell, way.gates))
    if "output_layer(" in text:
        helpers.append(OUTPUT)
    if "both(" in text:
        helpers.append(BOTH)
    if "fixed(" in text:
        helpers.append(FIXED)
    return Body(without_unused_sizes(lines), helpers)


def lines_of_calls(plan: Plan, way: Passing) -> list[str]:
    """Return the lines of `checked` up to the last call of a user's function."""
    layout = plan.holder.layout
    lines: list[str] = []
    if CELLS[layout.cell].states[1:]:
        lines.append("h0, c0 = h0")
    lines.append('K, H = len(params["c"]), len(h0)')
    lines += split_lines(plan)
    if plan.owner is not None:
        lines += [*plan.globals_set, *instance_lines(plan, way)]
    lines += parameter_lines(plan, way)
    if plan.owner is None:
        lines += plan.globals_set
        lines += [
            f"net.{name} = {way.converted(way.vector(role, way.state))}"
            for role, name in plan.states_set.items()
        ]
    if isinstance(plan, StepPlan):
        lines += loop_lines(plan, step_arguments(plan, way), way)
    for call in () if isinstance(plan, StepPlan) else plan.calls:
        if call.has("upstream"):
            lines += upstream_lines(plan, way)
        lines += call_lines(plan, call, way)
    return lines


def split_lines(plan: Plan) -> list[str]:
    """Return the line that splits the parameters into the rows of the gates, if each gate has its own."""
    layout = plan.holder.layout
    gates = CELLS[layout.cell].blocks
    split = f'dict(zip("{gates}", np.split(params[name], {len(gates)})))'
    return [f'U, W, b = ({split} for name in "UWb")'] if layout.has_gates else []


def autograd_body(plan: AutogradPlan, way: Passing) -> Body:
    """Return the lines of `checked` for a function whose gradients come from a library."""
    (call,) = plan.calls
    given = [
        f"{a.name}={differentiable_value(plan, a, way)}"
        if a.by_name and (plan.owner is None or plan.method)
        else differentiable_value(plan, a, way)
        for a in call.arguments
    ]
    results = ", ".join(name if name != "_" else "found" for name in call.results) or "found"
    instance = [*plan.globals_set, *instance_lines(plan, way)] if plan.method else []
    inner = [*split_lines(plan), *instance, *parameter_lines(plan, way)]
    inner += [] if plan.method else plan.globals_set
    return Body(*autograd_body_of(plan, inner, call_text(f"{results} = {plan.callee}", given)))


def differentiable_value(plan: AutogradPlan, argument: Argument, way: Passing) -> str:
    """Return the expression for an argument; a state that the function unpacks is a tuple of states."""
    unpacked = plan.calls[0].facts.unpacked_from(argument.name)
    if argument.kind not in ("h0", "c0") or not unpacked:
        return argument_value(plan, argument, way)
    states = ("h0", "c0")[: len(unpacked)]
    return f"({', '.join(way.converted(way.vector(name, way.state)) for name in states)},)"


def words(text: str) -> set[str]:
    """Return the names in a piece of source."""
    return set(re.findall(r"\w+", text))


def without_unused_sizes(lines: list[str]) -> list[str]:
    """Return the lines without a size K or H that no other line uses."""
    first = next(i for i, line in enumerate(lines) if line.startswith("K, H = "))
    used = words("\n".join(lines[first + 1 :]))
    sizes = {"K": 'len(params["c"])', "H": "len(h0)"}
    left = [name for name in sizes if name in used]
    line = [f"{', '.join(left)} = {', '.join(sizes[n] for n in left)}"] if left else []
    return [*lines[:first], *line, *lines[first + 1 :]]


# Parameters.


def value_of(part: Part, way: Passing) -> str:
    """Return the expression for the array that holds `part`."""
    if part.block in ("b", "c", "d", "zero", "peephole"):
        return way.converted(way.vector(bias_value(part, way), way.bias))
    return way.converted(matrix_value(part, way, way.transposed))


def bias_value(part: Part, way: Passing) -> str:
    """Return the expression for a bias, of shape (n,)."""
    if part.block == "zero":
        return "np.zeros(H)"
    if part.block == "peephole":
        return "np.linspace(-0.5, 0.5, H)"
    return plain_value(part, way)


def plain_value(part: Part, way: Passing) -> str:
    """Return the expression for the rows of one block, in our shape."""
    if part.gate:
        return f'{part.block}["{holds(part.gate, way)}"]'
    array = f'params["{part.block}"]'
    return f"rows({array})" if way.gates and part.block in ("U", "W", "b") else array


def holds(gate: str, way: Passing) -> str:
    """Return the gate that the user's arrays of `gate` hold by their names, in the order of this way."""
    ours = {len(cell.blocks): cell.blocks for cell in CELLS.values()}.get(len(way.gates), "")
    return way.gates[ours.index(gate)] if ours else gate


def parameter_lines(plan: Plan, way: Passing) -> list[str]:
    """Return the lines that put the parameters where the user's functions read them."""
    if isinstance(plan, ContainerPlan):
        return container_lines(plan, way)
    return held_lines(
        plan, {n: value_of(part, way) for n, part in plan.holder.layout.parts.items()}
    )


def held_lines(plan: Plan, values: dict[str, str]) -> list[str]:
    """Return the lines that put the values of the parameters, given as expressions, in their places."""
    holder = plan.holder
    if holder.kind == "arguments":
        return []
    if isinstance(holder, NestedHolder):
        return nested_lines(holder, values)
    if holder.kind == "dict":
        return dict_lines(f"{parameters_name(plan)} = {{", values)
    if holder.kind == "global dict":
        return dict_lines(f"net.{holder.base} = {{", values)
    if holder.kind == "instance dict":
        return [f'model.{holder.base}["{name}"] = {value}' for name, value in values.items()]
    if holder.kind == "object" and holder.made_by:
        name, given = parameters_name(plan), [f"{n}={v}" for n, v in values.items()]
        if holder.is_record:
            return call_text(f"{name} = net.{holder.made_by}", given)
        if holder.makes is not None:
            return [
                *call_text(f"{name} = net.{holder.made_by}", holder.makes),
                *call_text(f"vars({name}).update", given),
            ]
        return [
            f"{name} = object.__new__(net.{holder.made_by})",
            *call_text(f"vars({name}).update", given),
        ]
    if holder.kind == "object":
        values |= holder.sizes
        return [
            f"{parameters_name(plan)} = types.SimpleNamespace(",
            *(f"    {name}={value}," for name, value in values.items()),
            ")",
        ]
    if holder.kind == "tuple":
        given = [values.get(name, f"{BLANK}{name}") for name in holder.order]
        return [f"{parameters_name(plan)} = (", *(f"    {value}," for value in given), ")"]
    if holder.kind == "constructor":
        return []
    if holder.kind == "global fields":
        field = holder.field
        lines = [f"net.{holder.base}.{name}.{field} = {value}" for name, value in values.items()]
        if plan.source.kind == "fields":
            objects = ", ".join(f"net.{holder.base}.{name}" for name in values)
            place = plan.source.field
            lines += (
                [
                    f"for one in ({objects},):",
                    f"    one.{place} = np.zeros_like(one.{field})  # as your own code does before each call",
                ]
                if plan.zeroed
                else [
                    f"for one in ({objects},):",
                    f"    if np.shape(one.{place}) != np.shape(one.{field}):  # for other sizes",
                    f"        one.{place} = np.zeros_like(one.{field})",
                ]
            )
        return lines
    base = {"globals": "net", "global object": f"net.{holder.base}", "instance": "model"}[
        holder.kind
    ]
    lists = plan.owner.lists if plan.owner is not None else ()
    return [
        f"{base}.{name} = {f'[{value}]' if name in lists else value}"
        for name, value in values.items()
    ]


def container_lines(plan: ContainerPlan, way: Passing) -> list[str]:
    """Return the lines that let the user's code make its container, and put the parameters into it."""
    made, parts = plan.container, plan.holder.layout.parts
    assert made is not None
    base = "model" if plan.owner is not None else parameters_name(plan)
    lines = [] if plan.owner is not None else call_text(f"{base} = net.{made.name}", made.arguments)
    shapes = {leaf.path: leaf.shape for leaf in made.leaves}
    for path, part in parts.items():
        if len(shapes[path]) == 1 or 1 in shapes[path]:
            value = way.vector(bias_value(part, way), shape_word(shapes[path]))
        else:
            value = matrix_value(part, way, is_turned(plan, path, way))
        lines.append(f"{base}{path}[...] = {value}")
    return lines


def shape_word(shape: tuple[int, ...]) -> str:
    """Return "flat", "row" or "column" for the shape of a vector."""
    return "flat" if len(shape) == 1 else "row" if shape[0] == 1 else "column"


def is_turned(plan: ContainerPlan, path: str, way: Passing) -> bool:
    """Return True if a matrix is transposed: by its shape, or by the way if the matrix is square."""
    assert plan.container is not None
    shape = next(leaf.shape for leaf in plan.container.leaves if leaf.path == path)
    return way.transposed if shape[0] == shape[-1] else path in plan.turned


def matrix_value(part: Part, way: Passing, transposed: bool) -> str:
    """Return the expression for a matrix, transposed or not."""
    if part.block == "WU":
        names = ("W", "U") if way.joined == "hx" else ("U", "W")
        arrays = [plain_value(Part(name, part.gate), way) for name in names]
        array = f"np.hstack([{', '.join(arrays)}])"
    else:
        array = plain_value(part, way)
    return f"{array}.T" if transposed else array


def dict_lines(head: str, values: dict[str, str]) -> list[str]:
    """Return the lines of a dict that is assigned."""
    return [head, *(f'    "{name}": {value},' for name, value in values.items()), "}"]


def parameters_name(plan: Plan) -> str:
    """Return the variable that holds all parameters; not "params", which `checked` has already."""
    return plan.holder.base if plan.holder.base not in TAKEN else "parameters"


def instance_lines(plan: Plan, way: Passing) -> list[str]:
    """Return the lines that make an instance of the user's class and set its initial states."""
    owner = plan.owner
    assert owner is not None
    start = owner.methods.get("__init__")
    taken = plan.holder.layout.parts if plan.holder.kind == "constructor" else {}
    values = {name: value_of(part, way) for name, part in taken.items()}
    given = [] if start is None else list(constructor_arguments(start, values))
    if isinstance(plan, ContainerPlan) and plan.container is not None:
        given = list(plan.container.arguments)
    lines = call_text(f"model = net.{owner.name}", given)
    attributes = owner.stored_attributes()
    for name in attributes:
        if short(name) in TRUNCATION:
            lines.append(f"model.{name} = len(x)  # no truncation within the window")
    states = {"h0": "h0", "c0": "c0"} if CELLS[plan.holder.layout.cell].states[1:] else {"h0": "h0"}
    for role, value in states.items():
        if isinstance(plan, ContainerPlan) and plan.container is not None:
            kept = states_in(plan.container, role, plan.holder.layout)
            if kept and not plan.has(role):
                array = way.vector(value, shape_word(kept[0].shape))
                lines.append(f"model{kept[0].path}[...] = {array}")
            if kept:
                continue
        name = next(
            (
                n
                for n in attributes
                if role_of_argument(n) == role and n not in plan.holder.layout.parts and n != "H"
            ),
            "",
        )
        if name and not plan.has(role):
            lines.append(f"model.{name} = {way.converted(way.vector(value, way.state))}")
    return lines


# Calls.


def call_lines(plan: Plan, call: PlannedCall, way: Passing) -> list[str]:
    """Return the lines of one call of a user's function."""
    owner = "model" if plan.owner is not None else "net"
    given = []
    for a in call.arguments:
        value = argument_value(plan, a, way)
        if call.listed and a.kind in ("x", "y"):
            value = f"[{value}]"
        given.append(f"{a.name}={value}" if a.by_name else value)
    results = ", ".join(call.results)
    head = f"{results} = " if call.results else ""
    if call.fields and len(call.results) > 1:
        return [
            *call_text(f"found = {owner}.{call.facts.name}", given),
            f"{head}vars(found).values()",
        ]
    return call_text(f"{head}{owner}.{call.facts.name}", given)


def step_arguments(plan: StepPlan, way: Passing) -> tuple[list[str], list[str]]:
    """Return the arguments of the forward and of the backward function of a step, as expressions."""
    states = {"x": "STEP", "h0": "h", "c0": "c", "zero state": "dc_next"}
    states["upstream"] = f"{way.vector('dhs[t]', way.state)} + dh_next"
    first, last = (
        [states.get(a.kind) or argument_value(plan, a, way) for a in call.arguments]
        for call in plan.calls
    )
    return first, last


def argument_value(plan: Plan, argument: Argument, way: Passing) -> str:
    """Return the expression for one argument."""
    kind = argument.kind
    if kind == "parameter":
        return value_of(plan.holder.layout.parts[argument.value], way)
    if kind == "params":
        return parameters_name(plan)
    if kind == "variable":
        return argument.value
    if kind in ("container", "all of", "names of"):
        stars = {"container": "", "all of": "*", "names of": "**"}[kind]
        return f"{stars}{container_name(argument.value)}"
    if kind == "upstream":
        return "dh"
    if kind == "x" and way.ids in ("ids", "list") and not (plan.has("y") or plan.has("upstream")):
        return "np.append(x, y[-1])"  # a window of T + 1 ids, which has the targets too
    if kind == "x":
        return way.sequence("x", way.ids)
    if kind == "y":
        return way.sequence("y", way.targets)
    if kind == "both":
        return f"({way.sequence('x', way.ids)}, {way.sequence('y', way.targets)})"
    if kind == "pairs":
        return f"list(zip({way.sequence('x', way.ids)}, {way.sequence('y', way.targets)}))"
    if kind == "h0" and takes_both_states(plan, argument):
        return f"({way.vector('h0', way.state)}, {way.vector('c0', way.state)})"
    if kind in ("h0", "c0"):
        return way.converted(way.vector(kind, way.state))
    if kind == "zero state":
        return way.vector("np.zeros(H)", way.state)
    if kind == "mapping":
        return "dict(zip(range(K), range(K)))"
    if kind in SIZES:
        return SIZES[kind]
    return f"{BLANK}{argument.name}"


def takes_both_states(plan: Plan, argument: Argument) -> bool:
    """Return True if an argument takes both states of an LSTM as a tuple: the function unpacks it."""
    if not CELLS[plan.holder.layout.cell].states[1:] or plan.has("c0"):
        return False
    return any(len(call.facts.unpacked_from(argument.name)) > 1 for call in plan.calls)


def upstream_lines(plan: Plan, way: Passing) -> list[str]:
    """Return the lines that compute the loss and the gradient of the states that the backward pass gets."""
    into, back = STATES.get(way.ids, STATES["TK"])
    if plan.loss == "outputs":
        return [
            f"p = {into.format(h=plan.outputs)}  # the probabilities (T, K)",
            "loss = -np.log(p[np.arange(len(y)), y]).sum()",
            "do = p - np.eye(K)[y]",
            f"hs = {into.format(h=plan.states)}  # (T, H)",
            "dV, dc = do.T @ hs, do.sum(axis=0)",
            f"dh = {back.format(dh='(do @ params[' + chr(34) + 'V' + chr(34) + '])')}",
        ]
    if plan.temporal:
        return [
            f'o, output_cache = net.temporal_affine_forward({plan.states}, params["V"].T, params["c"])',
            "loss, do = net.temporal_softmax_loss(o, y[None], np.ones((1, len(y)), dtype=bool))",
            "dh, dV, dc = net.temporal_affine_backward(do, output_cache)",
            "dV = dV.T",
        ]
    return [
        f"hs = {into.format(h=plan.states)}  # the states (T, H)",
        'loss, dhs, dV, dc = output_layer(hs, y, params["V"], params["c"])',
        f"dh = {back.format(dh='dhs')}",
    ]


# Gradients.


def gradient_lines(plan: Plan, way: Passing) -> list[str]:
    """Return the lines that collect the gradients in our shapes and return them."""
    layout = plan.holder.layout
    lines: list[str] = []
    rows: dict[str, str] = {}
    if layout.has_gates:
        lines += gate_lines(plan, way, rows)
    for block in ("WU", "U", "W", "b", "d", "V", "c"):
        name = layout.name_of(block)
        if not name or name not in plan.gradients:
            continue
        expression = gradient_value(plan, name, way)
        if block == "WU":
            lines.append(f"dWU = {expression}")
            rows |= joined_rows("dWU", way)
        else:
            rows[block] = expression
    rows |= output_rows(plan, rows)
    for block in CELLS[layout.cell].shapes(1, 1) | {"V": (), "c": ()}:
        if block not in rows and block not in layout.blocks:
            rows[block] = f'np.zeros_like(params["{block}"])'
    lines += loss_lines(plan)
    order = [block for block in ("U", "W", "b", "d", "V", "c") if block in rows]
    head = f"return {plan.loss if plan.loss not in ('ours', 'outputs') else 'loss'}, {{"
    if not plan.loss:
        head = "return {"
    one = head + ", ".join(f'"{block}": {rows[block]}' for block in order) + "}"
    if len(one) <= 90:
        return [*lines, one]
    return [*lines, head, *(f'    "{block}": {rows[block]},' for block in order), "}"]


def loss_lines(plan: Plan) -> list[str]:
    """Return the line that computes the loss from the outputs, if the user's code does not return it."""
    if plan.loss != "outputs" or plan.has("upstream"):
        return []
    return [
        f"p = {plan.outputs}  # the probabilities of each step",
        "loss = -sum(np.log(np.ravel(p[t])[k]) for t, k in enumerate(y))",
    ]


def output_rows(plan: Plan, rows: dict[str, str]) -> dict[str, str]:
    """Return the gradients of the output layer, if the wrapper computes them."""
    if not plan.has("upstream"):
        return {}
    return {block: name for block, name in (("V", "dV"), ("c", "dc")) if block not in rows}


def gate_lines(plan: Plan, way: Passing, rows: dict[str, str]) -> list[str]:
    """Return the lines that put the gradients of the gates one below another; add them to `rows`."""
    layout, ours = plan.holder.layout, CELLS[plan.holder.layout.cell].blocks
    gates = [next(g for g in ours if holds(g, way) == gate) for gate in ours]
    lines = []
    for block in ("WU", "U", "W", "b"):
        names = [layout.name_of(block, gate) for gate in gates]
        if any(name and name not in plan.gradients for name in names) or not any(names):
            continue
        values = [gradient_value(plan, name, way) if name else "" for name in names]
        known = next(value for value in values if value)
        # Coupled gates have no array of the input gate.
        values = [value or f"np.zeros_like({known})" for value in values]
        if block == "b":
            values = [
                with_second(plan, value, gate, way)
                for value, gate in zip(values, gates, strict=True)
            ]
        axis = ", axis=1" if block == "b" and way.bias == "row" else ""
        if block == "b" and isinstance(plan, ContainerPlan):
            values, axis = [f"np.ravel({value})" for value in values], ""
        expression = f"np.concatenate([{', '.join(values)}]{axis})"
        if block == "WU":
            lines.append(f"dWU = {expression}")
            rows |= joined_rows("dWU", way)
        else:
            lines.append(f"d{block} = {expression}")
            rows[block] = f"d{block}"
    return lines


def with_second(plan: Plan, value: str, gate: str, way: Passing) -> str:
    """Return the expression for the gradient of a gate's bias, which must be that of its second bias too."""
    second = plan.holder.layout.name_of("zero", gate)
    if not second or second not in plan.gradients:
        return value
    return f"both({value}, {gradient_value(plan, second, way)})"


def joined_rows(name: str, way: Passing) -> dict[str, str]:
    """Return the gradients of U and W in that of a joined matrix."""
    if way.joined == "hx":
        return {"U": f"{name}[:, H:]", "W": f"{name}[:, :H]"}
    return {"U": f"{name}[:, :K]", "W": f"{name}[:, K:]"}


def gradient_value(plan: Plan, name: str, way: Passing) -> str:
    """Return the expression for the gradient of the user's array `name`, in our shape."""
    part = plan.holder.layout.parts[name]
    expression = where(plan, plan.gradients[name])
    if plan.owner is not None and name in plan.owner.lists:
        expression += "[0]"  # the gradients of the only layer
    if way.numbers == "lists":
        expression = f"np.array({expression})"
    turned = is_turned(plan, name, way) if isinstance(plan, ContainerPlan) else way.transposed
    if part.block in (*MATRICES, "WU") and turned:
        expression = f"{expression}.T"
    if way.gates and part.block in ("U", "W", "WU", "b") and not part.gate:
        ours = CELLS[plan.holder.layout.cell].blocks
        return f'rows({expression}, "{way.gates}", "{ours}")'
    return expression


def where(plan: Plan, key: str) -> str:
    """Return the expression for the item, key or attribute called `key`."""
    source = plan.source
    last = plan.gradient_call
    if source.kind == "expressions":
        return key
    if isinstance(source, NestedSource):
        return nested_gradient(source, last.results, last.facts.instance, key)
    if source.kind == "items":
        return item_value(last, key)
    if source.kind == "fields":
        return f"net.{source.base}.{key}.{source.field}"
    base = source.base
    if base.isdigit():
        base = last.results[int(base)]
    elif last.facts.instance and base.startswith(f"{last.facts.instance}."):
        base = f"model.{base.split('.', 1)[1]}"
    elif base in last.facts.returned:
        base = last.results[last.facts.returned.index(base)]
    if source.kind == "ordered":
        return f"{base}[{source.names.index(key)}]"
    if source.kind == "dict":
        return f'{base}["{key}"]'
    return {"object": f"{base}.{key}", "instance": f"model.{key}", "globals": f"net.{key}"}[
        source.kind
    ]


def item_value(call: PlannedCall, key: str) -> str:
    """Return the expression for a returned item, which may be in a tuple in the returned tuple."""
    facts = call.facts
    if key in facts.returned:
        return call.results[facts.returned.index(key)]
    for place, node in facts.nested.items():
        inner = [name_of(item) for item in getattr(node, "elts", [])]
        if key in inner:
            return f"{call.results[int(place)]}[{inner.index(key)}]"
    return key
