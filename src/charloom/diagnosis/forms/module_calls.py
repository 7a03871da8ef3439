"""Writes the body of the wrapper for a module of PyTorch, in each way in which it may be called.

The wrapper puts our parameters in the place of the module's with `torch.func.functional_call`, so that
the gradients come back in our shapes. It computes the loss if the module does not.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.file_contents import FunctionFacts
from charloom.diagnosis.forms.name_roles import is_output, is_state, role_of_argument, short
from charloom.diagnosis.forms.torch_modules import ModulePlan

# The ways to pass a whole window, or one step, to a module; and the initial state.
BATCH_FIRST: Final = (("x[None]", "ids (1, T)"), ("E[x][None]", "one-hot (1, T, K)"))
TIME_FIRST: Final = (("x[:, None]", "ids (T, 1)"), ("E[x][:, None]", "one-hot (T, 1, K)"))
UNBATCHED: Final = (("x", "ids (T,)"), ("E[x]", "one-hot (T, K)"))
STEPS: Final = (
    ("E[k][None]", "one-hot (1, K)"),
    ("E[k]", "one-hot (K,)"),
    ("k[None]", "an id (1,)"),
    ("k", "an id"),
    ("E[k][None, None]", "one-hot (1, 1, K)"),
    ("k[None, None]", "an id (1, 1)"),
)
STATE_NAMES: Final = ("initstates", "initialstates", "initstate", "initialstate", "states", "prevstates", "hiddens", "hx", "hc", "hiddentuple", "statetuple")  # fmt: skip
STATES: Final = ("{h}[None]", "{h}", "{h}[None, None]")
LENGTHS: Final = ("lengths", "length", "seqlengths", "xlengths", "textlengths", "seqlens", "lens", "inputlengths", "seqlen", "xlens")  # fmt: skip

FITTED: Final = '''
def fitted(array, shape, gates=1, fill=0.0):
    """Return a tensor of a shape with `array` in its corner; each gate has a corner of its own."""
    parts = []
    for part in torch.tensor_split(array, gates):
        whole = torch.full((shape[0] // gates, *shape[1:]), fill)
        whole[tuple(slice(n) for n in part.shape)] = part
        parts.append(whole)
    return torch.cat(parts)
'''


@dataclass(frozen=True)
class Way:
    """A way to call a module, and to read what it returns.

    Attributes:
        kind: "window" or "step", what a call gets.
        value: the expression for x, or for one step of it.
        words: the same for the user.
        state: the expression for an initial state; "" if the module takes none.
        output: "all" if the module returns the logits of all steps, "last" for those of the last step,
            "columns" for (K, T), or "probabilities".
    """

    kind: str
    value: str
    words: str
    state: str
    output: str = "all"

    def in_words(self) -> str:
        """Return a description for the user."""
        last = "; logits of the last step" if self.output == "last" else ""
        return f"x as {self.words}{last}; weights as tensors, dropout off"


def module_bodies(plan: ModulePlan) -> Iterator[tuple[list[str], str]]:
    """Yield the lines of `checked` for each way to call a module, and the way in words."""
    roles = roles_of(plan.making.module.forward)
    if roles is None:
        return
    for way in ways_of(plan, roles):
        lines = [*head_lines(plan), *call_lines(plan, roles, way), *tail_lines()]
        yield lines, way.in_words()


def helpers_of(lines: list[str]) -> list[str]:
    """Return the source of the functions that the lines of a wrapper call."""
    return [FITTED] if any("fitted(" in line for line in lines) else []


def roles_of(forward: Any) -> list[str] | None:
    """Return the role of each argument of a module's forward; None if a required one is unknown."""
    parameters = [
        p
        for p in inspect.signature(forward).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    roles = ["x"]
    for p in parameters[1:]:
        word = short(p.name)
        role = "lengths" if word in LENGTHS else role_of_argument(p.name)
        role = "h0" if word in STATE_NAMES else role
        if role not in ("y", "h0", "c0", "lengths") or role in roles:
            if p.default is p.empty:
                return None
            break
        roles.append(role)
    return roles


def ways_of(plan: ModulePlan, roles: list[str]) -> Iterator[Way]:
    """Yield the ways to call a module, the likeliest first."""
    takes_state = "h0" in roles or "c0" in roles
    states = list(STATES) if takes_state else [""]
    if takes_state and plan.states > 1:
        states = [f"fitted({{h}}[None, None], ({plan.states}, 1, {plan.width or 'H'}))"]
    time_first = plan.layer is not None and not plan.layer.batch_first
    windows = [*TIME_FIRST, *UNBATCHED, *BATCH_FIRST]
    if not time_first:
        windows = [*BATCH_FIRST, *UNBATCHED, *TIME_FIRST]
    kinds = ["window", "step"] if takes_state else ["window"]
    if takes_state and plan.layer is None and not plan.loops:
        kinds = ["step", "window"]
    for output in outputs_of(plan, roles):
        for kind in kinds if output == "all" else ["window"]:
            for state in states:
                for value, words in windows if kind == "window" else STEPS:
                    yield Way(kind, value, words, state, output)


def outputs_of(plan: ModulePlan, roles: list[str]) -> list[str]:
    """Return what a module may return, the likeliest first."""
    if "y" in roles:
        return ["all"]
    if not plan.has_output:
        return ["all", "last"]
    softmax = not plan.takes_logits and (
        plan.has_layer("Softmax")
        or any("softmax" in method.called for method in plan.owner.methods.values())
    )
    return ["all", "last", "columns", *(["probabilities"] if softmax else [])]


def head_lines(plan: ModulePlan) -> list[str]:
    """Return the lines that make the module and the tensors."""
    making = ["torch.manual_seed(0)", f"model = {plan.making.text}.double().eval()"]
    return model_lines(plan, making)


def model_lines(plan: ModulePlan, making: list[str]) -> list[str]:
    """Return the lines that make the tensors, and with the lines `making` the module."""
    states = "h0, c0" if CELLS[plan.cell].states[1:] else "h0"
    lines = ["h0, c0 = h0"] if CELLS[plan.cell].states[1:] else []
    lines += [
        "torch.set_default_dtype(torch.float64)",
        'K, H, T = len(params["c"]), len(h0), len(x)',
        "params = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}",
        f"x, y, {states} = (torch.tensor(a) for a in (x, y, {states}))",
        "E = torch.eye(K)",
    ]
    values = " ".join(plan.weights.values())
    if any(f'{block}["{gate}"]' in values for block in "UWb" for gate in CELLS[plan.cell].blocks):
        gates = CELLS[plan.cell].blocks
        lines.append(
            f'U, W, b = (dict(zip("{gates}", torch.tensor_split(params[name], {len(gates)}))) for name in "UWb")'
        )
    lines += making
    if "sizes[" in values + plan.width:
        lines.append("sizes = {name: p.shape for name, p in model.named_parameters()}")
    lines += ["weights = {", *(f'    "{n}": {v},' for n, v in plan.weights.items()), "}"]
    if plan.width and plan.states == 1:
        lines += [f"{h} = fitted({h}, ({plan.width},))" for h in states.split(", ")]
    return lines


def states_value(roles: list[str], state: str, cell: bool) -> list[str]:
    """Return what to pass for the states: h0 and c0 as two arguments, or as a pair."""
    one, two = state.format(h="h0"), state.format(h="c0")
    if not cell:
        return [one]
    return [one, two] if "c0" in roles and "h0" in roles else [f"({one}, {two})"]


def call_lines(plan: ModulePlan, roles: list[str], way: Way) -> list[str]:
    """Return the lines that call a module on the window, and that compute the loss."""
    return (window_lines if way.kind == "window" else step_lines)(plan, roles, way)


def window_lines(plan: ModulePlan, roles: list[str], way: Way) -> list[str]:
    """Return the lines that call a module once, on the whole window."""
    targets = way.value.replace("x", "y") if "E[" not in way.value else "y[None]"
    values = {"x": [way.value], "y": [targets], "lengths": ["torch.tensor([T])"]}
    if way.state:
        states = states_value(roles, way.state, bool(CELLS[plan.cell].states[1:]))
        values |= {"h0": states, "c0": [] if "h0" in roles else states}
    given = [value for role in roles for value in values.get(role, [])]
    lines = [f"found = torch.func.functional_call(model, weights, ({', '.join(given)},))"]
    if "y" in roles:
        return [
            *lines,
            "items = found if isinstance(found, tuple) else (found,)",
            "loss = next(one for one in items if torch.is_tensor(one) and one.numel() == 1)",
        ]
    lines.append(f"out = found[{place_of_output(plan)}] if isinstance(found, tuple) else found")
    return [*lines, *loss_lines(plan, way.output)]


def place_of_output(plan: ModulePlan) -> int:
    """Return the position of the output in what forward returns."""
    forward: FunctionFacts | None = plan.owner.methods.get("forward")
    returned = forward.returned if forward is not None else ()
    swapped = len(returned) == 2 and is_state(returned[0]) and is_output(returned[1])
    return 1 if swapped and not is_output(returned[0]) else 0


def loss_lines(plan: ModulePlan, output: str) -> list[str]:
    """Return the lines that compute the loss of what a module returned for a window."""
    entropy = "torch.nn.functional.cross_entropy"
    steps = "1" if output == "last" else "T"
    target = "y[-1:]" if output == "last" else "y"
    if not plan.has_output:
        return [
            f'out = out.reshape({steps}, H) @ params["V"].T + params["c"]',
            f'loss = {entropy}(out, {target}, reduction="sum")',
        ]
    if output == "probabilities":
        return ["loss = -torch.log(out.reshape(T, -1)[torch.arange(T), y]).sum()"]
    logits = "out.reshape(-1, T).T" if output == "columns" else f"out.reshape({steps}, -1)"
    wider = any(
        'params["V"], sizes' in v or 'fitted(params["V"]' in v for v in plan.weights.values()
    )
    cut = "[:, :K]" if wider else ""
    if output == "columns":
        # An output (T, 1, K) could be read as columns too, and give nearly the right loss by chance.
        check = ["assert out.shape[-1] == T"]
    else:
        check = [] if wider else [f"assert out.numel() < {steps} * 2 * K"]
    return [*check, f'loss = {entropy}({logits}{cut}, {target}, reduction="sum")']


def step_lines(plan: ModulePlan, roles: list[str], way: Way) -> list[str]:
    """Return the lines that call a module for each step of the window."""
    cell = bool(CELLS[plan.cell].states[1:])
    two = "h0" in roles and "c0" in roles
    first = ", ".join(way.state.format(h=h) for h in (("h0", "c0") if cell else ("h0",)))
    names = ("h, c" if two else "(h, c)") if cell else "h"
    lines = [f"{'h, c' if cell else 'h'} = {first}", "loss = 0", "for k, target in zip(x, y):"]
    call = f"torch.func.functional_call(model, weights, ({way.value}, {names}))"
    if plan.has_output:
        pair = (names, "out") if place_of_output(plan) else ("out", names)
        lines.append(f"    {pair[0]}, {pair[1]} = {call}")
    else:
        lines += [
            f"    {'h, c' if cell else 'h'} = {call}",
            '    out = h @ params["V"].T + params["c"]',
        ]
    return [
        *lines,
        '    loss = loss + torch.nn.functional.cross_entropy(out.reshape(1, -1)[:, :K], target[None], reduction="sum")',
    ]


def tail_lines() -> list[str]:
    """Return the lines that compute and return the gradients."""
    return [
        "loss.backward()",
        "return loss.item(), {",
        "    name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in params.items()",
        "}",
    ]
