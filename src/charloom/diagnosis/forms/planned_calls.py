"""Plans which of a user's functions to call, and with what, so that they give loss and gradients.

A plan may be one function, or a forward function, a loss function and a backward function one after
another. It holds names only; `wrapper_text.py` writes it as Python.
"""

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.call_flow import flows
from charloom.diagnosis.forms.derived_globals import assignments, global_lines, is_zeroed_elsewhere
from charloom.diagnosis.forms.file_contents import (
    ClassFacts,
    Contents,
    FunctionFacts,
    dict_keys,
    is_made_dict,
    name_of,
)
from charloom.diagnosis.forms.gradient_sources import (
    GradientSource,
    matched,
    sources_in,
    stripped,
)
from charloom.diagnosis.forms.name_roles import (
    GRADIENT_HOLDERS,
    UPSTREAM,
    UPSTREAM_CELL,
    is_cell_state,
    is_loss,
    is_numerical,
    is_output,
    is_state,
    role_of_argument,
    short,
    size_of,
    stem,
)
from charloom.diagnosis.forms.nested_parameters import (
    NestedHolder,
    NestedSource,
    nested_holders,
    nested_sources,
)
from charloom.diagnosis.forms.parameter_holders import Holder, holders
from charloom.diagnosis.forms.parameter_layout import layouts_of

FORWARD: Final = ("forward", "fprop", "predict", "feed", "unroll", "fwd", "forw")
BACKWARD: Final = ("back", "bprop", "bptt", "grad", "bwd")
LOSS: Final = ("loss", "cost", "crossentropy", "cross_entropy")
ORDERED: Final = ("x", "y", "h0", "c0")  # what arguments with unknown names get, in this order
STEP: Final = ("step", "cell", "timestep")
TEMPORAL: Final = {"temporal_affine_forward", "temporal_affine_backward", "temporal_softmax_loss"}
RESERVED: Final = ("params", "x", "y", "h0", "c0", "K", "H", "np", "net", "model", "U", "W", "b", "loss_", "torch", "rows", "ours")  # fmt: skip

# Variables of the wrapper with the gradients of all gates.
STACKED: Final = ("dU", "dW", "dWU", "db")


class Argument(NamedTuple):
    """One argument of a planned call.

    Attributes:
        name: the user's name of the argument.
        kind: a role such as "x" or "K"; "parameter" for one array, "params" for all; "variable" for
            what an earlier call returned; "upstream" for the gradient of the states, which the wrapper
            computes; "container" for a container of parameters, "all of" and "names of" for the items of
            one; "blank" for one that the user must fill in.
        value: the name of the variable or of the parameter; "" for the other kinds.
        by_name: whether it has a default, and so is passed by name.
        guessed: whether its name does not show that it takes `value`.
    """

    name: str
    kind: str
    value: str = ""
    by_name: bool = False
    guessed: bool = False


@dataclass(frozen=True)
class PlannedCall:
    """A call of one function: its facts, its arguments, and the names of what it returns.

    `listed` says whether x and y are passed as lists of windows, with one window each, and `fields`
    whether the results are the fields of a returned object.
    """

    facts: FunctionFacts
    arguments: tuple[Argument, ...]
    results: tuple[str, ...] = ()
    listed: bool = False
    fields: bool = False

    def has(self, kind: str) -> bool:
        """Return True if an argument has this kind."""
        return any(argument.kind == kind for argument in self.arguments)


