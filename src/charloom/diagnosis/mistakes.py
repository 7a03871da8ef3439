"""Lists the known mistakes in hand-written backpropagation: their titles, equations and fixes.

The list is ordered by likelihood. This module computes nothing: `faulty_network.py` computes the
gradients that code with a mistake returns, and `call_sequences.py` finds the mistakes that show only
in several calls.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Final

from charloom.cell_table import CELL_NAMES
from charloom.diagnosis import wrong_formulas
from charloom.messages import argument

ALL: Final = CELL_NAMES
RNN: Final = ("rnn",)
LSTM: Final = ("lstm",)
GRU: Final = ("gru",)
GATED: Final = ("lstm", "gru")
# Wrong derivatives of tanh that an LSTM or a GRU may have in one place only, and of σ in one gate only.
NEWER: Final = ("1 - 2 h", "(1 - h²)²", "h²", "1 - |h|", "√(1 - h²)")
IN_ONE_PLACE: Final = (
    *("1 - h", "1 - tanh(h)²", "h (1 - h)", "1 + h²", "h² - 1", "(1 - h)²"),
    *NEWER,
)
IN_ONE_GATE: Final = (
    *("1", "1 - σ²", "σ", "1 - σ", "σ(σ) (1 - σ(σ))"),
    *("σ (1 + σ)", "(1 - σ)²", "σ² (1 - σ)²"),
)
BLOCKS: Final = {"lstm": "ifgo", "gru": "rzn"}
# The gradients of one gate that code may compute from a wrong array. Code with one matrix for each gate
# over [h, x] has one line for dU and dW.
PARTS: Final = ("db", "dU and dW", "dU", "dW", "dU, dW and db")


# Mistakes within a step that code may have at some steps only, besides those in one formula.
WITHIN_STEP: Final = (
    *("tanh-derivative", "tanh-derivative-missing", "sigmoid-derivative", "time-carry-missing"),
    *("carry-not-transposed", "carry-accumulated", "carry-without-derivative", "recurrent-carry"),
    *("carry-after-derivative", "carry-of-other-gate", "carry-of-input", "initial-cell-dropped"),
    *("gate-not-carried", "reset-gate-not-in-gradient"),
    *("forget-gate-not-carried", "forget-gradient-from-current-cell", "tanh-of-previous-cell"),
    *("output-gradient-without-tanh", "cell-carry-times-output-gate"),
)

IN_SUM_OF_GATE: Final = (
    *("sum-before-derivative", "sum-of-other-gate", "gate-gradient-not-summed"),
    "sum-of-recurrent-part",
)


@dataclass(frozen=True)
class Mistake:
    """A known mistake.

    Attributes:
        id: stable name, in kebab case.
        title: the mistake in one line.
        does: the wrong equation that the code computes.
        right: the equation in docs/spec/mathematics.md that the mistake breaks.
        section: the section of docs/spec/mathematics.md with that equation.
        fix: how to fix the mistake, in one sentence. It may have placeholders for names of
            arguments, which each interface replaces (`charloom.messages`).
        cells: the cells in which the mistake can occur.
        variants: maps each variant of the mistake to the cells in which it can occur. The name of a
            variant is stable; `variant_texts.py` has the text for users. A mistake without variants
            has only the variant "". If the dict is empty, the variants are made from the function's
            results.
        kind: "gradient" (found by predicting the gradient with the mistake), "calls" (found by
            calling the function more than once) or "numerical" (in the user's numerical gradient).
        consistent: a regular expression for the variants in which the gradient is still that of the
            code's own loss. They describe another network or another loss. None: no variant.
        in_one_formula: whether the variants are wrong formulas for one quantity of the backward step, of
            which there are many.
    """

    id: str
    title: str
    does: str
    right: str
    section: str
    fix: str
    cells: tuple[str, ...] = ALL
    variants: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"": ALL})
    kind: str = "gradient"
    consistent: str | None = None
    in_one_formula: bool = False

    @property
    def within_step(self) -> bool:
        """Whether code may have the mistake at some steps only, such as the last one."""
        return self.in_one_formula or self.id in WITHIN_STEP

    @property
    def has_place(self) -> bool:
        """Whether the mistake is made within a step, or in the sum of one gate's gradient."""
        return self.within_step or self.id in IN_SUM_OF_GATE

    def is_consistent(self, variant: str) -> bool:
        """Return True if code with this variant still returns the gradient of its own loss."""
        return self.consistent is not None and re.fullmatch(self.consistent, variant) is not None

    def variants_of(self, cell: str) -> tuple[str, ...]:
        """Return the variants of the mistake that can occur in code for `cell`.

        Return an empty tuple if the mistake cannot occur in this cell.
        """
        if cell not in self.cells:
            return ()
        return tuple(name for name, cells in self.variants.items() if cell in cells)


def variants_in(*names: str, cells: tuple[str, ...] = ALL) -> dict[str, tuple[str, ...]]:
    """Return a dict that maps each variant in `names` to `cells`."""
    return dict.fromkeys(names, cells)


# What code divides by, if it does not divide once by T: the variants of the mistake "loss-divided".
DIVISORS: Final = ("K", "T K", "T T", "H")
AGAIN: Final = "T gradient"  # a second division by T; tried only if the loss is a mean over time


def truncations() -> Iterator[str]:
    """Yield the variants of the mistake "truncated", such as "chunks 3".

    Each variant is a kind of truncation, such as "chunks", and a number of steps.
    """
    for kind in ("depth", "chunks", "ends", "last"):
        for k in range(1, 26):
            # Leave out chunks of one step, because they are the mistake time-carry-missing. Leave
            # out "depth 25" too: it cuts off nothing, because the last step of the longest window,
            # which has 26 steps, is only 25 steps from the first.
            if (k > 1 or kind in ("depth", "last")) and (kind, k) != ("depth", 25):
                yield f"{kind} {k}"


def by_gate(names: Sequence[str], apart: bool = False) -> dict[str, tuple[str, ...]]:
    """Return variants such as "db of i", for each item of `names` and each gate of an LSTM and a GRU.

    If `apart` is True, they are such as "db of i from f", for each pair of gates.
    """
    found: dict[str, list[str]] = {}
    for cell, gates in BLOCKS.items():
        for name in names:
            for gate in gates:
                others = [f" from {other}" for other in gates if other != gate] if apart else [""]
                for other in others:
                    found.setdefault(f"{name} of {gate}{other}", []).append(cell)
    return {variant: tuple(cells) for variant, cells in found.items()}


def some_gates(gates: str) -> list[str]:
    """Return all proper subsets of the letters in `gates`, the smallest ones first."""
    return ["".join(one) for size in range(1, len(gates)) for one in combinations(gates, size)]


def gate_orders(gates: str, first: tuple[str, ...]) -> list[str]:
    """Return all orders of the letters in `gates` except `gates` itself, starting with the orders in `first`."""
    every = ("".join(order) for order in permutations(gates))
    return [*first, *(order for order in every if order != gates and order not in first)]


CELLS_SECTION: Final = "The cells"
NETWORK_SECTION: Final = "The network"
CHECK_SECTION: Final = "The gradient check"

DW: Final = "dW += da_t h_{t-1}ᵀ"
DU: Final = "dU += da_t x_tᵀ"
DB: Final = "db += da_t"
DV: Final = "dV   = Σ_t do_t h_tᵀ"
DC: Final = "dc   = Σ_t do_t"
DO: Final = "do_t = (p_t - onehot(y_t)) / B"
DH: Final = "dh_t = (what comes from above: Vᵀ do_t) + (what comes from the layer's step t+1)"
DA: Final = "da_t     = dh_t ∘ (1 - h_t ∘ h_t)"
LOSS: Final = "loss = (1/B) Σ_streams Σ_t -ln p_t[y_t]"
CARRY: Final = "dh_{t-1} = Wᵀ da_t"
FORWARD: Final = "a_t = W h_{t-1} + U x_t + b"
ANY: Final = ".*"  # the value of `Mistake.consistent` for mistakes that only change the network
GRADIENT_ONLY: Final = "clipping comes after it and is never part of it"

MISTAKES: Final = (
    Mistake(
        "initial-state-dropped",
        "dW uses zero instead of the initial state h_0",
        "dW = Σ_{t≥2} da_t h_{t-1}ᵀ: the term da_1 h_0ᵀ is missing",
        DW,
        CELLS_SECTION,
        "use the given h_0 at the first step; do not replace it by zeros, and do not skip the step.",
    ),
    Mistake(
        "index-wraps",
        "at the first step, index -1 reads the last state instead of h_0",
        "dW = da_1 h_Tᵀ + Σ_{t≥2} da_t h_{t-1}ᵀ: h[-1] is the last state, h_T",
        DW,
        CELLS_SECTION,
        "store h_0 in front of the other states, so that h[t] is the state before step t.",
    ),
    Mistake(
        "time-carry-missing",
        "no gradient flows back from step t+1 to step t",
        "dh_t = Vᵀ do_t, without the gradient from step t+1",
        DH,
        NETWORK_SECTION,
        "loop from t = T down to 1; before you multiply by the derivative, add to dh_t the gradient that "
        "step t+1 passes back; in PyTorch, do not detach the state within the window.",
        variants={"": ALL, "h": LSTM, "cell": LSTM, "gates": GRU, "direct": GRU},
    ),
    Mistake(
        "time-carry-reversed",
        "the gradient flows from step t-1 to step t, instead of from step t+1",
        "dh_t = Vᵀ do_t + Wᵀ da_{t-1}: the loop runs forwards, or uses da before it is computed",
        DH,
        NETWORK_SECTION,
        "run the loop backwards, for t in reversed(range(T)), and use da_{t+1}.",
        variants=variants_in("", "read too early"),
    ),
    Mistake(
        "tanh-derivative",
        "the formula for the derivative of tanh is wrong",
        "da_t = dh_t ∘ (an expression other than 1 - h_t²)",
        "The derivative of tanh is `1 - tanh²`",
        CELLS_SECTION,
        "multiply by 1 - h_t², where h_t = tanh(a_t) is the state that the forward pass computed.",
        variants={
            **variants_in("1 - a²", "1 - tanh(a²)", cells=RNN),
            **variants_in("1 - h", "1 - tanh(h)²", "h (1 - h)"),
            **variants_in("1 + h²", "h² - 1", "(1 - h)²"),
            **variants_in(*NEWER, cells=ALL),
            **variants_in("h", "2 (1 - h²)", "(1 - h²) / 2", cells=RNN),
            **variants_in("1 - h_{t-1}²", "1 where a > 0, else 0", cells=RNN),
            **variants_in(*(f"{formula}, candidate" for formula in IN_ONE_PLACE), cells=LSTM),
            **variants_in(*(f"{formula}, state" for formula in IN_ONE_PLACE), cells=LSTM),
        },
    ),
    Mistake(
        "tanh-derivative-missing",
        "the derivative of tanh is missing",
        "da_t = dh_t",
        DA,
        CELLS_SECTION,
        "multiply dh_t by 1 - h_t² before you use it for anything else.",
        variants={"": ALL, "candidate": LSTM, "state": LSTM},
    ),
    Mistake(
        "recurrent-gradient-from-current-state",
        "dW uses h_t instead of h_{t-1}",
        "dW = Σ_t da_t h_tᵀ",
        DW,
        CELLS_SECTION,
        "use h_{t-1}, the state before the step; at the first step that is h_0.",
    ),
    Mistake(
        "recurrent-gradient-from-last-state",
        "dW uses the last state h_T at every step",
        "dW = Σ_t da_t h_Tᵀ",
        DW,
        CELLS_SECTION,
        "store the state of every step; a variable that the forward pass overwrites holds only the last.",
    ),
    Mistake(
        "states-overwritten",
        "the backward pass has the last state h_T at every step",
        "da_t = dh_t ∘ (1 - h_T²), dW = Σ_t da_t h_Tᵀ, dV = Σ_t do_t h_Tᵀ",
        DA,
        CELLS_SECTION,
        "store a new array for every step (h = np.tanh(…), or h.copy()): the code changes one array in place, and every "
        "stored state is this array.",
        cells=RNN,
        variants=variants_in("", "h_0 kept", cells=RNN),
    ),
    Mistake(
        "recurrent-gradient-from-sums",
        "dW uses the sums a_{t-1} before tanh instead of the states h_{t-1}",
        "dW = Σ_t da_t a_{t-1}ᵀ",
        DW,
        CELLS_SECTION,
        "use h_{t-1}, the state after tanh.",
        cells=RNN,
    ),
    Mistake(
        "output-gradient-from-previous-state",
        "dV uses h_{t-1} instead of h_t",
        "dV = Σ_t do_t h_{t-1}ᵀ",
        DV,
        NETWORK_SECTION,
        "use h_t, the state after the step: the logits are computed from it.",
    ),
    Mistake(
        "hidden-bias-not-summed",
        "db is not summed over time",
        "db = da_t of a single step, or a matrix with one column per step",
        DB,
        CELLS_SECTION,
        "sum da_t over all steps (with +=, or .sum over the time axis).",
        variants=variants_in("first", "last", "apart", "without the first", "without the last"),
    ),
    Mistake(
        "hidden-bias-after-product",
        "db sums Wᵀ da_t instead of da_t",
        "db = Σ_t Wᵀ da_t",
        DB,
        CELLS_SECTION,
        "add da_t to db before you multiply it by Wᵀ.",
        cells=RNN,
    ),
    Mistake(
        "output-bias-not-summed",
        "dc is not summed over time",
        "dc = do_t of a single step, or a matrix with one column per step",
        DC,
        NETWORK_SECTION,
        "sum do_t over all steps (with +=, or .sum over the time axis).",
        variants=variants_in("first", "last", "apart", "without the first", "without the last"),
    ),
    Mistake(
        "recurrent-gradient-not-summed",
        "dW is not summed over time",
        "dW = da_t h_{t-1}ᵀ of a single step",
        DW,
        CELLS_SECTION,
        "sum over the steps: dW += …, not dW = ….",
        variants=variants_in("first", "last", "without the last"),
    ),
    Mistake(
        "input-gradient-not-summed",
        "dU is not summed over time",
        "dU = da_t x_tᵀ of a single step",
        DU,
        CELLS_SECTION,
        "sum over the steps: dU += …, not dU = ….",
        variants=variants_in("first", "last", "without the first", "without the last"),
    ),
    Mistake(
        "output-gradient-not-summed",
        "dV is not summed over time",
        "dV = do_t h_tᵀ of a single step",
        DV,
        NETWORK_SECTION,
        "sum over the steps: dV += …, not dV = ….",
        variants=variants_in("first", "last", "without the first", "without the last"),
    ),
    Mistake(
        "input-gradient-repeats-lost",
        "a character that occurs twice in x counts only once in dU",
        "dU[:, k] = da_t of only one of the steps that read character k",
        DU,
        CELLS_SECTION,
        "add in a loop, or use np.add.at(dU.T, x, da): dU[:, x] += da adds only once if x has repeats.",
        variants=variants_in("last", "first"),
    ),
    Mistake(
        "input-gradient-from-target",
        "dU uses the targets y instead of the inputs x",
        "dU = Σ_t da_t onehot(y_t)ᵀ",
        DU,
        CELLS_SECTION,
        "use x_t, the character that the step reads, not y_t, the character that it predicts.",
    ),
    Mistake(
        "input-gradient-from-last-input",
        "dU uses the last input x_T at every step",
        "dU = Σ_t da_t x_Tᵀ",
        DU,
        CELLS_SECTION,
        "use x_t, the input of the same step; after the forward loop, its variable holds only the last one.",
    ),
    Mistake(
        "input-gradient-transposed",
        "dU is transposed",
        "dU = Σ_t x_t da_tᵀ",
        DU,
        CELLS_SECTION,
        "swap the two factors: the rows of dU are hidden units, its columns are characters.",
    ),
    Mistake(
        "recurrent-gradient-transposed",
        "dW is transposed",
        "dW = Σ_t h_{t-1} da_tᵀ",
        DW,
        CELLS_SECTION,
        "swap the two factors: da_t is the column, h_{t-1} is the row.",
    ),
    Mistake(
        "output-gradient-transposed",
        "dV is transposed",
        "dV = Σ_t h_t do_tᵀ",
        DV,
        NETWORK_SECTION,
        "swap the two factors: the rows of dV are characters, its columns are hidden units.",
    ),
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
    Mistake(
        "initial-state-ignored",
        "the initial state is ignored: the window starts from zeros",
        "a_1 = U x_1 + b",
        FORWARD,
        CELLS_SECTION,
        "start the window from the given h_0 (LSTM: and the given cell).",
        variants={"": ALL, "h": LSTM, "cell": LSTM},
        consistent=ANY,
    ),
    Mistake(
        "state-not-carried",
        "every step starts from h_0: the state is not passed on to the next step",
        "a_t = W h_0 + U x_t + b for every t",
        FORWARD,
        CELLS_SECTION,
        "start each step from the state of the previous step; in PyTorch, check batch_first: the module "
        "may read the time axis as the batch axis.",
        consistent=ANY,
    ),
    Mistake(
        "activation-differs",
        "an activation function is not tanh",
        "σ(a), max(a, 0) or a, where the specification has tanh(a)",
        "h_t = tanh(a_t)",
        CELLS_SECTION,
        "use tanh in the forward pass, and its derivative in the backward pass.",
        variants=variants_in("sigmoid", "relu", "identity"),
        consistent=ANY,
    ),
    Mistake(
        "hidden-bias-left-out",
        "the hidden bias b is not used",
        "a_t = W h_{t-1} + U x_t",
        FORWARD,
        CELLS_SECTION,
        "add b at every step.",
        variants={**variants_in("", "forward alone"), "d too": GRU},
        consistent="|d too",
    ),
    Mistake(
        "hidden-bias-twice",
        "the hidden bias b is added twice",
        "a_t = W h_{t-1} + U x_t + b + b",
        FORWARD,
        CELLS_SECTION,
        "add b only once: to W h or to U x, not to both.",
        variants=variants_in("forward alone", "gradient too"),
        consistent="gradient too",
    ),
    Mistake(
        "second-bias-left-out",
        "the second bias d is not used",
        "q_t = W_n h_{t-1}",
        "q_t = W_n h_{t-1} + d",
        CELLS_SECTION,
        "add d to W_n h_{t-1} before you multiply by r_t, and return its gradient.",
        cells=GRU,
        variants=variants_in("", cells=GRU),
        consistent=ANY,
    ),
    Mistake(
        "output-bias-left-out",
        "the output bias c is not used",
        "o_t = V h_t",
        "o_t  = V h_t + c",
        NETWORK_SECTION,
        "add c at every step.",
        variants=variants_in("", "forward alone"),
        consistent="",
    ),
    Mistake(
        "gate-order",
        "the gates are in another order",
        "each block of rows in U, W and b is read as the block of another gate",
        "The G blocks of H rows",
        CELLS_SECTION,
        "read the blocks in the order i, f, g, o (LSTM) or r, z, n (GRU).",
        cells=("lstm", "gru"),
        variants={
            **variants_in(
                *gate_orders("ifgo", ("ifog", "figo", "iofg", "fiog", "fogi", "ogfi")), cells=LSTM
            ),
            **variants_in(*gate_orders("rzn", ("zrn",)), cells=GRU),
        },
        consistent=ANY,
    ),
    Mistake(
        "forget-bias-twice",
        "the bias of the forget gate is added twice",
        "f_t = σ(W_f h_{t-1} + U_f x_t + b_f + 1), although b_f already includes the 1",
        "f_t = σ(W_f h_{t-1} + U_f x_t + b_f)",
        CELLS_SECTION,
        "add b_f only once, and no constant: b already includes the initial bias of the forget gate.",
        cells=LSTM,
        variants=variants_in("1 added", "b_f twice", "b_f twice, gradient too", cells=LSTM),
        consistent=".* added|.*, gradient too",
    ),
    Mistake(
        "initial-cell-dropped",
        "the gradient of the forget gate uses zero instead of the initial cell s_0",
        "da_f = 0 at the first step",
        "da_f = ds ∘ s_{t-1} ∘ f_t ∘ (1 - f_t)",
        CELLS_SECTION,
        "use the given initial cell s_0 at the first step.",
        cells=LSTM,
    ),
    Mistake(
        "forget-gate-not-carried",
        "the gradient of the cell is passed to step t-1 without the forget gate",
        "ds_{t-1} = ds",
        "ds_{t-1} = ds ∘ f_t",
        CELLS_SECTION,
        "multiply ds by f_t before you pass it to step t-1.",
        cells=LSTM,
    ),
    Mistake(
        "forget-gradient-from-current-cell",
        "the gradient of the forget gate uses s_t instead of s_{t-1}",
        "da_f = ds ∘ s_t ∘ f_t ∘ (1 - f_t)",
        "da_f = ds ∘ s_{t-1} ∘ f_t ∘ (1 - f_t)",
        CELLS_SECTION,
        "use the cell before the step, s_{t-1}.",
        cells=LSTM,
    ),
    Mistake(
        "output-gradient-without-tanh",
        "the gradient of the output gate uses s_t instead of tanh(s_t)",
        "da_o = dh ∘ s_t ∘ o_t ∘ (1 - o_t)",
        "da_o = dh_t ∘ tanh(s_t) ∘ o_t ∘ (1 - o_t)",
        CELLS_SECTION,
        "multiply by tanh(s_t), as the forward pass does.",
        cells=LSTM,
    ),
    Mistake(
        "tanh-of-previous-cell",
        "the backward pass uses tanh(s_{t-1}) instead of tanh(s_t)",
        "ds = … + dh ∘ o_t ∘ (1 - tanh²(s_{t-1})), or da_o = dh ∘ tanh(s_{t-1}) ∘ …",
        "ds       = ds_t + dh_t ∘ o_t ∘ (1 - tanh(s_t)²)",
        CELLS_SECTION,
        "use the cell after the step, s_t.",
        cells=LSTM,
        variants=variants_in("", "slope", "value", cells=LSTM),
    ),
    Mistake(
        "cell-carry-times-output-gate",
        "the gradient of the cell that is passed to step t-1 is multiplied by the output gate",
        "ds_{t-1} = ds ∘ f_t ∘ o_t",
        "ds_{t-1} = ds ∘ f_t",
        CELLS_SECTION,
        "multiply ds by f_t alone before you pass it to step t-1.",
        cells=LSTM,
    ),
    Mistake(
        "cell-tanh-missing",
        "the hidden state uses the cell without tanh",
        "h_t = o_t ∘ s_t",
        "h_t = o_t ∘ tanh(s_t)",
        CELLS_SECTION,
        "use tanh(s_t) in the forward pass, and its derivative in the backward pass.",
        cells=LSTM,
        consistent=ANY,
    ),
    Mistake(
        "coupled-gates",
        "the forget gate is 1 - i, not a gate of its own",
        "f_t = 1 - i_t",
        "da_f = ds ∘ s_{t-1} ∘ f_t ∘ (1 - f_t)",
        CELLS_SECTION,
        "compute f_t from its own rows of U, W and b.",
        cells=LSTM,
        variants=variants_in("", cells=LSTM),
        consistent=ANY,
    ),
    Mistake(
        "peepholes",
        "the gates also read the cell (peepholes)",
        "i_t = σ(… + p_i ∘ s_{t-1}), f_t = σ(… + p_f ∘ s_{t-1}), o_t = σ(… + p_o ∘ s_t)",
        "f_t = σ(W_f h_{t-1} + U_f x_t + b_f)",
        CELLS_SECTION,
        "compute the gates from h_{t-1} and x_t alone.",
        cells=LSTM,
        variants={},
        consistent=ANY,
    ),
    Mistake(
        "reset-before-product",
        "the reset gate acts before the product, or not on d",
        "n_t = tanh(U_n x_t + b_n + W_n (r_t ∘ h_{t-1}) + d), or d is not multiplied by r_t",
        "n_t = tanh(U_n x_t + b_n + r_t ∘ q_t)",
        CELLS_SECTION,
        "compute q_t = W_n h_{t-1} + d first, with the bias d, then multiply it by r_t.",
        cells=GRU,
        variants=variants_in("product", "bias", cells=GRU),
        consistent=ANY,
    ),
    Mistake(
        "update-gate-reversed",
        "the update gate is used the other way round",
        "h_t = z_t ∘ n_t + (1 - z_t) ∘ h_{t-1}",
        "h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}",
        CELLS_SECTION,
        "multiply the old state h_{t-1} by z_t, and the candidate n_t by 1 - z_t.",
        cells=GRU,
        consistent=ANY,
    ),
    Mistake(
        "reset-gate-not-in-gradient",
        "the gradient of the candidate is not multiplied by the reset gate",
        "dq = da_n",
        "dq       = da_n ∘ r_t",
        CELLS_SECTION,
        "multiply da_n by r_t before you use it for W_n, d and h_{t-1}.",
        cells=GRU,
        variants=variants_in("", "carry", "W", "d", "W, d", cells=GRU),
    ),
    Mistake(
        "sum-of-recurrent-part",
        "dU or db uses the gradient of W h_{t-1}, which the reset gate multiplies",
        "db += (da_r, da_z, dq)",
        DB,
        CELLS_SECTION,
        "sum da_t = (da_r, da_z, da_n) for U and b; only W and d use dq = da_n ∘ r_t.",
        cells=GRU,
        variants=variants_in("db", "dU", "dU and db", cells=GRU),
    ),
    Mistake(
        "sum-before-derivative",
        "a sum over the steps uses the gradient before the derivative of tanh or σ",
        "dW += (dh_t) h_{t-1}ᵀ, or another gradient that is not yet multiplied by the derivative",
        DB,
        CELLS_SECTION,
        "sum da_t, the gradient after the multiplication by the derivative of tanh or σ.",
        variants={**variants_in("db", "dU and dW", "dU", "dW", "dU, dW and db"), **by_gate(PARTS)},
    ),
    Mistake(
        "sum-of-other-gate",
        "a gradient of one gate is summed from the gradient of another gate",
        "dW_i += da_f h_{t-1}ᵀ, for example",
        DB,
        CELLS_SECTION,
        "use the gradient of the same gate in dU, dW and db.",
        cells=GATED,
        variants=by_gate(("db", "dU and dW", "dU, dW and db"), apart=True),
    ),
    Mistake(
        "gate-gradient-not-summed",
        "a gradient of one gate is not summed over time",
        "dW of a gate = da_t h_{t-1}ᵀ of a single step, or zero",
        DW,
        CELLS_SECTION,
        "sum over the steps: dW += …, not dW = ….",
        cells=GATED,
        variants={
            f"{one}, {which}": cells
            for which in ("first", "last", "zero")
            for one, cells in by_gate(("dU and dW", "db", "dU, dW and db")).items()
        },
    ),
    Mistake(
        "gradient-averaged",
        "a gradient is the mean over the steps, not the sum",
        "db = (1/T) Σ_t da_t, for example",
        DB,
        CELLS_SECTION,
        "sum over the steps; do not divide by T.",
        variants=variants_in("db", "dc", "dW", "dU", "dV", "dW, dU", "db, dc"),
    ),
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
    Mistake(
        "gradients-carried-over",
        "the gradients of earlier calls are added to those of this call",
        "the second call returns dθ (first call) + dθ (second call)",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "set all gradients to zero at the start of each call (new arrays; in PyTorch, zero_grad).",
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

BY_ID: Final = {mistake.id: mistake for mistake in MISTAKES}
RANK: Final = {mistake.id: rank for rank, mistake in enumerate(MISTAKES)}
