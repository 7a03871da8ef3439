"""Recognises the forms in a file: plans, tries and writes a wrapper for each, and chooses one."""

import copy
import importlib
import itertools
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.autograd_forms import AutogradPlan, autograd_plans
from charloom.diagnosis.forms.container_plans import (
    ContainerPlan,
    loss_in,
    plans_in_containers,
    probe_ways,
    run,
    with_gradients,
)
from charloom.diagnosis.forms.containers import H, K, made_by_class
from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, FunctionFacts, joined_first
from charloom.diagnosis.forms.fixed_sizes import Sizes, possible_sizes
from charloom.diagnosis.forms.form_titles import notes_of, notes_of_module, title_of
from charloom.diagnosis.forms.instance_facts import with_instance
from charloom.diagnosis.forms.module_functions import (
    ModuleBody,
    ModuleFunction,
    bodies_of,
    functions_calling,
)
from charloom.diagnosis.forms.module_shapes import from_shapes, orders_of_gates
from charloom.diagnosis.forms.name_roles import is_state
from charloom.diagnosis.forms.nested_parameters import NestedHolder
from charloom.diagnosis.forms.passing import Passing, usual_ways
from charloom.diagnosis.forms.planned_calls import Plan, plans
from charloom.diagnosis.forms.planned_wrapper import Body, body_of, lines_of_calls
from charloom.diagnosis.forms.step_functions import (
    StepPlan,
    first_step_way,
    step_plans,
    step_ways,
)
from charloom.diagnosis.forms.tensor_plans import TensorPlan, derives, plans_on_tensors
from charloom.diagnosis.forms.tensor_wrapper import tensor_body, tensor_ways
from charloom.diagnosis.forms.torch_modules import ModulePlan, module_plans
from charloom.diagnosis.forms.trying import FAILED, OWN, RELATED, UNCLEAR, Tried, Trier
from charloom.diagnosis.forms.wrapper_text import Source, wrapper_source
from charloom.diagnosis.runner import WRAPPER
from charloom.diagnosis.trials import FREE, PLANS, Fixed, make_trial
from charloom.formatting import listing

FEW: Final = 4  # number of plans with nested parameters that are tried if another plan runs
WAYS_WITH_SIZES: Final = 24  # number of ways to pass arrays that are tried with each pair of sizes
MOST_PLANS: Final = 120  # number of plans with a container that are run
SECONDS_OF_PLANS: Final = 4.0  # processor time after which no further plan with a container is run
MOST_RANKED: Final = 10  # number of these plans for which all ways to pass the arrays are compared
MOST_FIXED: Final = 2  # number of plans that are tried with the sizes that the source fixes
MOST_RUNNING: Final = 60  # largest number of ways to pass arrays that are compared if they run


# Parts of the names of functions that go back through time by hand.
BY_HAND: Final = ("backward", "bprop", "bptt", "backprop", "bwd")


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
        sizes: what the functions fix of the trials, such as H and K.
        derived: 0 if the user's code computes the gradients itself, 1 if it lets a library compute them, 2 if
            the wrapper does.
        unset: whether the instance has other random parameters, which the wrapper does not set.
        function: the function of the wrapper, if making it takes long; None to run the text.
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
    sizes: Fixed = FREE
    derived: int = 0
    unset: bool = False
    function: Callable[..., Any] | None = None


