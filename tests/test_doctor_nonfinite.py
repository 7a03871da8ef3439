"""For results that are not finite, the doctor says which they are, where they begin, and the usual cause."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from plants import PLANTS, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

RIGHT = function("loop")


def answering(change):
    """Return the right network, whose result is changed by `change(loss, gradients)`."""

    def loss_and_gradients(params, x, y, h0):
        return change(*RIGHT(params, x, y, h0))

    return loss_and_gradients


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_if_nothing_is_finite_the_doctor_says_so_and_does_not_name_float32(value):
    found = doctor(
        answering(lambda _loss, g: (value, {n: np.full_like(a, value) for n, a in g.items()}))
    )
    assert found.mistakes == ("not-a-number",)
    assert "everything that it returned is not a number" in found.headline()
    begins, cause, *_ = found.clues
    assert begins.startswith(
        "the first numbers that are not finite are in the loss, in the trial with H = 4, T = 6, K = 7"
    )
    assert "12 of 12 trials" in begins
    assert "small weights too" in cause
    assert "np.empty" in cause


def test_without_a_loss_the_output_gradients_are_named_as_the_first():
    found = doctor(answering(lambda _loss, g: {n: np.full_like(a, np.nan) for n, a in g.items()}))
    assert found.mistakes == ("not-a-number",)
    assert found.clues[0].startswith(
        "the first numbers that are not finite are in dV and dc, in the trial with"
    )


def test_one_gradient_that_is_not_finite_is_named_with_its_first_trial():
    def changed(loss, g):
        g["W"][0, 0] = np.inf if len(g["c"]) == 30 else g["W"][0, 0]
        return loss, g

    found = doctor(answering(changed))
    assert "dW is not a number" in found.headline()
    assert found.clues[0].startswith(
        "the first numbers that are not finite are in dW, in the trial with H = 20, T = 26, K = 30"
    )
    assert "1 of 12 trials" in found.clues[0]
    assert "the loss is finite" in found.clues[1]


def test_an_overflow_of_large_logits_is_distinguished_from_ln_0():
    (plant,) = [plant for plant in PLANTS if plant.name == "loop-not-a-number-overflow"]
    found = doctor(function("loop", plant))
    assert found.mistakes[0] == "not-a-number"
    assert "subtract the largest logit" in found.clues[1]

    def zero_probability(loss, g):
        return (np.inf if len(g["c"]) == 9 else loss), g

    assert "ln p as o - max(o)" in doctor(answering(zero_probability)).clues[1]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_gradients_are_not_attributed_to_float32(value):
    found = doctor(answering(lambda loss, g: (loss, {n: np.full_like(a, value) for n, a in g.items()})))  # fmt: skip
    assert found.verdict == "wrong"
    assert "float32-where-float64" not in found.mistakes
