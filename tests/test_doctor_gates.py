"""Any order of the gates is right, unless the user gives one; then the doctor's suggestion is right."""

from itertools import permutations

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.errors import ConfigError
from charloom.messages import argument, for_command_line, for_python
from plants import function

pytestmark = pytest.mark.usefixtures("kept_predictions")

OWN = {"lstm": "ifgo", "gru": "rzn"}
GRU_ORDERS = ["".join(order) for order in permutations("rzn")]
LSTM_PAIRS = [("ofig", "ifgo"), ("ofig", "gfoi"), ("fiog", "ogfi"), ("", "figo"), ("iofg", "")]


def reordered(array, order, wanted):
    """Return the blocks of an array, which are in `order`, in the order `wanted`."""
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])


def with_gates(cell, order):
    """Return the hand-written network of a cell with the gates of U, W and b in this order."""
    own, right = OWN[cell], function(cell)

    def change(arrays, order, wanted):
        return {
            name: reordered(array, order, wanted) if name in ("U", "W", "b") else array
            for name, array in arrays.items()
        }

    def loss_and_gradients(params, x, y, h0):
        loss, gradients = right(change(params, order, own), x, y, h0)
        return loss, change(gradients, own, order)

    return loss_and_gradients


PAIRS = [
    *(("gru", given, real) for given in GRU_ORDERS for real in GRU_ORDERS),
    *(("lstm", given, real or "ifgo") for given, real in LSTM_PAIRS),
]


@pytest.mark.parametrize(("cell", "given", "real"), PAIRS)
def test_the_order_that_the_doctor_suggests_is_the_right_one(cell, given, real):
    judged = with_gates(cell, real)
    found = doctor(judged, cell=cell, gates=given)
    if given == real:
        assert found.verdict == "right"
        return
    if not given:
        assert found.verdict == "right"
        assert f"gates in the order {', '.join(real)}" in found.tried.convention
        return
    assert found.verdict == "right for its own network"
    (one,) = found.network
    expected = f"in the order {', '.join(real)}, not {', '.join(given)}"
    assert expected in found.headline()
    assert f"read the blocks in the order {', '.join(given)}" in one.fix
    if real == OWN[cell]:
        assert one.fix.endswith("leave out gates.")
    else:
        assert one.fix.endswith(f'set gates="{real}".')
    again = doctor(judged, cell=cell, gates="" if real == OWN[cell] else one.variant)
    assert again.verdict == "right"


def test_the_error_for_gates_without_a_cell_says_that_the_cell_is_missing():
    with pytest.raises(ConfigError, match="the cell is missing") as caught:
        doctor(function("lstm"), gates="ofig")
    assert 'cell="lstm" or cell="gru"' in str(caught.value)
    assert "--cell lstm or --cell gru" in for_command_line(caught.value.message)


@pytest.mark.parametrize(("cell", "gates"), [("lstm", "rzn"), ("gru", "ifgo"), ("rnn", "ifgo")])
def test_the_error_for_letters_that_are_not_gates_names_both_arguments(cell, gates):
    with pytest.raises(ConfigError) as caught:
        doctor(function("loop"), cell=cell, gates=gates)
    assert f"with {for_python(argument('cell', 'lstm'))}" in str(caught.value)
    assert "with --cell lstm" in for_command_line(caught.value.message)


def test_a_numerical_gradient_must_be_given_in_the_same_way_as_the_function():
    with pytest.raises(ConfigError, match="numerical is 'mine'; it must be a function"):
        doctor(function("loop"), numerical="mine")
    with pytest.raises(ConfigError, match="it must be the name of a function in the same file"):
        doctor("mine.py:f", numerical=function("loop"))
