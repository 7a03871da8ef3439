"""Writes the wrapper for a user's function that calls a module of PyTorch and computes the loss.

Such a function gets the module as an argument or reads a global one. It may call `backward()` itself.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.derived_globals import assignments, global_lines, in_module
from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts, name_of
from charloom.diagnosis.forms.module_calls import FITTED, STATE_NAMES, model_lines, module_bodies
from charloom.diagnosis.forms.name_roles import is_loss, is_numerical, role_of_argument, short
from charloom.diagnosis.forms.passing import SIZES
from charloom.diagnosis.forms.planned_calls import is_step
from charloom.diagnosis.forms.tensor_plans import derives, is_cleared_elsewhere
from charloom.diagnosis.forms.tensor_wrapper import BACK, NOTED, order_of_rows
from charloom.diagnosis.forms.torch_modules import ModulePlan
from charloom.diagnosis.forms.wrapper_text import call_text

MODEL_NAMES: Final = ("model", "net", "network", "rnn", "lstm", "gru", "decoder", "module", "m", "charrnn", "charlstm", "chargru", "nn", "mdl", "cell", "generator", "charmodel", "rnnmodel", "lm", "encoder", "f", "self")  # fmt: skip
OPTIMIZERS: Final = (
    "optimizer",
    "optim",
    "opt",
    "optimiser",
    "trainer",
    "decoderoptimizer",
    "updater",
)
LOSSES: Final = ("criterion", "lossfn", "lossfunction", "lossfunc", "crit", "costfunction", "loss", "lossf", "objective", "costfn")  # fmt: skip
LOSS_CLASSES: Final = ("NLLLoss", "CrossEntropyLoss")
CLIPS: Final = (
    "clip",
    "clipvalue",
    "gradclip",
    "maxnorm",
    "clipping",
    "clipnorm",
    "theta",
    "maxgradnorm",
)

# x and y of a window, by the axes: steps T, streams N = 1, characters K.
INPUTS: Final = {
    "ids (1, T)": "x[None]",
    "ids (T, 1)": "x[:, None]",
    "ids (T,)": "x",
    "one-hot (1, T, K)": "E[x][None]",
    "one-hot (T, 1, K)": "E[x][:, None]",
    "one-hot (T, K)": "E[x]",
    "a list of ids": "x.tolist()",
    "a list of one-hot rows (1, K)": "[E[k][None] for k in x]",
}
SAME: Final = {
    "ids (T, 1)": "y[:, None]",
    "ids (1, T)": "y[None]",
    "ids (T,)": "y",
    "a list of ids": "y.tolist()",
}
ONE_HOT: Final = {
    "one-hot (1, T, K)": "E[y][None]", "one-hot (T, 1, K)": "E[y][:, None]", "one-hot (T, K)": "E[y]",
}  # fmt: skip
STATES: Final = ("{h}[None]", "{h}[None, None]", "{h}")

MODELS: Final = '''
models, seen = {}, {}  # your module by its sizes, and the gradients of the last call


def watched(model):
    """Return a module without dropout that notes its gradients, because your code may clear them after use."""
    for name, p in model.named_parameters():
        p.register_hook(lambda g, name=name: seen.update({name: seen.get(name, 0) + g.detach()}))
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
        if isinstance(layer, torch.nn.RNNBase):
            layer.dropout = 0.0
    return model
'''


@dataclass(frozen=True)
class ModuleFunction:
    """A function that calls a module, and what to pass to it.

    Attributes:
        plan: the module, and what its tensors hold.
        facts: the function.
        roles: the role of each argument that is passed, or its expression after "=".
        holder: the global variable with the module; "" if it is an argument.
        derives: whether the function calls `backward()` itself.
        lines: the lines that set what follows from the global module, such as an optimizer.
        cleared: whether other code clears the gradients before a call.
    """

    plan: ModulePlan
    facts: FunctionFacts
    roles: dict[str, str]
    holder: str
    derives: bool
    lines: tuple[str, ...]
    cleared: bool


def functions_calling(contents: Contents, plan: ModulePlan) -> Iterator[ModuleFunction]:
    """Yield the functions of a file that call a module of this class and compute the loss."""
    methods = [
        m for name, m in plan.owner.methods.items() if name != "forward" and "__" not in name
    ]
    for facts in (*contents.functions.values(), *methods):
        if is_numerical(facts.name) or is_step(facts) or not facts.arguments:
            continue
        reached = contents.reached_from(facts)
        derived = any(map(derives, reached))
        if not derived and not any(is_loss(name) for name in facts.returned):
            continue
        holder = "" if facts.owner else holder_of(contents, plan, reached)
        roles = roles_of(contents, facts, holder)
        if roles is None or not {"x", "y"} <= set(roles.values()):
            continue
        if not holder and not facts.owner and "model" not in roles.values():
            continue
        lines = global_lines(contents, reached, {holder}) if holder else []
        cleared = is_cleared_elsewhere(contents, list(reached))
        yield ModuleFunction(plan, facts, roles, holder, derived, tuple(lines), cleared)


def holder_of(contents: Contents, plan: ModulePlan, reached: tuple[FunctionFacts, ...]) -> str:
    """Return the global variable with the module that the functions read; "" if there is none."""
    read = {name for f in reached for name in f.read_globals}
    for one in assignments(contents):
        made = name_of(one.value.func) if isinstance(one.value, ast.Call) else ""
        if one.name in read and plan.owner.name in (made, ast.unparse(one.value).split("(")[0]):
            return one.name
    if any(short(a) in MODEL_NAMES for f in reached[:1] for a in f.arguments):
        return ""
    return next(
        (name for name in sorted(read - set(contents.functions)) if short(name) in MODEL_NAMES[:8]),
        "",
    )


def roles_of(contents: Contents, facts: FunctionFacts, holder: str) -> dict[str, str] | None:
    """Return the role of each argument that is passed; None if a required one is unknown."""
    found: dict[str, str] = {}
    for name in facts.arguments:
        role = role_in_function(
            contents, name, "model" in found.values() or bool(holder or facts.owner)
        )
        taken = role in found.values() and not role.startswith("=")
        if not role or taken:
            if name in facts.required:
                return None
            continue
        if name not in facts.required and role not in ("x", "y", "h0", "c0", "model"):
            continue
        found[name] = role
    return found


def role_in_function(contents: Contents, name: str, has_model: bool) -> str:
    """Return the role of an argument, or an expression after "="; "" if it is unknown."""
    word = short(name)
    if word in MODEL_NAMES and not has_model:
        return "model"
    if word in OPTIMIZERS:
        return "=torch.optim.SGD(model.parameters(), lr=0.0)"
    if word in LOSSES:
        return f"={loss_function(contents)}"
    if word in CLIPS:
        return "=1e9"
    if word in STATE_NAMES:
        return "h0"
    if word == "device":
        return '="cpu"'
    if word in ("vocabsize", "nchars", "numclasses", "vocablen"):
        return "=K"
    role = role_of_argument(name)
    return f"={SIZES[role]}" if role in SIZES else role


def loss_function(contents: Contents) -> str:
    """Return the expression for the loss function that the file makes; a cross-entropy if it makes none."""
    made = [
        n
        for n in ast.walk(contents.tree)
        if isinstance(n, ast.Call) and name_of(n.func) in LOSS_CLASSES
    ]
    return in_module(made[0]) if made else "torch.nn.CrossEntropyLoss()"


@dataclass(frozen=True)
class FunctionWay:
    """How x, y and the states are passed, as expressions, and in words."""

    x: str
    y: str
    state: str
    words: str


def function_ways(one: ModuleFunction) -> Iterator[FunctionWay]:
    """Yield the ways to call a function, the likeliest first."""
    plan = one.plan
    first = "(T, 1" if plan.layer is not None and not plan.layer.batch_first else "(1, T"
    takes_state = bool({"h0", "c0"} & set(one.roles.values()))
    inputs = sorted(INPUTS, key=lambda words: first not in words)
    for words in inputs:
        targets = {**SAME, **ONE_HOT} if words in ONE_HOT else SAME
        axes = words.split("(")[-1].split(",")[0]
        for y in sorted(
            targets,
            key=lambda kind: (kind.split("(")[-1].split(",")[0] != axes, kind == "a list of ids"),
        ):
            for state in STATES if takes_state else ("",):
                both = f"x and y as {words}" if y == words else f"x as {words}, y as {y}"
                yield FunctionWay(
                    INPUTS[words], targets[y], state, f"{both}; weights as tensors, dropout off"
                )


def function_lines(one: ModuleFunction, way: FunctionWay) -> list[str]:
    """Return the lines of `checked` for a function, called in one way."""
    plan, facts = one.plan, one.facts
    making = f"watched({plan.making.text}.double())"
    lines = model_lines(plan, [
        "if (K, H) not in models:",
        f"    models[K, H] = {making}",
        "model = models[K, H]",
    ])  # fmt: skip
    lines += [
        "seen.clear()",
        "for name, p in model.named_parameters():",
        "    if name in weights:",
        "        p.data = weights[name].detach().clone()",
        *(["    p.grad = None  # as your own code does before a call"] if one.cleared else []),
    ]
    if one.holder:
        lines += [f"net.{one.holder} = model", *one.lines]
    given = [argument_value(one, name, role, way) for name, role in one.roles.items()]
    lines += ["torch.Tensor.backward.losses.clear()"] if one.derives else []
    lines += call_text(f"found = {'model' if facts.owner else 'net'}.{facts.name}", given)
    if one.derives:
        lines.append("loss = sum(torch.Tensor.backward.losses)")
    else:
        lines += [*loss_lines(facts), "loss.backward()"]
    lines += [
        "gradients = {n: p.grad if p.grad is not None and p.grad.any() else seen.get(n) for n, p in model.named_parameters() if n in weights}",
        f"return {'loss' if one.derives else 'loss.item()'}, in_our_shapes(params, weights, gradients)",
    ]
    return lines


def loss_lines(facts: FunctionFacts) -> list[str]:
    """Return the lines that take the loss from what a function returned."""
    place = next((n for n, name in enumerate(facts.returned) if is_loss(name)), None)
    if len(facts.returned) < 2:
        return ["loss = found"]
    if place is not None:
        return [f"loss = found[{place}]"]
    return [
        "loss = next(one for one in found if isinstance(one, float) or (torch.is_tensor(one) and one.numel() == 1))"
    ]


def argument_value(one: ModuleFunction, name: str, role: str, way: FunctionWay) -> str:
    """Return what to pass for an argument, as Python."""
    before = "" if name in one.facts.required else f"{name}="
    if role.startswith("="):
        return before + role[1:]
    if role == "model":
        return f"{before}model"
    if role in ("x", "y"):
        return before + {"x": way.x, "y": way.y}[role]
    cell = bool(CELLS[one.plan.cell].states[1:])
    h, c = (way.state.format(h=name) for name in ("h0", "c0"))
    both = {"h0", "c0"} <= set(one.roles.values())
    if role == "c0" and both:
        return before + c
    if cell and not both:
        return f"{before}({h}, {c})"
    if is_single(one):
        return f"{before}({h},)"
    return before + h


def is_single(one: ModuleFunction) -> bool:
    """Return True if a state is a tuple of one tensor, as in `H, = state`."""
    methods = one.plan.owner.methods.values()
    return (
        any(
            isinstance(n, ast.Assign)
            and isinstance(n.targets[0], (ast.Tuple, ast.List))
            and len(n.targets[0].elts) == 1
            and isinstance(n.value, ast.Name)
            for method in methods
            for n in ast.walk(method.node)
        )
        and not CELLS[one.plan.cell].states[1:]
    )


@dataclass(frozen=True)
class ModuleBody:
    """The lines of `checked` for a module or for a function that calls it, what they need, and the way in words."""

    lines: list[str]
    helpers: list[str]
    words: str


def bodies_of(plan: ModulePlan, one: ModuleFunction | None) -> Iterator[ModuleBody]:
    """Yield the bodies of a wrapper for a module, or for the function `one` that calls it."""
    if one is None:
        for lines, words in module_bodies(plan):
            yield ModuleBody(lines, helpers_for(plan, lines), words)
        return
    one = replace(one, plan=plan)
    for way in function_ways(one):
        lines = function_lines(one, way)
        yield ModuleBody(lines, helpers_for(plan, lines), way.words)


def helpers_for(plan: ModulePlan, lines: list[str]) -> list[str]:
    """Return the source of the functions that the lines of a wrapper call."""
    text = "\n".join(lines)
    found = {"fitted(": FITTED, ".losses": NOTED, "watched(": MODELS, "in_our_shapes(": BACK}
    rows = [order_of_rows(plan.cell, plan.gates)] if "rows(" in text else []
    return [*(helper for name, helper in found.items() if name in text), *rows]
