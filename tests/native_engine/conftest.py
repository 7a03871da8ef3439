"""The native engine on each instruction set of this processor, and the torch engine."""

import pytest

from compared_engines import COMPARED, INSTRUCTION_SETS, open_compared


@pytest.fixture(params=INSTRUCTION_SETS)
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Return the native engine on one instruction set."""
    return open_compared(request.param, monkeypatch)


@pytest.fixture(params=COMPARED)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Return an engine that the tests compare with the reference engine."""
    return open_compared(request.param, monkeypatch)
