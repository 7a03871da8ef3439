"""Finds the role of each argument of a user's function by its name: parameters, x, y or h0.

This module does not run the user's code. If the names do not show the roles, an error asks for
them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from charloom.diagnosis.call_options import Options
from charloom.diagnosis.loss_and_gradients import parameter_of, plain
from charloom.errors import DoctorError
from charloom.formatting import number_of
from charloom.messages import argument, terminal_command

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
            f"initial state h0. {suggested_wrapper(function, required, known)}"
        )
    return roles_of_four([p.name for p in by_place[: len(WANTED)]])


def require_all_roles(
    given: tuple[str, ...], known: tuple[str, ...], forms: Sequence[tuple[str, ...]]
) -> None:
    """Raise DoctorError unless `given` is a complete list of roles, in any order.

    The lists in `forms` are complete, and so are these lists without "c0". `known` are the names of
    the parameters.
    """
    if sorted(given) not in map(sorted, (WANTED, (*known, "x", "y", "h0"), *forms)):
        raise DoctorError(
            f"{argument('arguments')} is {','.join(given)}; it must name each of "
            f"{', '.join(WANTED)} once, in the order of the function's arguments. If the function "
            f"takes each parameter as a separate argument, write {', '.join(known)} instead of "
            "params."
        )


def roles_of_four(names: Sequence[str]) -> tuple[str, ...]:
    """Return the roles of four arguments with these `names`, in the same order.

    Raises:
        DoctorError: the names do not show the roles.
    """
    roles = [role_of(name) for name in names]
    order = WANTED if roles == [None] * 4 else completed(roles, WANTED)
    if order is not None:
        return order
    raise DoctorError(
        f"the function's arguments are {', '.join(names)}; their names do not show which are the "
        "parameters, x, y and h0. Give the roles in the order of the arguments, for example "
        f"{argument('arguments', ['x', 'y', 'h0', 'params'])}."
    )


def roles_of_many(
    required: Sequence[str],
    forms: Sequence[tuple[str, ...]],
    known: tuple[str, ...],
    options: Options,
) -> tuple[str, ...]:
    """Return the roles of the arguments whose names are in `required`, in the same order.

    There are more than four arguments, because each parameter is a separate argument, or h0 and c0
    are two arguments. Each of `forms` is a list of roles that a function may have.

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
        "their names do not show their roles. It must take the parameters, as one argument or each as "
        "a separate one, and x, y and h0. Give the roles in the order of the arguments, "
        f"for example {argument('arguments', list(forms[-1]))}."
    )


def completed(roles: Sequence[str | None], form: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return `roles`, in which None is replaced if it is the only role of `form` that is missing.

    Return None if the result would not have each role of `form` exactly once.
    """
    missing = set(form) - set(roles)
    if len(roles) == len(form) and len(missing) == roles.count(None) <= 1:
        return tuple(role or missing.pop() for role in roles)
    return None


def roles_by_names(
    required: Sequence[str], known: tuple[str, ...], options: Options
) -> list[str | None]:
    """Return the role of each argument in `required`; None if the name does not show the role."""
    roles = [role_of(name) or parameter_of(name, known, options.names) for name in required]
    if options.has_cell_state and roles.count("h0") == 1 and "params" in roles:
        return [
            "c0" if plain(name) in CELL_NAMES else role
            for name, role in zip(required, roles, strict=True)
        ]
    return roles


def suggested_wrapper(
    function: Callable[..., Any], required: Sequence[str], known: Sequence[str]
) -> str:
    """Return sentences for an error message about a function that takes too few arguments.

    They say how to wrap the function. If it reads its parameters from global variables, they
    contain the code of a wrapper function with four arguments.
    """
    values = values_of_globals(function, known)
    roles = [role_of(name) for name in required]
    if not values or sorted(role or "" for role in roles) != ["h0", "x", "y"]:
        template = terminal_command("doctor", template="numpy")
        return f"Wrap it in a function with these arguments; {template} writes an example."
    assignments = ", ".join(f"{name}={value}" for name, value in values.items())
    return (
        "It reads its parameters from global variables. Put these lines below it, and let the "
        "doctor check the function 'checked':\n\n"
        "def checked(params, x, y, h0):\n"
        f"    globals().update({assignments})\n"
        f"    return {getattr(function, '__name__', 'function')}({', '.join(map(str, roles))})\n"
    )


def values_of_globals(function: Callable[..., Any], known: Sequence[str]) -> Mapping[str, str]:
    """Return Python code for the value of each global variable that holds a parameter or a size.

    The keys of the dict are the names of the variables. The code uses the arguments params and h0
    of the suggested wrapper function, such as params["W"] or len(h0).
    """
    variables = getattr(function, "__globals__", {})
    used = getattr(getattr(function, "__code__", None), "co_names", ())
    values = {}
    for name in used:
        parameter = parameter_of(name, known, {})
        if name in variables and parameter is not None and hasattr(variables[name], "shape"):
            values[name] = f'params["{parameter}"]'
        elif name in variables and isinstance(variables[name], int) and size_source(name):
            values[name] = size_source(name)
    return values


def size_source(name: str) -> str:
    """Return Python code for the size that usually has this name, such as "len(h0)" for "hidden_size".

    Return "" if the name is not a usual name of a size.
    """
    if plain(name) in K_NAMES:
        return 'len(params["c"])'
    return "len(h0)" if plain(name) in H_NAMES else ""


def role_of(name: str) -> str | None:
    """Return the role of an argument called `name`, such as "params".

    Return None if the name is not in `ROLES`.
    """
    return next((role for role, names in ROLES.items() if plain(name) in names), None)
