"""Lets JAX compile a user's function, because without it each of its operations is compiled alone."""

import ast
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from charloom.diagnosis.forms.double_precision import imported
from charloom.diagnosis.forms.file_contents import Contents, FunctionFacts, base_name


def changes_arguments(facts: FunctionFacts) -> bool:
    """Return True if a function changes a variable in place that is an argument, or a part of one."""
    nodes = list(ast.walk(facts.node))
    parts = set(facts.arguments)
    for n in nodes:
        if isinstance(n, ast.Assign) and is_part(n.value, parts):
            parts |= {t.id for t in ast.walk(n.targets[0]) if isinstance(t, ast.Name)}
        if isinstance(n, ast.For) and is_part(n.iter, parts):
            parts |= {t.id for t in ast.walk(n.target) if isinstance(t, ast.Name)}
    changed = [
        n.target.id
        for n in nodes
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
    ]
    return bool(parts & set(changed))


def is_part(value: ast.expr, names: set[str]) -> bool:
    """Return True for a variable with one of these names, an item of it, or all its items or values."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id in ("zip", "enumerate") and any(is_part(a, names) for a in value.args)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return value.func.attr in ("items", "values") and is_part(value.func.value, names)
    return isinstance(value, (ast.Name, ast.Subscript, ast.Attribute)) and base_name(value) in names


def compiled(function: Callable[..., Any], contents: Contents) -> Callable[..., Any]:
    """Return a function of a file that imports JAX, compiled; return other functions as they are.

    A function that cannot be compiled, for example because it makes numbers of arrays, is called as it is.
    So is one that changes arrays in place: they are not arrays of NumPy in a compiled function. Items of the
    arguments that a compiled function assigns are assigned in the arguments of the call too.
    """
    jax = imported("jax") if contents.imports("jax") else None
    if jax is None or isinstance(function, type) or not callable(function):
        return function
    facts = contents.functions.get(getattr(function, "__name__", ""))
    if facts is not None and any(map(changes_arguments, contents.reached_from(facts))):
        return function
    fast, compilable = jax.jit(lambda *arguments: (function(*arguments), arguments)), True

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal compilable
        if compilable:
            try:
                result, after = fast(*arguments)
                copy_changes(jax.tree_util.tree_leaves(arguments), jax.tree_util.tree_leaves(after))
                return result
            except (KeyError, AttributeError):  # they say which parameters the function reads
                raise
            except Exception:
                compilable = False
        return function(*arguments)

    return call


def copy_changes(arrays: list[Any], after: list[Any]) -> None:
    """Copy the values that the arrays of the arguments have after a call into these arrays."""
    for old, new in zip(arrays, after, strict=True):
        if isinstance(old, np.ndarray) and not np.array_equal(old, new):
            old[...] = new
