"""Recognises the forms in a file: plans, tries and writes a wrapper for each, and chooses one."""

import copy
import importlib
import itertools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.autograd_forms import AutogradPlan, autograd_plans
from charloom.diagnosis.forms.file_contents import Contents, joined_first
from charloom.diagnosis.forms.fixed_sizes import Sizes, possible_sizes
from charloom.diagnosis.forms.form_titles import notes_of, notes_of_module, title_of
from charloom.diagnosis.forms.instance_facts import with_instance
from charloom.diagnosis.forms.module_calls import helpers_of, module_bodies
from charloom.diagnosis.forms.name_roles import is_state
from charloom.diagnosis.forms.passing import Passing, usual_ways
from charloom.diagnosis.forms.planned_calls import Plan, plans
from charloom.diagnosis.forms.planned_wrapper import body_of
from charloom.diagnosis.forms.step_functions import (
    StepPlan,
    first_step_way,
    step_plans,
    step_ways,
)
from charloom.diagnosis.forms.torch_modules import ModulePlan, module_plans
from charloom.diagnosis.forms.trying import FAILED, RELATED, UNCLEAR, Tried, Trier
from charloom.diagnosis.forms.wrapper_text import Source, wrapper_source
from charloom.diagnosis.runner import WRAPPER
from charloom.diagnosis.trials import PLANS, make_trial
from charloom.formatting import listing

WAYS_WITH_SIZES: Final = 24  # number of ways to pass arrays that are tried with each pair of sizes


@dataclass(frozen=True)
class Recognised:
    """A form that was recognised, and its wrapper.

    Attributes:
        title: what the functions are, in words.
        names: the functions that are called.
        cell: "rnn", "lstm" or "gru".
        text: the source of the wrapper.
        way: how the arrays are passed, in words.
        rank: how well it fits (`trying.Tried`).
        notes: sentences about what the wrapper does for the user.
        blanks: number of lines that the user must fill in.
        helpers: the functions that are called by those in `names`.
        trains: whether one of the functions takes a learning rate.
        sizes: H and K if the functions work only with these sizes; otherwise (None, None).
    """

    title: str
    names: tuple[str, ...]
    cell: str
    text: str
    way: str
    rank: int
    notes: tuple[str, ...] = ()
    blanks: int = 0
    helpers: frozenset[str] = frozenset()
    trains: bool = False
    sizes: Sizes = (None, None)


def recognised(contents: Contents, net: Any, source: Source, wanted: str) -> list[Recognised]:
    """Return the forms in a file, with a wrapper for each.

    Args:
        contents: what the file defines.
        net: the loaded file.
        source: the file as a wrapper loads it.
        wanted: the function, method or class that the user named; "" if the user named none.
    """
    found: list[Recognised] = []
    classes = [with_instance(owner, net) for owner in contents.classes.values()]
    for owner in (None, *classes):
        by_last: dict[str, list[Plan]] = {}
        more = (*step_plans(contents), *autograd_plans(contents)) if owner is None else ()
        for plan in (*plans(contents, owner), *more):
            if matches(plan, wanted):
                by_last.setdefault(plan.gradient_name, []).append(plan)
        for same in by_last.values():
            form = best_plan(contents, same, net, source)
            if form is not None:
                found.append(form)
    found += recognised_modules(contents, net, source, wanted)
    running = [form for form in found if form.rank != FAILED]
    return (running or found) if wanted else without_inner(running or found)


def recognised_modules(
    contents: Contents, net: Any, source: Source, wanted: str
) -> list[Recognised]:
    """Return the forms of the modules of PyTorch in a file, with a wrapper for each."""
    best: dict[str, Recognised] = {}
    for plan in module_plans(contents, net):
        if wanted not in ("", plan.owner.name) and f"net.{wanted}(" not in plan.making.text:
            continue
        form = recognised_module(plan, net, source)
        old = best.get(plan.owner.name)
        if form is not None and (old is None or form.rank < old.rank):
            best[plan.owner.name] = form
    return list(best.values())