def recognised(
    contents: Contents,
    net: Any,
    source: Source,
    wanted: str,
    program: Callable[[], Recognised | None] = lambda: None,
) -> list[Recognised]:
    """Return the forms in a file, with a wrapper for each.

    Args:
        contents: what the file defines.
        net: the loaded file.
        source: the file as a wrapper loads it.
        wanted: the function, method or class that the user named; "" if the user named none.
        program: returns the form of the file's training as a whole, or None. It is called if the functions
            alone do not show what to check.
    """
    found: list[Recognised] = []
    modules = recognised_modules(contents, net, source, wanted)
    is_module_enough = any(form.rank <= RELATED for form in modules) and not has_backward_by_hand(
        contents
    )
    classes = [with_instance(owner, net) for owner in contents.classes.values()]
    for owner in (None, *classes):
        by_last: dict[str, list[Plan]] = {}
        more = (*step_plans(contents), *autograd_plans(contents)) if owner is None else ()
        for plan in (*plans_on_tensors(contents, owner), *plans(contents, owner), *more):
            flat = plan.holder.kind == "flat" and not isinstance(plan, TensorPlan)
            if matches(plan, wanted) and not flat and knows_targets(plan):
                by_last.setdefault(plan.gradient_name, []).append(plan)
        done: set[str] = set()
        for same in outermost_first(contents, list(by_last.values())):
            if same[0].gradient_call.facts.name in done and not wanted:
                continue
            form = best_plan(contents, same, net, source)
            if form is not None:
                found.append(form)
                if form.rank <= RELATED and not form.trains and not form.derived:
                    done |= form.helpers
            # A program that shows its network itself is sooner seen than more calls are guessed.
            unclear = all(one.rank > OWN for one in found) and not is_module_enough
            if unclear and (training := fitting(program())):
                return [training]
    found += modules
    if len([form for form in found if form.rank <= OWN and not form.blanks]) != 1:
        if (training := fitting(program())) is not None:
            return [training]
        found += recognised_containers(contents, net, source, wanted)
    # A form that leaves parameters at random is judged with fixed random numbers, if no other form runs.
    whole = [form for form in found if not form.unset]
    found = best_by_names(whole if any(form.rank != FAILED for form in whole) else found)
    running = [form for form in found if form.rank != FAILED]
    if all(form.derived for form in running) and has_backward_by_hand(contents):
        # What a library computes says nothing about it.
        found, running = [form for form in found if not form.derived], []
    return (running or found) if wanted else without_inner(running or found)


def fitting(form: Recognised | None) -> Recognised | None:
    """Return a form whose loss is that of a network that is known; otherwise None."""
    return form if form is not None and form.rank <= RELATED else None


def has_backward_by_hand(contents: Contents) -> bool:
    """Return True if a function or a method of the file is a backward pass that uses no library's gradients."""
    methods = [
        method
        for owner in contents.classes.values()
        if not any(base.split(".")[-1] == "Function" for base in owner.bases)
        for method in owner.methods.values()
    ]
    return any(
        any(word in f.name.lower() for word in BY_HAND)
        and f.arguments
        and not any(map(derives, contents.reached_from(f)))
        for f in (*contents.functions.values(), *methods)
    )


def best_by_names(forms: list[Recognised]) -> list[Recognised]:
    """Return the forms; of those that call the same functions, only the one that fits best."""
    best: dict[tuple[str, ...], Recognised] = {}
    for form in forms:
        old = best.get(form.names)
        if old is None or form.rank < old.rank:
            best[form.names] = form
    return list(best.values())


def recognised_containers(
    contents: Contents, net: Any, source: Source, wanted: str
) -> list[Recognised]:
    """Return the forms whose parameters are in what the user's code makes, with a wrapper for each."""
    best: dict[str, Recognised] = {}
    owners = (None, *(one for one in contents.classes.values() if not is_module(one)))
    plans_ = (plan for owner in owners for plan in plans_in_containers(contents, net, owner))
    ranked, begun = 0, time.process_time()
    for plan in itertools.islice(plans_, MOST_PLANS):
        if time.process_time() - begun > SECONDS_OF_PLANS:
            break
        old = best.get(plan.gradient_name)
        if not matches(plan, wanted) or (old is not None and old.rank <= OWN):
            continue
        for whole in probed(contents, plan, net):
            ranked += 1
            form = tried_plan(contents, whole, net, source)
            if form.rank != FAILED and (old is None or form.rank < old.rank):
                best[plan.gradient_name] = old = form
        if ranked >= MOST_RANKED:
            break
    return list(best.values())


def is_module(owner: ClassFacts) -> bool:
    """Return True for a module of PyTorch."""
    return any(base.split(".")[-1] == "Module" for base in owner.bases)


def probed(contents: Contents, plan: ContainerPlan, net: Any) -> Iterator[ContainerPlan]:
    """Yield a plan with the gradients that a run of its calls left."""
    problem = make_trial(plan.holder.layout.cell, 0, 0, PLANS[0], Fixed(H, K)).problem
    yield from with_gradients(contents, plan, calls_of(plan, net), problem)


def outermost_first(contents: Contents, groups: list[list[Plan]]) -> list[list[Plan]]:
    """Return the plans by the function that leaves the gradients, those functions first that call the others."""

    def functions_called(group: list[Plan]) -> int:
        inner = {f.name for f in contents.reached_from(group[0].gradient_call.facts)}
        return sum(other[0].gradient_call.facts.name in inner for other in groups)

    return sorted(groups, key=functions_called, reverse=True)


