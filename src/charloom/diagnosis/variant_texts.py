"""Describes the variants of the known mistakes in words.

A variant has a short name that never changes, such as "chunks 3" for the mistake "truncated". The
texts are for users, who cannot guess what such a name means.
"""

from typing import Final

from charloom.diagnosis.limited_variants import without_limit
from charloom.formatting import counted, listing

# Ids of the mistakes whose title contains the variant (`Found.title`).
IN_TITLE: Final = ("gate-order", "gradient-scaled", "not-a-number", "peepholes")

# Mistakes whose variants are gates, or gradients of gates.
OF_GATES: Final = (
    *("carry-without-derivative", "gate-not-carried", "sum-before-derivative"),
    *("sum-of-other-gate", "gate-gradient-not-summed"),
)

ONLY_ONE_STEP: Final = {
    "first": "only the first step is counted",
    "last": "only the last step is counted",
    "apart": "a matrix with one column per step",
    "without the first": "the first step is not counted",
    "without the last": "the last step is not counted",
}
# Where the reset gate is missing in the gradient of a GRU.
RESET_MISSING: Final = {
    "carry": "only in what goes back to step t-1",
    "W": "only in dW",
    "d": "only in dd",
    "W, d": "only in dW and dd",
}
LOSS_OR_GRADIENT: Final = {
    "both": "in the loss and in the gradients",
    "gradient": "only in the gradients",
    "loss": "only in the loss",
}
FORWARD_ONLY: Final = "only in the forward pass"
BY_MAXIMUM: Final = ", each step shifted by its maximum"
WRAPPED: Final = {"y_{t+1}": "the first target", "y_{t-1}": "the last target"}

# Texts for users; the keys are the id of a mistake, and then its variant.
TEXTS: Final[dict[str, dict[str, str]]] = {
    "time-carry-missing": {
        "h": "only the gradient of the hidden state is missing",
        "cell": "only the gradient of the cell is missing",
        "gates": "only the gradient through W and the gates is missing",
        "direct": "only the direct gradient dh_t ∘ z_t is missing",
    },
    "time-carry-reversed": {"read too early": "da is read before it is computed"},
    "tanh-derivative-missing": {
        "candidate": "in the gradient of the candidate",
        "state": "in the gradient of the cell, where h_t = o_t ∘ tanh(s_t)",
    },
    "carry-of-input": {
        "[h, x]": "the last H numbers of the gradient of [h, x]",
        "[x, h]": "the first H numbers of the gradient of [x, h]",
    },
    "hidden-bias-not-summed": ONLY_ONE_STEP,
    "output-bias-not-summed": ONLY_ONE_STEP,
    "recurrent-gradient-not-summed": ONLY_ONE_STEP,
    "input-gradient-not-summed": ONLY_ONE_STEP,
    "output-gradient-not-summed": ONLY_ONE_STEP,
    "step-left-out": {
        "first": "the first step",
        "last": "the last step",
        "first of the states": "the first step, but dV and dc are sums over all steps",
        "last of the states": "the last step, but dV and dc are sums over all steps",
        "first of the states if not alone": "the first step, in windows of two or more steps, but dV and dc "
        "are sums over all steps",
        "second-last of the states": "the last step but one, but dV and dc are sums over all steps",
    },
    "input-gradient-repeats-lost": {
        "first": "only the first of the steps is counted",
        "last": "only the last of the steps is counted",
    },
    "softmax-gradient": {
        "only the target's entry": "all entries except that of the target are zero",
        "divided by K": "(p_t - onehot(y_t)) / K",
        "2 (p - y)": "2 (p_t - onehot(y_t))",
        "p (1 - p)": "p_t (1 - p_t)",
        "p + y": "p_t + onehot(y_t)",
        "-y": "-onehot(y_t)",
        "-y / p": "-onehot(y_t) / p_t",
        "(p - y) p (1 - p)": "(p_t - onehot(y_t)) p_t (1 - p_t)",
    },
    "softmax-target-missing": {
        "dV alone": "only in dV",
        "dc alone": "only in dc",
        "dh alone": "only in what goes back to h_t",
    },
    "reset-gate-not-in-gradient": RESET_MISSING,
    "sum-of-recurrent-part": {"db": "in db", "dU": "in dU", "dU and db": "in dU and db"},
    "gradient-averaged": {
        "dW, dU": "dW and dU",
        "db, dc": "db and dc",
    },
    "mean-over-time": LOSS_OR_GRADIENT,
    "sum-over-time": LOSS_OR_GRADIENT,
    "initial-state-ignored": {
        "h": "only the hidden state starts from zeros",
        "cell": "only the cell starts from zeros",
    },
    "activation-differs": {"identity": "no activation function, h_t = a_t"},
    "hidden-bias-left-out": {"forward alone": FORWARD_ONLY, "d too": "d is not used either"},
    "output-bias-left-out": {"forward alone": FORWARD_ONLY},
    "hidden-bias-twice": {
        "forward alone": FORWARD_ONLY,
        "gradient too": "in the forward pass and in the gradient",
    },
    "forget-bias-twice": {
        "1 added": "1 is added to the forget gate",
        "b_f twice": "b_f is added twice, and its gradient is counted once",
        "b_f twice, gradient too": "b_f is added twice, and its gradient is counted twice",
    },
    "states-overwritten": {"h_0 kept": "except h_0, which is another array"},
    "float32-where-float64": {
        "float16": "the three digits of float16",
        "loss": "only the loss: it is computed in float32, or cut to some decimals",
    },
    "reset-before-product": {
        "product": "r_t multiplies h_{t-1} before the product with W_n",
        "bias": "r_t does not multiply d",
    },
}

