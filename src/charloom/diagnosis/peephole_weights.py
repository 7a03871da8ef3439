"""Reads the peephole weights of an LSTM from a variant of the mistake "peepholes", which is a text."""

from functools import cache
from typing import Final

import numpy as np

from charloom.diagnosis.problem import Array

SEPARATOR: Final = "; "  # between the weights for different numbers of units


@cache
def weights_of(variant: str, H: int) -> tuple[Array, Array, Array]:
    """Return the weights (H,) of the gates i, f and o that the variant names, such as "0.3, -0.2, 0.5" or "4: …; 5: …".

    They are zero if the variant has no weights for `H` units.
    """
    if ":" not in variant:
        i, f, o = (np.full(H, float(number)) for number in variant.split(", "))
        return i, f, o
    by_units = dict(part.split(": ") for part in variant.split(SEPARATOR))
    if str(H) not in by_units:
        return np.zeros(H), np.zeros(H), np.zeros(H)
    i, f, o = (np.array(list(map(float, w.split()))) for w in by_units[str(H)].split(", "))
    return i, f, o
