"""Lets JAX compile a user's function, because without it each of its operations is compiled alone."""

import functools
from collections.abc import Callable
from typing import Any

from charloom.diagnosis.forms.double_precision import imported
from charloom.diagnosis.forms.file_contents import Contents


def compiled(function: Callable[..., Any], contents: Contents) -> Callable[..., Any]:
    """Return a function of a file that imports JAX, compiled; return other functions as they are.

    A function that cannot be compiled, for example because it makes numbers of arrays, is called as it is.
    """
    jax = imported("jax") if contents.imports("jax") else None
    if jax is None or isinstance(function, type) or not callable(function):
        return function
    fast, compilable = jax.jit(function), True

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal compilable
        if compilable:
            try:
                return fast(*arguments)
            except (KeyError, AttributeError):  # they say which parameters the function reads
                raise
            except Exception:
                compilable = False
        return function(*arguments)

    return call
