"""Mistakes that occur together, mistakes at some steps only, and wrong equations of a step, are all named."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.found_mistake import Found, may_join, reasons_text, switches_of
from charloom.diagnosis.mistakes import MISTAKES
from plants import CELL, Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

RETURN = {"loop": "    return loss", "lstm": "    return loss", "gru": "    return loss"}
CLIP = {
    "loop": "    for g in (dU, dW, db, dV, dc):\n        np.clip(g, -{0}, {0}, out=g)\n    return loss",
    "lstm": "    for g in grads.values():\n        np.clip(g, -{0}, {0}, out=g)\n    return loss",
    "gru": "    for g in grads.values():\n        np.clip(g, -{0}, {0}, out=g)\n    return loss",
}
DECAY = "    for q, g in ((U, dU), (W, dW), (V, dV)):\n        g += 0.01 * q\n    return loss"
DROPPED = ("dh * (1 - h[t] ** 2)", "dh")
SQUARE = ("1 - h[t] ** 2", "1 - h[t]")

# The file, the edits, and the mistakes that they plant.
TOGETHER = [
    ("loop", [SQUARE, (RETURN["loop"], DECAY)], {"tanh-derivative", "weight-decay-added"}),
    ("loop", [("np.outer(do, h[t])", "np.outer(do, h[t - 1])"), (RETURN["loop"], DECAY)], {"output-gradient-from-previous-state", "weight-decay-added"}),
    ("loop", [DROPPED, ("db += da", "db += 2 * da")], {"tanh-derivative-missing", "gradient-scaled"}),
    ("loop", [("W.T @ da", "W @ da"), ("do[y[t]] -= 1", "do[y[t]] -= 1\n        do *= 0.37")], {"carry-not-transposed", "gradient-scaled"}),
    ("loop", [SQUARE, ("db += da", "db = da"), (RETURN["loop"], CLIP["loop"].format(5))], {"tanh-derivative", "hidden-bias-not-summed"}),
    ("loop", [DROPPED, (RETURN["loop"], CLIP["loop"].format(1))], {"tanh-derivative-missing"}),
    ("loop", [SQUARE, ("W.T @ da", "W @ da")], {"tanh-derivative", "carry-not-transposed"}),
    ("lstm", [("* f * (1 - f)", ""), ("* i * (1 - i)", "")], {"sigmoid-derivative"}),
    ("lstm", [("da_i = ds * g", "da_i = ds * i"), ("da_g = ds * i", "da_g = ds * g")], {"input-gate-gradient", "candidate-gradient"}),
    ("lstm", [("da_f = ds * s_prev", "da_f = ds"), ("ds_next = ds * f", "ds_next = ds * i")], {"forget-gate-gradient", "cell-carry"}),
    ("lstm", [("da_f = ds * s_prev", "da_f = ds"), ("do = dh * np.tanh(s)", "do = dh"), (RETURN["lstm"], CLIP["lstm"].format(5))], {"forget-gate-gradient", "output-gate-gradient"}),
    ("gru", [("dq = da_n * r", "dq = da_n"), ("dh * z + W.T", "W.T")], {"reset-gate-not-in-gradient", "time-carry-missing"}),
]  # fmt: skip


def judged(file, edits):
    plant = Plant(file, "planted", tuple(edits))
    return doctor(function(file, plant), cell=CELL.get(file, "rnn"))


@pytest.mark.parametrize(
    ("file", "edits", "ids"),
    TOGETHER,
    ids=lambda one: str(sorted(one) if isinstance(one, set) else one)[:60],
)
def test_mistakes_that_occur_together_are_all_named(file, edits, ids):
    found = judged(file, edits)
    assert found.verdict == "wrong"
    assert set(found.mistakes) == ids
    assert found.exact


def test_the_gates_of_a_mistake_in_two_gates_are_named():
    found = judged("lstm", [("* f * (1 - f)", ""), ("* i * (1 - i)", "")])
    assert {one.variant for one in found.found} == {"1, f", "1, i"}


AT = [
    ("(1 - h[t] ** 2 if t < T - 1 else 1 - h[t])", "1 - h, at the last step only"),
    ("(1 - h[t] ** 2 if t == T - 1 else 1 - h[t])", "1 - h, at all steps but the last"),
    ("(1 - h[t] ** 2 if t else 1 - h[t])", "1 - h, at the first step only"),
]


@pytest.mark.parametrize(("slope", "variant"), AT)
def test_a_mistake_at_some_steps_only_is_named_with_these_steps(slope, variant):
    found = judged("loop", [("(1 - h[t] ** 2)", slope)])
    assert found.exact
    assert [(one.id, one.variant) for one in found.found] == [("tanh-derivative", variant)]
    assert found.found[0].variant_text == variant


def test_the_equation_is_that_of_the_code_if_its_update_gate_is_reversed():
    reversed_gate = [
        ("h = (1 - z) * n + z * h_prev", "h = z * n + (1 - z) * h_prev"),
        ("dh * (1 - z) *", "dh *"),
        ("(h_prev - n)", "(n - h_prev)"),
        ("dh * z + W.T", "dh * (1 - z) + W.T"),
    ]
    found = judged("gru", [("da_n = dh * (1 - z)", "da_n = dh * (1 - z)"), *reversed_gate])
    assert found.differences == ("update-gate-reversed",)
    assert [one.variant for one in found.found] == ["da_n = dh_t ∘ (1 - n_t²)"]
    swapped = [(old, new.replace("dh *", "dh * (1 - z) *") if old == "dh * (1 - z) *" else new) for old, new in reversed_gate]  # fmt: skip
    found = judged("gru", swapped)
    assert [one.variant for one in found.found] == ["da_n = dh_t ∘ (1 - z_t) ∘ (1 - n_t²)"]


def test_a_backward_pass_for_tanh_in_a_network_with_sigmoid_is_named():
    found = judged("loop", [("h[t] = np.tanh(a[t])", "h[t] = 1 / (1 + np.exp(-a[t]))")])
    assert found.differences == ("activation-differs",)
    assert [(one.id, one.variant) for one in found.found] == [("tanh-derivative", "1 - h²")]


def test_two_mistakes_of_which_one_is_unknown_are_not_named_exactly():
    found = judged("loop", [("db += da", "db = da"), SQUARE, ("W.T @ da", "np.sin(3 * W.T @ da)")])
    assert found.verdict == "wrong"
    assert not found.exact


def test_a_sum_of_zeros_is_a_gradient_that_is_zero():
    found = judged("loop", [("dc += do", "dc += do.sum()")])
    assert [one.id for one in found.found] == ["gradient-scaled"]
    assert found.found[0].title == "no gradient reaches c: dc is zero"


def test_gradients_of_zero_are_cut_off_and_not_scaled():
    found = Found("gradient-scaled", "0 dU, -0 dW, 0 db")
    assert found.title == "no gradient reaches U, W and b: dU, dW and db are zero"
    assert found.does == "dU = 0, dW = 0 and db = 0, in every trial"
    assert ".detach(), .data or torch.no_grad()" in found.fix
    assert "factor" not in f"{found.title} {found.does} {found.fix}"
    other = Found("gradient-scaled", "0 dU, 2 db")
    assert other.title == "dU is zero and db is 2 times the right one"
    assert "look for a factor" in other.fix


def test_several_reasons_are_numbered_and_a_common_factor_is_said_once():
    slope, target = Found("tanh-derivative-missing"), Found("softmax-target-missing")
    assert reasons_text([slope]) == "the derivative of tanh is missing"
    assert reasons_text([slope, slope]) == "the derivative of tanh is missing"
    assert reasons_text([slope, target]).startswith(
        "(1) the derivative of tanh is missing; (2) the"
    )
    factors = ", ".join(f"0.14 d{name}" for name in "UWbVc")
    assert Found("gradient-scaled", factors).title == "all gradients are 0.14 times the right ones"
    assert Found("gradient-scaled", "2 db").title == "db is 2 times the right one"


def test_the_same_mistake_may_be_made_twice_only_in_two_places():
    one, other = Found("sigmoid-derivative", "1, i"), Found("sigmoid-derivative", "σ, f")
    assert may_join(other, [one])
    assert not may_join(Found("sigmoid-derivative", "σ, i"), [one])
    assert not may_join(Found("sigmoid-derivative", "σ"), [one])
    assert not may_join(Found("tanh-derivative", "1 - h"), [Found("tanh-derivative", "h²")])
    assert switches_of([one, other]) == {"sigmoid-derivative": "1, i; σ, f"}


def test_every_mistake_in_one_formula_has_its_equation_as_variant():
    formulas = [mistake for mistake in MISTAKES if mistake.in_one_formula]
    assert len(formulas) == 10
    for mistake in formulas:
        assert all(" = " in variant for variant in mistake.variants), mistake.id


def test_random_wrong_numbers_get_no_name():
    right = function("lstm")

    def noisy(params, x, y, h0):
        loss, grads = right(params, x, y, h0)
        return loss, {n: g * (1 + 0.1 * np.cos(np.arange(g.size).reshape(g.shape))) for n, g in grads.items()}  # fmt: skip

    found = doctor(noisy, cell="lstm")
    assert (found.verdict, found.mistakes) == ("wrong", ())
