"""The loss of a model that knows only the frequency of each character, as a baseline."""

from typing import Final

import numpy as np

from charloom.text.all_ids import AllIds

COUNTED_CHARACTERS: Final = 1_000_000  # largest number of characters that are counted
# In a text with more than COUNTED_CHARACTERS characters, only the characters in this number of equally spaced
# segments are counted.
SAMPLED_PIECES: Final = 64


def frequency_nats(ids: AllIds) -> float:
    """Return the entropy of the text's character frequencies, in nats per character.

    Counts at most about a million characters of the text.

    Args:
        ids: the text, shape (characters,), with at least one character.
    """
    places = SAMPLED_PIECES if len(ids) > COUNTED_CHARACTERS else 1
    size = min(len(ids), COUNTED_CHARACTERS) // places
    starts = [n * len(ids) // places for n in range(places)]
    counts = np.bincount(np.concatenate([ids[start : start + size] for start in starts]))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
