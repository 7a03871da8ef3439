"""Equations of a backward step as text, and variants that a mistake has at some steps only."""

import numpy as np
import pytest

from charloom.diagnosis.formula_values import factor, formula, value
from charloom.diagnosis.limited_variants import AT, at_step, limited, without_limit
from charloom.diagnosis.wrong_formulas import mirrored, products

VALUES = {"a": np.array([2.0, 3.0]), "b": np.array([5.0, 7.0]), "h_{t-1}": np.array([0.5, 0.25])}


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("a", [2, 3]),
        ("a ∘ b", [10, 21]),
        ("-a ∘ b", [-10, -21]),
        ("a + b ∘ (1 - a)", [-3, -11]),
        ("(1 - a²)", [-3, -8]),
        ("(a - h_{t-1})", [1.5, 2.75]),
    ],
)
def test_an_expression_is_a_sum_of_products(expression, wanted):
    assert value(expression, VALUES).tolist() == wanted


def test_an_unknown_name_is_an_error_and_a_known_text_is_taken_as_it_is():
    with pytest.raises(KeyError):
        factor("unknown", VALUES)
    assert factor("(1 - a)", {**VALUES, "(1 - a)": VALUES["b"]}).tolist() == [5, 7]


def test_a_formula_is_used_only_with_its_switch():
    right = VALUES["a"]
    assert formula("x", right, VALUES, {}) is right
    assert formula("x", right, VALUES, {"x": "da = a ∘ b"}).tolist() == [10, 21]


def test_a_product_has_one_wrong_factor_at_a_time():
    wrong = list(products("y", {"a": ("c",), "b": ("",)}, extra=("d",)))
    assert wrong == ["y = c ∘ b", "y = a", "y = a ∘ b ∘ d"]


def test_an_equation_for_a_reversed_update_gate_swaps_the_two_factors():
    assert mirrored("da_n = dh_t ∘ (1 - z_t)") == "da_n = dh_t ∘ z_t"
    assert mirrored("y = z_t ∘ (1 - z_t)") == "y = (1 - z_t) ∘ z_t"


@pytest.mark.parametrize("variant", ["", "1 - h", "1, i"])
@pytest.mark.parametrize("where", AT)
def test_a_limit_can_be_written_and_read(variant, where):
    assert without_limit(limited(variant, where)) == (variant, where)
    steps = [t for t in range(4) if at_step({"x": limited(variant, where)}, t, 4) == {"x": variant}]
    wanted = {"last step only": [3], "all steps but the last": [0, 1, 2]}
    wanted |= {"first step only": [0], "all steps but the first": [1, 2, 3]}
    assert steps == next(found for end, found in wanted.items() if where.endswith(end))


def test_joined_variants_are_limited_each_for_itself():
    switches = {"x": "1, i; 1, f, at the last step only"}
    assert at_step(switches, 3, 4) == {"x": "1, i; 1, f"}
    assert at_step(switches, 0, 4) == {"x": "1, i"}
