"""Says why a module of PyTorch cannot be checked, and what to write, in the terms of PyTorch."""

import inspect
from typing import Any

from charloom.diagnosis.forms.file_contents import ClassFacts, Contents
from charloom.diagnosis.forms.module_calls import helpers_of, module_bodies, roles_of
from charloom.diagnosis.forms.module_making import MODULE_SIZES, makings, role_in_class
from charloom.diagnosis.forms.module_shapes import from_shapes
from charloom.diagnosis.forms.recognition import function_of
from charloom.diagnosis.forms.torch_modules import (
    ModulePlan,
    is_module_class,
    is_part_of_another,
    module_plans,
)
from charloom.diagnosis.forms.trying import Trier
from charloom.diagnosis.runner import users_frames, users_traceback
from charloom.diagnosis.trials import PLANS, make_trial
from charloom.formatting import listing
from charloom.messages import terminal_command


def advice_on_modules(contents: Contents, net: Any, wanted: str = "") -> str:
    """Return what to change so that the modules of a file can be checked; "" if the file has no module.

    `wanted` is the class that the user named; "" if the user named none.
    """
    if not contents.imports("torch"):
        return ""
    classes = [
        owner
        for owner in contents.classes.values()
        if is_module_class(owner)
        and not is_part_of_another(contents, owner)
        and wanted in ("", owner.name)
    ]
    if not classes:
        return ""
    reasons = [f"  {owner.name}: {reason(contents, net, owner)}" for owner in classes]
    name = classes[0].name
    command = terminal_command("doctor", f"{contents.path}:make")
    return "\n".join(
        [
            f"{contents.path.name} has {listing([c.name for c in classes])} in PyTorch, which the doctor "
            "cannot call:",
            *reasons,
            "The doctor checks a network with one recurrent layer and an output layer, for any numbers of "
            "characters and of hidden units. If yours is one, add a function that makes it:",
            "  def make(vocab_size, hidden_size):",
            f"      return {name}(vocab_size, hidden_size)  # with all other arguments",
            f"and let the doctor check it: {command}",
        ]
    )


def reason(contents: Contents, net: Any, owner: ClassFacts) -> str:
    """Return why a class of modules cannot be checked."""
    start = owner.methods.get("__init__")
    unknown = [
        name for name in (start.required if start is not None else ()) if not role_in_class(name)
    ]
    making = next(makings(contents, net, owner), None)
    if making is None and unknown:
        return f"it is not clear what to pass for {listing(unknown)}."
    if making is None:
        return f"making it fails: {error_of_making(net, owner)}."
    if roles_of(making.module.forward) is None:
        parameters = list(inspect.signature(making.module.forward).parameters)
        return (
            f"forward({', '.join(parameters)}) must take x, and may take the targets and the state under "
            "usual names, such as y and h0; the other arguments need defaults."
        )
    plans = [
        plan for plan in module_plans(contents, net, from_shapes) if plan.owner.name == owner.name
    ]
    if not plans:
        return (
            "it has no layer nn.RNN, nn.LSTM or nn.GRU, and no layers of nn.Linear or nn.Parameter that "
            "look like a recurrence; an embedding must have a size that can be chosen, at least K."
        )
    error = furthest_error(plans, net)
    return (
        "forward runs with none of the usual inputs: ids or one-hot vectors, of shape (T,), (1, T) or "
        "(T, 1), or one step at a time, with the state of nn.RNN."
    ) + (f" The call that came furthest failed:\n{users_traceback(error)}" if error else "")


def furthest_error(plans: list[ModulePlan], net: Any) -> BaseException | None:
    """Return the error of the call of `forward` that came furthest; None if a call came to its end."""
    furthest: tuple[list[int], BaseException | None] = ([], None)
    for plan in plans:
        trier = Trier(make_trial(plan.cell, 0, 0, PLANS[0]).problem)
        for lines, _ in module_bodies(plan):
            trier.rank(function_of(lines, helpers_of(lines), net))
            reached = [f.lineno or 0 for f in users_frames(trier.error)] if trier.error else []
            if not reached:
                return None
            if reached > furthest[0]:
                furthest = reached, trier.error
    return furthest[1]


def error_of_making(net: Any, owner: ClassFacts) -> str:
    """Return the error of a class that is made with the sizes of a small network."""
    start = owner.methods.get("__init__")
    roles = [role_in_class(name) for name in (start.required if start is not None else ())]
    try:
        getattr(net, owner.name)(*(MODULE_SIZES.get(role) for role in roles))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it did not return a module"