@dataclass(frozen=True)
class Plan:
    """The calls that give the loss and the gradients, in order.

    Attributes:
        holder: where the parameters are.
        source: where the gradients are after the calls.
        gradients: the item, key or attribute with the gradient of each of the user's arrays.
        calls: the calls in order.
        loss: the variable with the loss; "ours" if the wrapper computes it from the states; "outputs"
            if it computes it from the outputs in the variable `outputs`; "instance" for an attribute.
        outputs, states: the variables with the outputs and with the states of all steps.
        owner: the class whose instance is called; None for functions of the module.
        temporal: whether the file's functions temporal_affine_… and temporal_softmax_loss are used.
        zeroed: whether only other code of the file sets the gradients to zero before a call.
        states_set: the global variables with the initial states, by their roles.
        globals_set: the lines that set sizes in the module, and what follows from them.
    """

    holder: Holder
    source: GradientSource
    gradients: dict[str, str]
    calls: tuple[PlannedCall, ...]
    loss: str
    outputs: str = ""
    states: str = ""
    owner: ClassFacts | None = None
    temporal: bool = False
    globals_set: tuple[str, ...] = ()
    states_set: dict[str, str] = field(default_factory=dict)
    zeroed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the called functions, with the class of a method."""
        prefix = f"{self.owner.name}." if self.owner is not None else ""
        return tuple(f"{prefix}{call.facts.name}" for call in self.calls)

    @property
    def gradient_call(self) -> PlannedCall:
        """The call that leaves the gradients; a call for the loss alone may follow it."""
        later = len(self.calls) > 1 and self.calls[-1].results == ("loss",)
        return self.calls[-2] if later else self.calls[-1]

    @property
    def gradient_name(self) -> str:
        """The name of the function that leaves the gradients, with the class of a method."""
        return self.names[self.calls.index(self.gradient_call)]

    @property
    def layers(self) -> bool:
        """Whether the class or a function takes a number of layers, which is set to 1."""
        start = None if self.owner is None else self.owner.methods.get("__init__")
        taken = [
            *(start.arguments if start is not None else ()),
            *(a.name for c in self.calls for a in c.arguments),
        ]
        return any("layers" in name.lower() for name in taken)

    @property
    def blanks(self) -> int:
        """The number of arguments that the user must fill in."""
        return sum(a.kind == "blank" for call in self.calls for a in call.arguments)

    @property
    def guessed(self) -> bool:
        """Whether it is not clear what an argument takes."""
        return any(a.guessed for call in self.calls for a in call.arguments)

    @property
    def doubts(self) -> int:
        """The number of reasons to doubt that an error of the calls is the user's own.

        An argument that gets x, y or a state although its name does not say so is one: a backward function
        alone gets arrays in the place of its cache. A missing forward function is one too.
        """
        arguments = [a for call in self.calls for a in call.arguments]
        ordered = [a for a in arguments if a.kind in ORDERED and role_of_argument(a.name) != a.kind]
        first, last = self.calls[0].facts, self.gradient_call.facts
        paired = first is not last and core(first.name) == core(last.name)
        return 2 * len(ordered) + (not paired)

    def has(self, kind: str) -> bool:
        """Return True if an argument of a call has this kind."""
        return any(call.has(kind) for call in self.calls)


def plans(contents: Contents, owner: ClassFacts | None) -> Iterator[Plan]:
    """Yield the plans for the functions of a module, or for the methods of the class `owner`."""
    scope = contents.functions if owner is None else owner.methods
    for facts in scope.values():
        for source in sources_of(contents, facts):
            yield from plans_around(contents, owner, facts, source)
    yield from nested_plans(contents, owner)


def nested_plans(contents: Contents, owner: ClassFacts | None) -> Iterator[Plan]:
    """Yield the plans for functions whose parameters or gradients are nested, in several containers, or flat."""
    scope = contents.functions if owner is None else owner.methods
    for facts in scope.values():
        if is_step(facts) or facts.name.startswith("__") or is_numerical(facts.name):
            continue
        if trains_long(facts):
            continue
        for forward in (None, *forwards(contents, scope, facts)):
            called = [facts] if forward is None else [forward, facts]
            seen: list[tuple[NestedHolder, NestedSource]] = []
            for holder in nested_holders(contents, called, owner):
                for source in nested_sources(facts, holder):
                    if (holder, source) in seen:
                        continue
                    seen.append((holder, source))
                    for middle in (
                        output_layers(contents, scope, called) if forward is not None else ()
                    ):
                        three = [called[0], middle, facts]
                        yield from planned(contents, owner, three, holder, source)
                    yield from planned(contents, owner, called, holder, source)


def sources_of(contents: Contents, facts: FunctionFacts) -> Iterator[GradientSource | None]:
    """Yield where a function can leave the gradients; None for a returned value with unknown keys."""
    if facts.name.startswith("__") or is_numerical(facts.name) or trains_long(facts):
        return
    found = list(sources_in(contents, facts))
    # The gradients of the function itself come first. Those that a function called by it leaves count
    # too, because a method such as `train` often calls it.
    yield from found
    if not found and dicts_of_gradients(facts):
        yield None


def trains_long(facts: FunctionFacts) -> bool:
    """Return True for a function that takes a number of epochs or iterations, or that reads a file."""
    words = [short(a) for a in facts.arguments]
    return (
        facts.name == "main"
        or any("iter" in w or "epoch" in w for w in words)
        or bool(facts.called & {"open", "parse_args", "input"})
    )


def dicts_of_gradients(facts: FunctionFacts) -> list[str]:
    """Return the returned items that can be dicts of gradients whose keys are not in the source."""
    made = facts.made_dicts | facts.made_lists
    named = [n for n in facts.returned if short(n) in GRADIENT_HOLDERS]
    return named or [n for n in facts.returned if n in made and not is_loss(n)]


def plans_around(
    contents: Contents,
    owner: ClassFacts | None,
    facts: FunctionFacts,
    source: GradientSource | None,
) -> Iterator[Plan]:
    """Yield the plans whose last call is `facts`, which leaves the gradients in `source`."""
    scope = contents.functions if owner is None else owner.methods
    if is_step(facts):
        return
    for forward in (None, *forwards(contents, scope, facts)):
        called = [facts] if forward is None else [forward, facts]
        for holder in holders(contents, called, owner) if forward is not None else ():
            for middle in output_layers(contents, scope, called):
                for one in (
                    (source,) if source is not None else with_unknown_keys(contents, facts, holder)
                ):
                    yield from planned(contents, owner, [called[0], middle, facts], holder, one)
        for holder in holders(contents, called, owner):
            for one in (
                (source,) if source is not None else with_unknown_keys(contents, facts, holder)
            ):
                yield from planned(contents, owner, called, holder, one)


def forwards(
    contents: Contents, scope: dict[str, FunctionFacts], facts: FunctionFacts
) -> list[FunctionFacts]:
    """Return the functions that can be the forward pass of `facts`: those with the same name, if any."""
    reached = contents.reached_from(facts)
    flowing = [
        f
        for f in scope.values()
        if f not in reached
        and not is_step(f)
        and not is_numerical(f.name)
        and not trains_long(f)
        and any(role_of_argument(a) not in ("params", "zero") for a in flows(contents, f, facts))
    ]
    first = [f for f in flowing if not any(role_of_argument(a) == "y" for a in f.arguments)]
    if flowing:
        return [*first, *(f for f in flowing if f not in first)]
    if not any(word in facts.name.lower() for word in BACKWARD):
        return makers(contents, scope, facts, reached)
    found = [
        f
        for f in scope.values()
        if f not in reached
        and not is_step(f)
        and not is_numerical(f.name)
        and any(word in f.name.lower() for word in FORWARD)
    ]
    same = [f for f in found if core(f.name) == core(facts.name)]
    return same or found or makers(contents, scope, facts, reached)


def makers(
    contents: Contents,
    scope: dict[str, FunctionFacts],
    facts: FunctionFacts,
    reached: Sequence[FunctionFacts],
) -> list[FunctionFacts]:
    """Return the functions that return an argument without a role, or at least two of the arguments of `facts`, whatever their names."""
    wanted = set(facts.arguments)
    known = ("x", "y", "h0", "c0", "params")
    unknown = {a for a in facts.required if role_of_argument(a) not in known}
    return [
        f
        for f in scope.values()
        if f not in reached
        and facts not in (f,)
        and (len(wanted & set(f.returned)) > 1 or unknown & set(f.returned))
        and not is_numerical(f.name)
        and facts not in contents.reached_from(f)
    ]


def output_layers(
    contents: Contents, scope: dict[str, FunctionFacts], called: Sequence[FunctionFacts]
) -> list[FunctionFacts]:
    """Return the functions that give the loss and the gradient of the outputs, for the last of `called`."""
    first, last = called
    between = [
        f
        for f in scope.values()
        if f not in called
        and len(f.returned) > 1
        and flows(contents, f, last)
        and flows(contents, first, f)
    ]
    if between:
        return between
    given = {stem(name) for name in (*first.returned, *first.arguments)}
    unknown = [a for a in last.required if stem(a) not in given and not role_of_argument(a)]
    return [
        f
        for f in scope.values()
        if unknown
        and f not in called
        and any(word in f.name.lower() for word in (*LOSS, "softmax"))
        and len(f.returned) > 1
        and any(role_of_argument(a) == "y" for a in f.arguments)
    ]


def core(name: str) -> str:
    """Return the name of a function without the words forward and backward and without underscores."""
    word = name.lower()
    for part in (
        "forward",
        "backward",
        "propagation",
        "propagate",
        "pass",
        "fprop",
        "bprop",
        "bptt",
        "fwd",
        "bwd",
        "_",
    ):
        word = word.replace(part, "")
    return word


def is_step(facts: FunctionFacts) -> bool:
    """Return True if a function computes a single step of the window.

    A function that returns the loss is not one, whatever its name.
    """
    if any(is_loss(name) for name in facts.returned):
        return False
    word = facts.name.lower()
    return any(part in word for part in STEP) or bool(
        {"xt", "x_t"} & {a.lower() for a in facts.arguments}
    )


def planned(
    contents: Contents,
    owner: ClassFacts | None,
    called: Sequence[FunctionFacts],
    holder: Holder,
    source: GradientSource,
) -> Iterator[Plan]:
    """Yield the plans for these calls; none if an argument stays unknown or the gradients do not fit."""
    gradients = dict(matched(holder.layout, source))
    if {"U", "W"} - blocks_of(holder, gradients):
        return
    calls: list[PlannedCall] = []
    known: list[str] = []
    for facts in called:
        linked = linked_arguments(contents, calls, facts)
        arguments = resolved(facts, known, holder, after=bool(calls), linked=linked)
        if arguments is None:
            return
        results = variables(facts) if facts in (called[0], called[-1]) else middle_results(facts)
        if holder.layout.has_gates:
            results = tuple(f"{n}_" if n in STACKED else n for n in results)
        passed = {
            n
            for later in called
            if later is not facts
            for n in flows(contents, facts, later).values()
        }
        results = tuple(
            f"item_{n}" if name == "_" and n in passed else name for n, name in enumerate(results)
        )
        made = contents.classes.get(facts.returned_class)
        fields = made is not None and not made.is_named_tuple
        calls.append(PlannedCall(facts, arguments, results, fields=fields))
        known += [name for name in results if name != "_"]
    lines = lines_of_globals(contents, owner, called, holder)
    reached = [r for f in called for r in contents.reached_from(f)]
    plan = Plan(holder, source, gradients, tuple(calls), "", owner=owner, globals_set=lines)
    states = global_states(contents, reached, plan)
    plan = replace(plan, zeroed=is_zeroed_elsewhere(contents, reached), states_set=states)
    yield from with_loss(contents, plan, known)


def linked_arguments(
    contents: Contents, calls: Sequence[PlannedCall], facts: FunctionFacts
) -> dict[str, str]:
    """Return the variables with results of earlier calls that the user's own code passes to a function."""
    found: dict[str, str] = {}
    for call in calls:
        for name, place in flows(contents, call.facts, facts).items():
            whole = place < 0 and len(call.results) == 1
            if whole or 0 <= place < len(call.results):
                found[name] = call.results[0 if whole else place]
    return found


