"""Plans calls that get a container with the parameters, runs them, and finds the gradients in what they leave.

Where the gradients are is not read from the source: the calls are made once, and the arrays in what they
return, and in the container, show it by their shapes and names.
"""

import ast
import contextlib
import copy
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from charloom.diagnosis.forms.container_layouts import expected, layouts_in, name_in
from charloom.diagnosis.forms.containers import Container, H, Leaf, leaves_of, made_containers
from charloom.diagnosis.forms.equation_meanings import Meanings, meanings_of
from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, FunctionFacts
from charloom.diagnosis.forms.gradient_sources import GradientSource, stripped
from charloom.diagnosis.forms.name_roles import (
    GRADIENT_HOLDERS,
    PARAMS_NAMES,
    VALUE_FIELDS,
    is_numerical,
    is_state,
    role_of_argument,
    short,
)
from charloom.diagnosis.forms.parameter_holders import Holder
from charloom.diagnosis.forms.parameter_layout import Layout, Part, is_gradient_name
from charloom.diagnosis.forms.passing import Passing, usual_ways
from charloom.diagnosis.forms.planned_calls import (
    ORDERED,
    RESERVED,
    Argument,
    Plan,
    PlannedCall,
    forwards,
    is_step,
    lines_of_globals,
    resolved,
    variables,
    with_loss,
)
from charloom.diagnosis.problem import Problem

# A function with one of these words in its name does not compute gradients.
OTHER_WORK: Final = ("sample", "generate", "train", "main", "plot", "load", "save", "update", "sgd", "adam", "print", "check", "optim", "zero", "reset")  # fmt: skip
SAME_ERRORS: Final = 12  # number of ways with the same error after which no further way is run
MOST_OPEN: Final = 4  # largest number of arguments whose names do not show what they take
MOST_RUNS: Final = 150  # number of ways to pass x, y and the state that are run


@dataclass(frozen=True)
class ContainerPlan(Plan):
    """A plan whose parameters are in a container, which the user's code makes.

    Attributes:
        container: the container.
        turned: the paths of the matrices that are transposed.
    """

    container: Container | None = None
    turned: frozenset[str] = frozenset()


def plans_in_containers(
    contents: Contents, net: Any, owner: ClassFacts | None
) -> Iterator[ContainerPlan]:
    """Yield the plans with a container, without their gradients: for functions, or methods of `owner`."""
    scope = contents.functions if owner is None else owner.methods
    made = [c for c in made_containers(contents, net) if owner is None or c.name == owner.name]
    for container in made:
        for facts in scope.values():
            if is_candidate(facts, container):
                yield from plans_with(contents, owner, facts, container)


def is_candidate(facts: FunctionFacts, container: Container) -> bool:
    """Return True if a function may compute the gradients."""
    word = facts.name.lower()
    other = any(part in word for part in OTHER_WORK) or is_numerical(facts.name)
    return not (word.startswith("__") or other or is_step(facts) or facts.name == container.name)


def plans_with(
    contents: Contents, owner: ClassFacts | None, facts: FunctionFacts, container: Container
) -> Iterator[ContainerPlan]:
    """Yield the plans that end with a call of `facts` and have the parameters in `container`."""
    scope = contents.functions if owner is None else owner.methods
    cell = "lstm" if "lstm" in f"{facts.owner}{facts.name}{container.name}".lower() else ""
    meanings = meanings_of(contents)
    firsts = forwards(contents, scope, facts)
    if owner is not None and len(facts.required) < 2 and not firsts:
        firsts = [
            f
            for f in scope.values()
            if f.required and f is not facts and is_candidate(f, container)
        ]
    for forward in (None, *firsts):
        called = [facts] if forward is None else [forward, facts]
        for layout in layouts_in(container.leaves, meanings, cell):
            for base in bases(called, owner):
                holder = Holder("container", base, layout)
                plan = planned(contents, owner, called, holder, container)
                for one in plan:
                    yield replace(one, turned=turned(layout, container.leaves))


