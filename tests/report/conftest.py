"""Gradient checks of a small network, which the tests of the report share."""

import pytest

from charloom.gradient_check import GradientCheck, gradcheck


@pytest.fixture(scope="module")
def checks() -> list[GradientCheck]:
    return [
        gradcheck(hidden_size=H, seq_length=T, vocabulary_size=9, dtype=dtype)
        for dtype in ("float64", "float32")
        for H, T in ((3, 2), (9, 6))
    ]
