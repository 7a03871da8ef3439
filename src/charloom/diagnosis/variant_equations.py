"""Holds the texts of the variants of mistakes whose title or equation depends on the variant.

The derivative of tanh in the candidate of an LSTM, for example, is 1 - g_t², not 1 - h_t². This module
computes nothing. `related_texts.py` has the texts for networks that differ from the specification.
"""

import re
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from charloom.diagnosis.known_mistakes.equations import DB, DC, DH, DU, DV, DW, FORWARD
from charloom.diagnosis.limited_variants import without_limit
from charloom.diagnosis.related_texts import (
    BIAS,
    COUPLED,
    NO_TANH,
    OTHER_FUNCTION,
    PEEPHOLES,
    PRODUCT,
    REVERSED,
    THROUGH,
    Texts,
)
from charloom.diagnosis.wrong_formulas import mirrored
from charloom.formatting import listing

GATES: Final = {
    "i": "the input gate i", "f": "the forget gate f", "g": "the candidate g", "o": "the output gate o",
    "r": "the reset gate r", "z": "the update gate z", "n": "the candidate n",
}  # fmt: skip
# What the derivative of each gate is multiplied by, in the network of the specification.
BEFORE_SLOPE: Final = {
    "i": "ds ∘ g_t", "f": "ds ∘ s_{t-1}", "g": "ds ∘ i_t", "o": "dh_t ∘ tanh(s_t)",
    "r": "da_n ∘ q_t", "z": "dh_t ∘ (h_{t-1} - n_t)", "n": "dh_t ∘ (1 - z_t)",
}  # fmt: skip
CANDIDATES: Final = {"lstm": "g", "gru": "n"}
# The places of tanh that a variant without a place stands for.
PLACES: Final = {"lstm": ("candidate", "state"), "gru": ("candidate",)}
# The differences with which a product in the backward pass has other factors.
OTHER_EQUATIONS: Final = frozenset(
    (PRODUCT, BIAS, REVERSED, COUPLED, NO_TANH, PEEPHOLES, OTHER_FUNCTION)
)
SKIPPED: Final = {
    "first": "the first step",
    "last": "the last step",
    "second-last": "the last step but one",
}
# What each gradient is the sum of, and the equation of the specification.
SUMS: Final = {
    "dU": ("da_t x_tᵀ", DU),
    "dW": ("da_t h_{t-1}ᵀ", DW),
    "db": ("da_t", DB),
    "dV": ("do_t h_tᵀ", DV),
    "dc": ("do_t", DC),
}


class Network(NamedTuple):
    """The network in which a variant was found.

    Attributes:
        cell: rnn, lstm or gru; "" if it is not known.
        differences: the differences of the network from the specification.
    """

    cell: str
    differences: Collection[str]

    @property
    def has_other_equations(self) -> bool:
        """Whether the equations of the backward pass may be others than those of the specification."""
        return not OTHER_EQUATIONS.isdisjoint(self.differences)

    def of_gate(self, gate: str, slope: str) -> str:
        """Return the equation of a gate's gradient with the derivative `slope`; "1" is no derivative."""
        return product(f"da_{gate}", "…" if self.has_other_equations else BEFORE_SLOPE[gate], slope)

    def of_cell(self, slope: str) -> str:
        """Return the equation of an LSTM's ds with the derivative `slope` of tanh."""
        before = "ds_t + …" if self.has_other_equations else "ds_t + dh_t ∘ o_t"
        return product("ds", before, slope)


def texts_of_variant(
    mistake: str, variant: str, cell: str, differences: Collection[str] = ()
) -> Texts:
    """Return the texts of a variant of the mistake with the id `mistake`; "" where the usual text is true.

    Args:
        mistake: the id of the mistake.
        variant: the variant. The steps to which it is limited change no text.
        cell: rnn, lstm or gru; "" if it is not known.
        differences: the differences of the network from the specification.
    """
    write = WRITERS.get(mistake)
    usual, _ = without_limit(variant)
    if write is None or (not usual and mistake in ALWAYS_A_VARIANT):
        return Texts()
    return write(usual, Network(cell, differences))


def product(left: str, before: str, slope: str) -> str:
    """Return an equation whose right side is the product of `before` and a derivative; "1" is left out."""
    if slope == "1":
        return f"{left} = {before}, without the derivative"
    outside = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", slope))
    is_sum = re.search(r" [-+] | else ", outside)
    return f"{left} = {before} ∘ {f'({slope})' if is_sum else slope}"


def of_sigmoid(variant: str, network: Network) -> Texts:
    """Return the texts of a wrong derivative of σ, in one gate or in all."""
    formula, _, gate = variant.partition(", ")
    title = f"the {'derivative' if formula == '1' else 'formula for the derivative'} of σ is "
    title += "missing" if formula == "1" else "wrong"
    if not gate:
        return Texts(f"{title} in the gates", product("da of each gate", "…", formula))
    right = f"{gate}_t ∘ (1 - {gate}_t)"
    return Texts(
        title=f"{title} in {GATES[gate]}",
        does=network.of_gate(gate, re.sub(r"σ(?!\()", f"{gate}_t", formula)),
        right=network.of_gate(gate, right),
        fix=f"multiply by {right}, where {gate}_t is the value of the gate.",
    )