def bases(called: Sequence[FunctionFacts], owner: ClassFacts | None) -> list[str]:
    """Return the arguments that may take the container; "model" for the methods of an instance."""
    if owner is not None:
        return ["model"]
    names = dict.fromkeys(a for f in called for a in f.arguments)
    named = [n for n in names if role_of_argument(n) == "params" or short(n) in CONTAINERS]
    unknown = [n for n in names if not role_of_argument(n)]
    everywhere = [n for n in unknown if all(n in f.arguments for f in called)]
    return list(dict.fromkeys([*named, *everywhere, *unknown[:1]]))[:3]


CONTAINERS: Final = ("net", "network", "model", "rnn", "theta", "lstm", "gru", "p", "w", "cell", "self", "weights", "m", "nn", "th")  # fmt: skip


def turned(layout: Layout, leaves: Sequence[Leaf]) -> frozenset[str]:
    """Return the paths of the matrices whose shape is that of the transposed block."""
    shapes = {leaf.path: leaf.shape for leaf in leaves}
    gates = 1 if layout.has_gates else {"rnn": 1, "gru": 3, "lstm": 4}[layout.cell]
    return frozenset(
        path
        for path, part in layout.parts.items()
        if len(wanted := expected(part.block, gates)) == 2
        and wanted[0] != wanted[1]
        and shapes[path] == wanted[::-1]
    )


def planned(
    contents: Contents,
    owner: ClassFacts | None,
    called: Sequence[FunctionFacts],
    holder: Holder,
    container: Container,
) -> Iterator[ContainerPlan]:
    """Yield the plans for these calls with each way to get the loss; none if an argument stays unknown."""
    lines = lines_of_globals(contents, owner, called, holder)
    source = GradientSource("expressions", "", (), holder.layout)
    for first in first_arguments(called[0], holder):
        calls = [PlannedCall(called[0], first, named_results(called[0]))]
        known = [name for name in calls[0].results if name != "_"]
        for facts in called[1:]:
            taken = [a for call in calls for a in call.arguments]
            arguments = resolved(facts, known, holder, after=True, earlier=taken)
            if arguments is None or any(a.kind in ("blank", "upstream") for a in arguments):
                return
            calls.append(PlannedCall(facts, arguments, named_results(facts)))
            known += [name for name in calls[-1].results if name != "_"]
        plan = ContainerPlan(
            holder,
            source,
            {},
            tuple(calls),
            "",
            owner=owner,
            globals_set=lines,
            container=container,
        )
        for one in with_loss(contents, plan, known):
            whole = any(map(one.has, ("x", "pairs", "both"))) and one.loss != "ours"
            if isinstance(one, ContainerPlan) and whole:
                yield one


def named_results(facts: FunctionFacts) -> tuple[str, ...]:
    """Return names for the variables that take what a function returns, also for items without a name."""
    found = variables(facts)
    return tuple(name if name != "_" else f"item_{n}" for n, name in enumerate(found, start=1))


def first_arguments(facts: FunctionFacts, holder: Holder) -> Iterator[tuple[Argument, ...]]:
    """Yield what to pass to the first function, in each order of x, y and the states that names do not show."""
    arguments = resolved(facts, [], holder, after=False, most=MOST_OPEN)
    if arguments is None:
        return
    found = [
        a._replace(kind=pairs_kind(facts, a.name) or a.kind)
        if role_of_argument(a.name) not in ("params", "h0", "c0") and a.kind != "params"
        else a
        for a in arguments
    ]
    open_ = [
        place
        for place, a in enumerate(found)
        if a.kind in ("blank", *ORDERED) and role_of_argument(a.name) != a.kind
    ]
    taken = {a.kind for place, a in enumerate(found) if place not in open_}
    if taken & {"pairs", "both"}:
        taken |= {"x", "y"}
    states = ("h0", "c0") if holder.layout.cell == "lstm" else ("h0",)
    left = [role for role in ("x", "y", *states) if role not in taken]
    for chosen in itertools.permutations(left, len(open_)):
        for place, role in zip(open_, chosen, strict=True):
            found[place] = found[place]._replace(kind=role)
        yield tuple(found)


def pairs_kind(facts: FunctionFacts, name: str) -> str:
    """Return "pairs" for a list of pairs of x and y, "both" for a tuple of x and y; "" for other arguments."""
    inner = facts.unpacked_from(name)
    if len(inner) == 2 and {role_of_argument(n) for n in inner} <= {"x", "y", ""}:
        return "both"
    loops = [
        n
        for n in ast.walk(facts.node)
        if isinstance(n, (ast.For, ast.comprehension)) and ast.unparse(n.iter) == name
    ]
    twofold = any(isinstance(n.target, ast.Tuple) and len(n.target.elts) == 2 for n in loops)
    return "pairs" if twofold else ""


