"""Writes what was found in a file, if it is not clear what to check: functions, forms, the next command."""

from collections.abc import Sequence
from typing import Final

from charloom.diagnosis.forms.file_contents import Contents
from charloom.diagnosis.forms.recognition import Recognised
from charloom.formatting import listing, number_of
from charloom.messages import terminal_command

MOST_LISTED: Final = 12  # largest number of functions that are listed


def listed(contents: Contents, direct: Sequence[str], forms: Sequence[Recognised]) -> str:
    """Return the message for a file in which it is not clear what to check.

    `direct` are the functions that can be checked as they are, and `forms` the other forms.
    """
    name = contents.path.name
    lines = [f"  {function}: takes the parameters, x, y and h0" for function in direct]
    for form in forms:
        left = f"; {number_of(form.blanks, 'line')} to fill in" if form.blanks else ""
        lines.append(f"  {listing(list(form.names))}: {form.title}{left}")
    if not lines:
        return nothing_found(contents)
    whole = [*direct, *(form.names[-1] for form in forms if not form.blanks)]
    if not whole:
        command = terminal_command("doctor", str(contents.path), adapt="wrapper.py")
        end = f"Something is unclear in it. This writes a wrapper, in which you fill in what is missing:\n  {command}"
        return "\n".join([f"{name} has this to check:", *lines, end])
    commands = [f"  {terminal_command('doctor', f'{contents.path}:{one}')}" for one in whole]
    head = (
        f"{name} has more than one thing to check:"
        if len(lines) > 1
        else f"{name} has this to check:"
    )
    return "\n".join([head, *lines, "Name one of them:", *commands])


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
    return (
        f"{contents.path.name} has nothing that looks like a loss with the gradients of U and W. {has}"
        "Write a function checked(params, x, y, h0) that calls your functions and returns the loss and a "
        f"dict of the gradients; {template} writes an example."
    )
