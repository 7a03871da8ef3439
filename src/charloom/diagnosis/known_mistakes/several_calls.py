"""Lists the mistakes that show only in several calls of a function."""

from typing import Final

from charloom.diagnosis.known_mistakes.equations import CHECK_SECTION, DO, LOSS, NETWORK_SECTION
from charloom.diagnosis.known_mistakes.mistake import Mistake
from charloom.diagnosis.known_mistakes.variants import variants_in
from charloom.messages import argument

SEVERAL_CALLS: Final = (
    Mistake(
        "gradients-carried-over",
        "the gradients of earlier calls are added to those of this call",
        "the second call returns dθ (first call) + dθ (second call)",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "set all gradients to zero at the start of each call (new arrays; in PyTorch, zero_grad).",
        variants={},
        kind="calls",
    ),
    Mistake(
        "batch-not-summed",
        "the gradient of a batch is not the sum of the gradients of its texts",
        "a gradient of two texts ≠ the sum of those of each text, although the loss is their sum or mean",
        DO,
        NETWORK_SECTION,
        "sum over the texts of the batch in every gradient, and divide by their number only if the loss is divided too; "
        "use np.add.at where several texts read the same character.",
        variants={},
        kind="calls",
    ),
    Mistake(
        "state-carried-over",
        "the function starts from the last state of its previous call, not from the given h_0",
        "h_0 (second call) = h_T (first call)",
        "The initial states are constants",
        NETWORK_SECTION,
        "start from the argument h_0; the caller decides which state the window starts from.",
        kind="calls",
    ),
    Mistake(
        "initial-state-changed",
        "the function changes its argument h_0",
        "the array h_0 of the caller holds other values after the call",
        "The initial states are constants",
        NETWORK_SECTION,
        "work on a copy, h = h0.copy(); never use h += … or h[:] = … on the argument itself.",
        kind="calls",
    ),
    Mistake(
        "parameters-changed",
        "the function changes the parameters in its arguments",
        "the parameters θ of the caller hold other values after the call",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "compute only the loss and the gradients; update the parameters outside the function.",
        kind="calls",
    ),
    Mistake(
        "inputs-changed",
        "the function changes its argument x or y",
        "the array x or y of the caller holds other values after the call",
        "For a window with inputs x_1 … x_T, targets y_1 … y_T",
        NETWORK_SECTION,
        "work on copies of x and y.",
        kind="calls",
    ),
    Mistake(
        "loss-after-update",
        "the loss is computed after the parameters were updated",
        "loss = L(θ - η g) instead of L(θ)",
        LOSS,
        NETWORK_SECTION,
        "compute the loss and the gradients from the same parameters, then update.",
        kind="calls",
    ),
    Mistake(
        "answers-differ",
        "two calls with the same arguments return different results",
        "dθ (second call) ≠ dθ (first call)",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "compute the result from the arguments alone: no dropout, no random numbers, no global variables.",
        kind="calls",
    ),
    Mistake(
        "float32-where-float64",
        "the numbers have fewer digits than the sixteen of float64",
        "dθ = (the right dθ) · (1 + 10⁻⁷ · noise), or 10⁻³ in float16",
        "float64     1e-12",
        CHECK_SECTION,
        f"make every array float64 (dtype=np.float64); if you want float32, set "
        f"{argument('dtype', 'float32')}.",
        variants=variants_in("", "float16", "loss"),
        kind="calls",
    ),
)