# Texts for variants that consist of a kind and a number, such as "chunks 3". The keys are the id of
# the mistake, and then the kind; {} stands for the number.
WITH_NUMBER: Final[dict[str, dict[str, str]]] = {
    "clipped": {
        "entries": "each entry of the gradients is clipped to the range ±{}",
        "steps": "each entry of dh_t is clipped to the range ±{} at every step",
        "passed": "each entry of what a step passes back is clipped to the range ±{}",
        "norm": "all gradients together are scaled down to a norm of {}",
        "norms": "each gradient is scaled down to a norm of {}",
    },
    "truncated": {
        "depth": "the gradient of each step's loss goes back at most {}",
        "chunks": "the window is cut into chunks of {}, counted from its start",
        "ends": "the window is cut into chunks of {}, counted from its end",
        "last": "the backward pass stops after the last {} of the window",
    },
}


def variant_text(mistake: str, variant: str) -> str:
    """Return a text for users that describes `variant`, a variant of the mistake with the id `mistake`.

    If users understand the variant itself, for example because it is an equation, return `variant`
    unchanged. If the title of the mistake already contains the variant, return "".
    """
    usual, where = without_limit(variant)
    if where:
        text = variant_text(mistake, usual)
        return f"{text}, {where}" if text else where
    if mistake in OF_GATES:
        return gates_text(mistake, variant)
    kind, _, number = variant.partition(" ")
    numbered = WITH_NUMBER.get(mistake, {}).get(kind)
    if mistake == "clipped" and " " in number:
        low, high = number.split()
        return f"each entry of the gradients is clipped to the range {low} to {high}"
    if numbered is not None:
        return numbered.format(counted(int(number), "step") if mistake == "truncated" else number)
    if mistake == "target-off-by-one":
        return target_text(variant)
    if mistake == "softmax-axis":
        return axis_text(variant)
    if mistake == "logarithm-base":
        return f"base {kind}, in the loss {'and in the gradients' if number else 'only'}"
    if mistake == "epsilon-in-log":
        return epsilon_text(variant)
    if mistake == "forget-bias-twice" and variant.endswith(" added"):
        return f"{kind} is added to the forget gate"
    if mistake in IN_TITLE:
        return ""
    return TEXTS.get(mistake, {}).get(variant, variant)


def gates_text(mistake: str, variant: str) -> str:
    """Return a text that describes a variant with the letters of gates, of a mistake in `OF_GATES`."""
    if mistake in ("carry-without-derivative", "gate-not-carried"):
        where = "in" if mistake == "carry-without-derivative" else "without"
        gates = f"gate {variant}" if len(variant) == 1 else f"the gates {listing(list(variant))}"
        return f"{where} {gates}" if variant else ""
    names, _, rest = variant.partition(" of ")
    if not rest:
        return f"in {variant}"
    gate, _, more = rest.partition(", ")
    gate, _, other = gate.partition(" from ")
    text = f"in {names} of gate {gate}"
    if other:
        return f"{text}, from the gradient of gate {other}"
    return f"{text}: {'it is zero' if more == 'zero' else ONLY_ONE_STEP[more]}" if more else text


def target_text(variant: str) -> str:
    """Return a text that describes `variant`, a variant of the mistake target-off-by-one.

    An example of `variant` is "loss y_{t+1}, wrapping".
    """
    where, _, shift = variant.partition(" ")
    target, _, wrapping = shift.partition(", ")
    users = "the gradient uses" if where == "gradient" else "the loss and the gradient use"
    if not wrapping:
        return f"{users} {target} as the target of step t"
    step = "the last step" if target == "y_{t+1}" else "the first step"
    return f"{users} {target} as the target of step t, and {WRAPPED[target]} for {step}"


def axis_text(variant: str) -> str:
    """Return a text that describes `variant`, a variant of the mistake softmax-axis.

    The variant says over which axes the code sums in softmax. An example is "time": over the steps.
    """
    over = "the steps" if variant.startswith("time") else "all characters and all steps"
    shifted = ", after the maximum of each step is subtracted" if BY_MAXIMUM in variant else ""
    return f"the sum is over {over}{shifted}"


def epsilon_text(variant: str) -> str:
    """Return a text that describes `variant`, a variant of the mistake epsilon-in-log.

    An example of `variant` is "ε = 1e-8, gradient too".
    """
    epsilon, _, where = variant.partition(", ")
    if where == "maximum":
        return f"ln max(p, ε) with {epsilon}"
    where = "in the loss and in the gradient" if where else "only in the loss"
    return f"ln(p + ε) with {epsilon}, {where}"