def global_states(
    contents: Contents, reached: Sequence[FunctionFacts], plan: Plan
) -> dict[str, str]:
    """Return the global variables from which functions without such an argument take the initial states."""
    own = {one.name for one in assignments(contents)}
    names = sorted({n for f in reached for n in f.read_globals | f.declared_global} & own)
    return {
        role: name
        for name in names
        if len(name) > 1
        and name not in plan.holder.layout.parts
        and (role := role_of_argument(name)) in ("h0", "c0")
        and not plan.has(role)
    }


def lines_of_globals(
    contents: Contents, owner: ClassFacts | None, called: Sequence[FunctionFacts], holder: Holder
) -> tuple[str, ...]:
    """Return the lines that set what the called functions read from the module, besides the parameters."""
    start = () if owner is None else tuple(f for n, f in owner.methods.items() if n == "__init__")
    reached = [r for f in (*start, *called) for r in contents.reached_from(f)]
    own = {"globals": set(holder.layout.parts), "global dict": {holder.base}}.get(
        holder.kind, set()
    )
    if isinstance(holder, NestedHolder):
        own = {root.removeprefix("net.") for root in holder.roots if root.startswith("net.")}
    return tuple(global_lines(contents, list(dict.fromkeys(reached)), own))


def with_unknown_keys(
    contents: Contents, facts: FunctionFacts, holder: Holder
) -> Iterator[GradientSource]:
    """Yield the sources for a returned dict of gradients whose keys are not constants in the source.

    The keys are the names of the parameters, or these names after "d".
    """
    base = dicts_of_gradients(facts)[0]
    parts = holder.layout.parts
    if holder.kind == "flat":
        yield GradientSource("flat", base, tuple(parts), holder.layout)
        return
    for beginning in ("", "d") if base not in facts.made_lists else ():
        layout = replace(holder.layout, parts={beginning + n: part for n, part in parts.items()})
        yield GradientSource("dict", base, tuple(layout.parts), layout)
    given = tuple(n for n in facts.arguments if n in parts)
    order = holder.order or listed_order(contents, parts) or given
    if (base in facts.made_lists or holder.order) and set(order) >= set(parts):
        yield GradientSource("ordered", base, order, holder.layout)


