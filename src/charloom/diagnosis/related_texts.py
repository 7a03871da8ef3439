"""Holds the texts of mistakes in networks whose equations differ from those of the specification.

In a GRU whose reset gate acts before the product, for example, dW_n has another right formula than in
the specification, and the usual advice would be false. This module computes nothing.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from charloom.diagnosis.wrong_formulas import CARRY_AFTER, mirrored


class Texts(NamedTuple):
    """The texts of a mistake in a related network; "" where the usual text is true there too."""

    title: str = ""
    does: str = ""
    right: str = ""
    fix: str = ""


PRODUCT: Final = "reset-before-product product"
BIAS: Final = "reset-before-product bias"
NO_SECOND_BIAS: Final = "second-bias-left-out"
REVERSED: Final = "update-gate-reversed"
COUPLED: Final = "coupled-gates"
NO_TANH: Final = "cell-tanh-missing"
PEEPHOLES: Final = "peepholes"
OTHER_FUNCTION: Final = "activation-differs"

RESET_SLOPE: Final = "r_t ∘ (1 - r_t)"
UPDATE_SLOPE: Final = "z_t ∘ (1 - z_t)"
THROUGH: Final = "r_t ∘ (W_nᵀ da_n)"
PRODUCT_CARRY: Final = f" + W_rᵀ da_r + W_zᵀ da_z + {THROUGH}"
FUNCTION_DERIVATIVE: Final = "da_t = dh_t ∘ f'(a_t), where f is your activation function"
DERIVATIVE_FIX: Final = "multiply dh_t by the derivative of the activation function of your forward pass, not by that of tanh."
CELL_CARRY: Final = {
    PEEPHOLES: Texts(
        right="ds_{t-1} = ds ∘ f_t + da_i ∘ p_i + da_f ∘ p_f",
        fix="multiply ds by f_t alone, and add what goes back through the peepholes, da_i ∘ p_i + da_f ∘ p_f.",
    )
}
WITHOUT_D: Final = Texts(fix="multiply da_n by r_t before you use it for W_n and h_{t-1}.")

# The keys are the id of a mistake, and then a difference of the network: the id, and the variant if it matters.
TEXTS: Final[dict[str, dict[str, Texts]]] = {
    "reset-gate-not-in-gradient": {
        PRODUCT: Texts(
            title="the gradient through W_n (r_t ∘ h_{t-1}) lacks the reset gate",
            does="dW_n += da_n h_{t-1}ᵀ, or dh_{t-1} += W_nᵀ da_n",
            right=f"dW_n += da_n (r_t ∘ h_{{t-1}})ᵀ, and dh_{{t-1}} += {THROUGH}",
            fix="use r_t ∘ h_{t-1} for dW_n, and multiply W_nᵀ da_n by r_t before you add it to dh_{t-1}; "
            "da_n itself stays without r_t.",
        ),
        BIAS: Texts(right="dW_n += (da_n ∘ r_t) h_{t-1}ᵀ, and dd += da_n", fix=WITHOUT_D.fix),
        NO_SECOND_BIAS: WITHOUT_D,
    },
    "reset-product": {
        PRODUCT: Texts(
            title="the gradient that goes back through r_t ∘ h_{t-1} has a wrong factor",
            does=f"dh_{{t-1}} += (a product other than {THROUGH})",
            right=f"dh_{{t-1}} += {THROUGH}",
            fix="multiply W_nᵀ da_n by r_t before you add it to dh_{t-1}; da_n itself stays without r_t.",
        ),
        BIAS: Texts(right="dW_n += (da_n ∘ r_t) h_{t-1}ᵀ, and dd += da_n", fix=WITHOUT_D.fix),
        NO_SECOND_BIAS: WITHOUT_D,
    },
    "reset-gate-gradient": {
        PRODUCT: Texts(
            right=f"da_r = (W_nᵀ da_n) ∘ h_{{t-1}} ∘ {RESET_SLOPE}",
            fix="r_t multiplies h_{t-1} before the product: multiply W_nᵀ da_n by h_{t-1}, then by r_t (1 - r_t).",
        ),
        BIAS: Texts(right=f"da_r = da_n ∘ (W_n h_{{t-1}}) ∘ {RESET_SLOPE}"),
    },
    "sum-of-recurrent-part": {
        BIAS: Texts(
            fix="sum da_t = (da_r, da_z, da_n) for U and b, and da_n for d; only W uses da_n ∘ r_t."
        )
    },
    "recurrent-gradient-from-other": {
        PRODUCT: Texts(
            right="dW_r += da_r h_{t-1}ᵀ, dW_z += da_z h_{t-1}ᵀ, dW_n += da_n (r_t ∘ h_{t-1})ᵀ",
            fix="use h_{t-1}, the hidden state before the step, and r_t ∘ h_{t-1} for W_n.",
        )
    },
    "direct-carry": {
        f"{PRODUCT}, {REVERSED}": Texts(
            does=f"dh_{{t-1}} = (a product other than dh_t ∘ (1 - z_t)){PRODUCT_CARRY}",
            right=f"dh_{{t-1}} = dh_t ∘ (1 - z_t){PRODUCT_CARRY}",
            fix="multiply dh_t by the factor of h_{t-1} in the forward pass, 1 - z_t.",
        ),
        PRODUCT: Texts(
            does=f"dh_{{t-1}} = (a product other than dh_t ∘ z_t){PRODUCT_CARRY}",
            right=f"dh_{{t-1}} = dh_t ∘ z_t{PRODUCT_CARRY}",
        ),
        REVERSED: Texts(
            does=f"dh_{{t-1}} = (a product other than dh_t ∘ (1 - z_t)){CARRY_AFTER}",
            right=f"dh_{{t-1}} = dh_t ∘ (1 - z_t){CARRY_AFTER}",
            fix="multiply dh_t by the factor of h_{t-1} in the forward pass, 1 - z_t.",
        ),
    },
    "update-gate-gradient": {
        REVERSED: Texts(
            right=f"da_z = dh_t ∘ (n_t - h_{{t-1}}) ∘ {UPDATE_SLOPE}",
            fix="z_t multiplies n_t, and -z_t multiplies h_{t-1}: multiply dh_t by n_t - h_{t-1}.",
        )
    },
    "candidate-gradient": {
        f"{OTHER_FUNCTION}, {REVERSED}": Texts(
            right="da_n = dh_t ∘ z_t ∘ f'(a_n), where f is your activation function",
            fix="multiply dh_t by z_t, then by the derivative of your activation function.",
        ),
        REVERSED: Texts(
            right="da_n = dh_t ∘ z_t ∘ (1 - n_t ∘ n_t)",
            fix="multiply dh_t by the factor of n_t in the forward pass, z_t, then by 1 - n_t².",
        ),
        OTHER_FUNCTION: Texts(
            right="da_g = ds ∘ i_t ∘ f'(a_g), or da_n = dh_t ∘ (1 - z_t) ∘ f'(a_n), where f is your "
            "activation function",
            fix="multiply by the factor of the candidate in the forward pass (LSTM: i_t, GRU: 1 - z_t), then by "
            "the derivative of your activation function.",
        ),
    },
    "input-gate-gradient": {
        COUPLED: Texts(
            right="da_i = ds ∘ (g_t - s_{t-1}) ∘ i_t ∘ (1 - i_t), because f_t = 1 - i_t",
            fix="i_t multiplies g_t, and -i_t multiplies s_{t-1}: multiply ds by g_t - s_{t-1}, then by i_t (1 - i_t).",
        )
    },
    "forget-gradient-from-current-cell": {
        COUPLED: Texts(
            does="da_i = ds ∘ (g_t - s_t) ∘ i_t ∘ (1 - i_t)",
            right="da_i = ds ∘ (g_t - s_{t-1}) ∘ i_t ∘ (1 - i_t), because f_t = 1 - i_t",
        )
    },
    "initial-cell-dropped": {
        COUPLED: Texts(
            title="the gradient of the input gate uses zero instead of the initial cell s_0",
            does="da_i = ds ∘ g_t ∘ i_t ∘ (1 - i_t) at the first step",
            right="da_i = ds ∘ (g_t - s_{t-1}) ∘ i_t ∘ (1 - i_t), because f_t = 1 - i_t",
        )
    },
    "cell-gradient": {
        NO_TANH: Texts(
            right="ds = ds_t + dh_t ∘ o_t",
            fix="use dh_t ∘ o_t, and add the gradient of the cell from step t+1.",
        ),
        PEEPHOLES: Texts(
            right="ds = ds_t + dh_t ∘ o_t ∘ (1 - tanh(s_t)²) + da_o ∘ p_o",
            fix="use dh_t ∘ o_t ∘ (1 - tanh(s_t)²), and add da_o ∘ p_o and the gradient of the cell from step t+1.",
        ),
    },
    "output-gate-gradient": {
        NO_TANH: Texts(
            right="da_o = dh_t ∘ s_t ∘ o_t ∘ (1 - o_t)",
            fix="o_t multiplies s_t in the forward pass: multiply dh_t by s_t, then by o_t (1 - o_t).",
        )
    },
    "cell-carry": CELL_CARRY,
    "forget-gate-not-carried": CELL_CARRY,
    "cell-carry-times-output-gate": CELL_CARRY,
    "tanh-derivative": {
        OTHER_FUNCTION: Texts(
            title="the formula for the derivative of the activation function is wrong",
            does="da_t = dh_t ∘ (an expression other than the derivative of your activation function)",
            right=FUNCTION_DERIVATIVE,
            fix=DERIVATIVE_FIX,
        )
    },
    "tanh-derivative-missing": {
        OTHER_FUNCTION: Texts(
            title="the derivative of the activation function is missing",
            right=FUNCTION_DERIVATIVE,
            fix=DERIVATIVE_FIX,
        )
    },
    "carry-after-derivative": {
        OTHER_FUNCTION: Texts(
            title="the gradient from step t+1 is not multiplied by the derivative of the activation function",
            does="da_t = (Vᵀ do_t) ∘ f'(a_t) + Wᵀ da_{t+1}",
            right=FUNCTION_DERIVATIVE,
            fix="add the gradient from step t+1 to Vᵀ do_t first, then multiply the sum by the derivative of your "
            "activation function.",
        )
    },
    "recurrent-gradient-from-sums": {
        OTHER_FUNCTION: Texts(
            title="dW uses the sums a_{t-1} before the activation function instead of the states h_{t-1}",
            fix="use h_{t-1}, the state after the activation function.",
        )
    },
}


def texts_in(mistake: str, network: Collection[str]) -> Texts:
    """Return the texts of the mistake with the id `mistake` in a network.

    `network` has the differences of the network from the specification, as the keys in `TEXTS`. Of several
    entries that fit, each text is that of the first one that has it.
    """
    fitting = [
        texts
        for needed, texts in TEXTS.get(mistake, {}).items()
        if set(needed.split(", ")) <= set(network)
    ]
    return Texts(*(next(filter(None, column), "") for column in zip(*fitting, strict=True)))


def variant_in(mistake: str, text: str, network: Collection[str]) -> str:
    """Return the text of a variant of the mistake with the id `mistake`, with the equations of the network."""
    if mistake == "reset-product" and PRODUCT in network:
        return text.replace("dq = da_n", "dh_{t-1} += (W_nᵀ da_n)").replace("dq =", "dh_{t-1} +=")
    if mistake == "direct-carry" and PRODUCT in network:
        return text.replace(CARRY_AFTER, PRODUCT_CARRY)
    if mistake == "time-carry-missing" and REVERSED in network:
        return mirrored(text)
    return text
