"""Messages of the doctor about a function for another cell, and about gradients without names."""

from importlib.resources import files

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.errors import DoctorError


def template(name):
    """Return the function of a template."""
    source = (files("charloom.diagnosis") / "templates" / f"{name}.txt").read_text()
    space = {}
    exec(source, space)
    return space["loss_and_gradients"]


@pytest.mark.parametrize(
    ("name", "cell", "hint"),
    [
        ("numpy_lstm", None, 'use cell="lstm" or cell="gru"'),
        ("numpy", "gru", "the parameters of a GRU. If it is for another cell, change cell"),
        ("numpy_gru", None, 'If the function is a GRU, use cell="gru"'),
        ("numpy_gru", "lstm", 'If the function is a GRU, use cell="gru"'),
    ],
)
def test_a_function_for_another_cell_gets_a_hint(name, cell, hint):
    with pytest.raises(DoctorError) as caught:
        doctor(template(name), cell=cell)
    assert hint in str(caught.value)


def test_a_function_that_fails_for_another_reason_gets_no_hint():
    def loss_and_gradients(params, x, y, h0):
        raise ValueError("no luck")

    with pytest.raises(DoctorError) as caught:
        doctor(loss_and_gradients)
    assert "plain RNN" not in str(caught.value)


def test_the_note_about_an_lstm_names_both_states():
    found = doctor(template("numpy_lstm"), cell="lstm")
    assert "h0 and c0, each of shape (H,)" in found.tried.convention


def test_gradients_without_names_are_listed_in_order_with_an_order_that_fits():
    right = template("numpy")

    def loss_and_gradients(params, x, y, h0):
        loss, g = right(params, x, y, h0)
        return (loss, *(g[name] for name in "UWVbc"), np.array(h0))

    with pytest.raises(DoctorError) as caught:
        doctor(loss_and_gradients)
    message = str(caught.value)
    assert "these shapes in order: (), (4, 7), (4, 4), (7, 4), (4,), (7,), (4,);" in message
    assert 'gradients=["loss", "U", "W", "V", "b", "c", "_"]' in message


def test_the_names_in_the_return_statement_say_which_gradient_an_item_is():
    right = template("numpy")

    def loss_and_gradients(params, x, y, h0):
        loss, g = right(params, x, y, h0)
        dWxh, dWhh, dWhy, dbh, dby = (g[name] for name in "UWVbc")
        h_last = np.array(h0)  # as long as dbh
        return loss, dWxh, dWhh, dWhy, dbh, dby, h_last

    assert doctor(loss_and_gradients).verdict == "right"


def test_names_in_the_return_statement_that_are_exchanged_are_seen():
    right = template("numpy")

    def loss_and_gradients(params, x, y, h0):
        loss, g = right(params, x, y, h0)
        dWxh, dWhh, dWhy, dbh, dby = (g[name] for name in "UWVbc")
        dbh, h_last = np.array(h0), dbh
        return loss, dWxh, dWhh, dWhy, dbh, dby, h_last

    assert doctor(loss_and_gradients).verdict == "wrong"