def listed_order(contents: Contents, names: Collection[str]) -> tuple[str, ...]:
    """Return the order of these names in a list of the file that has all of them, such as `params`; or ()."""
    for node in ast.walk(contents.tree):
        if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) == len(names):
            found = tuple(name_of(item) for item in node.elts)
            if set(found) == set(names):
                return found
    return ()


def blocks_of(holder: Holder, gradients: dict[str, str]) -> set[str]:
    """Return the blocks, such as "U", that have a gradient."""
    blocks = {holder.layout.parts[name].block for name in gradients}
    return blocks | ({"U", "W"} if "WU" in blocks else set())


def variables(facts: FunctionFacts) -> tuple[str, ...]:
    """Return names for the variables that take what a function returns; "_" for an item without a name."""
    found: list[str] = []
    for place, name in enumerate(facts.returned):
        if str(place) in facts.nested:
            name = "gradients" if holds_gradients(facts, place) else "cache"
        if name in RESERVED or name in found:
            name = f"{name}_"
        found.append(name or ("_" if len(facts.returned) > 1 else "result"))
    return tuple(found)


def middle_results(facts: FunctionFacts) -> tuple[str, ...]:
    """Return names for what an output layer returns: the loss, the gradient of the outputs, and the rest."""
    place = next((n for n, name in enumerate(facts.returned) if is_loss(name)), 0)
    names = iter(["dout", *(f"rest_{n}" for n in range(len(facts.returned)))])
    return tuple("loss" if n == place else next(names) for n in range(len(facts.returned)))


