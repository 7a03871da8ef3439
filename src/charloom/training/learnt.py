"""Says whether a model learnt more than how often each character occurs."""

from typing import Final

import numpy as np

from charloom.text.id_file import AllIds

COUNTED: Final = 1_000_000  # characters of a longer text that are counted
PLACES: Final = 64  # at equal distances, from which they are taken


def frequency_nats(ids: AllIds) -> float:
    """Nats per character of whoever knows how often each occurs in a text, and nothing else.

    Args:
        ids: the text, shape (characters,), at least one.
    """
    places = PLACES if len(ids) > COUNTED else 1
    size = min(len(ids), COUNTED) // places
    starts = [n * len(ids) // places for n in range(places)]
    counts = np.bincount(np.concatenate([ids[start : start + size] for start in starts]))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
