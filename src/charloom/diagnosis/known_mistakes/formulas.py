"""Lists the quantities of a backward step that have a wrong formula."""

from typing import Final

from charloom.diagnosis import wrong_formulas
from charloom.diagnosis.known_mistakes.equations import CELLS_SECTION, DV, DW, NETWORK_SECTION
from charloom.diagnosis.known_mistakes.mistake import GATED, GRU, LSTM, RNN, Mistake
from charloom.diagnosis.known_mistakes.variants import variants_in

# Wrong derivatives of σ that an LSTM or a GRU may have in one gate only.
IN_ONE_GATE: Final = (
    *("1", "1 - σ²", "σ", "1 - σ", "σ(σ) (1 - σ(σ))"),
    *("σ (1 + σ)", "(1 - σ)²", "σ² (1 - σ)²"),
)

FORMULAS: Final = (
    Mistake(
        "recurrent-gradient-from-other",
        "dW uses another array instead of the state h_{t-1}",
        "dW = Σ_t da_t (an array other than h_{t-1})ᵀ",
        DW,
        CELLS_SECTION,
        "use h_{t-1}, the hidden state before the step.",
        cells=GATED,
        variants={
            **variants_in("s_{t-1}", "tanh(s_{t-1})", "s_t", cells=LSTM),
            **variants_in("r_t ∘ h_{t-1}", "n_t", cells=GRU),
        },
    ),
    Mistake(
        "output-gradient-from-other",
        "dV uses another array instead of the state h_t",
        "dV = Σ_t do_t (an array other than h_t)ᵀ",
        DV,
        NETWORK_SECTION,
        "use h_t: the logits are computed from it.",
        variants={"a_t": RNN, **variants_in("s_t", "tanh(s_t)", cells=LSTM), "n_t": GRU},
    ),
    *(
        Mistake(
            f"{name}-gradient",
            f"a factor of {what} is missing or wrong",
            f"{left} = (a product with another factor)",
            right,
            CELLS_SECTION,
            fix,
            cells=cells,
            variants=variants,
            in_one_formula=True,
        )
        for name, what, left, right, fix, cells, variants in (
            (
                "cell",
                "the gradient of the cell, ds,",
                "ds",
                "ds       = ds_t + dh_t ∘ o_t ∘ (1 - tanh(s_t)²)",
                "use dh_t ∘ o_t ∘ (1 - tanh(s_t)²), and add the gradient of the cell from step t+1.",
                LSTM,
                variants_in(*wrong_formulas.cell_gradient(), cells=LSTM),
            ),
            (
                "input-gate",
                "the gradient of the input gate",
                "da_i",
                "da_i     = ds ∘ g_t ∘ i_t ∘ (1 - i_t)",
                "i_t multiplies g_t in the forward pass: multiply ds by g_t, then by i_t (1 - i_t).",
                LSTM,
                variants_in(*wrong_formulas.input_gate(), cells=LSTM),
            ),
            (
                "forget-gate",
                "the gradient of the forget gate",
                "da_f",
                "da_f = ds ∘ s_{t-1} ∘ f_t ∘ (1 - f_t)",
                "f_t multiplies s_{t-1} in the forward pass: multiply ds by s_{t-1}, then by f_t (1 - f_t).",
                LSTM,
                variants_in(*wrong_formulas.forget_gate(), cells=LSTM),
            ),
            (
                "candidate",
                "the gradient of the candidate",
                "da_g or da_n",
                "da_g     = ds ∘ i_t ∘ (1 - g_t ∘ g_t)",
                "multiply by the factor of the candidate in the forward pass (LSTM: i_t, GRU: 1 - z_t), then by "
                "1 minus the square of the candidate itself.",
                GATED,
                {
                    **variants_in(*wrong_formulas.candidate_of_lstm(), cells=LSTM),
                    **variants_in(*wrong_formulas.candidate_of_gru(), cells=GRU),
                },
            ),
            (
                "output-gate",
                "the gradient of the output gate",
                "da_o",
                "da_o = dh_t ∘ tanh(s_t) ∘ o_t ∘ (1 - o_t)",
                "o_t multiplies tanh(s_t) in the forward pass: multiply dh_t by tanh(s_t), then by o_t (1 - o_t).",
                LSTM,
                variants_in(*wrong_formulas.output_gate(), cells=LSTM),
            ),
            (
                "update-gate",
                "the gradient of the update gate",
                "da_z",
                "da_z = dh_t ∘ (h_{t-1} - n_t) ∘ z_t ∘ (1 - z_t)",
                "z_t multiplies h_{t-1}, and -z_t multiplies n_t: multiply dh_t by their difference.",
                GRU,
                variants_in(*wrong_formulas.update_gate(), cells=GRU),
            ),
            (
                "reset-gate",
                "the gradient of the reset gate",
                "da_r",
                "da_r = da_n ∘ q_t ∘ r_t ∘ (1 - r_t)",
                "multiply da_n by what r_t multiplies in the forward pass, then by r_t (1 - r_t).",
                GRU,
                variants_in(*wrong_formulas.reset_gate(), cells=GRU),
            ),
        )
    ),
    Mistake(
        "cell-carry",
        "the gradient of the cell that is passed to step t-1 has a wrong factor",
        "ds_{t-1} = (a product other than ds ∘ f_t)",
        "ds_{t-1} = ds ∘ f_t",
        CELLS_SECTION,
        "multiply ds by f_t alone before you pass it to step t-1.",
        cells=LSTM,
        variants=variants_in(*wrong_formulas.cell_carry(), cells=LSTM),
        in_one_formula=True,
    ),
    Mistake(
        "reset-product",
        "the gradient of what the reset gate multiplies has a wrong factor",
        "dq = (a product other than da_n ∘ r_t)",
        "dq       = da_n ∘ r_t",
        CELLS_SECTION,
        "multiply da_n by r_t before you use it for W_n, d and h_{t-1}.",
        cells=GRU,
        variants=variants_in(*wrong_formulas.reset_product(), cells=GRU),
        in_one_formula=True,
    ),
    Mistake(
        "direct-carry",
        "the direct gradient of h_{t-1} has a wrong factor",
        "dh_{t-1} = (a product other than dh_t ∘ z_t) + Wᵀ (da_r, da_z, dq)",
        "dh_{t-1} = dh_t ∘ z_t + Wᵀ (da_r, da_z, dq)",
        CELLS_SECTION,
        "multiply dh_t by the factor of h_{t-1} in the forward pass, z_t.",
        cells=GRU,
        variants=variants_in(*wrong_formulas.direct_carry(), cells=GRU),
        in_one_formula=True,
    ),
    Mistake(
        "sigmoid-derivative",
        "the formula for the derivative of σ in the gates is wrong",
        "da of a gate = … ∘ (an expression other than σ (1 - σ))",
        "that of σ is `σ (1 - σ)`",
        CELLS_SECTION,
        "multiply by σ (1 - σ), where σ is the value of the gate.",
        cells=("lstm", "gru"),
        variants={
            **variants_in(*IN_ONE_GATE, cells=GATED),
            **variants_in(
                *(f"{formula}, {gate}" for gate in "ifo" for formula in IN_ONE_GATE), cells=LSTM
            ),
            **variants_in(
                *(f"{formula}, {gate}" for gate in "rz" for formula in IN_ONE_GATE), cells=GRU
            ),
        },
    ),
)
