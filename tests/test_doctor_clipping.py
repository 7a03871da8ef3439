"""Finished gradients that are clipped are compared with clipped ones, and clipping is no reason of a mistake."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.clipping_limits import limits_of
from charloom.diagnosis.outcome import Call
from plants import Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

OWN = "right for its own network"
RETURN = "    return loss, {"
ALL = "(dU, dW, db, dV, dc)"
CLIPPING = {
    "entries -0.37 0.74": f"    for g in {ALL}:\n        np.clip(g, -0.37, 0.74, out=g)\n",
    "entries -5 10": f"    for g in {ALL}:\n        np.clip(g, -5, 10, out=g)\n",
    "norms 0.37": f"    for g in {ALL}:\n        g *= min(1, 0.37 / np.linalg.norm(g))\n",
    "norms 5": f"    for g in {ALL}:\n        g *= min(1, 5 / np.linalg.norm(g))\n",
    "norm 0.37": f"    n = np.sqrt(sum((g**2).sum() for g in {ALL}))\n    for g in {ALL}:\n        g *= min(1, 0.37 / n)\n",
}
NO_CARRY = ("        dh_next = W.T @ da\n", "")
UNKNOWN = (("np.tanh(a[t])", "np.arctan(a[t])"), ("1 - h[t] ** 2", "1 / (1 + a[t] ** 2)"))


def clipped(name, *edits):
    """Return the network of tests/written/loop.py with these edits, and with clipped gradients."""
    return function("loop", Plant("loop", "none", (*edits, (RETURN, CLIPPING[name] + RETURN))))


@pytest.mark.parametrize("name", CLIPPING)
def test_clipping_alone_is_right_and_its_table_has_no_error(name):
    found = doctor(clipped(name))
    assert (found.verdict, [(one.id, one.variant) for one in found.found]) == (
        OWN,
        [("clipped", name)],
    )
    assert all(row.passed for row in found.rows)
    assert "exactly" not in found.headline()


@pytest.mark.parametrize("name", CLIPPING)
def test_clipping_beside_a_mistake_is_not_a_reason_of_it(name):
    found = doctor(clipped(name, NO_CARRY))
    assert (found.verdict, found.mistakes, found.exact) == ("wrong", ("time-carry-missing",), True)
    assert sum("This is not the mistake" in clue for clue in found.clues) == 1
    if not name.startswith("norm "):
        assert {row.parameter for row in found.rows if not row.passed} <= {"U", "W", "b"}
        assert {block.parameter for block in found.location.wrong} == {"U", "W", "b"}


@pytest.mark.parametrize("name", ["entries -0.37 0.74", "norms 0.37"])
def test_clipping_does_not_hide_an_unknown_network(name):
    found = doctor(clipped(name, *UNKNOWN))
    assert (found.verdict, found.mistakes, found.network_known) == (OWN, ("clipped",), False)
    assert "except that the gradient is clipped" in found.certificate()
    assert doctor(clipped(name, UNKNOWN[0])).verdict == "wrong"


def call(*arrays):
    return Call(0.0, dict(zip("UW", arrays, strict=True)), (), {}, False)


def test_the_limits_are_those_that_several_entries_or_calls_share():
    one, two = np.array([-1.0, -1.0, -1.0, 0.5]), np.array([2.0, 2.0, 2.0, 0.1])
    assert limits_of([call(one, two)]).variants() == ["entries -1 2"]
    assert limits_of([call(one, one)]).variants() == ["entries 1"]
    assert limits_of([call(one, 3 * one)]).variants() == ["entries 3"]
    apart = [call(np.array([3.0, 4.0]) * n, np.array([0.3, 0.4 * n])) for n in (0.5, 1.0)]
    assert limits_of(apart).variants() == []
    assert limits_of([*apart, call(np.array([4.0, 3.0]), np.zeros(2))]).variants() == ["norms 5"]


def test_equal_columns_of_a_window_of_one_step_are_no_limit():
    assert limits_of([call(np.array([-1.0, 0.5]), np.array([-1.0, 0.5]))]).variants() == []
