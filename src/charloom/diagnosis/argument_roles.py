"""Finds the role of each argument of a user's function by its name: parameters, x, y or h0.

This module does not run the user's code. If the names do not show the roles, an error asks for
them.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

from charloom.diagnosis.call_options import Options
from charloom.diagnosis.loss_and_gradients import parameter_of, plain
from charloom.errors import DoctorError
from charloom.formatting import number_of
from charloom.messages import Placeholder, argument, terminal_command

ROLES: Final = {
    "params": ("params", "parameters", "rnn", "net", "network", "model", "weights", "theta", "p", "m"),
    "x": ("x", "inputs", "input", "xs", "xids", "xonehot", "xbatch", "inp"),
    "y": ("y", "targets", "target", "ys", "labels", "yonehot", "ybatch", "t"),
    "h0": ("h0", "hprev", "h", "state", "hinit", "h0s", "hstart", "hidden", "hidden0", "initialstate"),
}  # fmt: skip
CELL_NAMES: Final = ("c0", "s0", "cprev", "sprev", "c", "s", "cell", "cell0", "cinit")
# Usual names of the vocabulary size K and of the number of hidden units H.
K_NAMES: Final = ("k", "vocab", "vocabsize", "vocabularysize", "inputsize", "outputsize", "nvocab",
                  "numclasses", "nchars", "insize", "outsize", "numchars", "nin", "nout", "inputdim", "outputdim")  # fmt: skip
H_NAMES: Final = ("h", "m", "hidden", "hiddensize", "nhidden", "hiddendim", "numhidden", "units", "nhid")  # fmt: skip

WANTED: Final = ("params", "x", "y", "h0")


def argument_order(
    function: Callable[..., Any], options: Options, known: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the role of each argument of `function`, in the function's order.

    `known` are charloom's names of the parameters of the network, such as "U" and "W". The function
    may take all of them as one argument (the role "params"), or each as a separate argument.

    Raises:
        DoctorError: the roles in `options.arguments` are not valid, or the names of the function's
            arguments do not show their roles.
    """
    states = ("h0", "c0") if options.has_cell_state else ("h0",)
    forms = [("params", "x", "y", *states), (*known, "x", "y", *states)]
    if options.arguments:
        require_all_roles(options.arguments, known, forms)
        return options.arguments
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return WANTED
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not by_place and any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return WANTED
    required = [p.name for p in by_place if p.default is p.empty]
    if len(required) > len(WANTED):
        return roles_of_many(required, forms, known, options)
    if len(by_place) < len(WANTED):
        raise DoctorError(
            f"the function takes {number_of(len(required), 'argument')} "
            f"({', '.join(required) or 'none'}); it must take four: the parameters, x, y and the "
            f"initial state h0. {advice_for_another_form()}"
        )
    return roles_of_four([p.name for p in by_place[: len(WANTED)]])


def require_all_roles(
    given: tuple[str, ...], known: tuple[str, ...], forms: Sequence[tuple[str, ...]]
) -> None:
    """Raise DoctorError unless `given` has all roles of one of the lists in `forms`, in any order.

    The role "c0" may be missing. `known` are the parameters of the network, such as "U" and "W",
    which the error message lists.
    """
    if sorted(given) not in map(sorted, (WANTED, (*known, "x", "y", "h0"), *forms)):
        raise DoctorError(
            f"{argument('arguments')} is {','.join(given)}; it must name each of "
            f"{', '.join(WANTED)} once, in the order of the function's arguments. If the function "
            f"takes each parameter as a separate argument, write {', '.join(known)} instead of "
            "params."
        )


def roles_of_four(names: Sequence[str]) -> tuple[str, ...]:
    """Return the role of each of a function's first four arguments, which are called `names`.

    If no name shows a role, the roles are "params", "x", "y" and "h0", in this order. If three names
    show different roles, the fourth argument has the missing role.

    Raises:
        DoctorError: the names show one or two roles, or two names show the same role.
    """
    roles = [role_of(name) for name in names]
    order = WANTED if roles == [None] * 4 else completed(roles, WANTED)
    if order is not None:
        return order
    raise DoctorError(
        f"the function's arguments are {', '.join(names)}; their names do not show which are the "
        "parameters, x, y and h0. Name the function (in a terminal FILE.py:FUNCTION), and give the roles in the order "
        f"of its arguments, for example {argument('arguments', 'x,y,h0,params')}."
    )


def roles_of_many(
    required: Sequence[str],
    forms: Sequence[tuple[str, ...]],
    known: tuple[str, ...],
    options: Options,
) -> tuple[str, ...]:
    """Return the role of each argument in `required`, the names of more than four arguments.

    A function has more than four arguments if each parameter is a separate argument, or if h0 and
    c0 are two arguments. Each item of `forms` is a list of the roles that a function may have.
    `known` are the parameters of the network, such as "U".

    Raises:
        DoctorError: the names do not show the roles.
    """
    roles = roles_by_names(required, known, options)
    for form in forms:
        order = completed(roles, form)
        if order is not None:
            return order
    raise DoctorError(
        f"the function takes {number_of(len(required), 'argument')} ({', '.join(required)}), and "
        "their names do not show their roles. The function must take x, y, h0 and the parameters: all "
        "parameters in one argument, or each parameter in its own argument. Give the roles in the "
        f"order of the arguments, for example {argument('arguments', list(forms[-1]))}."
    )


def completed(roles: Sequence[str | None], form: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return `roles` with its None, if it has one, replaced by the role that is missing.

    `form` lists all roles that the function's arguments must have. Return None if the result would
    not have each role of `form` exactly once.
    """
    missing = set(form) - set(roles)
    if len(roles) == len(form) and len(missing) == roles.count(None) <= 1:
        return tuple(role or missing.pop() for role in roles)
    return None


def roles_by_names(
    required: Sequence[str], known: tuple[str, ...], options: Options
) -> list[str | None]:
    """Return the role of each argument in `required`, such as "x"; None if its name shows no role.

    An argument that holds one parameter of the network has the parameter as its role, such as "U".
    `known` are all parameters of the network. `options` has the user's names for the parameters.
    """
    roles = [role_of(name) or parameter_of(name, known, options.names) for name in required]
    if options.has_cell_state and roles.count("h0") == 1 and "params" in roles:
        return [
            "c0" if plain(name) in CELL_NAMES else role
            for name, role in zip(required, roles, strict=True)
        ]
    return roles


def advice_for_another_form() -> str:
    """Return sentences that say what to do with a function that takes fewer than four arguments."""
    command = terminal_command("doctor", Placeholder("FILE.py"), adapt="wrapper.py")
    template = terminal_command("doctor", template="numpy")
    return (
        "Give the doctor the file in which it stands: it knows many other forms, such as functions that "
        f"read their parameters from the module or from an instance. {command} writes a wrapper for it, "
        f"which you can read and change; {template} writes an example of a function with four arguments."
    )


def role_of(name: str) -> str | None:
    """Return the role of an argument called `name`, such as "params".

    Return None if the name is not in `ROLES`.
    """
    return next((role for role, names in ROLES.items() if plain(name) in names), None)
