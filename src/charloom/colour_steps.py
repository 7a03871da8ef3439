"""Converts the surprise of a character and the value of a unit to colour steps, and steps to colours.

The steps and colours are those of the page (`web/static/colours.js`, and the dark theme of `style.css`), but paler.
"""

import math
from typing import Final

STEPS: Final = 8  # number of colour steps on each side of zero

# Red, green and blue of the strongest colours: for surprising characters, and for high and low values.
# On a white and on a black background, the text on them stays readable.
Colour = tuple[int, int, int]
SURPRISE: Final[Colour] = (0xC0, 0x4A, 0x35)
HIGH: Final[Colour] = (0xAE, 0x62, 0x0D)
LOW: Final[Colour] = (0x3B, 0x79, 0xC9)
# The opacity of the last step. The page takes 0.82, because it chooses the colour of its letters too.
STRONGEST: Final = 0.6

# The surprise in bits up to which a character has no colour, and from which it has the last step.
EXPECTED_BITS: Final = 1
SURPRISING_BITS: Final = 12


def surprise_step(bits: float) -> int:
    """Return the step (0 … 8) of a surprise in bits: 0 for up to one bit, 8 for twelve bits and more.

    A character that was not predicted has the surprise NaN; its step is 0.
    """
    if math.isnan(bits):
        return 0
    share = (min(bits, SURPRISING_BITS) - EXPECTED_BITS) / (SURPRISING_BITS - EXPECTED_BITS)
    return max(0, nearest(share * STEPS))


def value_step(value: float, low: float, high: float) -> int:
    """Return the step (-8 … 8) of a value between two bounds; their middle has step 0, and so has NaN."""
    if math.isnan(value):
        return 0
    half = max((high - low) / 2, 1e-12)
    share = (min(max(value, low), high) - (low + high) / 2) / half
    return nearest(share * STEPS)


def nearest(number: float) -> int:
    """Return the nearest whole number; of two that are equally near, the higher one, as JavaScript does."""
    return math.floor(number + 0.5)


def css_colour(step: int, high: Colour, low: Colour = LOW) -> str:
    """Return the translucent CSS colour of a step; "" for step 0.

    `high` is the strongest colour of steps above 0, and `low` that of steps below 0.
    """
    if not step:
        return ""
    red, green, blue = high if step > 0 else low
    return f"rgba({red},{green},{blue},{abs(step) / STEPS * STRONGEST:.3g})"


def scale(high: Colour, low: Colour | None = None) -> list[str]:
    """Return the colours of all steps, from the lowest to the highest; with `low` also of steps below 0."""
    first = 0 if low is None else -STEPS
    return [css_colour(step, high, low or LOW) for step in range(first, STEPS + 1)]
