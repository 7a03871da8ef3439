"""One recurrent layer of a cell that a user registered (spec/mathematics.md: Registered cells).

The user's object has the methods `step` and perhaps `layer` and `gates`. This module calls them, and checks the shape and
the dtype of what they return. It does not check that they are pure: `cell_check` does, once, when a cell is registered.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from charloom.engines.torch.devices import is_out_of_memory
from charloom.engines.torch.item_pieces import reset
from charloom.engines.torch.tensors import Tensors
from charloom.errors import CharloomError, EngineError
from charloom.registered_cells import RegisteredCell

Weights = Mapping[str, torch.Tensor]


def states_over_window(
    cell: RegisteredCell,
    weights: Weights,
    x: torch.Tensor,
    carried: Weights,
    begins: torch.Tensor | None = None,
) -> Tensors:
    """Return a layer's state after each step, tensors (T, B, H), by the cell's method `layer` if it has one.

    A window in which a stream begins an item is computed step by step.

    Args:
        cell: the cell.
        weights: the layer's parameters by the cell's own names.
        x: the input, (T, B, inputs).
        carried: the state before the window, tensors (B, H).
        begins: True where a stream begins an item, (T, B); None without a boundary of items.

    Raises:
        EngineError: the cell's code failed, or returned something else than such states.
    """
    in_steps = len(x) == 1 or not hasattr(cell.definition, "layer")
    if in_steps or begins is not None:
        return states_in_steps(cell, weights, x, carried, begins)
    with reported(cell, "layer"):
        states = cell.definition.layer(x, dict(carried), weights)
    return checked(cell, "layer", states, {n: (len(x), *s.shape) for n, s in carried.items()}, x)


def states_in_steps(
    cell: RegisteredCell,
    weights: Weights,
    x: torch.Tensor,
    carried: Weights,
    begins: torch.Tensor | None = None,
) -> Tensors:
    """Return the same states as `states_over_window`, by the cell's method `step`."""
    shapes = {name: tuple(array.shape) for name, array in carried.items()}
    states, state = [], dict(carried)
    with reported(cell, "step"):
        for t, each in enumerate(x.unbind(0)):
            before = reset(state, None if begins is None else begins[t])
            found = cell.definition.step(each, before, weights)
            state = checked(cell, "step", found, shapes, x)
            states.append(state)
    return {name: torch.stack([each[name] for each in states]) for name in carried}


def gates_over_window(
    cell: RegisteredCell, weights: Weights, x: torch.Tensor, before: Weights
) -> Tensors:
    """Return the values of the cell's gates at each step, (T, B, H).

    `before` is the state before each step, tensors (T, B, H). The cell gets all steps as one batch.
    """
    if not cell.gates:
        return {}
    T, B, H = before["h"].shape
    rows = {name: state.flatten(0, 1) for name, state in before.items()}
    with reported(cell, "gates"):
        found = cell.definition.gates(x.flatten(0, 1), rows, weights)
    shapes = dict.fromkeys(cell.gates, (T * B, H))
    gates = checked(cell, "gates", found, shapes, x)
    return {name: gate.view(T, B, H) for name, gate in gates.items()}


def states_before(states: Weights, carried: Weights, begins: torch.Tensor | None) -> Tensors:
    """Return the state before each step, (T, B, H), from that after each step and that before the window.

    It is 0 where `begins` (T, B) is True; None is a network without a boundary of items.
    """
    before = {name: torch.cat([carried[name].unsqueeze(0), states[name][:-1]]) for name in carried}
    return reset(before, begins)


def checked(
    cell: RegisteredCell,
    method: str,
    found: object,
    shapes: Mapping[str, tuple[int, ...]],
    like: torch.Tensor,
) -> Tensors:
    """Return what a method of a cell returned: a dict with a tensor of the right shape for each name.

    The tensors must have the dtype and the device of `like`.

    Raises:
        EngineError: it is something else.
    """
    names = ", ".join(shapes)
    if not isinstance(found, dict) or set(found) != set(shapes):
        given = (
            f"the names {', '.join(map(str, found))}"
            if isinstance(found, dict)
            else type(found).__name__
        )
        raise EngineError(
            f"{method} of the cell {cell.name} returned {given}; it must return a dict with a tensor for each of: {names}."
        )
    for name, shape in shapes.items():
        tensor = found[name]
        if not isinstance(tensor, torch.Tensor) or tensor.shape != shape:
            given = (
                "the shape " + str(tuple(getattr(tensor, "shape", ())))
                if isinstance(tensor, torch.Tensor)
                else type(tensor).__name__
            )
            raise EngineError(
                f"{method} of the cell {cell.name} returned {given} for {name}; it must be a tensor of shape {shape}."
            )
        if (tensor.dtype, tensor.device) != (like.dtype, like.device):
            raise EngineError(
                f"{method} of the cell {cell.name} returned {name} in {tensor.dtype} on {tensor.device}; it must keep the dtype "
                f"and the device of its input, {like.dtype} on {like.device}. Make tensors with x.new_zeros and the like."
            )
    return {name: found[name] for name in shapes}


@contextmanager
def reported(cell: RegisteredCell, method: str) -> Iterator[None]:
    """Turn an error of the user's code into an EngineError that names the cell, its method and its line."""
    try:
        yield
    except (CharloomError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        raise EngineError(cell.failure(method, error)) from None
