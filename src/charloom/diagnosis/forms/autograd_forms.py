"""Plans and writes the wrapper for code that leaves the gradient to PyTorch or JAX.

The wrapper makes tensors of the parameters in our shapes, and every conversion to the user's shapes is
part of the graph. So the gradients come back in our shapes. It covers functions that return a loss,
logits or states, and subclasses of torch.autograd.Function.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, FunctionFacts
from charloom.diagnosis.forms.gradient_sources import GradientSource
from charloom.diagnosis.forms.name_roles import is_loss
from charloom.diagnosis.forms.parameter_holders import holders
from charloom.diagnosis.forms.planned_calls import (
    Plan,
    PlannedCall,
    is_step,
    lines_of_globals,
    resolved,
    variables,
)

# Where functions, and methods of instances, may read the parameters.
OF_FUNCTIONS: Final = ("arguments", "dict", "object", "tuple", "globals", "global dict", "global object")  # fmt: skip
OF_INSTANCES: Final = ("arguments", "dict", "instance", "instance dict", "constructor")
CROSS_ENTROPY = "torch.nn.functional.cross_entropy"
# NumPy's functions in the expressions of a wrapper, and their counterparts.
IN_TORCH = (
    ("np.hstack", "torch.hstack"),
    ("np.split", "torch.tensor_split"),
    ("np.concatenate", "torch.cat"),
    ("np.zeros(H)", "torch.zeros(H, dtype=torch.float64)"),
    ("np.eye(K)", "torch.eye(K, dtype=torch.float64)"),
)
IN_JAX = tuple((name, name.replace("np.", "jnp.")) for name, _ in IN_TORCH)


@dataclass(frozen=True)
class AutogradPlan(Plan):
    """A plan whose gradients come from a library.

    Attributes:
        library: "torch" or "jax".
        returns: "loss", "logits" or "states", what the user's function returns.
        callee: the expression for what is called, such as "net.RNNLoss.apply".
        method: whether it is a method of an instance that the wrapper makes.
    """

    library: str = "torch"
    returns: str = "loss"
    callee: str = ""
    method: bool = False


def autograd_plans(contents: Contents) -> Iterator[AutogradPlan]:
    """Yield the plans for the functions and classes of a file that imports PyTorch or JAX."""
    library = "torch" if contents.imports("torch") else "jax" if contents.imports("jax") else ""
    if not library:
        return
    for facts in contents.functions.values():
        if not is_step(facts) and facts.returned:
            yield from plans_of(contents, facts, None, library)
    for owner in contents.classes.values():
        forward = owner.methods.get("forward")
        kinds = {base.split(".")[-1] for base in owner.bases}
        if forward is not None and "Function" in kinds:
            yield from plans_of(contents, without_context(forward), owner, library)
        elif "Module" not in kinds:
            for method in owner.methods.values():
                if method.instance and method.returned and not method.name.startswith("__"):
                    yield from plans_of(contents, method, owner, library, method=True)


def without_context(forward: FunctionFacts) -> FunctionFacts:
    """Return the forward function of a torch.autograd.Function without its first argument, the context."""
    facts = FunctionFacts(forward.node, forward.owner)
    facts.__dict__["arguments"] = facts.arguments[1:]
    return facts


def plans_of(
    contents: Contents,
    facts: FunctionFacts,
    owner: ClassFacts | None,
    library: str,
    method: bool = False,
) -> Iterator[AutogradPlan]:
    """Yield the plans for one function, for the forward function of the class `owner`, or for its method."""
    callee = f"net.{facts.name}" if owner is None else f"net.{owner.name}.apply"
    kinds = OF_INSTANCES if method else OF_FUNCTIONS
    for holder in holders(contents, [facts], owner if method else None):
        if holder.kind not in kinds:
            continue
        arguments = resolved(facts, [], holder, after=False)
        if not arguments or any(a.kind == "blank" for a in arguments):
            continue
        if not any(a.kind == "x" for a in arguments):
            continue
        has_target = any(a.kind == "y" for a in arguments)
        returns = "loss" if has_target else "logits" if holder.layout.has_output else "states"
        call = PlannedCall(facts, arguments, variables(facts))
        source = GradientSource("dict", "", (), holder.layout)
        plan = AutogradPlan(holder, source, {}, (call,), "loss", owner=owner, library=library)
        yield replace(
            plan,
            returns=returns,
            callee=f"model.{facts.name}" if method else callee,
            method=method,
            globals_set=lines_of_globals(contents, owner if method else None, [facts], holder),
        )


def value_name(plan: AutogradPlan) -> str:
    """Return the variable with the loss, the logits or the states that the user's function returns."""
    (call,) = plan.calls
    named = [n for n in call.results if is_loss(n.rstrip("_"))] if plan.returns == "loss" else []
    first = next((n for n in call.results if n != "_"), "found")
    return named[0] if named else first