def recognised_module(plan: ModulePlan, net: Any, source: Source) -> Recognised | None:
    """Return the form of a module with the best way to call it; None if no way runs."""
    name = plan.owner.name
    title = f"the module {name}, {CELLS[plan.cell].title} in PyTorch"
    notes = notes_of_module(plan)
    trier = Trier(make_trial(plan.cell, 0, 0, PLANS[0]).problem)
    best: Recognised | None = None
    for lines, way in module_bodies(plan):
        helpers = helpers_of(lines)
        rank = trier.rank(function_of(lines, helpers, net))
        if rank is None or (best is not None and best.rank <= rank):
            continue
        text = wrapper_source(source, title, notes, lines, helpers)
        best = Recognised(title, (name,), plan.cell, text, way, rank, tuple(notes))
        if rank <= RELATED:
            break
    return best


def matches(plan: Plan, wanted: str) -> bool:
    """Return True if a plan calls the function, method or class that the user named."""
    owner = plan.owner.name if plan.owner is not None else ""
    return not wanted or wanted in (owner, *plan.names)


def best_plan(contents: Contents, same: list[Plan], net: Any, source: Source) -> Recognised | None:
    """Return the form of the plan that fits best, of plans that end with the same function.

    If no plan runs, return the form of the plan with the fewest doubts, whose error shows what is wrong.
    """
    whole = [plan for plan in same if not plan.blanks]
    best: Recognised | None = None
    order = (0, 0)
    for plan in whole:
        form = tried_plan(contents, plan, net, source)
        new = (form.rank, plan.doubts if form.rank == FAILED else 0)
        if best is None or new < order:
            best, order = form, new
        if best.rank == 0:
            break
    if best is None and same:
        return written(contents, same[0], Tried(first_way(contents, same[0]), UNCLEAR), source)
    return best


def without_inner(forms: list[Recognised]) -> list[Recognised]:
    """Return the forms without those that a better form already calls, and without those that train."""
    whole = [form for form in forms if not form.blanks] or forms
    calm = [form for form in whole if not form.trains] or whole
    inner = {name for form in calm for name in form.helpers}
    return [form for form in calm if not set(form.names) <= inner] or calm


def tried_plan(contents: Contents, plan: Plan, net: Any, source: Source) -> Recognised:
    """Return the form of a plan with the best way to pass the arrays.

    If no way runs, its rank is `FAILED`, and it has the way that came furthest.
    """
    layout = plan.holder.layout
    trier = Trier(make_trial(layout.cell, 0, 0, PLANS[0]).problem)

    def made(way: Passing) -> Callable[..., Any]:
        body = body_of(plan, way)
        return function_of(body.lines, body.helpers, net)

    # JAX compiles the wrapper for each way, and the source shows most of the way.
    compiled = isinstance(plan, AutogradPlan) and plan.library == "jax"
    best = trier.best(ways_of(contents, plan), made, *([3] if compiled else []))
    if best is None:
        fixed = with_fixed_sizes(contents, plan, made, source)
        way = trier.furthest[1] if trier.furthest else first_way(contents, plan)
        return fixed or written(contents, plan, Tried(way, FAILED), source)
    if plan.guessed and not trier.fits_loss(made(best.way)):
        # It is not clear which value an argument takes, so the wrong gradients may not be the user's.
        return written(contents, with_blanks(plan), replace(best, rank=UNCLEAR), source)
    if not layout.has_gates:
        best = trier.with_order_of_gates(best, made, layout.cell)
    return written(contents, plan, best, source)


def with_blanks(plan: Plan) -> Plan:
    """Return a plan in which the user must fill in the arguments whose values were guessed."""
    return replace(
        plan,
        calls=tuple(
            replace(
                call,
                arguments=tuple(
                    a._replace(kind="blank") if a.guessed else a for a in call.arguments
                ),
            )
            for call in plan.calls
        ),
    )


