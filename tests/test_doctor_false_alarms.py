"""A gradient that is right for its own network is never called wrong: without a loss, in float16, with an unknown ε."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from plants import PLANTS, Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

OWN = "right for its own network"
WITHOUT_LOSS = ("return loss, {", "return {")
UNKNOWN = (("np.tanh(a[t])", "np.arctan(a[t])"), ("1 - h[t] ** 2", "1 / (1 + a[t] ** 2)"))
NO_CARRY = ("        dh_next = W.T @ da\n", "")


def edited(*edits, file="loop"):
    """Return the function of a file in tests/written with these edits."""
    return function(file, Plant(file, "none", edits))


def in_float16(*edits, returned=np.float16):
    """Return the network of tests/written/loop.py, computed in float16; its gradients have the dtype `returned`."""
    double = edited(*edits)

    def half(params, x, y, h0):
        with np.errstate(all="ignore"):
            params = {name: array.astype(np.float16) for name, array in params.items()}
            loss, grads = double(params, x, y, h0.astype(np.float16))
        return float(loss), {name: g.astype(returned) for name, g in grads.items()}

    return half


def test_peepholes_are_recognised_without_a_loss():
    (plant,) = (plant for plant in PLANTS if plant.name == "lstm-peepholes")
    edits = (*plant.edits, ("return loss, grads", "return grads"))
    found = doctor(edited(*edits, file="lstm"), cell="lstm")
    assert (found.verdict, found.differences) == (OWN, ("peepholes",))
    wrong = doctor(edited(*edits, ("ds_next = ds * f", "ds_next = ds"), file="lstm"), cell="lstm")
    assert wrong.verdict == "wrong"


def test_two_differences_are_recognised_without_a_loss():
    edits = (("np.tanh(a[t])", "np.maximum(a[t], 0)"), ("1 - h[t] ** 2", "a[t] > 0"))
    other = (("h = {-1: h0}", "h = {-1: 0 * h0}"), WITHOUT_LOSS)
    found = doctor(edited(*edits, *other))
    assert found.verdict == OWN
    assert set(found.differences) == {"activation-differs", "initial-state-ignored"}
    assert doctor(edited(*edits, *other, NO_CARRY)).mistakes == ("time-carry-missing",)


@pytest.mark.parametrize("returned", [np.float16, np.float64])
def test_right_code_in_float16_is_not_wrong(returned):
    """The probabilities of the trial with a strong output are zero in float16, so its loss is infinite."""
    found = doctor(in_float16(returned=returned))
    assert (found.verdict, found.mistakes) == (OWN, ("float32-where-float64",))
    assert found.found[0].variant == "float16"


def test_a_mistake_in_float16_is_wrong():
    assert doctor(in_float16(NO_CARRY)).verdict == "wrong"


@pytest.mark.parametrize("epsilon", ["1e-8", "1e-12", "1e-5"])
def test_a_tiny_epsilon_in_the_loss_of_an_unknown_network_is_found(epsilon):
    edits = (*UNKNOWN, ("-np.log(p[t][y[t]])", f"-np.log(p[t][y[t]] + {epsilon})"))
    found = doctor(edited(*edits))
    assert (found.verdict, found.network_known) == (OWN, False)
    assert [(one.id, one.variant) for one in found.found] == [
        ("epsilon-in-log", f"ε = {float(epsilon)!r}")
    ]


def test_an_epsilon_in_the_mean_loss_of_an_unknown_network_is_found():
    mean = "    loss /= T\n    dU, dW, db, dV, dc = (g / T for g in (dU, dW, db, dV, dc))\n"
    log = ("-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-8)")
    found = doctor(edited(*UNKNOWN, log, ("    return loss, {", f"{mean}    return loss, {{")))
    assert (found.verdict, found.mistakes) == (OWN, ("epsilon-in-log",))


@pytest.mark.parametrize("epsilon", ["1e-8", "1e-5"])
def test_an_epsilon_does_not_hide_which_gradients_of_an_unknown_network_are_wrong(epsilon):
    log = ("-np.log(p[t][y[t]])", f"-np.log(p[t][y[t]] + {epsilon})")
    found = doctor(edited(*UNKNOWN, log, NO_CARRY))
    assert found.verdict == "wrong"
    assert {block.parameter for block in found.location.wrong} == {"U", "W", "b"}


def test_a_large_epsilon_in_an_unknown_network_is_named_as_a_mistake():
    log = ("-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-3)")
    found = doctor(edited(*UNKNOWN, log))
    assert (found.verdict, found.mistakes) == ("wrong", ("epsilon-in-log",))
