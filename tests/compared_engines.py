"""The engines that tests compare with the reference engine: the native one on each instruction set, and torch."""

from importlib.util import find_spec

from charloom.engines import Engine, native_problem, open_engine

if native_problem() is None:
    from charloom import _native

    INSTRUCTION_SETS = _native.instruction_sets()
else:  # without a compiler there is no native engine
    INSTRUCTION_SETS = []

TORCH = ["torch"] if find_spec("torch") is not None else []
COMPARED = [*INSTRUCTION_SETS, *TORCH]


def open_compared(name: str, monkeypatch) -> Engine:
    """Return the engine with a name of COMPARED, with one thread on the processor."""
    if name == "torch":
        return open_engine("torch", 1, "cpu")
    monkeypatch.setenv("CHARLOOM_ISA", name)
    engine = open_engine("native")
    assert engine.isa == name
    return engine