def of_tanh(variant: str, network: Network) -> Texts:
    """Return the texts of a wrong derivative of tanh; in a gated cell, it is in one place or in all."""
    formula, _, place = variant.rpartition(", ")
    if place not in ("candidate", "state"):
        formula, place = variant, ""
    places = (place,) if place else PLACES.get(network.cell, ())
    if OTHER_FUNCTION in network.differences or not formula:
        return Texts()
    if not places:
        return Texts(does=product("da_t", "dh_t", with_value(formula, "h_t")))
    return at_places("the formula for the derivative of tanh is wrong", formula, places, network)


def of_missing_tanh(variant: str, network: Network) -> Texts:
    """Return the texts of a missing derivative of tanh in a gated cell."""
    places = (variant,) if variant else PLACES.get(network.cell, ())
    if OTHER_FUNCTION in network.differences or not places:
        return Texts()
    return at_places("the derivative of tanh is missing", "1", places, network)


def at_places(title: str, formula: str, places: Collection[str], network: Network) -> Texts:
    """Return the texts of a wrong derivative of tanh in the candidate, in the gradient of the cell, or in both."""
    where, does, right, fix = [], [], [], []
    if "candidate" in places:
        gate = CANDIDATES[network.cell or "lstm"]
        where.append(GATES[gate])
        does.append(network.of_gate(gate, with_value(formula, f"{gate}_t")))
        right.append(network.of_gate(gate, f"1 - {gate}_t²"))
        fix.append(f"1 - {gate}_t² in the candidate, where {gate}_t = tanh(a_{gate})")
    if "state" in places:
        where.append("the gradient of the cell")
        does.append(network.of_cell(with_value(formula, "tanh(s_t)")))
        right.append(network.of_cell("1 - tanh(s_t)²"))
        fix.append("1 - tanh(s_t)² in ds, because h_t = o_t ∘ tanh(s_t)")
    return Texts(
        f"{title} in {listing(where)}", "; ".join(does), "; ".join(right), f"multiply by {', and by '.join(fix)}."
    )  # fmt: skip


def with_value(formula: str, value: str) -> str:
    """Return a formula for the derivative of tanh with the name of its value in place of h, and a_t for a."""
    formula = re.sub(r"(?<![a-z])h(?![_a-z])", value, formula)
    return re.sub(r"(?<![a-z])a(?![_a-z])", "a_t", formula)


def of_initial_state(variant: str, _network: Network) -> Texts:
    """Return the texts of an LSTM that starts only its hidden state, or only its cell, from zeros."""
    if variant == "cell":
        return Texts(
            "the initial cell is ignored: the cell starts from zeros",
            "s_0 = 0, but h_0 is used",
            "s_t = f_t ∘ s_{t-1} + i_t ∘ g_t, with the given s_0",
            "start the window from the given cell s_0 too.",
        )
    if variant == "h":
        return Texts(
            "the initial hidden state is ignored: it starts from zeros",
            "h_0 = 0, but the given cell s_0 is used",
            FORWARD,
            "start the window from the given h_0 too.",
        )
    return Texts()


def of_time_carry(variant: str, network: Network) -> Texts:
    """Return the texts of a backward pass that drops a part of what a step passes back."""
    made = {
        "cell": Texts(
            "no gradient of the cell flows back from step t+1 to step t",
            "ds = dh_t ∘ o_t ∘ (1 - tanh(s_t)²), without ds_t, which comes from step t+1",
            network.of_cell("1 - tanh(s_t)²"),
            "pass the gradient of the cell, ds ∘ f_t, to step t-1, and add it to ds there.",
        ),
        "h": Texts(
            "no gradient of the hidden state flows back from step t+1 to step t",
            "dh_t = Vᵀ do_t, without Wᵀ da_{t+1}",
            DH,
            "pass Wᵀ da_t to step t-1, and add it to dh there.",
        ),
        "gates": Texts(
            "no gradient flows back through W and the gates from step t+1 to step t",
            "dh_{t-1} = dh_t ∘ z_t, without what goes back through W",
            "dh_{t-1} = dh_t ∘ z_t + (what goes back through W)",
            "add what goes back through W_r, W_z and W_n to dh_t ∘ z_t.",
        ),
        "direct": Texts(
            "the direct gradient of h_{t-1} does not flow back from step t+1 to step t",
            "dh_{t-1} = (what goes back through W), without dh_t ∘ z_t",
            "dh_{t-1} = dh_t ∘ z_t + (what goes back through W)",
            "add dh_t ∘ z_t to what goes back through W_r, W_z and W_n.",
        ),
    }.get(variant, Texts())
    if variant == "cell" and network.has_other_equations:
        made = made._replace(does="ds without ds_t, which comes from step t+1")
    return Texts(*map(mirrored, made)) if REVERSED in network.differences else made


