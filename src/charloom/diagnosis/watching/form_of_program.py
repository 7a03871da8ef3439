"""Makes a form of a whole program: a wrapper that runs it on a short text and stops it after one update."""

import json
import textwrap
from pathlib import Path
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.recognition import Recognised
from charloom.diagnosis.forms.trying import OWN, RELATED, Function, Trier
from charloom.diagnosis.forms.wrapper_text import WIDTH
from charloom.diagnosis.trials import PLANS, Fixed, make_trial
from charloom.diagnosis.watching.array_names import name_of
from charloom.diagnosis.watching.observation import Observation
from charloom.diagnosis.watching.parameter_roles import STATES
from charloom.diagnosis.watching.program_search import observed
from charloom.diagnosis.watching.watched_program import NotObserved

ONE_STEP: Final = next(plan for plan in PLANS if plan.T == 1)
WRAPPER: Final = '''"""{about}

Let the doctor check the function `checked` of this file.
"""

from pathlib import Path

from charloom.diagnosis.watching.program_search import observed

{arrays}
iteration = observed({path})


def checked(params, x, y, h0):
    """Return the loss and a dict of the gradients. x and y are ids (T,), h0 is (H,)."""
    return iteration(params, x, y, h0)
'''


def program_form(path: Path, near: bool) -> Recognised | None:
    """Return the form of a file as a program that trains; None if its training cannot be watched.

    Args:
        path: the file.
        near: whether the wrapper will be in the file's folder.
    """
    try:
        found = observed(path)
    except NotObserved:
        return None
    place = (
        f"Path(__file__).with_name({json.dumps(path.name)})"
        if near
        else f"Path({json.dumps(str(path))})"
    )
    read = "a list of names" if found.names else "a short text"
    about = (
        f"Runs {path.name} as a whole on {read}, and stops it after the first update of its parameters. The "
        f"numbers of the parameters are replaced before this update, and the gradients are read after it."
    )
    text = WRAPPER.format(about=textwrap.fill(about, WIDTH), arrays=arrays_text(found), path=place)
    fixed = Fixed(found.sizes.H, found.sizes.K, True, not takes_state(found), found.shortest)
    fixed = fixed._replace(shortest=fewest_steps(found, fixed))
    return Recognised(
        title=f"the training in line {found.loop.line} as a whole, {CELLS[found.roles.cell].title}",
        names=(found.loop.function,),
        cell=found.roles.cell,
        text=text,
        way=f"{read} in place of every file that the program reads; y is x shifted by one step",
        rank=rank_of(found, fixed),
        notes=notes_of(found, path),
        sizes=fixed,
        function=found,
    )


class ProgramTrier(Trier):
    """Ranks programs: their targets are always their next characters, so no other order of steps is tried."""

    def is_without_order(self, checked: Function, loss: float) -> bool:
        return False


def takes_state(found: Observation) -> bool:
    """Return True if all initial states can be set."""
    set_states = {role.block for role in found.roles.roles.values()} | set(found.states.values())
    return set(CELLS[found.roles.cell].states) <= set_states


def fewest_steps(found: Observation, fixed: Fixed) -> int:
    """Return the smallest number of steps, 1 or 2, with which an iteration shows the loss and all gradients."""
    problem = make_trial(found.roles.cell, 0, 0, ONE_STEP, fixed).problem
    try:
        found.run(problem)
    except Exception:
        return 2
    return fixed.shortest


def rank_of(found: Observation, fixed: Fixed) -> int:
    """Return how well the program's network fits ours, as `Tried.rank`."""
    trier = ProgramTrier(make_trial(found.roles.cell, 0, 0, PLANS[0], fixed).problem)
    rank = trier.rank(found)
    if rank is None:
        return OWN + 1
    return min(rank, RELATED) if found.related else rank


def arrays_text(found: Observation) -> str:
    """Return comments that say which array holds what, and where its gradient was seen."""
    lines = ["# What was found, in the program's own names:"]
    for place, role in found.roles.roles.items():
        if role.block in STATES:
            what = f"initial state {'c0' if role.block == 'cell' else 'h0'}"
        else:
            what = {"zero": "set to zero", "d": "d"}.get(
                role.block
            ) or f"{role.block} {role.gate}".strip()
        seen = found.gradients.get(place)
        gradient = "" if seen is None else f"; gradient: {name_of(seen.place)} of {seen.where}"
        lines.append(f"# {name_of(place)}: {what}{gradient}")
    if found.loss is not None:
        lines.append(f"# loss: {name_of(found.loss.place)} of {found.loss.where}")
    return "\n".join(lines) + "\n"


def notes_of(found: Observation, path: Path) -> tuple[str, ...]:
    """Return sentences about how the program is run."""
    read = "a list of names" if found.names else "a short text"
    notes = [
        f"{path.name} was run as a whole on {read} in place of every file that it reads, and stopped after the "
        "first update of its parameters, again and again"
    ]
    if found.roles.marks is not None:
        notes.append(
            "a mark at the end of a name stands for a letter, which is the first input or the last target of a window"
        )
    if found.changed:
        lines = sorted({line for line, _ in found.changed})
        notes.append(
            f"numbers in line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))} were made smaller for this, so "
            "that the network is small"
        )
    if not takes_state(found):
        notes.append(
            "each window began with a state of zero, because no other initial state could be set"
        )
    return tuple(note + "." for note in notes)
