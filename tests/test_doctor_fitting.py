"""Each constant that the doctor fits must explain more of an error than rounding can."""

import re

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.fitted_constants import MARGIN, explains_more
from plants import Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

RIGHT = function("loop")


def returning(loss_off, factor=lambda array: 1.0):
    """Return the right network, with a number added to its loss and its gradients multiplied by a factor."""

    def loss_and_gradients(params, x, y, h0):
        loss, gradients = RIGHT(params, x, y, h0)
        return loss + loss_off, {n: g * factor(g) for n, g in gradients.items()}

    return loss_and_gradients


def texts_of(found):
    """Return all texts about a function as one string."""
    titles = [one.title for explanation in found.explanations for one in explanation]
    return " ".join([found.headline(), *titles, *found.clues])


def test_the_rule_requires_the_margin_over_the_remaining_error_and_over_rounding():
    assert explains_more(left=1.0, without=MARGIN, rounding=1.0)
    assert not explains_more(left=1.01, without=MARGIN, rounding=0.0)
    assert not explains_more(left=0.0, without=MARGIN, rounding=1.01)


@pytest.mark.parametrize("far", [0.0, 3e-11, 1e-10, 1e-9])
def test_right_gradients_with_a_wrong_loss_have_no_factor_and_no_decay(far):
    found = doctor(returning(0.01, lambda _array: 1 + far))
    assert (found.verdict, found.network_known) == ("right for its own network", False)
    assert found.mistakes == ()
    assert not re.search(r"\b1 times", texts_of(found))
    assert "weight decay" not in texts_of(found)


# Errors up to 1e-7 are smaller than what the numerical derivative of the loss can show.
@pytest.mark.parametrize(
    ("far", "verdict"),
    [(1e-6, "wrong"), (1e-8, "right for its own network"), (1e-9, "right for its own network")],
)
def test_small_irregular_errors_are_not_explained_by_a_constant(far, verdict):
    def noise(array):
        return 1 + far * np.sin(1e4 * np.abs(array) / np.abs(array).max(initial=1e-300))

    found = doctor(returning(0.01, noise))
    assert (found.verdict, found.mistakes) == (verdict, ())
    assert "times the right one" not in texts_of(found)


@pytest.mark.parametrize(("far", "text"), [(1e-8, "1.00000001"), (1e-4, "1.0001"), (2.0, "3")])
def test_a_factor_near_1_is_printed_with_enough_digits(far, text):
    found = doctor(returning(0.0, lambda _array: 1 + far))
    assert found.mistakes == ("gradient-scaled",)
    assert f"all gradients are {text} times the right ones" in found.headline()
    assert f"every gradient is {text} times the right one." in found.clues


def in_loop(old, new):
    """Return the diagnosis of the hand-written network with one edit."""
    return doctor(function("loop", Plant("loop", "none", ((old, new),))))


OWN = "right for its own network"
SMALL_AND_SMOOTH = {
    "1e-12 within tanh": ("np.tanh(a[t])", "np.tanh(a[t] + 1e-12)", "wrong"),
    "1e-9 within tanh": ("np.tanh(a[t])", "np.tanh(a[t] + 1e-9)", OWN),
    "1e-9 after tanh": ("h[t] = np.tanh(a[t])", "h[t] = np.tanh(a[t]) + 1e-9", OWN),
    "1e-8 at the target": ("do[y[t]] -= 1", "do[y[t]] -= 1 + 1e-8", "wrong"),
}


@pytest.mark.parametrize("edit", SMALL_AND_SMOOTH)
def test_a_small_smooth_error_is_not_attributed_to_float32_or_a_constant(edit):
    old, new, verdict = SMALL_AND_SMOOTH[edit]
    found = in_loop(old, new)
    assert (found.verdict, found.mistakes) == (verdict, ())


SOMEWHERE_FLOAT32 = {
    "h": ("h[t] = np.tanh(a[t])", "h[t] = np.tanh(a[t]).astype(np.float32).astype(float)"),
    "p": ("p[t] = e / e.sum()", "p[t] = (e / e.sum()).astype(np.float32).astype(float)"),
    "o": ("o = V @ h[t] + c", "o = (V @ h[t] + c).astype(np.float32).astype(float)"),
    "dW": ('"W": dW', '"W": dW.astype(np.float32)'),
    "parameters": ("(params[name] for", "(params[name].astype(np.float32).astype(float) for"),
}


@pytest.mark.parametrize("where", SOMEWHERE_FLOAT32)
def test_float32_in_a_single_place_is_named(where):
    assert in_loop(*SOMEWHERE_FLOAT32[where]).mistakes == ("float32-where-float64",)


@pytest.mark.parametrize("epsilon", ["3e-9", "4e-11"])
def test_an_unusual_epsilon_is_computed_from_the_loss(epsilon):
    edit = ("-np.log(p[t][y[t]])", f"-np.log(p[t][y[t]] + {epsilon})")
    found = doctor(function("loop", Plant("loop", "none", (edit,))))
    assert found.mistakes == ("epsilon-in-log",)
    assert found.found[0].variant == f"ε = {float(epsilon)!r}"


def test_an_unusual_epsilon_is_found_together_with_another_mistake():
    edits = (
        ("-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 3e-7)"),
        ("        dh_next = W.T @ da\n", ""),
    )
    found = doctor(function("loop", Plant("loop", "none", edits)))
    assert set(found.mistakes) == {"epsilon-in-log", "time-carry-missing"}
