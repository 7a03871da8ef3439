"""Reads from a function's source which gradient each item of the returned tuple is.

A function that ends with `return loss, dWxh, dWhh, dWhy, dbh, dby, hs[-1]` needs no further names. This
module does not run the user's code.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final

from charloom.diagnosis.forms.file_contents import Definition, FunctionFacts
from charloom.diagnosis.forms.gradient_sources import flat_items
from charloom.diagnosis.forms.name_roles import is_loss
from charloom.diagnosis.loss_and_gradients import gradient_of

OTHER: Final = "_"  # an item that is neither the loss nor a gradient


def order_of_return(function: Callable[..., Any], known: Sequence[str]) -> tuple[str, ...]:
    """Return the parameter of each item of the returned tuple, "loss", or "_" for other items.

    `known` are the parameters of the network. Return () if the source of the function is not known, or
    does not name the gradient of each parameter exactly once.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return ()
    node = tree.body[0] if tree.body else None
    if not isinstance(node, Definition):
        return ()
    names = flat_items(FunctionFacts(node))
    order = [
        "loss" if is_loss(name) else (gradient_of(name, known, {}) or OTHER if name else OTHER)
        for name in names
    ]
    complete = sorted(one for one in order if one not in ("loss", OTHER)) == sorted(known)
    return tuple(order) if complete and order.count("loss") <= 1 else ()
