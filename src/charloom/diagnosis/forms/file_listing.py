"""Writes what was found in a file, if it is not clear what to check: functions, forms, the next command."""

from collections.abc import Sequence
from typing import Final

from charloom.diagnosis.argument_roles import WANTED
from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts
from charloom.diagnosis.forms.name_roles import is_numerical
from charloom.diagnosis.forms.recognition import Recognised
from charloom.errors import DoctorError, SeveralFunctionsError
from charloom.formatting import listing, number_of
from charloom.messages import terminal_command

MOST_LISTED: Final = 12  # largest number of functions that are listed


def listed(contents: Contents, direct: Sequence[str], forms: Sequence[Recognised]) -> DoctorError:
    """Return the error for a file in which it is not clear what to check.

    `direct` are the functions that can be checked as they are, and `forms` the other forms.
    """
    name = contents.path.name
    lines = [f"  {function}: takes the parameters, x, y and h0" for function in direct]
    for form in forms:
        left = f"; {number_of(form.blanks, 'line')} to fill in" if form.blanks else ""
        lines.append(f"  {listing(list(form.names))}: {form.title}{left}")
    if not lines:
        return DoctorError(nothing_found(contents))
    whole = [*direct, *(form.names[-1] for form in forms if not form.blanks)]
    if not whole:
        command = terminal_command("doctor", str(contents.path), adapt="wrapper.py")
        end = f"Something is unclear in it. This writes a wrapper, in which you fill in what is missing:\n  {command}"
        return DoctorError("\n".join([f"{name} has this to check:", *lines, end]))
    commands = [f"  {terminal_command('doctor', f'{contents.path}:{one}')}" for one in whole]
    head = (
        f"{name} has more than one thing to check:"
        if len(lines) > 1
        else f"{name} has this to check:"
    )
    message = "\n".join([head, *lines, "Name one of them:", *commands])
    return SeveralFunctionsError(message, whole)


def nothing_found(contents: Contents) -> str:
    """Return the message for a file without anything that looks like a gradient."""
    functions = [f"{name}({', '.join(f.arguments)})" for name, f in contents.functions.items()]
    classes = [
        f"class {name} with {listing([m for m in c.methods if not m.startswith('__')]) or 'no method'}"
        for name, c in contents.classes.items()
    ]
    found = [*functions, *classes]
    shown = "\n".join(f"  {one}" for one in found[:MOST_LISTED])
    if len(found) > MOST_LISTED:
        shown += f"\n  … and {len(found) - MOST_LISTED} more"
    has = f"It has:\n{shown}\n" if found else "It defines no function and no class. "
    template = terminal_command("doctor", template="numpy")
    adapt = terminal_command("doctor", str(contents.path), adapt="wrapper.py")
    outlined = f"{adapt} writes the outline of one" if functions_to_outline(contents) else ""
    return (
        f"{contents.path.name} has nothing that looks like a loss with the gradients of U and W. {has}"
        "Write a function checked(params, x, y, h0) that calls your functions and returns the loss and a "
        f"dict of the gradients; {outlined + ', and ' if outlined else ''}{template} writes an example."
        f"{advice_on_names(contents)}"
    )


def functions_to_outline(contents: Contents) -> list[FunctionFacts]:
    """Return the functions for which an outline can be written: public ones that take and return something."""
    return [
        f
        for f in contents.functions.values()
        if f.arguments and f.returned and not is_numerical(f.name) and not f.name.startswith("_")
    ]


def advice_on_names(contents: Contents) -> str:
    """Return a sentence that says how to name a function whose arguments have unknown names; "" if none fits."""
    four = [name for name, f in contents.functions.items() if len(f.arguments) >= len(WANTED)]
    if not four:
        return ""
    command = terminal_command("doctor", f"{contents.path}:{four[0]}", arguments=",".join(WANTED))
    return (
        f" If {four[0]} itself computes them, name it, and give the roles of its arguments in their order, such "
        f"as: {command}"
    )