def recognised_modules(
    contents: Contents, net: Any, source: Source, wanted: str
) -> list[Recognised]:
    """Return the forms of the modules of PyTorch in a file, with a wrapper for each."""
    best: dict[str, Recognised] = {}
    for plan in module_plans(contents, net, from_shapes):
        if wanted not in ("", plan.owner.name) and f"net.{wanted}(" not in plan.making.text:
            continue
        form = recognised_module(plan, net, source)
        forms = [form] if form is not None else []
        forms += recognised_functions(contents, plan, net, source)
        for form in forms:
            old = best.get(form.names[0])
            if old is None or form.rank < old.rank:
                best[form.names[0]] = form
    return list(best.values())


def recognised_functions(
    contents: Contents, plan: ModulePlan, net: Any, source: Source
) -> Iterator[Recognised]:
    """Yield the forms of the functions that call a module, with a wrapper for each."""
    for one in functions_calling(contents, plan):
        name = one.facts.name
        title = (
            f"{name}, which calls the module {plan.owner.name}, {CELLS[plan.cell].title} in PyTorch"
        )
        reached = contents.reached_from(one.facts)
        inner = frozenset({*(f.name for f in reached[1:]), plan.owner.name})
        form = module_form(
            plan, one, Recognised(title, (name,), plan.cell, "", "", FAILED), net, source
        )
        if form is not None:
            yield replace(form, helpers=inner, derived=1 if one.derives else 2)


def recognised_module(plan: ModulePlan, net: Any, source: Source) -> Recognised | None:
    """Return the form of a module with the best way to call it; None if no way runs."""
    name = plan.owner.name
    title = f"the module {name}, {CELLS[plan.cell].title} in PyTorch"
    form = Recognised(title, (name,), plan.cell, "", "", FAILED, derived=2)
    return module_form(plan, None, form, net, source)


def module_form(
    plan: ModulePlan, one: ModuleFunction | None, form: Recognised, net: Any, source: Source
) -> Recognised | None:
    """Return a form with its wrapper for the best way to call a module, or the function `one`; or None."""
    trier = Trier(make_trial(plan.cell, 0, 0, PLANS[0]).problem)
    notes = notes_of_module(plan)
    best: tuple[int, int, ModuleBody] | None = None
    for place, body in enumerate(bodies_of(plan, one)):
        rank = trier.rank(function_of(body.lines, body.helpers, net))
        if rank is not None and (best is None or rank < best[0]):
            best = rank, place, body
        if best is not None and best[0] <= RELATED:
            break
    if best is None:
        return None
    for other in orders_of_gates(plan) if best[0] > RELATED else ():
        body = next(itertools.islice(bodies_of(other, one), best[1], None))
        rank = trier.rank(function_of(body.lines, body.helpers, net))
        if rank is not None and rank <= RELATED:
            best = rank, best[1], body
            break
    rank, _, body = best
    text = wrapper_source(source, form.title, notes, body.lines, body.helpers)
    return replace(form, text=text, way=body.words, rank=rank, notes=tuple(notes))


def matches(plan: Plan, wanted: str) -> bool:
    """Return True if a plan calls the function, method or class that the user named."""
    owner = plan.owner.name if plan.owner is not None else ""
    return not wanted or wanted in (owner, *plan.names)


def knows_targets(plan: Plan) -> bool:
    """Return False if the functions compute the loss of other targets than y, such as those in one sequence."""
    own = plan.loss in ("ours", "outputs") or isinstance(plan, AutogradPlan)
    return own or plan.has("y")


def best_plan(contents: Contents, same: list[Plan], net: Any, source: Source) -> Recognised | None:
    """Return the form of the plan that fits best, of plans that end with the same function.

    If no plan runs, return the form of the plan with the fewest doubts, whose error shows what is wrong.
    """
    whole = [plan for plan in same if not plan.blanks]
    best: Recognised | None = None
    order = (0, 0)
    nested = 0
    for plan in whole:
        if isinstance(plan.holder, NestedHolder):
            nested += 1
            if best is not None and (best.rank <= OWN or (nested > FEW and best.rank < UNCLEAR)):
                break
        form = tried_plan(contents, plan, net, source)
        # A mean is as good as a sum: a plan with the user's own loss comes before one without.
        new = (max(form.rank, 1), plan.doubts if form.rank == FAILED else 0)
        if best is None or new < order:
            best, order = form, new
        if best.rank <= 1:
            break
    if best is not None and best.rank == FAILED:
        whole.sort(key=lambda plan: plan.doubts)
        fixed = (with_fixed_sizes(contents, plan, net, source) for plan in whole[:MOST_FIXED])
        best = next((form for form in fixed if form is not None), best)
    if best is None and same:
        return written(contents, same[0], Tried(first_way(contents, same[0]), UNCLEAR), source)
    return best


