"""The native engine on each instruction set of this processor."""

import pytest

from charloom.engines import native_problem

# Without a compiler there is no native engine, and the tests of it are skipped.
if native_problem() is None:
    from native_networks import SETS
else:
    SETS = []


@pytest.fixture(params=SETS)
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Return the native engine on one instruction set."""
    from charloom.engines.native import NativeEngine

    monkeypatch.setenv("CHARLOOM_ISA", request.param)
    engine = NativeEngine()
    assert engine.isa == request.param
    return engine