def with_fixed_sizes(
    contents: Contents, plan: Plan, made: Callable[[Passing], Callable[..., Any]], source: Source
) -> Recognised | None:
    """Return the form of a plan whose functions work only with some sizes; None if none makes them run."""
    reached = [f for call in plan.calls for f in contents.reached_from(call.facts)]
    for sizes in possible_sizes(contents, reached):
        trier = Trier(make_trial(plan.holder.layout.cell, 0, 0, PLANS[0], sizes).problem)
        best = trier.best(itertools.islice(ways_of(contents, plan), WAYS_WITH_SIZES), made)
        if best is not None:
            form = written(contents, plan, best, source)
            note = f"your code works only with {sizes_text(sizes)}, so it is checked with that."
            return replace(form, sizes=sizes, notes=(*form.notes, note))
    return None


def sizes_text(sizes: Sizes) -> str:
    """Return sizes in words, such as "H = 100 and K = 62"."""
    return listing([f"{name} = {n}" for name, n in zip("HK", sizes, strict=True) if n is not None])


def ways_of(contents: Contents, plan: Plan) -> Iterator[Passing]:
    """Yield the ways to pass the arrays, the likeliest first."""
    first = first_way(contents, plan)
    if isinstance(plan, StepPlan):
        yield from step_ways(first)
    else:
        yield from usual_ways(first, plan.holder.layout.is_joined)


def written(contents: Contents, plan: Plan, tried: Tried, source: Source) -> Recognised:
    """Return the form of a plan with its wrapper, which passes the arrays in the way that was tried."""
    layout = plan.holder.layout
    body = body_of(plan, tried.way)
    title, notes = title_of(plan), notes_of(plan)
    text = wrapper_source(source, title, notes, body.lines, body.helpers)
    reached = [f for call in plan.calls for f in contents.reached_from(call.facts)]
    called = {call.facts.name for call in plan.calls}
    return Recognised(
        title=title,
        names=plan.names,
        cell=layout.cell,
        text=text,
        way=tried.way.in_words("b" in layout.blocks, layout.is_joined),
        rank=tried.rank,
        notes=tuple(notes),
        blanks=text.count("# fill in"),
        helpers=frozenset(f.name for f in reached if f.name not in called),
        trains=plan.has("zero"),
    )


def function_of(lines: list[str], helpers: list[str], net: Any) -> Callable[..., Any]:
    """Return the function `checked` with these lines, for the loaded file `net`."""
    text = "\n".join(
        [*helpers, "def checked(params, x, y, h0):", *(f"    {line}" for line in lines)]
    )
    space: dict[str, Any] = {"np": np, "net": net, "types": types, "copy": copy}
    for library in ("torch", "jax"):
        if f"{library}." in text:
            space[library] = importlib.import_module(library)
    if "jnp." in text:
        space["jnp"] = importlib.import_module("jax.numpy")
    exec(compile(text, WRAPPER, "exec"), space)
    function: Callable[..., Any] = space["checked"]
    return function


def first_way(contents: Contents, plan: Plan) -> Passing:
    """Return the way to pass arrays that the source suggests."""
    order = next(
        (
            order
            for call in plan.calls
            for f in contents.reached_from(call.facts)
            if (order := joined_first(f, is_state))
        ),
        "hx",
    )
    if isinstance(plan, StepPlan):
        return first_step_way(plan, order)
    if plan.has("upstream") and plan.holder.kind == "dict":
        return Passing("KNT", "KNT", "column", "column", joined=order)
    if plan.has("upstream"):
        return Passing("NTK", "NT", "flat", "row", transposed=True, joined=order)
    if isinstance(plan, AutogradPlan):
        return Passing("ids", "ids", "flat", "flat", joined=order)
    return Passing("list", "list", "column", "column", joined=order)
