"""Makes the names of the variants of mistakes, such as one for each gate, order of the gates or number of steps."""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Final

from charloom.diagnosis.known_mistakes.mistake import ALL

BLOCKS: Final = {"lstm": "ifgo", "gru": "rzn"}
# The gradients of one gate that code may compute from a wrong array. Code with one matrix for each gate
# over [h, x] has one line for dU and dW.
PARTS: Final = ("db", "dU and dW", "dU", "dW", "dU, dW and db")
# What code divides by, if it does not divide once by T: the variants of the mistake "loss-divided".
DIVISORS: Final = ("K", "T K", "T T", "H")
AGAIN: Final = "T gradient"  # a second division by T; tried only if the loss is a mean over time


def variants_in(*names: str, cells: tuple[str, ...] = ALL) -> dict[str, tuple[str, ...]]:
    """Return a dict that maps each variant in `names` to `cells`."""
    return dict.fromkeys(names, cells)


def truncations() -> Iterator[str]:
    """Yield the variants of the mistake "truncated", such as "chunks 3".

    Each variant is a kind of truncation, such as "chunks", and a number of steps.
    """
    for kind in ("depth", "chunks", "ends", "last"):
        for k in range(1, 26):
            # Leave out chunks of one step, because they are the mistake time-carry-missing. Leave
            # out "depth 25" too: it cuts off nothing, because the last step of the longest window,
            # which has 26 steps, is only 25 steps from the first.
            if (k > 1 or kind in ("depth", "last")) and (kind, k) != ("depth", 25):
                yield f"{kind} {k}"


def by_gate(names: Sequence[str], apart: bool = False) -> dict[str, tuple[str, ...]]:
    """Return variants such as "db of i", for each item of `names` and each gate of an LSTM and a GRU.

    If `apart` is True, they are such as "db of i from f", for each pair of gates.
    """
    found: dict[str, list[str]] = {}
    for cell, gates in BLOCKS.items():
        for name in names:
            for gate in gates:
                others = [f" from {other}" for other in gates if other != gate] if apart else [""]
                for other in others:
                    found.setdefault(f"{name} of {gate}{other}", []).append(cell)
    return {variant: tuple(cells) for variant, cells in found.items()}


def some_gates(gates: str) -> list[str]:
    """Return all proper subsets of the letters in `gates`, the smallest ones first."""
    return ["".join(one) for size in range(1, len(gates)) for one in combinations(gates, size)]


def gate_orders(gates: str, first: tuple[str, ...]) -> list[str]:
    """Return all orders of the letters in `gates` except `gates` itself, starting with the orders in `first`."""
    every = ("".join(order) for order in permutations(gates))
    return [*first, *(order for order in every if order != gates and order not in first)]
