"""Finds out from their shapes which of our parameters the tensors of a module of PyTorch hold.

A module of `PROBE` has sizes that tell most shapes apart: a tensor with 4 H rows and K columns is U of an
LSTM. It helps where names say nothing, as in `x2h = nn.Linear(D, 4 * H)`.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.module_making import PROBE
from charloom.diagnosis.forms.torch_modules import (
    CELL_LAYERS,
    Found,
    ModulePlan,
    block_value,
    common_weights,
    input_width,
    layers_of,
)

CELLS_BY_GATES: Final = {4: "lstm", 3: "gru", 1: "rnn"}
SECOND: Final = {
    "lstm": 'torch.zeros_like(params["b"])',
    "rnn": 'torch.zeros_like(params["b"])',
    "gru": 'torch.cat([torch.zeros_like(params["b"])[: 2 * H], params["d"]])',
}


def from_shapes(module: Any, joined: str) -> Found | None:
    """Return the tensors of a module whose gates share their tensors, by the shapes; None if they do not fit."""
    weights = common_weights(module, PROBE["H"])
    if weights is None or input_width(module) != PROBE["K"]:
        return None
    left = {n: tuple(p.shape) for n, p in module.named_parameters() if n not in weights}
    for gates, cell in CELLS_BY_GATES.items():
        has_output = any('params["V"]' in value for value in weights.values())
        found = values_of(left, gates, cell, joined, has_output)
        if found is not None:
            blocks = " ".join(found.values())
            return cell, weights | found, "torch.hstack" in blocks, None, ""
    return None


def values_of(
    shapes: dict[str, tuple[int, ...]], gates: int, cell: str, joined: str, has_output: bool
) -> dict[str, str] | None:
    """Return the expression for each tensor with these shapes; None if they are not those of this cell."""
    found: dict[str, str] = {}
    taken: list[str] = ["V", "c"] if has_output else []
    for name, shape in shapes.items():
        sizes = tuple(n for n in shape if n != 1)
        block = next((b for b in blocks_of_shape(sizes, gates) if b.strip("T") not in taken), "")
        if not block:
            return None
        taken.append(block.strip("T"))
        value = {"b": 'params["b"]', "2": SECOND[cell], "c": 'params["c"]'}.get(block, "")
        value = value or block_value(block.strip("T"), "", joined)
        if block.endswith("T"):
            value = f"{value}.T"
        if len(shape) == 2 and 1 in shape:
            value = (
                f"({value}).reshape({shape[0]}, -1)"
                if shape[0] == 1
                else f"({value}).reshape(-1, 1)"
            )
        found[name] = value
    return found if {"U", "W"} <= set(taken) or "WU" in taken else None


def blocks_of_shape(sizes: tuple[int, ...], gates: int) -> Iterator[str]:
    """Yield the blocks that a tensor with these sizes can hold, with "T" for a transposed one; "2" is a second bias."""
    K, H = PROBE["K"], PROBE["H"]
    rows = gates * H
    known = {"U": (rows, K), "W": (rows, H), "WU": (rows, H + K), "V": (K, H)}
    for block, ours in known.items():
        if sizes == ours:
            yield block
        elif sizes == ours[::-1]:
            yield f"{block}T"
    if sizes == (rows,):
        yield from ("b", "2")
    if sizes == (K,):
        yield "c"


def orders_of_gates(plan: ModulePlan) -> Iterator[ModulePlan]:
    """Yield the plan with the other orders of the gates, if all gates of the module share one tensor."""
    gates = CELLS[plan.cell].blocks
    shared = any(re.search(r'params\["[UWb]"\]', value) for value in plan.weights.values())
    own = plan.layer is None and not layers_of(plan.making.module, *CELL_LAYERS)
    for order in itertools.permutations(gates) if shared and own and gates else ():
        if "".join(order) != gates:
            yield with_order(plan, "".join(order))


def with_order(plan: ModulePlan, order: str) -> ModulePlan:
    """Return the plan with the gates of the shared tensors in another order."""
    weights = {
        name: re.sub(r'params\["([UWb])"\]', r'rows(params["\1"])', value)
        for name, value in plan.weights.items()
    }
    return replace(plan, weights=weights, gates=order)
