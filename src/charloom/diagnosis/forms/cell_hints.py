"""Finds out from the source of functions which cell they compute, if no name says so.

An LSTM or a GRU has gates, which need a sigmoid. The names of its gates, or the number of parts into
which its sums are divided, show which of both it is.
"""

import ast
from collections.abc import Sequence
from typing import Final

from charloom.diagnosis.forms.file_contents import FunctionFacts, name_of
from charloom.diagnosis.forms.name_roles import short

SIGMOIDS: Final = ("sig", "expit", "hardsig")  # beginnings of the names of sigmoid functions
GATES: Final = {"lstm": ({"f", "o"}, {"ft", "ot"}), "gru": ({"r", "z"}, {"rt", "zt"})}
DIVIDING: Final = ("chunk", "split", "array_split", "tensor_split")
PARTS: Final = {4: "lstm", 3: "gru"}


def cell_of_functions(reached: Sequence[FunctionFacts]) -> str:
    """Return "lstm" or "gru" if functions compute this cell; "" if they show none."""
    words = " ".join(f"{f.owner} {f.name}" for f in reached).lower()
    named = [cell for cell in ("lstm", "gru") if cell in words]
    if len(named) == 1:
        return named[0]
    if not any(name.lower().startswith(SIGMOIDS) for f in reached for name in f.called):
        return ""
    stored = {short(name) for f in reached for name in f.stored}
    for cell, pairs in GATES.items():
        if any(pair <= stored for pair in pairs):
            return cell
    if any("forget" in name for name in stored):
        return "lstm"
    if any("reset" in name for name in stored):
        return "gru"
    return next(
        (cell for f in reached for n in ast.walk(f.node) if (cell := cell_of_division(n))), ""
    )


def cell_of_division(node: ast.AST) -> str:
    """Return the cell whose number of gates a call such as `a.chunk(4, 1)` shows; "" for other nodes."""
    if not isinstance(node, ast.Call) or name_of(node.func) not in DIVIDING:
        return ""
    numbers = [a.value for a in node.args if isinstance(a, ast.Constant)]
    return next((PARTS[n] for n in numbers if isinstance(n, int) and n in PARTS), "")


def unpacks_pair(reached: Sequence[FunctionFacts]) -> bool:
    """Return True if a function unpacks both states of an LSTM from one value, as in `h, c = state`."""
    return any(map(is_pair, (n for f in reached for n in ast.walk(f.node))))


def is_pair(node: ast.AST) -> bool:
    """Return True for an assignment of one variable to two, the second of which is a cell state."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Name):
        return False
    target = node.targets[0]
    if not isinstance(target, (ast.Tuple, ast.List)) or len(target.elts) != 2:
        return False
    first, second = (short(name_of(item)) for item in target.elts)
    return first.startswith(("h", "s", "a", "prev", "old")) and ("c" in second or "mem" in second)