def holds_gradients(facts: FunctionFacts, place: int) -> bool:
    """Return True if the returned tuple or dict at a position holds gradients."""
    node = facts.nested[str(place)]
    names = [name_of(item) for item in getattr(node, "elts", [])] or list(dict_keys(node))
    return any(stripped(name) for name in names) or bool(layouts_of(names))


def resolved(
    facts: FunctionFacts,
    known: Sequence[str],
    holder: Holder,
    after: bool,
    most: int = 2,
    earlier: Sequence[Argument] = (),
    linked: dict[str, str] | None = None,
) -> tuple[Argument, ...] | None:
    """Return what to pass for each argument of a function; None if more than `most` are unknown.

    `known` are the variables that earlier calls made, and `earlier` what these calls took: an argument
    with the same name takes the same. `after` says whether this is a later call. `linked` are the variables
    that the user's own code passes, by argument.
    """
    linked = linked or {}
    left = [name for name in known if not is_loss(name) and name not in linked.values()]
    found: list[Argument] = []
    for name in facts.arguments:
        if name in linked:
            by_name = name not in facts.required or name in facts.only_by_name
            found.append(Argument(name, "variable", linked[name], by_name))
            continue
        kind, value = kind_of(name, left, holder, after)
        optional = name not in facts.required
        by_name = optional or name in facts.only_by_name
        if not kind:
            if optional:
                continue
            kind = "blank"
        if value in left:
            left.remove(value)
        found.append(Argument(name, kind, value, by_name))
    found += starred(facts, holder)
    if not after:
        fill_in_order(found, holder)
    for place, argument in enumerate(found):
        if argument.kind == "blank" and earlier:
            found[place] = as_before(argument, earlier, found)
    for place, argument in enumerate(found):
        if argument.kind == "blank" and after and left:
            value = "dout" if "dout" in left else left[0]
            left.remove(value)
            found[place] = argument._replace(kind="variable", value=value, guessed=value != "dout")
    return tuple(found) if sum(a.kind == "blank" for a in found) <= most else None


