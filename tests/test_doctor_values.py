"""The doctor checks or names values of every type that a function may return, without copying them first."""

import tracemalloc
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.errors import DoctorError
from plants import function

RIGHT = function("loop")
HUGE = np.broadcast_to(0.0, (10**9, 10**9))


def with_u(value):
    """Return the right network, but with `value` or `value(dU)` as the gradient of U."""

    def loss_and_gradients(params, x, y, h0):
        loss, gradients = RIGHT(params, x, y, h0)
        made = value(gradients["U"]) if callable(value) else value
        return loss, {**gradients, "U": made}

    return loss_and_gradients


class Sparse:
    """A sparse matrix with the attributes of those of SciPy."""

    dtype = np.dtype(float)

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def toarray(self):
        return self.array


def of_arrays(shape):
    """Return an array of objects, each of which is an array."""
    made = np.empty(shape, dtype=object)
    for at in np.ndindex(shape):
        made[at] = np.zeros(3)
    return made


REFUSED = {
    "an absurd shape": (HUGE, "has the shape (1000000000, 1000000000); it must have the shape of the parameter, (4, 7)"),
    "a huge list": ([0.0] * 10**6, "has the shape (1000000,)"),
    "objects": (lambda g: np.full(g.shape, None), "an array of shape (4, 7) of Python objects"),
    "arrays in an array": (lambda g: of_arrays(g.shape), "an array of shape (4, 7) of Python objects"),
    "texts": (lambda g: g.astype(str), "an array of <U32"),
    "dates": (lambda g: g.astype("datetime64[s]"), "an array of datetime64[s]"),
    "a sparse array": (Sparse, "a sparse array (Sparse) of shape (4, 7); return a dense one"),
    "masked entries": (lambda g: np.ma.masked_array(g, np.arange(g.size).reshape(g.shape) < 14), "with 14 masked entries"),
    "a generator": (lambda g: (row for row in g), "an iterator of the type"),
    "a map": (lambda g: map(list, g), "an iterator of the type"),
    "a list of unequal rows": (lambda g: [[0.0] * 7, *[[0.0]] * 3], "array of real numbers"),
    "a list in itself": ((endless := []).append(endless) or endless, "has the shape (1, 1, 1, 1)"),
    "complex numbers": (lambda g: g + 1j, "of complex numbers"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_the_error_for_a_gradient_that_cannot_be_checked_says_what_it_is(kind):
    value, expected = REFUSED[kind]
    with pytest.raises(DoctorError) as error:
        doctor(with_u(value))
    assert "the gradient of U " in str(error.value)
    assert expected in str(error.value)
    assert "the function failed" not in str(error.value)


TAKEN = {
    "lists": lambda g: g.tolist(),
    "objects that are numbers": lambda g: g.astype(object),
    "a masked array without masked entries": lambda g: np.ma.masked_array(g),
    "complex numbers without imaginary parts": lambda g: g + 0j,
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_gradient_with_the_right_numbers_is_right_in_any_type(kind):
    assert doctor(with_u(TAKEN[kind])).verdict == "right"


def returning(value):
    """Return a function that returns `value`, or `value(loss, gradients)`."""

    def loss_and_gradients(params, x, y, h0):
        return value(*RIGHT(params, x, y, h0)) if callable(value) else value

    return loss_and_gradients


ANSWERS_REFUSED = {
    "a generator": (lambda loss, g: (one for one in (loss, g)), "an iterator of the type generator"),
    "a huge list": ([0.0] * 10**6, "a list of 1,000,000 items"),
    "a huge dict": (dict.fromkeys(map(str, range(10**5))), "and 99,988 more"),
    "huge arrays without names": ((1.0, HUGE, HUGE), "(1000000000, 1000000000)"),
    "a complex loss": (lambda loss, g: (loss + 1j, g), "the loss is"),
    "a masked loss": (lambda _loss, g: (np.ma.masked, g), "the loss is a masked array"),
    "a loss that is too large": (lambda _loss, g: (10**400, g), "the loss is"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS_REFUSED)
def test_the_error_for_a_result_that_cannot_be_checked_says_what_it_is(kind):
    value, expected = ANSWERS_REFUSED[kind]
    with pytest.raises(DoctorError) as error:
        doctor(returning(value))
    assert expected in str(error.value)
    assert "the function failed" not in str(error.value)


@pytest.mark.parametrize("kind", [Fraction, Decimal, np.longdouble, np.array])
def test_a_loss_may_be_any_type_of_real_number(kind):
    found = doctor(returning(lambda loss, g: (kind(float(loss)), g)))
    assert found.verdict == "right"
    assert not any("no loss" in note for note in found.notes)


def test_a_gradient_with_a_huge_shape_is_not_copied():
    tracemalloc.start()
    with pytest.raises(DoctorError):
        doctor(with_u(np.broadcast_to(0.0, (10**4, 10**4))))
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(U=HUGE),
        lambda p: p.update(U=None),
        lambda p: p.update(U=[[1.0]]),
        lambda p: p.pop("U"),
        lambda p: p.clear(),
    ],
    ids=["absurd", "None", "list", "removed", "cleared"],
)
def test_replaced_or_removed_parameters_count_as_changed(change):
    def loss_and_gradients(params, x, y, h0):
        answer = RIGHT(params, x, y, h0)
        change(params)
        return answer

    found = doctor(loss_and_gradients)
    assert found.mistakes == ("parameters-changed",)


def test_an_error_shows_only_the_beginning_of_a_long_name():
    with pytest.raises(DoctorError) as caught:
        doctor(lambda params, x, y, h0: (1.0, {50 * "gradient of U, ": np.zeros(2)}))
    assert "gradient of U, gradient of U, gradient …" in str(caught.value)
    assert len(str(caught.value)) < 400