def probe_ways() -> Iterator[Passing]:
    """Yield the ways to pass x, y and the states, each once."""
    seen: set[tuple[str, str, str]] = set()
    first = Passing("list", "list", "flat", "flat")
    for way in usual_ways(first, joined=False):
        if way.numbers != "numpy":
            continue
        for state in (way.state, "flat", "column", "row"):
            key = (way.ids, way.targets, state)
            if key not in seen:
                seen.add(key)
                yield replace(way, state=state)


def with_gradients(
    contents: Contents, plan: ContainerPlan, call: Any, problem: Problem
) -> Iterator[ContainerPlan]:
    """Yield the plan with the gradients, after a run of its calls; nothing if no way runs or leaves them.

    `call` makes a function that makes the calls in one way and returns its local variables.
    """
    meanings = meanings_of(contents)
    seen: list[dict[str, str]] = []
    errors: list[str] = []
    for way in list(probe_ways())[:MOST_RUNS]:
        found = run(call, way, problem, errors)
        if found is None:
            if len(errors) >= SAME_ERRORS and len(set(errors)) == 1:
                return  # no way to pass the arrays changes this
            continue
        gradients = gradients_in(plan, found, meanings)
        blocks = {plan.holder.layout.parts[name].block for name in gradients}
        if not any(leaf_at(found, path).any() for path in gradients.values()):
            continue
        if ("WU" in blocks or {"U", "W"} <= blocks) and gradients not in seen:
            if not same_again(call, way, problem, found, gradients):
                return  # arrays that the wrapper does not set are random
            seen.append(gradients)
            loss = plan.loss or loss_in(plan, found)
            if loss:
                yield replace(plan, gradients=gradients, loss=loss)
            return


def same_again(
    call: Any, way: Passing, problem: Problem, found: dict[str, Any], gradients: dict[str, str]
) -> bool:
    """Return True if another run of the calls leaves the same gradients."""
    again = run(call, way, problem)
    return again is not None and all(
        np.array_equal(leaf_at(found, path), leaf_at(again, path), equal_nan=True)
        for path in gradients.values()
    )


def loss_in(plan: Plan, found: dict[str, Any]) -> str:
    """Return the variable with the only number that the calls returned, which is the loss; "" if none is."""
    results = [name for call in plan.calls for name in call.results if name != "_"]
    numbers = []
    for name in results:
        value = found.get(name)
        inner = enumerate(value) if isinstance(value, (tuple, list)) else ()
        items = value.items() if isinstance(value, dict) else ()
        numbers += [name] if is_number(value) else []
        numbers += [f"{name}[{place}]" for place, one in inner if is_number(one)]
        numbers += [f'{name}["{key}"]' for key, one in items if is_number(one)]
    return numbers[-1] if len(numbers) == 1 else ""


def is_number(value: Any) -> bool:
    """Return True for a positive number that is not whole, such as a loss."""
    return isinstance(value, (float, np.floating)) and bool(value > 0)


def run(
    call: Any, way: Passing, problem: Problem, errors: list[str] | None = None
) -> dict[str, Any] | None:
    """Return the local variables after the calls; None if an error was raised, which is added to `errors`."""
    errors = [] if errors is None else errors
    quiet = io.StringIO()
    found: dict[str, Any] | None = None
    state = [s.copy() for s in problem.state.values()]
    try:
        with contextlib.redirect_stdout(quiet), np.errstate(all="ignore"):
            found = call(way)(
                copy.deepcopy(problem.parameters), problem.x.copy(), problem.y.copy(),
                state[0] if len(state) == 1 else tuple(state),
            )  # fmt: skip
    except Exception as error:
        errors.append(repr(error))
    return found


