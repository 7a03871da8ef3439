"""Gradient checks of a small network and plots, which the tests of the report share."""

import pytest

from charloom.gradient_check import GradientCheck, gradcheck
from reliability.drawn_plots import keep_plots


@pytest.fixture(autouse=True)
def kept_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw equal plots of the loss once."""
    keep_plots(monkeypatch)


@pytest.fixture(scope="session")
def checks() -> list[GradientCheck]:
    return [
        gradcheck(hidden_size=H, seq_length=T, vocabulary_size=9, dtype=dtype)
        for dtype in ("float64", "float32")
        for H, T in ((3, 2), (9, 6))
    ]