class AutogradBody(NamedTuple):
    """The lines of `checked`, and the definitions that they need."""

    lines: list[str]
    helpers: list[str]


def autograd_body_of(plan: AutogradPlan, inner: list[str], call: list[str]) -> AutogradBody:
    """Return the body of `checked`.

    `inner` are the lines that make the user's parameters of ours, and `call` those of the call. Both
    are written for NumPy.
    """
    lines = ["h0, c0 = h0"] if CELLS[plan.holder.layout.cell].states[1:] else []
    states = "h0, c0" if lines else "h0"
    lines.append('K, H, T = len(params["c"]), len(h0), len(x)')
    if plan.library == "jax":
        return AutogradBody(JAX_CALL, jax_helpers([*lines, *jax_loss_lines(plan, inner, call)]))
    lines += [
        "params = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}",
        f"x, y, {states} = (torch.tensor(a) for a in (x, y, {states}))",
        *translated([*inner, *call], IN_TORCH),
        *torch_loss(plan, value_name(plan)),
        "loss.backward()",
        "return loss.item(), {",
        "    name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in params.items()",
        "}",
    ]
    return AutogradBody(lines, [])


def torch_loss(plan: AutogradPlan, name: str) -> list[str]:
    """Return the lines that compute the loss of what the user's function returned."""
    if plan.returns == "loss":
        return [f"loss = {name}.sum()"]
    if plan.returns == "logits":
        return [f'loss = {CROSS_ENTROPY}({name}.reshape(T, K), y, reduction="sum")']
    return [
        f'o = {name}.reshape(T, H) @ params["V"].T + params["c"]',
        f'loss = {CROSS_ENTROPY}(o, y, reduction="sum")',
    ]


# JAX compiles the function where it can; a function that needs plain numbers is not compiled.
JAX_CALL: Final = [
    "try:",
    "    return compiled(params, x, y, h0)",
    "except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):",
    "    return differentiated(params, x, y, h0)",
]


def jax_helpers(body: list[str]) -> list[str]:
    """Return the definitions with which JAX differentiates the user's function."""
    lines = [
        "def loss_of(params, x, y, h0):",
        '    """Return the loss of your function."""',
        *(f"    {line}" for line in body),
    ]
    made = "differentiated = jax.value_and_grad(loss_of)\ncompiled = jax.jit(differentiated)"
    return ["\n".join(lines), made]


def jax_loss_lines(plan: AutogradPlan, inner: list[str], call: list[str]) -> list[str]:
    """Return the lines that compute the loss with JAX."""
    name = value_name(plan)
    body = translated([*inner, *call], IN_JAX)
    if plan.returns == "loss":
        return [*body, f"return {name}.sum()"]
    output = f"o = {name}.reshape(T, K)"
    if plan.returns == "states":
        output = f'o = {name}.reshape(T, H) @ params["V"].T + params["c"]'
    return [*body, output, "return -jax.nn.log_softmax(o)[jnp.arange(T), y].sum()"]


def translated(lines: list[str], words: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the lines with NumPy's functions replaced by those of another library."""
    for old, new in words:
        lines = [line.replace(old, new) for line in lines]
    return lines
