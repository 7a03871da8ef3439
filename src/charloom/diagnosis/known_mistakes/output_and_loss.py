"""Lists the mistakes in the output layer and the loss, and the usual changes of finished gradients such as clipping."""

from typing import Final

from charloom.diagnosis.known_mistakes.equations import DO, LOSS, NETWORK_SECTION
from charloom.diagnosis.known_mistakes.mistake import ANY, Mistake
from charloom.diagnosis.known_mistakes.variants import AGAIN, DIVISORS, variants_in
from charloom.messages import argument

GRADIENT_ONLY: Final = "clipping comes after it and is never part of it"

OUTPUT_AND_LOSS: Final = (
    Mistake(
        "softmax-target-missing",
        "the softmax gradient does not subtract the target",
        "do_t = p_t",
        DO,
        NETWORK_SECTION,
        "subtract 1 at the target: do_t[y_t] -= 1.",
        variants=variants_in("", "dV alone", "dc alone", "dh alone"),
    ),
    Mistake(
        "target-off-by-one",
        "a wrong character is used as the target of a step",
        "do_t = p_t - onehot(a character other than y_t)",
        DO,
        NETWORK_SECTION,
        "at step t subtract 1 at y_t, the character that this step predicts.",
        variants=variants_in(
            *(
                f"{where} {shift}"
                for where in ("gradient", "loss")
                for shift in (
                    "y_{t+1}",
                    "y_{t-1}",
                    "x_t",
                    "y_{t+1}, wrapping",
                    "y_{t-1}, wrapping",
                )
            )
        ),
        consistent="loss .*",
    ),
    Mistake(
        "softmax-gradient",
        "the formula for the gradient of softmax and logarithm is wrong",
        "do_t = (an expression other than p_t - onehot(y_t))",
        DO,
        NETWORK_SECTION,
        "use p_t - onehot(y_t): it is the whole derivative of -ln softmax(o_t)[y_t].",
        variants=variants_in(
            *("only the target's entry", "p (1 - p)", "2 (p - y)", "divided by K"),
            *("p + y", "-y", "-y / p", "(p - y) p (1 - p)"),
        ),
    ),
    Mistake(
        "softmax-twice",
        "softmax is applied twice",
        "loss = Σ_t -ln softmax(softmax(o_t))[y_t]",
        LOSS,
        NETWORK_SECTION,
        "pass logits to a loss function that applies softmax itself (in PyTorch, cross_entropy).",
        consistent=ANY,
    ),
    Mistake(
        "gradient-negated",
        "the gradient has the wrong sign",
        "do_t = onehot(y_t) - p_t, so every gradient has the wrong sign",
        DO,
        NETWORK_SECTION,
        "use p_t - onehot(y_t): the gradient points in the direction in which the loss grows.",
    ),
    Mistake(
        "softmax-axis",
        "softmax divides by a sum over the wrong axis",
        "p_t[k] = exp(o_t[k]) / (a sum that is not over the characters of step t alone)",
        "p_t = softmax(o_t) = exp(o_t) / Σ_k exp(o_t[k])",
        NETWORK_SECTION,
        "sum over the characters of each step: axis 0 of a (K, T) array, axis 1 of a (T, K) array.",
        variants=variants_in(
            "all",
            "time",
            "all, each step shifted by its maximum",
            "time, each step shifted by its maximum",
        ),
    ),
    Mistake(
        "mean-over-time",
        "the code divides by the number of steps T: it takes the mean over time, not the sum",
        "loss = (1/T) Σ_t -ln p_t[y_t], or gradients divided by T",
        LOSS,
        NETWORK_SECTION,
        f"do not divide by T; if your loss is meant to be the mean, set {argument('reduction', 'mean')}.",
        variants=variants_in("both", "gradient", "loss"),
        consistent="both",
    ),
    Mistake(
        "sum-over-time",
        "the code does not divide by the number of steps T: it takes the sum over time, not the mean",
        "loss = Σ_t -ln p_t[y_t], or gradients not divided by T",
        LOSS,
        NETWORK_SECTION,
        f"divide the loss and the gradients by T; if your loss is meant to be the sum, leave out "
        f"{argument('reduction')}.",
        variants=variants_in("both", "gradient", "loss"),
        consistent="both",
    ),
    Mistake(
        "loss-divided",
        "the loss and the gradients are divided by a size",
        "loss = (1/K) Σ_t -ln p_t[y_t], or a division by T twice or by T K",
        LOSS,
        NETWORK_SECTION,
        "do not divide the sum of the losses of the steps, or divide it once, by T.",
        variants=variants_in(
            *(f"{size} {where}" for where in ("both", "loss", "gradient") for size in DIVISORS),
            AGAIN,
        ),
        consistent=".* both",
    ),
    Mistake(
        "logarithm-base",
        "the loss uses a logarithm that is not the natural one",
        "loss = Σ_t -log_2 p_t[y_t], or with log_10",
        LOSS,
        NETWORK_SECTION,
        "use the natural logarithm: only its derivative is 1/p without a factor.",
        variants=variants_in("2", "10", "2 both", "10 both"),
        consistent=".* both",
    ),
    Mistake(
        "epsilon-in-log",
        "the loss uses the logarithm of p + ε instead of p",
        "loss = Σ_t -ln(p_t[y_t] + ε), or Σ_t -ln max(p_t[y_t], ε)",
        LOSS,
        NETWORK_SECTION,
        "remove ε and compute ln p from the logits: ln p[y] = o[y] - max(o) - ln Σ exp(o - max(o)); "
        "this never takes ln 0.",
        variants=variants_in(
            *(
                f"ε = 1e-{n}{more}"
                for more in ("", ", gradient too", ", maximum")
                for n in (8, 10, 12, 5, 6, 7, 9, 15, 4, 3)
            )
        ),
        consistent=".*, gradient too",
    ),
    Mistake(
        "clipped",
        "the gradient is clipped inside the function",
        "g = clip(g, -c, c) before it is returned",
        GRADIENT_ONLY,
        NETWORK_SECTION,
        "return the exact gradient, and clip it where you update the parameters.",
        variants=variants_in(
            *(
                f"{kind} {c}"
                for c in (5, 1, 10, 0.5, 2, 3)
                for kind in ("entries", "steps", "norm", "norms", "passed")
            )
        ),
    ),
)
