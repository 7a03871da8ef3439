"""The cell of examples/mingru.py and a small cell with two states, registered for tests."""

import runpy
from contextlib import contextmanager
from pathlib import Path

import charloom
from charloom.registered_cells import remove_cell

EXAMPLE = Path(__file__).parent.parent / "examples" / "mingru.py"


@contextmanager
def mingru():
    """Register the cell of the example inside the `with` block."""
    runpy.run_path(str(EXAMPLE))
    try:
        yield "mingru"
    finally:
        remove_cell("mingru")


class TwoStates:
    """An LSTM without an output gate, step by step: m_t = f m_{t-1} + (1 - f) n, h_t = tanh(m_t)."""

    states = ("h", "memory")

    def parameters(self, input_size, hidden_size):
        return {
            "weight_ih": (2 * hidden_size, input_size),
            "weight_hh": (2 * hidden_size, hidden_size),
            "bias": (2 * hidden_size,),
        }

    def initial_values(self, input_size, hidden_size):
        return {"bias": [1.0] * hidden_size + [0.0] * hidden_size}

    def gates(self, x, state, parameters):
        sums = x @ parameters["weight_ih"].T + state["h"] @ parameters["weight_hh"].T
        f, n = (sums + parameters["bias"]).chunk(2, -1)
        return {"f": f.sigmoid(), "n": n.tanh()}

    def step(self, x, state, parameters):
        gates = self.gates(x, state, parameters)
        memory = gates["f"] * state["memory"] + (1 - gates["f"]) * gates["n"]
        return {"h": memory.tanh(), "memory": memory}


@contextmanager
def two_states():
    """Register the cell `TwoStates` inside the `with` block."""
    charloom.register_cell("two-states", TwoStates)
    try:
        yield "two-states"
    finally:
        remove_cell("two-states")
