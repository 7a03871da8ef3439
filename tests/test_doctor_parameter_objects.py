"""The doctor passes the parameters in a plain dict, unless the function needs attributes."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.errors import DoctorError
from plants import CELL, function

NAMES = {"U": "Wxh", "W": "Whh", "b": "bh", "d": "bhn", "V": "Why", "c": "by"}


def is_pytree(value):
    """Return True if JAX would accept a value as a tree of arrays.

    JAX checks the exact types dict, list and tuple; it does not accept subclasses.
    """
    if type(value) is dict:
        return all(isinstance(key, str) and is_pytree(held) for key, held in value.items())
    if type(value) in (list, tuple):
        return all(map(is_pytree, value))
    return type(value) is np.ndarray


@pytest.mark.parametrize("file", ["loop", "lstm", "gru"])
def test_a_function_gets_a_plain_dict_of_arrays(file):
    right = function(file)

    def loss_and_gradients(params, x, y, h0):
        assert all(map(is_pytree, (params, x, y, h0)))
        return right(params, x, y, h0)

    assert doctor(loss_and_gradients, cell=CELL.get(file, "rnn")).verdict == "right"


@pytest.mark.parametrize("file", ["loop", "gru"])
def test_a_plain_dict_has_the_names_that_the_function_uses(file):
    right = function(file)

    def loss_and_gradients(params, x, y, h0):
        assert is_pytree(params)
        ours = {name: params[NAMES[name]] for name in NAMES if name != "d" or file == "gru"}
        loss, gradients = right(ours, x, y, h0)
        assert set(params) == {NAMES[name] for name in ours}
        return loss, {NAMES[name]: gradient for name, gradient in gradients.items()}

    found = doctor(loss_and_gradients, cell=CELL.get(file, "rnn"))
    assert found.verdict == "right"
    assert "U called Wxh" in found.tried.convention
    assert "attributes" not in found.tried.convention


def test_a_function_that_reads_attributes_gets_them_and_a_note_says_so():
    right = function("loop")

    def loss_and_gradients(params, x, y, h0):
        return right({name: getattr(params, name) for name in "UWbVc"}, x, y, h0)

    found = doctor(loss_and_gradients)
    assert found.verdict == "right"
    assert "parameters as attributes" in found.tried.convention


def test_a_function_that_checks_for_attributes_first_gets_them():
    right = function("loop")

    def loss_and_gradients(params, x, y, h0):
        if not hasattr(params, "U"):
            raise TypeError("params must have attributes")
        return right({name: getattr(params, name) for name in "UWbVc"}, x, y, h0)

    assert doctor(loss_and_gradients).verdict == "right"


def test_a_missing_key_of_another_dict_is_the_error_of_the_function():
    def loss_and_gradients(params, x, y, h0):
        return {"h": h0}["Whh"]

    with pytest.raises(DoctorError, match="KeyError: 'Whh'"):
        doctor(loss_and_gradients)


def test_jax_can_differentiate_with_respect_to_the_parameters():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def loss(params, x, y, h0):
        h, total = jnp.asarray(h0), 0.0
        for here, there in zip(x, y, strict=True):
            h = jnp.tanh(params["W"] @ h + params["U"][:, here] + params["b"])
            total -= jax.nn.log_softmax(params["V"] @ h + params["c"])[there]
        return total

    found = doctor(jax.value_and_grad(loss))
    assert found.verdict == "right"
    assert found.tried.dtype == "float32"
