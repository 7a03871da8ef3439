"""Random numbers without a generator state (spec/mathematics.md: Random numbers).

Each number depends only on (seed, purpose, update, layer, stream, time, unit). The counter-based
generator Philox4x64-10 computes it from these. So a resumed run, or a run with another engine, gets
the same numbers.
"""

from typing import Final, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

Purpose = Literal[
    "init",
    "sample",
    "training_sample",
    "gradcheck",
    "dropout",
    "bootstrap",
    "trace",
    "order",
    "study",
    "items",
]
PURPOSES: Final[dict[str, int]] = {
    "init": 1,
    "sample": 2,
    "training_sample": 3,
    "gradcheck": 4,
    "dropout": 5,
    "bootstrap": 6,
    "trace": 7,
    "order": 8,
    "study": 9,
    "items": 10,
}

BLOCK: Final = 4  # Philox4x64 computes a block of four 64-bit words from each counter value


def words(
    seed: int,
    purpose: Purpose,
    count: int,
    *,
    first: int = 0,
    update: int = 0,
    layer: int = 0,
    stream: int = 0,
    time: int = 0,
) -> NDArray[np.uint64]:
    """Return `count` random words of 64 bits, from the word with the number `first` on, shape (count,).

    `purpose` is the use of the random numbers, such as "sample". The words depend on `seed`,
    `purpose`, `update`, `layer`, `stream` and `time` (spec/mathematics.md: Random numbers).
    """
    # numpy.random.Philox adds one to the counter before each block. The specification numbers the
    # blocks in the same way: units 0…3 have counter 1.
    block, skip = divmod(first, BLOCK)
    generator = np.random.Philox(
        key=np.array([seed, PURPOSES[purpose]], dtype=np.uint64),
        counter=np.array([block, time, (layer << 32) | stream, update], dtype=np.uint64),
    )
    return np.asarray(generator.random_raw(skip + count)[skip:], dtype=np.uint64)


class Place(TypedDict, total=False):
    """Keyword arguments of `words` on which the random numbers depend. A missing argument is 0."""

    update: int
    layer: int
    stream: int
    time: int


class UnitPlace(Place, total=False):
    """A `Place`, and `first`, the number of the unit that gets the first random number."""

    first: int


def uniforms(
    seed: int, purpose: Purpose, count: int, **place: Unpack[UnitPlace]
) -> NDArray[np.float64]:
    """Return random numbers, uniform in [0, 1) with 53 random bits each, float64, shape (count,).

    The random numbers differ if one of the arguments in `place` differs.
    """
    raw = words(seed, purpose, count, **place)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(seed: int, purpose: Purpose, count: int, **place: Unpack[Place]) -> NDArray[np.float64]:
    """Return standard normal random numbers, float64, shape (count,).

    Each number is computed from two uniform random numbers (Box and Muller 1958, cosine branch).
    The uniform random numbers always begin at unit 0, so `place` has no `first`.
    """
    if "first" in place:
        raise TypeError("normals() takes no argument 'first'")
    pairs = uniforms(seed, purpose, 2 * count, **place).reshape(count, 2)
    radius = np.sqrt(-2.0 * np.log1p(-pairs[:, 0]))
    return np.asarray(radius * np.cos(2.0 * np.pi * pairs[:, 1]))


# The number of random bits that decide whether a unit is dropped. Four units share a 64-bit word.
FIELD_BITS: Final = 16


def dropout_mask(
    seed: int, update: int, layer: int, stream: int, time: int, units: int, dropout: float
) -> NDArray[np.float64]:
    """Return the factor by which dropout multiplies each of a layer's outputs, shape (units,).

    The factor is 0 for a dropped unit, and 1 / (1 - p) for any other unit. p is `dropout` rounded
    to a multiple of 2^-16. See spec/mathematics.md: Dropout.
    """
    threshold = dropout_threshold(dropout)
    count = -(-units // 4)
    raw = words(seed, "dropout", count, update=update, layer=layer, stream=stream, time=time)
    shifts = np.arange(0, 64, FIELD_BITS, dtype=np.uint64)
    fields = (raw[:, np.newaxis] >> shifts & np.uint64(0xFFFF)).reshape(-1)[:units]
    return np.where(fields < threshold, 0.0, 2.0**FIELD_BITS / (2**FIELD_BITS - threshold))


def dropout_threshold(dropout: float) -> int:
    """Return the threshold below which a random whole number of 16 bits drops a unit.

    The threshold is at most 2^16 - 1. `dropout` is the share of units to drop.
    """
    return min(round(dropout * 2**FIELD_BITS), 2**FIELD_BITS - 1)
