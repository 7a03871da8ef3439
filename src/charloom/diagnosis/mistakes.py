"""The mistakes that people make in backpropagation by hand: what each is, what it does, and how it
is fixed.

The list, in words and equations, likeliest first. It computes nothing: what a gradient looks like
with a mistake in it is `faulty_network.py`'s, and `call_sequences.py`'s where calls matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Final

from charloom.messages import argument

ALL: Final = ("rnn", "lstm", "gru")
RNN: Final = ("rnn",)
LSTM: Final = ("lstm",)
GRU: Final = ("gru",)


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        id: its stable name, in kebab case.
        title: what it is, in a line.
        does: what the code computes, as an equation.
        right: the equation in docs/spec/mathematics.md that this breaks.
        section: the section of docs/spec/mathematics.md that has the equation.
        fix: what to do, in a sentence; a marked message (`charloom.messages`).
        cells: the cells in which it can occur.
        variants: the ways of making it, each with the cells that have it; "" where there is one.
        kind: "gradient" (found by what the gradient would be with it), "calls" (by calling twice),
            "numerical" (in the user's own numerical gradient).
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

    def variants_of(self, cell: str) -> tuple[str, ...]:
        """The ways in which code for this cell can make it."""
        if cell not in self.cells:
            return ()
        return tuple(name for name, cells in self.variants.items() if cell in cells)


def each(*names: str, cells: tuple[str, ...] = ALL) -> dict[str, tuple[str, ...]]:
    """Variants that the same cells have."""
    return dict.fromkeys(names, cells)


def truncations() -> Iterator[str]:
    """The ways of truncating within a window, and how far."""
    for kind in ("depth", "chunks", "ends", "last"):
        for k in range(1, 26):
            # In chunks of one step nothing is carried at all; 25 steps back is all of 26.
            if (k > 1 or kind in ("depth", "last")) and (kind, k) != ("depth", 25):
                yield f"{kind} {k}"


def orders(gates: str, first: tuple[str, ...]) -> list[str]:
    """All orders of the gates but charloom's own, the usual ones first."""
    every = ("".join(order) for order in permutations(gates))
    return [*first, *(order for order in every if order != gates and order not in first)]


CELLS_SECTION: Final = "The cells"
NETWORK_SECTION: Final = "The network"
CLIPPING_SECTION: Final = "Optimizers and clipping"
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
GRADIENT_ONLY: Final = "clipping comes after it and is never part of it"

