"""Computes dropout masks on a device, with the same random numbers as every engine.

See spec/mathematics.md: Dropout, Random numbers. PyTorch has no unsigned 64-bit arithmetic, so words are int64 whose
bits are those of the unsigned number.
"""

from typing import Final

import torch

from charloom.config import Config
from charloom.random import FIELD_BITS, PURPOSES, dropout_threshold

MULTIPLIERS: Final = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL: Final = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS: Final = 10
HALF: Final = 0xFFFFFFFF  # the lower 32 bits
FIELDS: Final = 64 // FIELD_BITS  # units that share a word
UNITS: Final = 4 * FIELDS  # units that share a block of four words
CHUNK: Final = 2**16  # blocks that are computed at a time, so that they stay in a processor's cache


def signed(word: int) -> int:
    """Return the int64 with the bits of an unsigned 64-bit number."""
    word &= 2**64 - 1
    return word - 2**64 if word >> 63 else word


def upper(word: torch.Tensor) -> torch.Tensor:
    """Return the upper 32 bits of each word."""
    return (word >> 32) & HALF


def high_product(a: torch.Tensor, b: int) -> torch.Tensor:
    """Return the upper 64 bits of the 128-bit products of `a` with `b`, both unsigned."""
    a_low, a_high, b_low, b_high = a & HALF, upper(a), b & HALF, b >> 32
    middle = a_high * b_low + upper(a_low * b_low)
    other = a_low * b_high + (middle & HALF)
    return a_high * b_high + upper(middle) + upper(other)


def philox(counter: list[torch.Tensor], key: tuple[int, int]) -> list[torch.Tensor]:
    """Return the four words of Philox4x64-10 for each counter of four words; all are int64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    m0, m1 = MULTIPLIERS
    for _ in range(ROUNDS):
        c0, c1, c2, c3 = (
            high_product(c2, m1) ^ c1 ^ signed(k0),
            c2 * signed(m1),
            high_product(c0, m0) ^ c3 ^ signed(k1),
            c0 * signed(m0),
        )
        k0, k1 = k0 + WEYL[0], k1 + WEYL[1]
    return [c0, c1, c2, c3]


def dropout_masks(
    config: Config,
    update: torch.Tensor,
    window: tuple[int, int],
    dtype: torch.dtype,
    first_stream: int = 0,
) -> torch.Tensor:
    """Return the masks of a window, shape (L, T, B, H), on the device of `update`.

    Args:
        config: the settings; `dropout` is above 0.
        update: the number of the update, from 1, int64 without axes.
        window: T and B.
        dtype: the dtype of the masks.
        first_stream: the number of the first of the B streams, if they are only some of the streams.
    """
    steps, streams = window
    L, H, device = config.layers, config.hidden_size, update.device
    blocks = -(-H // UNITS)
    shape = (L, steps, streams, blocks)

    def count(size: int) -> torch.Tensor:
        return torch.arange(size, device=device)

    c0 = (count(blocks) + 1).expand(shape).reshape(-1)
    c1 = count(steps)[:, None, None].expand(shape).reshape(-1)
    stream = count(streams) + first_stream
    c2 = ((count(L)[:, None] << 32) | stream)[:, None, :, None].expand(shape).reshape(-1)
    threshold = dropout_threshold(config.dropout)
    kept = 2.0**FIELD_BITS / (2.0**FIELD_BITS - threshold)
    size = CHUNK if device.type == "cpu" else len(c0)
    parts = [
        fields([a, b, c, update.expand(len(a))], config.seed) >= threshold
        for a, b, c in zip(c0.split(size), c1.split(size), c2.split(size), strict=True)
    ]
    masks = torch.cat(parts).view(L, steps, streams, blocks * UNITS)[..., :H]
    return masks.to(dtype) * kept


def fields(counter: list[torch.Tensor], seed: int) -> torch.Tensor:
    """Return the fields of 16 bits of each counter's block, shape (counters, UNITS)."""
    words = torch.stack(philox(counter, (seed, PURPOSES["dropout"])), dim=-1)
    parts = [(words >> (FIELD_BITS * n)) & (2**FIELD_BITS - 1) for n in range(FIELDS)]
    return torch.stack(parts, dim=-1).view(-1, UNITS)