def as_before(
    argument: Argument, earlier: Sequence[Argument], found: Sequence[Argument]
) -> Argument:
    """Return an argument with what one of the same name took in an earlier call, or with y if none took y."""
    same = next((a for a in earlier if a.name == argument.name), None)
    if same is not None:
        return argument._replace(kind=same.kind, value=same.value)
    if any(a.kind in ("y", "pairs", "both") for a in (*earlier, *found)):
        return argument
    return argument._replace(kind="y")


def starred(facts: FunctionFacts, holder: Holder) -> Iterator[Argument]:
    """Yield the arguments `*params` and `**params` of a function, if they take the parameters."""
    if isinstance(holder, NestedHolder):
        for name, kind in ((facts.star, "all of"), (facts.double_star, "names of")):
            if name in holder.roots:
                yield Argument(name, kind, name)


def fill_in_order(found: list[Argument], holder: Holder) -> None:
    """Take the arguments with unknown names for those of x, y, h0 and c0 that are missing, in this order."""
    states = ("h0", "c0") if CELLS[holder.layout.cell].states[1:] else ("h0",)
    missing = [r for r in ("x", "y", *states) if not any(a.kind == r for a in found)]
    places = [place for place, a in enumerate(found) if a.kind == "blank"]
    if len(places) <= len(missing):
        for place, role in zip(places, missing, strict=False):
            found[place] = found[place]._replace(kind=role)


def kind_of(name: str, left: Sequence[str], holder: Holder, after: bool) -> tuple[str, str]:
    """Return the kind and the value of an argument; ("", "") if they are unknown."""
    if holder.kind == "arguments" and name in holder.layout.parts:
        return "parameter", name
    if holder.kind in ("dict", "object", "tuple", "flat", "container") and name == holder.base:
        return "params", ""
    if isinstance(holder, NestedHolder) and name in holder.roots:
        return "container", name
    role = role_of_argument(name)
    if name in left:
        return "variable", name
    same = next((v for v in left if stem(v.rstrip("_")) == stem(name)), "")
    if same and role not in ("x", "y"):
        return "variable", same
    outputs = [v for v in left if is_output(v.rstrip("_")) and not is_state(v.rstrip("_"))]
    if after and is_output(name) and role not in ("x", "y") and outputs:
        return "variable", outputs[0]
    if "dout" in left and name not in left and short(name).startswith(("d", "g")) and not role:
        return "variable", "dout"
    if after and short(name) in UPSTREAM:
        return "upstream", ""
    if after and short(name) in UPSTREAM_CELL:
        return "zero state", ""
    if role == "params" and holder.kind in ("dict", "object", "container"):
        return "params", ""
    if short(name) in GRADIENT_HOLDERS and holder.kind in ("dict",):
        return "", ""
    if role == "params":
        role = size_of(name)  # such as M, which some call the number of hidden units
    if role:
        return role, ""
    if any(word in short(name) for word in ("toix", "toidx", "toindex", "vocab", "chars")):
        return "mapping", ""
    return "", ""