MISTAKES: Final = (
    Mistake(
        "initial-state-dropped",
        "the initial state is taken as zero in the gradient of W",
        "dW = Σ_{t≥2} da_t h_{t-1}ᵀ: the term da_1 h_0ᵀ is missing",
        DW,
        CELLS_SECTION,
        "at the first step use the h_0 that the function was given, not zeros and not nothing.",
    ),
    Mistake(
        "index-wraps",
        "at the first step the index -1 wraps round to the last state",
        "dW = da_1 h_Tᵀ + Σ_{t≥2} da_t h_{t-1}ᵀ: h[-1] is the last state, h_T",
        DW,
        CELLS_SECTION,
        "store the states with h_0 in front, so that h[t] is the one before step t.",
    ),
    Mistake(
        "time-carry-missing",
        "no gradient comes from step t+1",
        "dh_t = Vᵀ do_t, without what step t+1 sends back",
        DH,
        NETWORK_SECTION,
        "add what the step after sends back (dh_{t-1} in the equations) to dh_t before the derivative, "
        "from t = T down to 1; in PyTorch, do not detach the state within the window.",
        variants={"": ALL, "h": LSTM, "cell": LSTM, "gates": GRU, "direct": GRU},
    ),
    Mistake(
        "time-carry-reversed",
        "the gradient comes from step t-1 instead of t+1",
        "dh_t = Vᵀ do_t + Wᵀ da_{t-1}: the loop runs forwards, or reads da_{t-1} before it is there",
        DH,
        NETWORK_SECTION,
        "run the loop backwards, for t in reversed(range(T)), and take da_{t+1}.",
        variants=each("", "read too early"),
    ),
    Mistake(
        "tanh-derivative",
        "the derivative of tanh is a wrong expression",
        "da_t = dh_t ∘ (something else than 1 - h_t²)",
        "The derivative of tanh is `1 - tanh²`",
        CELLS_SECTION,
        "multiply by 1 - h_t², where h_t = tanh(a_t) is what the forward pass kept.",
        variants={
            **each("1 - a²", "1 - tanh(a²)", cells=RNN),
            **each("1 - h", "1 - tanh(h)²", "h (1 - h)"),
            **each("1 + h²", "h² - 1", "(1 - h)²"),
            **each("1 - h_{t-1}²", "1 where a > 0, else 0", cells=RNN),
        },
    ),
    Mistake(
        "tanh-derivative-missing",
        "the derivative of tanh is missing",
        "da_t = dh_t",
        DA,
        CELLS_SECTION,
        "multiply dh_t by 1 - h_t² before anything is made of it.",
        variants={"": ALL, "candidate": ("lstm", "gru"), "state": LSTM},
    ),
    Mistake(
        "recurrent-gradient-from-current-state",
        "dW is built from h_t instead of h_{t-1}",
        "dW = Σ_t da_t h_tᵀ",
        DW,
        CELLS_SECTION,
        "use the state before the step, h_{t-1}; at the first step that is h_0.",
    ),
    Mistake(
        "recurrent-gradient-from-last-state",
        "dW is built from the last state at every step",
        "dW = Σ_t da_t h_Tᵀ",
        DW,
        CELLS_SECTION,
        "keep the state before each step; a variable that the forward pass left behind holds the last.",
    ),
    Mistake(
        "output-gradient-from-previous-state",
        "dV is built from h_{t-1} instead of h_t",
        "dV = Σ_t do_t h_{t-1}ᵀ",
        DV,
        NETWORK_SECTION,
        "use the state after the step, h_t: it is what the logits were made of.",
    ),
    Mistake(
        "hidden-bias-not-summed",
        "db is not summed over time",
        "db = da_t of one step alone, or a matrix with a column for each step",
        DB,
        CELLS_SECTION,
        "sum da_t over all steps (+=, or .sum over the axis of time).",
        variants=each("first", "last", "apart"),
    ),
    Mistake(
        "output-bias-not-summed",
        "dc is not summed over time",
        "dc = do_t of one step alone, or a matrix with a column for each step",
        DC,
        NETWORK_SECTION,
        "sum do_t over all steps (+=, or .sum over the axis of time).",
        variants=each("first", "last", "apart"),
    ),
    Mistake(
        "recurrent-gradient-not-summed",
        "dW is that of one step alone",
        "dW = da_t h_{t-1}ᵀ of one step",
        DW,
        CELLS_SECTION,
        "add up over the steps: dW += …, not dW = ….",
        variants=each("first", "last"),
    ),
    Mistake(
        "input-gradient-not-summed",
        "dU is that of one step alone",
        "dU = da_t x_tᵀ of one step",
        DU,
        CELLS_SECTION,
        "add up over the steps: dU += …, not dU = ….",
        variants=each("first", "last"),
    ),
    Mistake(
        "output-gradient-not-summed",
        "dV is that of one step alone",
        "dV = do_t h_tᵀ of one step",
        DV,
        NETWORK_SECTION,
        "add up over the steps: dV += …, not dV = ….",
        variants=each("first", "last"),
    ),
    Mistake(
        "input-gradient-repeats-lost",
        "a character that is read twice counts once in dU",
        "dU[:, k] = da_t of one of the steps that read k",
        DU,
        CELLS_SECTION,
        "add in a loop, or by np.add.at(dU.T, x, da): dU[:, x] += da adds only once where x repeats.",
        variants=each("last", "first"),
    ),
    Mistake(
        "input-gradient-from-target",
        "dU is built from the targets instead of the inputs",
        "dU = Σ_t da_t onehot(y_t)ᵀ",
        DU,
        CELLS_SECTION,
        "use the character that the step read, x_t, not the one that it should predict.",
    ),
    Mistake(
        "input-gradient-transposed",
        "dU is transposed",
        "dU = Σ_t x_t da_tᵀ",
        DU,
        CELLS_SECTION,
        "exchange the two factors: rows are hidden units, columns characters.",
    ),
    Mistake(
        "recurrent-gradient-transposed",
        "dW is transposed",
        "dW = Σ_t h_{t-1} da_tᵀ",
        DW,
        CELLS_SECTION,
        "exchange the two factors: da_t is the column, h_{t-1} the row.",
        cells=ALL,
    ),
    Mistake(
        "output-gradient-transposed",
        "dV is transposed",
        "dV = Σ_t h_t do_tᵀ",
        DV,
        NETWORK_SECTION,
        "exchange the two factors: rows are characters, columns hidden units.",
    ),
    Mistake(
        "carry-not-transposed",
        "the gradient goes back through W instead of Wᵀ",
        "dh_{t-1} = W da_t",
        CARRY,
        CELLS_SECTION,
        "transpose W on the way back.",
        cells=RNN,
    ),
    Mistake(
        "carry-without-derivative",
        "what goes back to step t-1 lacks the derivative of tanh",
        "dh_{t-1} = Wᵀ dh_t",
        CARRY,
        CELLS_SECTION,
        "send back Wᵀ da_t, where da_t = dh_t ∘ (1 - h_t²).",
        cells=RNN,
    ),
    Mistake(
        "carry-after-derivative",
        "what comes from step t+1 is added after the derivative of tanh",
        "da_t = (Vᵀ do_t) ∘ (1 - h_t²) + Wᵀ da_{t+1}",
        DA,
        CELLS_SECTION,
        "add first, then multiply the sum by 1 - h_t².",
        cells=RNN,
    ),
    Mistake(
        "softmax-target-missing",
        "the softmax gradient lacks the target",
        "do_t = p_t",
        DO,
        NETWORK_SECTION,
        "subtract 1 at the target: do_t[y_t] -= 1.",
    ),
    Mistake(
        "target-off-by-one",
        "the target is that of another step",
        "do_t = p_t - onehot(another character than y_t)",
        DO,
        NETWORK_SECTION,
        "at step t subtract 1 at y_t, the character that this step predicts.",
        variants=each(
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
    ),
    Mistake(
        "softmax-gradient",
        "the gradient of softmax and logarithm is a wrong expression",
        "do_t = (something else than p_t - onehot(y_t))",
        DO,
        NETWORK_SECTION,
        "use p_t - onehot(y_t): it is the whole derivative of -ln softmax(o_t)[y_t].",
        variants=each("only the target's entry", "p (1 - p)", "2 (p - y)", "divided by K"),
    ),
    Mistake(
        "softmax-twice",
        "softmax is taken twice",
        "loss = Σ_t -ln softmax(softmax(o_t))[y_t]",
        LOSS,
        NETWORK_SECTION,
        "give logits to a loss that takes the softmax itself (in PyTorch, cross_entropy).",
    ),
    Mistake(
        "gradient-negated",
        "the gradient has the wrong sign",
        "do_t = onehot(y_t) - p_t, and all that follows",
        DO,
        NETWORK_SECTION,
        "use p_t - onehot(y_t): the gradient points to where the loss grows.",
    ),
    Mistake(
        "softmax-axis",
        "softmax divides by a sum over the wrong axis",
        "p_t[k] = exp(o_t[k]) / (a sum over other entries than those of step t)",
        "p_t = softmax(o_t) = exp(o_t) / Σ_k exp(o_t[k])",
        NETWORK_SECTION,
        "sum over the characters of each step: of a (K, T) array axis 0, of a (T, K) array axis 1.",
        variants=each(
            "all",
            "time",
            "all, each step shifted by its maximum",
            "time, each step shifted by its maximum",
        ),
    ),
    Mistake(
        "mean-over-time",
        "there is a mean over time where a sum is wanted",
        "loss = (1/T) Σ_t -ln p_t[y_t], or gradients divided by T",
        LOSS,
        NETWORK_SECTION,
        f"do not divide by T; or, if your loss is meant to be the mean, say {argument('reduction', 'mean')}.",
        variants=each("both", "gradient", "loss"),
    ),
    Mistake(
        "sum-over-time",
        "there is a sum over time where a mean is wanted",
        "loss = Σ_t -ln p_t[y_t], or gradients not divided by T",
        LOSS,
        NETWORK_SECTION,
        f"divide loss and gradients by T; or, if your loss is meant to be the sum, leave "
        f"{argument('reduction')} out.",
        variants=each("both", "gradient", "loss"),
    ),
    Mistake(
        "logarithm-base",
        "the loss is in a logarithm of another base",
        "loss = Σ_t -log_2 p_t[y_t], or log_10",
        LOSS,
        NETWORK_SECTION,
        "use the natural logarithm: its derivative is 1/p without a factor.",
        variants=each("2", "10", "2 both", "10 both"),
    ),
    Mistake(
        "epsilon-in-log",
        "the logarithm of the loss is taken of p + ε, not of p",
        "loss = Σ_t -ln(p_t[y_t] + ε), or of max(p_t[y_t], ε)",
        LOSS,
        NETWORK_SECTION,
        "take the logarithm without ε, from the logits: ln p[y] = o[y] - max(o) - ln Σ exp(o - max(o)), "
        "which is never ln 0.",
        variants=each(
            *(
                f"ε = 1e-{n}{more}"
                for more in ("", ", gradient too", ", maximum")
                for n in (8, 10, 12, 5, 6, 7, 9, 15, 4, 3)
            )
        ),
    ),
    Mistake(
        "clipped",
        "the gradient is clipped inside the function",
        "g = clip(g, -c, c) before it is returned",
        GRADIENT_ONLY,
        NETWORK_SECTION,
        "return the exact gradient, and clip where the parameters are updated.",
        variants=each(
            *(
                f"{kind} {c}"
                for c in (5, 1, 10, 0.5, 2, 3)
                for kind in ("entries", "steps", "norm", "norms")
            )
        ),
    ),
    Mistake(
        "truncated",
        "backpropagation through time is truncated within the window",
        "dh_t lacks what comes from losses further than some steps ahead",
        DH,
        NETWORK_SECTION,
        "go back through all T steps; only h_0 is a constant.",
        variants=each(*truncations()),
    ),
    Mistake(
        "last-step-only",
        "only the last step has a loss",
        "loss = -ln p_T[y_T]",
        LOSS,
        NETWORK_SECTION,
        "add up the losses of all T steps.",
    ),
    Mistake(
        "initial-state-ignored",
        "the initial state is not used: the window starts from zero",
        "a_1 = U x_1 + b",
        FORWARD,
        CELLS_SECTION,
        "start from the state that the function is given.",
        variants={"": ALL, "h": LSTM, "cell": LSTM},
    ),
    Mistake(
        "state-not-carried",
        "every step starts from h_0: the state is not carried from step to step",
        "a_t = W h_0 + U x_t + b for every t",
        FORWARD,
        CELLS_SECTION,
        "give each step the state of the step before; in PyTorch, look at batch_first: the steps may "
        "have been taken for a batch.",
    ),
    Mistake(
        "activation-differs",
        "the hidden units have another activation than tanh",
        "h_t = σ(a_t), max(a_t, 0) or a_t",
        "h_t = tanh(a_t)",
        CELLS_SECTION,
        "use tanh, forward and backward.",
        cells=RNN,
        variants=each("sigmoid", "relu", "identity"),
    ),
    Mistake(
        "hidden-bias-left-out",
        "the hidden bias b is not used",
        "a_t = W h_{t-1} + U x_t",
        FORWARD,
        CELLS_SECTION,
        "add b at every step.",
        variants={**each("", "forward alone"), "d too": GRU},
    ),
    Mistake(
        "hidden-bias-twice",
        "the hidden bias b is added twice",
        "a_t = W h_{t-1} + U x_t + b + b",
        FORWARD,
        CELLS_SECTION,
        "add b once: with W h or with U x, not with both.",
        variants=each("forward alone", "gradient too"),
    ),
    Mistake(
        "output-bias-left-out",
        "the output bias c is not used",
        "o_t = V h_t",
        "o_t  = V h_t + c",
        NETWORK_SECTION,
        "add c at every step.",
        variants=each("", "forward alone"),
    ),
    Mistake(
        "gate-order",
        "the gates stand in another order",
        "the blocks of U, W and b are read as other gates",
        "The G blocks of H rows",
        CELLS_SECTION,
        "take the blocks as i, f, g, o (LSTM) or r, z, n (GRU).",
        cells=("lstm", "gru"),
        variants={
            **each(*orders("ifgo", ("ifog", "figo", "iofg", "fiog", "fogi", "ogfi")), cells=LSTM),
            **each(*orders("rzn", ("zrn",)), cells=GRU),
        },
    ),
    Mistake(
        "forget-bias-twice",
        "the bias of the forget gate counts twice",
        "f_t = σ(W_f h_{t-1} + U_f x_t + b_f + 1), although b_f holds it",
        "f_t = σ(W_f h_{t-1} + U_f x_t + b_f)",
        CELLS_SECTION,
        "add nothing to the forget gate: its first bias is already in b.",
        cells=LSTM,
        variants=each("1 added", "b_f twice", "b_f twice, gradient too", cells=LSTM),
    ),
    Mistake(
        "initial-cell-dropped",
        "the initial cell is taken as zero in the gradient of the forget gate",
        "da_f = 0 at the first step",
        "da_f = ds ∘ s_{t-1} ∘ f_t ∘ (1 - f_t)",
        CELLS_SECTION,
        "at the first step use the cell s_0 that the function was given.",
        cells=LSTM,
    ),
    Mistake(
        "forget-gate-not-carried",
        "the gradient of the cell goes back without the forget gate",
        "ds_{t-1} = ds",
        "ds_{t-1} = ds ∘ f_t",
        CELLS_SECTION,
        "multiply by f_t on the way to step t-1.",
        cells=LSTM,
    ),
    Mistake(
        "cell-tanh-missing",
        "the output lacks the tanh of the cell",
        "h_t = o_t ∘ s_t",
        "h_t = o_t ∘ tanh(s_t)",
        CELLS_SECTION,
        "take the tanh of the cell, forward and backward.",
        cells=LSTM,
    ),
    Mistake(
        "reset-before-product",
        "the reset gate acts elsewhere",
        "n_t = tanh(U_n x_t + b_n + W_n (r_t ∘ h_{t-1}) + d), or r_t leaves out d",
        "n_t = tanh(U_n x_t + b_n + r_t ∘ q_t)",
        CELLS_SECTION,
        "multiply r_t with W_n h_{t-1} + d, after the product and with the bias in it.",
        cells=GRU,
        variants=each("product", "bias", cells=GRU),
    ),
    Mistake(
        "update-gate-reversed",
        "the update gate works the other way round",
        "h_t = z_t ∘ n_t + (1 - z_t) ∘ h_{t-1}",
        "h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}",
        CELLS_SECTION,
        "let z_t keep the old state and 1 - z_t take the new one.",
        cells=GRU,
    ),
    Mistake(
        "reset-gate-not-in-gradient",
        "the gradient goes past the reset gate",
        "dq = da_n",
        "dq       = da_n ∘ r_t",
        CELLS_SECTION,
        "multiply da_n by r_t before it goes to W_n, d and h_{t-1}.",
        cells=GRU,
    ),
    Mistake(
        "sigmoid-derivative",
        "the derivative of σ in the gates is a wrong expression",
        "da of a gate = … ∘ (something else than σ (1 - σ))",
        "that of σ is `σ (1 - σ)`",
        CELLS_SECTION,
        "multiply by σ (1 - σ), where σ is the gate's own value.",
        cells=("lstm", "gru"),
        variants=each("1", "1 - σ²", "σ", "1 - σ", cells=("lstm", "gru")),
    ),
    Mistake(
        "weight-decay-added",
        "weight decay (L2) is part of the gradient",
        "dθ = the gradient of the loss + λ θ",
        LOSS,
        NETWORK_SECTION,
        "return the gradient of the loss alone, and let weights decay where they are updated.",
        variants={},
    ),
    Mistake(
        "gradient-scaled",
        "a gradient is a constant times the right one",
        "dθ = k dθ, with the same k in every trial",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "look for the factor where this gradient alone is summed or returned.",
        variants={},
    ),
    Mistake(
        "not-a-number",
        "there are numbers that are not finite",
        "exp of a large number is infinite, and ∞/∞ and 0 · ln 0 are no numbers (NaN)",
        "p_t = softmax(o_t) = exp(o_t) / Σ_k exp(o_t[k])",
        NETWORK_SECTION,
        "subtract the largest logit before exp, and take no logarithm of 0; look for a division by 0.",
        kind="calls",
    ),
    Mistake(
        "gradients-carried-over",
        "gradients of earlier calls are still in the sums",
        "dθ (second call) = dθ (first call) + dθ (second call)",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "start every call from gradients that are zero (new arrays; in PyTorch, zero_grad).",
        kind="calls",
    ),
    Mistake(
        "state-carried-over",
        "the function goes on from the state of its last call, not from the one it is given",
        "h_0 (second call) = h_T (first call)",
        "The initial states are constants",
        NETWORK_SECTION,
        "start from the h_0 of the arguments; whoever calls decides what is carried on.",
        kind="calls",
    ),
    Mistake(
        "initial-state-changed",
        "the function changes the h_0 that it is given",
        "h_0 ← something else, in the caller's array",
        "The initial states are constants",
        NETWORK_SECTION,
        "work on a copy: h = h0.copy(), and never h += … or h[:] = … on the argument.",
        kind="calls",
    ),
    Mistake(
        "parameters-changed",
        "the function changes the parameters that it is given",
        "θ ← something else, in the caller's arrays",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "compute loss and gradients only; update the parameters outside.",
        kind="calls",
    ),
    Mistake(
        "inputs-changed",
        "the function changes the x or y that it is given",
        "x or y ← something else, in the caller's arrays",
        "For a window with inputs x_1 … x_T, targets y_1 … y_T",
        NETWORK_SECTION,
        "work on copies of x and y.",
        kind="calls",
    ),
    Mistake(
        "loss-after-update",
        "the loss is that of the parameters after an update",
        "loss = L(θ - η g) instead of L(θ)",
        LOSS,
        NETWORK_SECTION,
        "compute loss and gradient of the same parameters, then update.",
        kind="calls",
    ),
    Mistake(
        "answers-differ",
        "two calls with the same arguments give different answers",
        "dθ (second call) ≠ dθ (first call)",
        "This is the\nexact gradient of the window's loss",
        NETWORK_SECTION,
        "let the answer depend on the arguments alone: no dropout, no random numbers, no globals.",
        kind="calls",
    ),
    Mistake(
        "float32-where-float64",
        "the numbers have only the seven digits of float32",
        "dθ (1 + 10⁻⁷ · noise)",
        "float64     1e-12",
        CHECK_SECTION,
        f"make every array float64 (dtype=np.float64); or, if float32 is meant, say "
        f"{argument('dtype', 'float32')}.",
        kind="calls",
    ),
    Mistake(
        "numerical-step-large",
        "the step of the numerical gradient is too large",
        "(f(θ + s) - f(θ - s)) / 2s = f' + s²/6 f''' + …",
        "their error\nfalls with s² until rounding",
        CHECK_SECTION,
        "take a step of about 1e-5 in float64; the table of docs/gradient-checking.md shows the V.",
        kind="numerical",
    ),
    Mistake(
        "numerical-step-small",
        "the step of the numerical gradient is too small",
        "the rounding of f, about 1e-16 of it, is divided by 2s",
        "until rounding, which grows with 1/s, takes over",
        CHECK_SECTION,
        "take a step of about 1e-5 in float64, and compute the loss in float64.",
        kind="numerical",
    ),
    Mistake(
        "numerical-forward-difference",
        "the numerical gradient is a forward difference",
        "(f(θ + s) - f(θ)) / s = f' + s/2 f'' + …",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "perturb to both sides and divide by 2s: the error falls with s² instead of s.",
        kind="numerical",
    ),
    Mistake(
        "numerical-not-halved",
        "the numerical gradient is divided by s instead of 2s",
        "(f(θ + s) - f(θ - s)) / s = 2 f'",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "divide by 2s: that is how far apart the two points are.",
        kind="numerical",
    ),
    Mistake(
        "numerical-state-differs",
        "the two sides of the numerical gradient start from different states",
        "(f(θ + s; h_0) - f(θ - s; h_T)) / 2s",
        "from the same h_0 as the analytic gradient",
        CHECK_SECTION,
        "give both evaluations the same h_0.",
        kind="numerical",
    ),
    Mistake(
        "numerical-copy-unused",
        "the numerical gradient perturbs a copy that is never used",
        "(f(θ) - f(θ)) / 2s = 0",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "evaluate the loss of the parameters that were perturbed.",
        kind="numerical",
    ),
    Mistake(
        "numerical-unexplained",
        "the numerical gradient is not the derivative of the loss",
        "(f(θ + s) - f(θ - s)) / 2s ≠ f'",
        "(f(θ + s) - f(θ - s)) / 2s",
        CHECK_SECTION,
        "restore each entry after it was perturbed, and evaluate the same loss on both sides.",
        kind="numerical",
    ),
)

BY_ID: Final = {mistake.id: mistake for mistake in MISTAKES}
RANK: Final = {mistake.id: rank for rank, mistake in enumerate(MISTAKES)}
