"""Lists the mistakes in what a step passes back to the step before it."""

from itertools import combinations
from typing import Final

from charloom.diagnosis import wrong_formulas
from charloom.diagnosis.known_mistakes.equations import CARRY, CELLS_SECTION, DA
from charloom.diagnosis.known_mistakes.mistake import ALL, GATED, GRU, LSTM, RNN, Mistake
from charloom.diagnosis.known_mistakes.variants import some_gates, variants_in

CARRIES: Final = (
    Mistake(
        "carry-not-transposed",
        "the backward pass multiplies by W instead of Wᵀ",
        "dh_{t-1} = W da_t",
        CARRY,
        CELLS_SECTION,
        "multiply by the transpose of W: Wᵀ da_t.",
    ),
    Mistake(
        "carry-accumulated",
        "what a step passes back also contains what it received from step t+1",
        "dh_{t-1} = dh_next + Wᵀ da_t",
        CARRY,
        CELLS_SECTION,
        "replace the gradient that is passed back at every step: dh_next = Wᵀ da_t, not dh_next += ….",
        variants={"": ALL, "h": LSTM, "cell": LSTM},
    ),
    Mistake(
        "gate-not-carried",
        "the gradient that goes back to step t-1 lacks a gate",
        "dh_{t-1} = Σ over some of the gates of W_gateᵀ da_gate",
        CARRY,
        CELLS_SECTION,
        "add W_gateᵀ da_gate for every gate.",
        cells=GATED,
        variants={
            **variants_in(*some_gates("ifgo"), cells=LSTM),
            **variants_in(*some_gates("rzn"), cells=GRU),
        },
    ),
    Mistake(
        "carry-of-other-gate",
        "the matrices of two gates are exchanged in the gradient that goes back to step t-1",
        "dh_{t-1} = W_iᵀ da_f + W_fᵀ da_i + …, for example",
        CARRY,
        CELLS_SECTION,
        "multiply the gradient of each gate by the transposed matrix of the same gate.",
        cells=GATED,
        variants={
            **variants_in(*(f"{a} and {b}" for a, b in combinations("ifgo", 2)), cells=LSTM),
            **variants_in("r and z", cells=GRU),
        },
    ),
    Mistake(
        "carry-without-derivative",
        "the gradient that goes back to step t-1 lacks the derivative of tanh or σ",
        "dh_{t-1} = Wᵀ dh_t",
        CARRY,
        CELLS_SECTION,
        "pass Wᵀ da_t to step t-1, where da_t is already multiplied by the derivative of tanh or σ.",
        variants={
            "": ALL,
            **variants_in(*"ifgo", cells=LSTM),
            **variants_in(*"rzn", cells=GRU),
        },
    ),
    Mistake(
        "recurrent-carry",
        "the gradient that a step passes back to h_{t-1} is not Wᵀ da_t",
        "dh_{t-1} = (an expression other than Wᵀ da_t)",
        CARRY,
        CELLS_SECTION,
        "pass exactly Wᵀ da_t to step t-1: no other factor, and nothing is added.",
        cells=("rnn", "lstm"),
        variants={
            **variants_in(*wrong_formulas.RNN_CARRIES, cells=RNN),
            **{
                one: (*LSTM, *(RNN if one in wrong_formulas.RNN_CARRIES else ()))
                for one in wrong_formulas.LSTM_CARRIES
            },
        },
    ),
    Mistake(
        "carry-of-input",
        "the part of x in the joined gradient goes back to step t-1, not the part of h",
        "dh_{t-1} = the last H numbers of the gradient of [h_{t-1}, x_t], or the first H of [x_t, h_{t-1}]",
        CARRY,
        CELLS_SECTION,
        "take the part of h: the first H numbers of [h, x] (dhx[:H]), the last H numbers of [x, h] (dxh[-H:]).",
        cells=("rnn", "lstm"),
        variants=variants_in("[h, x]", "[x, h]", cells=("rnn", "lstm")),
    ),
    Mistake(
        "carry-after-derivative",
        "the gradient from step t+1 is not multiplied by the derivative of tanh",
        "da_t = (Vᵀ do_t) ∘ (1 - h_t²) + Wᵀ da_{t+1}",
        DA,
        CELLS_SECTION,
        "add the gradient from step t+1 to Vᵀ do_t first, then multiply the sum by 1 - h_t².",
        cells=RNN,
    ),
)