def of_accumulated(variant: str, _network: Network) -> Texts:
    """Return the texts of an LSTM that adds up what it passes back of the cell, or of the hidden state."""
    of = {"h": "of the hidden state", "cell": "of the cell"}.get(variant)
    if of is None:
        return Texts()
    title = (
        f"the gradient {of} that a step passes back also contains what it received from step t+1"
    )
    if variant == "h":
        return Texts(title)
    return Texts(
        title,
        "ds_{t-1} = ds_next + ds ∘ f_t, where ds already contains ds_next",
        "ds_{t-1} = ds ∘ f_t",
        "replace the gradient of the cell at every step: ds_next = ds * f, not ds_next += ….",
    )


def of_missing_gates(variant: str, network: Network) -> Texts:
    """Return the texts of a gradient of h_{t-1} that lacks some gates."""
    parts = {gate: f"W_{gate}ᵀ da_{gate}" for gate in "ifgorz"}
    parts["n"] = THROUGH if PRODUCT in network.differences else "W_nᵀ (da_n ∘ r_t)"
    missing = listing([parts[gate] for gate in variant])
    gates = listing([GATES[gate] for gate in variant])
    return Texts(
        f"the gradient that goes back to step t-1 lacks {gates}",
        f"dh_{{t-1}} = …, without {missing}",
        fix=f"add {missing} to the gradient that goes back to step t-1.",
    )


def of_carry_without_derivative(variant: str, _network: Network) -> Texts:
    """Return the texts of a gradient of h_{t-1} that lacks the derivative of one gate."""
    if variant not in GATES:  # all gates, or several
        return Texts()
    function, slope = (
        ("tanh", f"(1 - {variant}_t²)")
        if variant in CANDIDATES.values()
        else ("σ", f"{variant}_t ∘ (1 - {variant}_t)")
    )
    return Texts(
        f"the gradient that goes back to step t-1 lacks the derivative of {function} in {GATES[variant]}",
        f"dh_{{t-1}} = … + W_{variant}ᵀ (da_{variant} without {slope})",
        fix=f"multiply by {slope} first, then by W_{variant}ᵀ.",
    )


def of_sum_before_derivative(variant: str, _network: Network) -> Texts:
    """Return the title of a sum of one gate before the derivative, with the gate."""
    names, _, gate = variant.partition(" of ")
    if not gate:
        return Texts()
    function = "tanh" if gate in CANDIDATES.values() else "σ"
    return Texts(
        f"the sum for {names} of {GATES[gate]} uses the gradient before the derivative of {function}"
    )


def of_other_gate(variant: str, _network: Network) -> Texts:
    """Return the title of a gate's gradient that is summed from that of another gate, with both gates."""
    names, _, gates = variant.partition(" of ")
    gate, _, other = gates.partition(" from ")
    verb = "are" if " and " in names else "is"
    return Texts(
        f"{names} of {GATES[gate]} {verb} summed from the gradient of {GATES[other]}"
        if other
        else ""
    )


def of_unsummed_gate(variant: str, _network: Network) -> Texts:
    """Return the title of a gate's gradient that is not summed over time, with the gate."""
    names, _, rest = variant.partition(" of ")
    gate, _, how = rest.partition(", ")
    verb = "are" if " and " in names else "is"
    what = "zero" if how == "zero" else "not summed over time"
    return Texts(f"{names} of {GATES[gate]} {verb} {what}" if gate in GATES else "")


def of_average(variant: str, _network: Network) -> Texts:
    """Return the texts of gradients that are divided by the number of steps."""
    names = variant.split(", ")
    kind = (
        "are means over the steps, not sums"
        if len(names) > 1
        else "is the mean over the steps, not the sum"
    )
    return Texts(
        f"{listing(names)} {kind}",
        "; ".join(f"{name} = (1/T) Σ_t {SUMS[name][0]}" for name in names),
        "; ".join(SUMS[name][1] for name in names),
    )  # fmt: skip


def of_skipped_step(variant: str, _network: Network) -> Texts:
    """Return the title of a loop that leaves out a step, with the step."""
    return Texts(f"the loop of the backward pass leaves out {SKIPPED[variant.partition(' ')[0]]}")


def of_clipping(_variant: str, _network: Network) -> Texts:
    """Return what is right instead of gradients that the function itself clips."""
    return Texts(
        right="g = the exact gradient of the window's loss, which is clipped after it is returned"
    )


ALWAYS_A_VARIANT: Final = ("gate-not-carried", "gradient-averaged", "step-left-out")
WRITERS: Final[dict[str, Callable[[str, Network], Texts]]] = {
    "sigmoid-derivative": of_sigmoid,
    "tanh-derivative": of_tanh,
    "tanh-derivative-missing": of_missing_tanh,
    "initial-state-ignored": of_initial_state,
    "time-carry-missing": of_time_carry,
    "carry-accumulated": of_accumulated,
    "gate-not-carried": of_missing_gates,
    "carry-without-derivative": of_carry_without_derivative,
    "sum-before-derivative": of_sum_before_derivative,
    "sum-of-other-gate": of_other_gate,
    "gate-gradient-not-summed": of_unsummed_gate,
    "gradient-averaged": of_average,
    "clipped": of_clipping,
    "step-left-out": of_skipped_step,
}