def with_loss(contents: Contents, plan: Plan, known: Sequence[str]) -> Iterator[Plan]:
    """Yield the plan with each way to get the loss, the likeliest first."""
    states = next((n for n in known if is_state(n.rstrip("_"))), "")
    outputs = next((n for n in known if is_output(n.rstrip("_")) and n != states), "")
    plan = replace(plan, states=states, outputs=outputs)
    given = next((n for n in known if is_loss(n.rstrip("_"))), "") or loss_in_dict(plan)
    given = given or loss_by_logarithm(plan)
    if given:
        yield replace(plan, loss=given)
    elif plan.has("upstream"):
        if plan.holder.layout.has_output and outputs and states:
            yield replace(plan, loss="outputs")
        elif states or known:
            temporal = set(contents.functions) >= TEMPORAL
            yield replace(plan, loss="ours", states=states or known[0], temporal=temporal)
    else:
        for call in loss_calls(contents, plan, known):
            yield replace(plan, loss="loss", calls=(*plan.calls, call))
        if plan.owner is not None and (name := loss_attribute(plan.owner)):
            yield replace(plan, loss=f"model.{name}")
        if outputs:
            yield replace(plan, loss="outputs")
        else:
            if name := other_result(plan):
                yield replace(plan, loss=name)
            yield replace(plan, loss="")


def loss_by_logarithm(plan: Plan) -> str:
    """Return the variable with a loss whose name does not say so, but to which logarithms are added; or ""."""
    for call in plan.calls:
        for name, variable in zip(call.facts.returned, call.results, strict=False):
            if name in call.facts.from_logarithms and not is_output(name) and not stripped(name):
                return variable
    return ""


def loss_in_dict(plan: Plan) -> str:
    """Return the expression for a loss that is in the same returned dict as the gradients; "" if none is."""
    facts, base = plan.calls[-1].facts, plan.source.base
    if plan.source.kind != "dict" or base not in facts.returned:
        return ""
    keys = [*facts.dict_literals.get(base, ()), *facts.keys_of(base)]
    key = next((key for key in keys if is_loss(key)), "")
    return f'{plan.calls[-1].results[facts.returned.index(base)]}["{key}"]' if key else ""


def loss_calls(contents: Contents, plan: Plan, known: Sequence[str]) -> Iterator[PlannedCall]:
    """Yield calls of the user's loss functions, if all their arguments are known.

    A loss function may take one window, or a list of windows.
    """
    scope = contents.functions if plan.owner is None else plan.owner.methods
    for facts in scope.values():
        if not gives_loss(facts) or facts.name.startswith("__"):
            continue
        if is_numerical(facts.name):
            continue
        if facts in [call.facts for call in plan.calls]:
            continue
        taken = [a for call in plan.calls for a in call.arguments]
        earlier = taken if plan.holder.kind == "container" else ()
        linked = linked_arguments(contents, plan.calls, facts)
        arguments = resolved(
            facts, known, plan.holder, after=bool(known), earlier=earlier, linked=linked
        )
        if not arguments or any(a.kind in ("blank", "upstream") for a in arguments):
            continue
        if any(a.kind == "y" for a in arguments) or plan.calls[0].has("y"):
            yield PlannedCall(facts, arguments, ("loss",))
            yield PlannedCall(facts, arguments, ("loss",), listed=True)


def gives_loss(facts: FunctionFacts) -> bool:
    """Return True if a function is called a loss, or returns one value that comes from a logarithm."""
    if any(word in facts.name.lower() for word in LOSS):
        return True
    logarithms = any(name in facts.called for name in ("log", "log2", "log_softmax"))
    value = facts.last_return
    single = len(facts.returned) == 1 and value is not None and not is_made_dict(value)
    return logarithms and single


def other_result(plan: Plan) -> str:
    """Return the first variable that holds no gradient, no state and no container, which may be the loss; or ""."""
    call = plan.gradient_call
    for place, name in enumerate(call.facts.returned):
        known = (
            is_state(name)
            or is_cell_state(name)
            or stripped(name)
            or str(place) in call.facts.nested
        )
        holder = (
            short(name) in GRADIENT_HOLDERS or name in call.facts.made_dicts | call.facts.made_lists
        )
        if name and not known and not holder and len(call.facts.returned) > 1:
            return call.results[place]
    return ""


def loss_attribute(owner: ClassFacts) -> str:
    """Return the attribute of an instance that holds the loss; "" if there is none."""
    return next((name for name in owner.stored_attributes() if is_loss(name)), "")
