"""Registers a cell that a user defines in Python, so that the engine torch can compute it."""

from collections.abc import Callable
from typing import Any, overload

from charloom.engines import check_cell
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.registered_cells import PARAMETER, RegisteredCell, add_cell, require_cell_name


@overload
def register_cell(name: str) -> Callable[[type], type]: ...


@overload
def register_cell(name: str, definition: Any) -> Any: ...


def register_cell(name: str, definition: Any = None) -> Any:
    """Register a recurrent cell for the engine torch. `cell=name` then trains networks with it.

    The definition is a class, or an object, with these methods. Only the forward pass is needed: autograd does the rest.
    Shapes: T steps, B streams, H hidden units. A state is a dict of tensors (B, H).

    - `parameters(input_size, hidden_size)` returns the shape of each parameter of a layer by name, such as
      `{"weight_ih": (hidden_size, input_size)}`: one or two axes.
    - `step(x, state, parameters)` returns the state after a step, from the input (B, input_size), the state before and the
      parameters, dicts of tensors by name. The layer's output is the state `h`.
    - `layer(x, state, parameters)`, optional, returns the state after each step, tensors (T, B, H), from inputs
      (T, B, input_size) and the state before the first. It must compute the same as `step`, and may compute it in parallel.
    - `gates(x, state, parameters)`, optional, returns values to look at, tensors (B, H) by name; arguments as `step`.
    - `initial_values(input_size, hidden_size)`, optional, returns numbers or arrays for parameters that are not drawn as
      the setting `init` says, by name.

    It may have the attributes `states`, the names of its states with `h` first (default: only h), and `title`, the network
    in words, such as "a minGRU". docs/guides/cells.md has an example, and docs/spec/mathematics.md all rules.

    The definition is checked at once on small random numbers: shapes, dtypes, finite numbers, that it is pure and computes
    each stream by itself, that `layer` computes what `step` does, and its gradients against central differences.

    Args:
        name: the value of the setting `cell`: lower-case letters, digits, - and _, such as mingru. A cell that was
            registered with this name before is replaced.
        definition: the class or object. Without it, the function returns a decorator for a class.

    Returns:
        The definition, or a decorator that returns the class which it decorates.

    Raises:
        ConfigError: the name or the definition breaks a rule; the message says which.
        MissingPartError: PyTorch is not installed.
    """
    require_cell_name(name)
    if definition is None:
        return lambda decorated: register_cell(name, decorated)
    cell = cell_of(name, made(name, definition))
    gates = check_cell(cell)
    add_cell(RegisteredCell(name, cell.title, cell.definition, cell.states, gates))
    return definition


def made(name: str, definition: Any) -> Any:
    """Return the object that defines a cell; a class is called without arguments.

    Raises:
        ConfigError: the class cannot be called so, or a method is missing.
    """
    if isinstance(definition, type):
        try:
            definition = definition()
        except TypeError as error:
            raise ConfigError(
                f"the class of the cell {name} cannot be made without arguments: {error}. Give an object instead."
            ) from None
    missing = [m for m in ("parameters", "step") if not callable(getattr(definition, m, None))]
    if missing:
        raise ConfigError(
            f"the definition of the cell {name} has no method {' and no method '.join(missing)}; it needs "
            f"parameters(input_size, hidden_size) and step(x, state, parameters)."
        )
    return definition


def cell_of(name: str, definition: Any) -> RegisteredCell:
    """Return a cell without its gates, after checking the attributes of its definition.

    Raises:
        ConfigError: the names of the states are not names, or h is not the first; or the title is not a str.
    """
    states = getattr(definition, "states", ("h",))
    good = (
        isinstance(states, tuple | list)
        and states[:1] in (("h",), ["h"])
        and len(set(states)) == len(states)
        and all(isinstance(s, str) and PARAMETER.fullmatch(s) and s != "recent" for s in states)
    )
    if not good:
        raise ConfigError(
            f"states of the cell {name} is {shortened(states)}; it must be a tuple of different names with h first, such as "
            f'("h", "memory").'
        )
    title = getattr(definition, "title", f"a network of the cell {name}")
    if not isinstance(title, str) or not title.strip():
        raise ConfigError(
            f'title of the cell {name} is {shortened(title)}; it must be a str, such as "a minGRU".'
        )
    return RegisteredCell(name, title, definition, tuple(states))