def gradients_in(plan: ContainerPlan, found: dict[str, Any], meanings: Meanings) -> dict[str, str]:
    """Return the expression of the gradient of each parameter, from the variables after the calls."""
    base = "model" if plan.owner is not None else container_name(plan.holder.base)
    results = {name for call in plan.calls for name in call.results}
    values = {name: value for name, value in found.items() if name in results or name == base}
    own = set(plan.holder.layout.parts)
    candidates: list[Leaf] = []
    for name, value in values.items():
        words = () if name == base else (name,)
        candidates += [
            leaf
            for leaf in leaves_of(value, name, words)
            if not (name == base and leaf.path[len(name) :] in own)
        ]
    assert plan.container is not None
    shapes = {leaf.path: leaf.shape for leaf in plan.container.leaves if leaf.path in own}
    return {
        path: best
        for path in own
        if (best := best_gradient(path, plan.holder.layout.parts[path], shapes[path], candidates, meanings))
    }  # fmt: skip


def leaf_at(found: dict[str, Any], expression: str) -> Any:
    """Return the array that an expression shows, such as `grads["W"]`."""
    return eval(expression, dict(found))


def states_in(container: Container, role: str, taken: Layout) -> list[Leaf]:
    """Return the arrays of a container that hold an initial state, by their names and their shapes."""
    return [
        leaf
        for leaf in container.leaves
        if leaf.words
        and role_of_argument(leaf.words[-1]) == role
        and leaf.array.size == H
        and leaf.path not in taken.parts
    ]


def container_name(base: str) -> str:
    """Return the variable of the wrapper that holds the container."""
    return base if base not in (*RESERVED, "c0") else "parameters"


def best_gradient(
    path: str,
    part: Part,
    shape: tuple[int, ...],
    candidates: Sequence[Leaf],
    meanings: Meanings,
) -> str:
    """Return the expression of the array that is most likely the gradient of a parameter; "" if none is."""
    words = inner_words(words_of(path))
    fitting = [leaf for leaf in candidates if leaf.shape == shape]
    same_size = len({leaf.path for leaf in fitting})
    direct = [leaf for leaf in fitting if len(leaf.words) == 1 and not is_state(leaf.words[0])]
    best, score = "", 0
    for leaf in fitting:
        name, parameter = name_in(leaf), name_of_path(path)
        new = 0
        ending = inner_words(leaf.words)[-len(words) :]
        if ending == words:
            new = 6
        elif without_prefix(ending) == words or (
            ending[:-1] == words[:-1]
            and is_gradient_field(leaf.words[-1])
            and words[-1] in VALUE_FIELDS
        ):
            new = 5
        elif (
            is_gradient_name(name, parameter)
            or meanings.parameter_of(name) == parameter
            or stripped(name) == parameter
        ):
            new = 4
        elif direct == [leaf]:
            new = 3
        elif same_size == 1 and part.block not in ("b", "d"):
            new = 2
        elif (
            part.block in ("b", "d")
            and not is_state(name)
            and name.startswith(("db", "d_b", "gb", "grad_b"))
        ):
            new = 1
        elif leaf.path.endswith(path) and leaf.words and leaf.words[-1].isdigit():
            new = 3
        if new > score:
            best, score = leaf.path, new
    return best


def words_of(path: str) -> tuple[str, ...]:
    """Return the names in a path."""
    for sign in ('"', "[", "]"):
        path = path.replace(sign, ".")
    return tuple(word for word in path.split(".") if word)


def inner_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in a path without those of what holds all parameters or all gradients."""
    kept = tuple(
        w for w in words if short(w) not in (*PARAMS_NAMES, *GRADIENT_HOLDERS) or len(w) < 2
    )
    return kept or words[-1:]


def name_of_path(path: str) -> str:
    """Return the name of the parameter at a path."""
    return name_in(Leaf(path, words_of(path), None))


def without_prefix(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of which the last one has lost the beginning or the end that marks a gradient."""
    if not words:
        return words
    last = words[-1]
    for beginning in ("d_", "grad_", "d", "g_", "g"):
        if last.startswith(beginning) and len(last) > len(beginning):
            return (*words[:-1], last[len(beginning) :])
    return (*words[:-1], last.removesuffix("_grad"))


def is_gradient_field(word: str) -> bool:
    """Return True for the name of the attribute of a parameter's object that holds the gradient."""
    return word in (
        "d",
        "grad",
        "gradient",
        "g",
        "dv",
        "deriv",
        "dw",
        "dx",
        "diff",
        "delta",
        "dvalue",
    )