def without_inner(forms: list[Recognised]) -> list[Recognised]:
    """Return the forms without those that a better form already calls, and without those that train."""
    whole = [form for form in forms if not form.blanks] or forms
    # What the user's code computes itself is meant, and not what a library computes, to compare both.
    least = min((form.derived for form in whole), default=0)
    whole = [form for form in whole if form.derived == least]
    calm = [form for form in whole if not form.trains] or whole
    inner = {name for form in calm for name in form.helpers}
    left = [
        form
        for form in calm
        if not {name.split(".")[-1] for name in form.names} <= inner
        and not {name.split(".")[0] for name in form.names} & inner
    ] or calm
    return [form for form in left if not any(does_all(o, form) for o in left)] or left


def does_all(form: Recognised, other: Recognised) -> bool:
    """Return True if a function that is called for one form calls itself all that is called for the other form."""
    if form is other or form.rank > other.rank or len(form.names) >= len(other.names):
        return False
    inside = {*form.helpers, *(name.split(".")[-1] for name in form.names)}
    return {name.split(".")[-1] for name in other.names} <= inside


def tried_plan(contents: Contents, plan: Plan, net: Any, source: Source) -> Recognised:
    """Return the form of a plan with the best way to pass the arrays.

    If no way runs, its rank is `FAILED`, and it has the way that came furthest.
    """
    layout = plan.holder.layout
    trier = Trier(make_trial(layout.cell, 0, 0, PLANS[0]).problem)

    made = maker_of(plan, net)
    # JAX compiles the wrapper for each way, and the source shows most of the way.
    compiled = isinstance(plan, AutogradPlan) and plan.library == "jax"
    sure = plan.loss not in ("", "ours", "outputs")
    best = trier.best(ways_of(contents, plan), made, 3 if compiled else MOST_RUNNING, sure)
    if best is None:
        way = trier.furthest[1] if trier.furthest else first_way(contents, plan)
        return written(contents, plan, Tried(way, FAILED), source)
    if not plan.loss and (loss := returned_number(plan, best.way, net)):
        return tried_plan(contents, replace(plan, loss=loss), net, source)
    if plan.guessed and not trier.fits_loss(made(best.way)):
        # It is not clear which value an argument takes, so the wrong gradients may not be the user's.
        return written(contents, with_blanks(plan), replace(best, rank=UNCLEAR), source)
    numbered = isinstance(plan.holder, NestedHolder) and plan.holder.is_numbered
    if not layout.has_gates or numbered:
        best = trier.with_order_of_gates(best, made, layout.cell)
    unset = plan.owner is not None and has_unset(plan, plan.owner, net)
    form = written(contents, plan, best, source)
    return replace(form, unset=unset and trier.differs(made(best.way)))


def returned_number(plan: Plan, way: Passing, net: Any) -> str:
    """Return the variable with the only number that a plan's calls return, which is the loss; "" if none is."""
    if isinstance(plan, (StepPlan, AutogradPlan)):
        return ""
    problem = make_trial(plan.holder.layout.cell, 0, 0, PLANS[0]).problem
    found = run(calls_of(plan, net), way, problem)
    return "" if found is None else loss_in(plan, found)


def calls_of(plan: Plan, net: Any) -> Callable[[Passing], Callable[..., Any]]:
    """Return a function that makes a function, for a way, that makes a plan's calls and returns its variables."""
    return lambda way: function_of([*lines_of_calls(plan, way), "return locals()"], [], net)


def has_unset(plan: Plan, owner: ClassFacts, net: Any) -> bool:
    """Return True if an instance has random parameters that are not in the plan's layout, such as peepholes."""
    first, again = made_by_class(owner, net), made_by_class(owner, net)
    if first is None or again is None:
        return False
    parts = plan.holder.layout.parts
    pairs = zip(first.leaves, again.leaves, strict=False)
    return any(
        not np.array_equal(one.array, other.array)
        for one, other in pairs
        if one.path not in parts and one.words and one.words[-1] not in parts
    )


