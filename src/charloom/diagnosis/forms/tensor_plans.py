"""Plans how to call code on tensors of PyTorch that computes gradients itself or leaves them in `.grad`.

The calls are those of `planned_calls.py`. A function that calls `loss.backward()` leaves the gradients in
the tensors of the parameters.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, fields

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.cell_hints import unpacks_pair
from charloom.diagnosis.forms.file_contents import (
    ClassFacts,
    Contents,
    FunctionFacts,
    name_of,
)
from charloom.diagnosis.forms.gradient_sources import GradientSource
from charloom.diagnosis.forms.name_roles import is_numerical
from charloom.diagnosis.forms.parameter_holders import Holder, holders
from charloom.diagnosis.forms.planned_calls import (
    Plan,
    PlannedCall,
    forwards,
    is_step,
    planned,
    plans,
)

LEAVES = "leaves"  # the kind of a source of gradients in the attribute `.grad` of the parameters


@dataclass(frozen=True)
class TensorPlan(Plan):
    """A plan whose parameters and gradients are tensors.

    Attributes:
        derives: whether the functions let PyTorch compute gradients.
        cleared: whether other code of the file clears the gradients before a call.
        pairs: whether the functions take both states of an LSTM as a pair.
        folded: whether arrays that the gates share have an axis of their own for the gates, as (3, H, K).
    """

    derives: bool = False
    cleared: bool = False
    pairs: bool = False
    folded: bool = False

    @property
    def leaves_gradients(self) -> bool:
        """Whether the gradients are left in the attribute `.grad` of the parameters."""
        return self.derives or self.source.kind == LEAVES

    def takes_pair(self, call: PlannedCall) -> bool:
        """Return True if a call takes both states of an LSTM as one argument."""
        cell = bool(CELLS[self.holder.layout.cell].states[1:])
        return cell and self.pairs and not call.has("c0")


def plans_on_tensors(contents: Contents, owner: ClassFacts | None) -> Iterator[TensorPlan]:
    """Yield the plans for functions on tensors, or for the methods of the class `owner`."""
    if not contents.imports("torch"):
        return
    for plan in plans(contents, owner):
        yield on_tensors(contents, plan)
    scope = contents.functions if owner is None else owner.methods
    for facts in scope.values():
        if facts.name.startswith("__") or is_numerical(facts.name) or is_step(facts):
            continue
        if any(derives(one) or stores_gradients(one) for one in contents.reached_from(facts)):
            for plan in plans_with_leaves(contents, owner, facts):
                yield on_tensors(contents, plan)


def plans_with_leaves(
    contents: Contents, owner: ClassFacts | None, facts: FunctionFacts
) -> Iterator[Plan]:
    """Yield the plans for a function that leaves the gradients in the parameters."""
    scope = contents.functions if owner is None else owner.methods
    for forward in (None, *forwards(contents, scope, facts)):
        called = [facts] if forward is None else [forward, facts]
        for holder in holders(contents, called, owner):
            yield from planned(contents, owner, called, holder, leaves_of(holder))


def leaves_of(holder: Holder) -> GradientSource:
    """Return the source of gradients in the parameters of a holder."""
    return GradientSource(LEAVES, "", tuple(holder.layout.parts), holder.layout)


def on_tensors(contents: Contents, plan: Plan) -> TensorPlan:
    """Return a plan whose arrays are tensors."""
    values = {field.name: getattr(plan, field.name) for field in fields(Plan)}
    reached = [f for call in plan.calls for f in contents.reached_from(call.facts)]
    return TensorPlan(
        **values,
        derives=any(map(derives, reached)),
        cleared=is_cleared_elsewhere(contents, reached),
        pairs=unpacks_pair(reached),
        folded=not plan.holder.layout.has_gates and has_axis_of_gates(reached, plan.holder),
    )


def has_axis_of_gates(reached: list[FunctionFacts], holder: Holder) -> bool:
    """Return True if functions read `U[2]` or `W[2]`: the arrays have an axis of gates."""
    names = {name for name, part in holder.layout.parts.items() if part.block in ("U", "W")}
    return bool(CELLS[holder.layout.cell].gates) and any(
        isinstance(n, ast.Subscript)
        and name_of(n.value) in names
        and isinstance(n.slice, ast.Constant)
        and n.slice.value == 2
        for f in reached
        for n in ast.walk(f.node)
    )


def derives(facts: FunctionFacts) -> bool:
    """Return True if a function lets PyTorch compute gradients: `loss.backward()` or `autograd.grad(…)`."""
    own = f"{facts.instance}."
    return any(
        isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr in ("backward", "grad", "requires_grad_")
        and not (facts.instance and f"{ast.unparse(n.func.value)}." == own)
        for n in ast.walk(facts.node)
    )


def stores_gradients(facts: FunctionFacts) -> bool:
    """Return True if a function assigns the attribute `.grad` of a tensor, or adds to it."""
    return "grad" in facts.stored_fields() or any(
        isinstance(n, ast.Attribute) and n.attr == "grad" and isinstance(n.ctx, ast.Load)
        for n in ast.walk(facts.node)
    )


def is_cleared_elsewhere(contents: Contents, reached: list[FunctionFacts]) -> bool:
    """Return True if code outside the called functions clears the gradients of tensors."""
    starts = [
        m for c in contents.classes.values() for m in c.methods.values() if m.name == "__init__"
    ]
    inside = {id(n) for f in (*reached, *starts) for n in ast.walk(f.node)}
    if any(clears(n) for f in reached for n in ast.walk(f.node)):
        return False
    return any(clears(n) for n in ast.walk(contents.tree) if id(n) not in inside)


def clears(node: ast.AST) -> bool:
    """Return True for `zero_grad()`, `p.grad.zero_()` and `p.grad = None`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "zero_grad" or (
            node.func.attr in ("zero_", "fill_") and "grad" in ast.unparse(node.func.value)
        )
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Attribute) and target.attr == "grad" for target in node.targets
    )
