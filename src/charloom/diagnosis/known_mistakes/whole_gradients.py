"""Lists the mistakes that change finished gradients."""

from typing import Final

from charloom.diagnosis.known_mistakes.equations import LOSS, NETWORK_SECTION
from charloom.diagnosis.known_mistakes.mistake import Mistake

WHOLE_GRADIENTS: Final = (
    Mistake(
        "weight-decay-added",
        "weight decay (L2) is added to the gradient",
        "dθ = the gradient of the loss + λ θ",
        LOSS,
        NETWORK_SECTION,
        "return the gradient of the loss alone, and apply weight decay where you update the parameters.",
        variants={},
        consistent=".* and the loss",
    ),
    Mistake(
        "gradient-scaled",
        "a gradient is the right one multiplied by a constant",
        "dθ = k · (the right dθ), with the same k in every trial",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "look for a factor in the lines that sum or return this gradient.",
        variants={},
    ),
    Mistake(
        "not-a-number",
        "some of the returned numbers are NaN or infinite",
        "exp of a large number is infinite; ∞/∞ and 0 · ln 0 are not a number (NaN)",
        "p_t = softmax(o_t) = exp(o_t) / Σ_k exp(o_t[k])",
        NETWORK_SECTION,
        "subtract the largest logit before exp, avoid the logarithm of 0, and look for a division by 0.",
        kind="calls",
    ),
)