def maker_of(plan: Plan, net: Any) -> Callable[[Passing], Callable[..., Any]]:
    """Return a function that makes the wrapper's function for a way to pass the arrays."""

    def made(way: Passing) -> Callable[..., Any]:
        body = wrapper_body(plan, way)
        return function_of(body.lines, body.helpers, net)

    return made


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


def with_fixed_sizes(contents: Contents, plan: Plan, net: Any, source: Source) -> Recognised | None:
    """Return the form of a plan whose functions work only with some sizes; None if none makes them run."""
    made = maker_of(plan, net)
    reached = [f for call in plan.calls for f in contents.reached_from(call.facts)]
    for sizes in possible_sizes(contents, reached):
        trier = Trier(make_trial(plan.holder.layout.cell, 0, 0, PLANS[0], Fixed(*sizes)).problem)
        best = trier.best(itertools.islice(ways_of(contents, plan), WAYS_WITH_SIZES), made)
        if best is not None:
            form = written(contents, plan, best, source)
            note = f"your code works only with {sizes_text(sizes)}, so it is checked with that."
            return replace(form, sizes=Fixed(*sizes), notes=(*form.notes, note))
    return None


def sizes_text(sizes: Sizes) -> str:
    """Return sizes in words, such as "H = 100 and K = 62"."""
    return listing([f"{name} = {n}" for name, n in zip("HK", sizes, strict=True) if n is not None])


def wrapper_body(plan: Plan, way: Passing) -> Body:
    """Return the lines of the wrapper for a plan, if the arrays are passed in this way."""
    return tensor_body(plan, way) if isinstance(plan, TensorPlan) else body_of(plan, way)


def ways_of(contents: Contents, plan: Plan) -> Iterator[Passing]:
    """Yield the ways to pass the arrays, the likeliest first."""
    first = first_way(contents, plan)
    if isinstance(plan, StepPlan):
        yield from step_ways(first)
    elif isinstance(plan, TensorPlan):
        yield from tensor_ways(plan, first.joined)
    elif isinstance(plan, ContainerPlan):
        square = (bool(plan.turned), not plan.turned)
        orders = ("hx", "xh") if plan.holder.layout.is_joined else ("hx",)
        for transposed, joined in itertools.product(square, orders):
            for way in probe_ways():
                yield replace(way, transposed=transposed, joined=joined)
    else:
        yield from usual_ways(first, plan.holder.layout.is_joined)


def written(contents: Contents, plan: Plan, tried: Tried, source: Source) -> Recognised:
    """Return the form of a plan with its wrapper, which passes the arrays in the way that was tried."""
    layout = plan.holder.layout
    body = wrapper_body(plan, tried.way)
    title, notes = title_of(plan), notes_of(plan)
    text = wrapper_source(source, title, notes, body.lines, body.helpers)
    reached = [f for call in plan.calls for f in contents.reached_from(call.facts)]
    called = {call.facts.name for call in plan.calls}
    inner = plan.container.inner if isinstance(plan, ContainerPlan) and plan.container else ()
    helpers = (
        {name for f in reached for name in f.read_globals & set(contents.classes)}
        | {f.name for f in reached if f.name not in called}
        | {f"{f.owner}.{f.name}" for f in reached if f.owner and f.name not in called}
    )
    return Recognised(
        title=title,
        names=plan.names,
        cell=layout.cell,
        text=text,
        way=tried.way.in_words("b" in layout.blocks, layout.is_joined),
        rank=tried.rank,
        notes=tuple(notes),
        blanks=text.count("# fill in"),
        helpers=frozenset(helpers | set(inner)),
        trains=plan.has("zero") or any(updates_parameters(f) for f in reached),
        derived=2
        if isinstance(plan, AutogradPlan)
        else int(isinstance(plan, TensorPlan) and plan.derives),
    )


def updates_parameters(facts: FunctionFacts) -> bool:
    """Return True for a function whose name says that it changes the parameters."""
    word = facts.name.lower()
    return any(
        part in word for part in ("update", "sgd", "adam", "adagrad", "rmsprop", "descent", "optim")
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
