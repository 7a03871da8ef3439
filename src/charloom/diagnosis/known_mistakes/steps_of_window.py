"""Lists the mistakes in which steps of a window count, backward and in the loss."""

from typing import Final

from charloom.diagnosis.known_mistakes.equations import DH, LOSS, NETWORK_SECTION
from charloom.diagnosis.known_mistakes.mistake import ANY, Mistake
from charloom.diagnosis.known_mistakes.variants import truncations, variants_in

STEPS_OF_WINDOW: Final = (
    Mistake(
        "truncated",
        "backpropagation through time is truncated within the window",
        "dh_t lacks the gradient of losses that are more than a few steps later",
        DH,
        NETWORK_SECTION,
        "go back through all T steps; treat only h_0 as a constant.",
        variants=variants_in(*truncations()),
    ),
    Mistake(
        "step-left-out",
        "the loop of the backward pass leaves out a step",
        "da_t and do_t of a step are not computed: the loop ends too early or starts too late",
        DH,
        NETWORK_SECTION,
        "loop over all steps: for t in reversed(range(T)).",
        variants=variants_in(
            *("first", "last", "first of the states", "last of the states"),
            "first of the states if not alone",
            "second-last of the states",
        ),
    ),
    Mistake(
        "loss-of-step-missing",
        "the gradient of the step's own loss is missing in dh_t, except at the last step",
        "dh_t = (what comes from step t+1), without Vᵀ do_t",
        DH,
        NETWORK_SECTION,
        "add Vᵀ do_t to dh_t at every step.",
    ),
    Mistake(
        "last-step-only",
        "only the loss of the last step is counted",
        "loss = -ln p_T[y_T]",
        LOSS,
        NETWORK_SECTION,
        "sum the losses of all T steps.",
        consistent=ANY,
    ),
    Mistake(
        "first-step-not-counted",
        "the loss of the first step is not counted",
        "loss = Σ_{t≥2} -ln p_t[y_t]",
        LOSS,
        NETWORK_SECTION,
        "sum the losses of all T steps, beginning with the first one.",
        consistent=ANY,
    ),
)
