"""Lists the mistakes in a numerical gradient."""

from typing import Final

from charloom.diagnosis.known_mistakes.equations import CHECK_SECTION
from charloom.diagnosis.known_mistakes.mistake import Mistake

NUMERICAL: Final = (
    Mistake(
        "numerical-step-large",
        "the step of the numerical gradient is too large",
        "(f(θ + s) - f(θ - s)) / 2s = f' + s²/6 f''' + …",
        "Their truncation error falls with s²",
        CHECK_SECTION,
        "use a step of about 1e-5 in float64; docs/gradient-checking.md shows the error for each step.",
        kind="numerical",
    ),
    Mistake(
        "numerical-step-small",
        "the step of the numerical gradient is too small",
        "the rounding error of f, about 1e-16 · f, is divided by 2s",
        "their rounding error grows with 1/s",
        CHECK_SECTION,
        "use a step of about 1e-5, and compute the loss in float64.",
        kind="numerical",
    ),
    Mistake(
        "numerical-forward-difference",
        "the numerical gradient is a forward difference",
        "(f(θ + s) - f(θ)) / s = f' + s/2 f'' + …",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "change θ by +s and by -s, and divide by 2s: the error then falls with s² instead of s.",
        kind="numerical",
    ),
    Mistake(
        "numerical-not-halved",
        "the numerical gradient is divided by s instead of 2s",
        "(f(θ + s) - f(θ - s)) / s = 2 f'",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "divide by 2s, the distance between θ + s and θ - s.",
        kind="numerical",
    ),
    Mistake(
        "numerical-state-differs",
        "the two losses of the numerical gradient start from different states",
        "(f(θ + s; h_0) - f(θ - s; h_T)) / 2s",
        "from the same h_0 as the analytic gradient",
        CHECK_SECTION,
        "compute both losses from the same h_0.",
        kind="numerical",
    ),
    Mistake(
        "numerical-copy-unused",
        "the numerical gradient changes a copy of the parameters that is never used",
        "(f(θ) - f(θ)) / 2s = 0",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "compute the loss with the changed parameters.",
        kind="numerical",
    ),
    Mistake(
        "numerical-unexplained",
        "the numerical gradient is not the derivative of the loss",
        "(f(θ + s) - f(θ - s)) / 2s ≠ f'",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "restore each entry after you changed it, and compute the same loss on both sides.",
        kind="numerical",
    ),
)
