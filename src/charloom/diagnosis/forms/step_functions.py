"""Plans and writes the wrapper for functions of a single step, which need a loop over time.

The wrapper runs the forward function over the window, computes the output layer and the loss, and runs
the backward function from the last step to the first.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts
from charloom.diagnosis.forms.gradient_sources import GradientSource, matched
from charloom.diagnosis.forms.name_roles import is_cell_state, is_state, role_of_argument
from charloom.diagnosis.forms.parameter_holders import holders
from charloom.diagnosis.forms.passing import STEP, Passing
from charloom.diagnosis.forms.planned_calls import (
    BACKWARD,
    FORWARD,
    Plan,
    PlannedCall,
    blocks_of,
    core,
    is_step,
    lines_of_globals,
    resolved,
    sources_of,
    variables,
)

# One step's input for each form of the whole input.
INPUTS: Final = {"columns": "columns", "TNK": "rows", "vectors": "vectors"}


@dataclass(frozen=True)
class StepResults:
    """The names of what the two functions of a step return.

    Attributes:
        h, c: the variables with the next states; `c` is "" if there is no cell.
        cache: the variables that the backward function gets.
        dh, dc: the items or keys with the gradients of the earlier states.
        as_dict: whether the backward function returns a dict.
    """

    h: str
    c: str
    dh: str
    dc: str
    as_dict: bool


@dataclass(frozen=True)
class StepPlan(Plan):
    """A plan of a forward and a backward function of a single step."""

    results: StepResults = StepResults("", "", "", "", False)


def step_plans(contents: Contents) -> Iterator[StepPlan]:
    """Yield the plans for pairs of functions of a single step."""
    steps = [f for f in contents.functions.values() if is_step(f)]
    forward = [f for f in steps if any(word in f.name.lower() for word in FORWARD)]
    backward = [f for f in steps if any(word in f.name.lower() for word in BACKWARD)]
    for first, last in itertools.product(forward, backward):
        if core(first.name) == core(last.name):
            yield from plans_of_pair(contents, first, last)


def plans_of_pair(
    contents: Contents, first: FunctionFacts, last: FunctionFacts
) -> Iterator[StepPlan]:
    """Yield the plans for a forward function and a backward function of one step."""
    known = [name for name in variables(first) if name != "_"]
    for source, holder in itertools.product(
        list(sources_of(contents, last)), list(holders(contents, [first, last], None))
    ):
        if source is None:
            continue
        gradients = dict(matched(holder.layout, source))
        arguments = (
            resolved(first, [], holder, after=False),
            resolved(last, known, holder, after=True),
        )
        results = results_of(last, source, known)
        if None in arguments or results is None or {"U", "W"} - blocks_of(holder, gradients):
            continue
        calls = tuple(
            PlannedCall(facts, given or (), variables(facts))
            for facts, given in zip((first, last), arguments, strict=True)
        )
        total = GradientSource("dict", "total", source.names, source.layout)
        lines = lines_of_globals(contents, None, [first, last], holder)
        yield StepPlan(
            holder, total, gradients, calls, "ours",
            states=results.h, results=results, globals_set=lines,
        )  # fmt: skip


def results_of(last: FunctionFacts, source: GradientSource, known: list[str]) -> StepResults | None:
    """Return the names of what the functions return; None if there is no next or earlier state."""
    h = next((n for n in known if is_state(n.rstrip("_")) and not is_cell_state(n.rstrip("_"))), "")
    c = next((n for n in known if is_cell_state(n.rstrip("_"))), "")
    as_dict = source.kind == "dict"
    keys = source.names if as_dict else last.returned
    earlier = {role: key for key in reversed(keys) if (role := role_of_gradient(key))}
    if not h or "h0" not in earlier:
        return None
    return StepResults(h, c, earlier["h0"], earlier.get("c0", ""), as_dict)


def role_of_gradient(name: str) -> str:
    """Return "h0" or "c0" for the gradient of an earlier state, such as dprev_h; "" for others."""
    if not name.startswith("d"):
        return ""
    role = role_of_argument(name[1:].lstrip("_"))
    return role if role in ("h0", "c0") else ""


def step_ways(first: Passing) -> Iterator[Passing]:
    """Yield the ways to pass arrays to the functions of one step, beginning with those like `first`."""
    kinds = sorted(INPUTS, key=lambda kind: kind != first.ids)
    for ids, transposed in itertools.product(kinds, (first.transposed, not first.transposed)):
        for bias, state in itertools.product(("flat", "column", "row"), repeat=2):
            for joined in (first.joined, "xh" if first.joined == "hx" else "hx"):
                yield Passing(ids, ids, bias, state, transposed, joined)


def first_step_way(plan: StepPlan, joined: str) -> Passing:
    """Return the way that the names suggest: rows and transposed matrices, or columns for a dict."""
    if plan.holder.kind == "dict":
        return Passing("columns", "columns", "column", "column", joined=joined)
    return Passing("TNK", "TNK", "flat", "row", transposed=True, joined=joined)


def loop_lines(plan: StepPlan, given: tuple[list[str], list[str]], way: Passing) -> list[str]:
    """Return the lines with both loops over time.

    `given` are the arguments of the forward and of the backward function, as expressions.
    """
    first, last = plan.calls
    results = plan.results
    cell = bool(CELLS[plan.holder.layout.cell].states[1:])
    kept = [a.value for a in last.arguments if a.kind == "variable"]
    step = STEP[INPUTS[way.ids]][0].format(ids="k")
    lines = [f"h = {way.vector('h0', way.state)}"]
    if cell:
        lines.append(f"c = {way.vector('c0', way.state)}")
    lines += [
        "hs, kept = [], []",
        "for k in x:",
        f"    {', '.join(first.results)} = net.{first.facts.name}({', '.join(given[0])})".replace(
            "STEP", step
        ),
        f"    h{', c' if cell else ''} = {results.h}{', ' + (results.c or 'c') if cell else ''}",
        "    hs.append(np.ravel(h))",
        f"    kept.append(({', '.join(kept)},))",
        'loss, dhs, dV, dc = output_layer(np.array(hs), y, params["V"], params["c"])',
        "dh_next = np.zeros_like(h)",
    ]
    if cell:
        lines.append("dc_next = np.zeros_like(c)")
    lines += [
        "total = {}",
        "for t in reversed(range(len(x))):",
        f"    ({', '.join(kept)},) = kept[t]",
    ]
    call = f"net.{last.facts.name}({', '.join(given[1])})"
    if results.as_dict:
        lines += [f"    found = {call}", f'    dh_next = found["{results.dh}"]']
        if results.dc and cell:
            lines.append(f'    dc_next = found["{results.dc}"]')
    else:
        found = [n if n in plan.gradients.values() else "dh_next" if n == results.dh
                 else "dc_next" if n == results.dc else "_" for n in last.facts.returned]  # fmt: skip
        lines.append(f"    {', '.join(found)} = {call}")
        names = ", ".join(f'"{n}": {n}' for n in found if n not in ("dh_next", "dc_next", "_"))
        lines.append(f"    found = {{{names}}}")
    lines += [
        "    for name, gradient in found.items():",
        "        total[name] = total.get(name, 0) + gradient",
    ]
    return lines
