"""Gradient checks of a small network and plots, which the tests of the report share."""

import pytest

from charloom.gradient_check import GradientCheck, gradcheck


@pytest.fixture(autouse=True)
def draw_equal_plots_once(kept_plots: None) -> None:
    """Apply `kept_plots` to each test of reports."""


@pytest.fixture(scope="session")
def checks() -> list[GradientCheck]:
    return [
        gradcheck(hidden_size=H, seq_length=T, vocabulary_size=9, dtype=dtype)
        for dtype in ("float64", "float32")
        for H, T in ((3, 2), (9, 6))
    ]
