"""Reads in a file which results of one function the user passes to which arguments of another.

`logits, tape = forward(ws, x)` and `backward(ws, tape, d)` in a training loop show that the second result
of forward is the second argument of backward. It reads only source.
"""

import ast
from collections.abc import Iterator

from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts


def flows(contents: Contents, first: FunctionFacts, last: FunctionFacts) -> dict[str, int]:
    """Return the arguments of `last` that are results of `first` where the user calls both, with their positions.

    The position is -1 for the whole returned value.
    """
    for body in contents.bodies:
        made: dict[str, int] = {}
        found: dict[str, int] = {}
        for node in body:
            if isinstance(node, ast.Assign) and is_call_of(node.value, first):
                made |= targets_of(node)
        for node in body:
            if isinstance(node, ast.Call) and is_call_of(node, last):
                for name, value in given_to(node, last):
                    if isinstance(value, ast.Name) and value.id in made:
                        found[name] = made[value.id]
        if found:
            return found
    return {}


def is_call_of(node: ast.expr, facts: FunctionFacts) -> bool:
    """Return True if an expression calls a function of the module, or a method of any object."""
    if not isinstance(node, ast.Call):
        return False
    func = node.func
    if isinstance(func, ast.Name):
        return func.id == facts.name and not facts.owner
    return isinstance(func, ast.Attribute) and func.attr == facts.name and bool(facts.owner)


def targets_of(node: ast.Assign) -> dict[str, int]:
    """Return the position of the result that each variable of an assignment takes."""
    found: dict[str, int] = {}
    for target in node.targets:
        if isinstance(target, ast.Name):
            found[target.id] = -1
        elif isinstance(target, (ast.Tuple, ast.List)):
            found |= {one.id: n for n, one in enumerate(target.elts) if isinstance(one, ast.Name)}
    return found


def given_to(node: ast.Call, facts: FunctionFacts) -> Iterator[tuple[str, ast.expr]]:
    """Yield the argument and the expression of each value that a call passes."""
    if any(isinstance(value, ast.Starred) for value in node.args):
        return
    yield from zip(facts.arguments, node.args, strict=False)
    for word in node.keywords:
        if word.arg:
            yield word.arg, word.value
