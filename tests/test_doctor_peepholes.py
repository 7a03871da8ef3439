"""In an LSTM with peepholes, mistakes in the formulas of ds and of the output gate are named."""

import pytest

from charloom.diagnosis import doctor
from plants import PLANTS, Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

(PEEPHOLES,) = (plant for plant in PLANTS if plant.name == "lstm-peepholes")
DS = "dh * o * (1 - np.tanh(s) ** 2)"
MISTAKES = {
    "cell-gradient": (DS, "dh * (1 - np.tanh(s) ** 2)"),
    "output-gate-gradient": ("do = dh * np.tanh(s)", "do = dh"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_beside_peepholes_is_named(name):
    edits = (*PEEPHOLES.edits, MISTAKES[name])
    found = doctor(function("lstm", Plant("lstm", "none", edits)), cell="lstm")
    assert (found.verdict, found.mistakes, found.exact) == ("wrong", (name,), True)
    assert found.differences == ("peepholes",)
