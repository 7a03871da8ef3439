"""Lists the wrong equations that code may have for one quantity of the backward step of an LSTM or a GRU.

Each equation is the right one of spec/mathematics.md (The cells) with one factor left out or replaced by
another quantity that the code has at hand. The equation as text is the variant of a known mistake; its id
says which quantity is wrong. `formula_values.py` computes what an equation says.
"""

from collections.abc import Iterator, Mapping
from typing import Final

SLOPE_S: Final = "(1 - tanh(s_t)²)"
FROM_DH: Final = f"dh_t ∘ o_t ∘ {SLOPE_S}"
CARRY_AFTER: Final = " + Wᵀ (da_r, da_z, dq)"  # what follows the direct part of a GRU's carry
FORGET_OF_EARLIER: Final = "ds_{t-1} = ds ∘ f_{t-1}"


def slope(gate: str) -> str:
    """Return the derivative of σ of a gate as text."""
    return f"{gate}_t ∘ (1 - {gate}_t)"


def products(
    left: str,
    right: Mapping[str, tuple[str, ...]],
    end: str = "",
    start: str = "",
    extra: tuple[str, ...] = (),
) -> Iterator[str]:
    """Yield equations in which one factor is wrong.

    `left` is the quantity, `right` maps each factor of the right product to what may stand in its place
    ("": it is left out). `start` and `end` are the terms before and after the product.
    Each factor in `extra` is added to the product.
    """
    for place, others in right.items():
        for other in others:
            factors = [other if factor == place else factor for factor in right]
            yield f"{left} = {start}{' ∘ '.join(factor for factor in factors if factor)}{end}"
    for other in extra:
        yield f"{left} = {start}{' ∘ '.join((*right, other))}{end}"


def input_gate() -> Iterator[str]:
    """Yield wrong equations for da_i of an LSTM."""
    yield from products(
        "da_i",
        {
            "ds": ("dh_t", "ds_t", FROM_DH, "dh_t ∘ o_t", "-ds"),
            "g_t": ("", "i_t", "f_t", "o_t", "s_{t-1}", "s_t", "h_{t-1}"),
            slope("i"): (slope("f"), slope("o"), "(1 - g_t²)", "a_i ∘ (1 - a_i)"),
        },
        extra=("i_t", "f_t", "o_t"),
    )
    yield "da_i = 0"


def forget_gate() -> Iterator[str]:
    """Yield wrong equations for da_f of an LSTM."""
    yield from products(
        "da_f",
        {
            "ds": ("dh_t", "ds_t", FROM_DH, "dh_t ∘ o_t", "-ds"),
            "s_{t-1}": ("", "f_t", "i_t", "g_t", "o_t", "h_{t-1}", "tanh(s_{t-1})", "tanh(s_t)"),
            slope("f"): (slope("i"), slope("o"), "(1 - g_t²)", "a_f ∘ (1 - a_f)"),
        },
        extra=("f_t", "i_t", "o_t"),
    )
    yield "da_f = 0"


def candidate_of_lstm() -> Iterator[str]:
    """Yield wrong equations for da_g of an LSTM."""
    slopes = ("s_t", "tanh(s_t)", "h_t", "i_t", "a_g", "s_{t-1}")
    yield from products(
        "da_g",
        {
            "ds": ("dh_t", "ds_t", FROM_DH, "dh_t ∘ o_t"),
            "i_t": ("", "f_t", "g_t", "o_t", "s_{t-1}", "(1 - i_t)"),
            "(1 - g_t²)": (*(f"(1 - {name}²)" for name in slopes), slope("i")),
        },
        extra=("g_t", "f_t", "o_t"),
    )
    yield "da_g = 0"


def output_gate() -> Iterator[str]:
    """Yield wrong equations for da_o of an LSTM."""
    yield from products(
        "da_o",
        {
            "dh_t": ("ds", "ds_t", "Vᵀ do_t", "-dh_t"),
            "tanh(s_t)": (*("", "s_{t-1}", "g_t", "h_t", "o_t", "h_{t-1}", SLOPE_S, "f_t", "i_t"),),
            slope("o"): (slope("i"), slope("f"), "(1 - g_t²)", "(1 - h_t²)", "a_o ∘ (1 - a_o)"),
        },
        extra=("f_t", "i_t"),
    )
    yield "da_o = 0"


def cell_gradient() -> Iterator[str]:
    """Yield wrong equations for ds of an LSTM."""
    slopes = ("s_t", "h_t", "g_t", "s_{t-1}", "o_t")
    yield from products(
        "ds",
        {
            "dh_t": ("Vᵀ do_t",),
            "o_t": ("", "i_t", "f_t", "g_t", "tanh(s_t)", "o_t ∘ tanh(s_t)", slope("o"), "s_t"),
            SLOPE_S: (*(f"(1 - {name}²)" for name in slopes), "tanh(s_t)", slope("o")),
        },
        start="ds_t + ",
        extra=("i_t", "f_t"),
    )
    yield "ds = ds_t"
    yield "ds = ds_t + dh_t"
    yield "ds = ds_t + dh_t ∘ tanh(s_t)"
    yield "ds = ds_t + dh_t ∘ s_t"
    yield f"ds = ds_t ∘ {SLOPE_S} + {FROM_DH}"
    yield f"ds = ds_t ∘ o_t ∘ {SLOPE_S} + {FROM_DH}"
    yield f"ds = ds_t ∘ f_t + {FROM_DH}"


def cell_carry() -> Iterator[str]:
    """Yield wrong equations for ds_{t-1}, which a step of an LSTM passes back."""
    yield from products(
        "ds_{t-1}",
        {
            "ds": (FROM_DH, "dh_t", "-ds"),
            "f_t": (
                *("i_t", "o_t", "g_t", "(1 - f_t)", slope("f"), "s_{t-1}"),
                *("i_t ∘ g_t", "f_t ∘ i_t", "f_t ∘ f_t"),
            ),
        },
    )
    yield FORGET_OF_EARLIER


def candidate_of_gru() -> Iterator[str]:
    """Yield wrong equations for da_n of a GRU."""
    slopes = ("q_t", "h_t", "h_{t-1}", "a_n", "r_t", "z_t")
    yield from products(
        "da_n",
        {
            "dh_t": ("Vᵀ do_t",),
            "(1 - z_t)": ("", "z_t", "r_t", "(1 - r_t)"),
            "(1 - n_t²)": (*(f"(1 - {name}²)" for name in slopes), slope("z"), slope("r")),
        },
        extra=("n_t", "r_t", "z_t"),
    )
    yield "da_n = 0"


def update_gate() -> Iterator[str]:
    """Yield wrong equations for da_z of a GRU."""
    differences = ("(n_t - h_{t-1})", "(h_{t-1} - h_t)", "(h_t - n_t)", "(1 - n_t)")
    yield from products(
        "da_z",
        {
            "dh_t": ("Vᵀ do_t",),
            "(h_{t-1} - n_t)": ("", "h_{t-1}", "n_t", "q_t", *differences),
            slope("z"): (slope("r"), "(1 - n_t²)"),
        },
        extra=("r_t",),
    )
    yield f"da_z = -dh_t ∘ n_t ∘ {slope('z')}"
    yield "da_z = 0"


def reset_gate() -> Iterator[str]:
    """Yield wrong equations for da_r of a GRU, whether r acts after the product with W_n or before it."""
    slopes = {slope("r"): (slope("z"), "(1 - n_t²)")}
    sources = ("dh_t ∘ (1 - z_t)", "dh_t", "dq", "-da_n")
    others = ("", "h_{t-1}", "n_t", "r_t", "h_t", "(q_t - d)")
    extra = ("r_t", "z_t", "(1 - z_t)")
    yield from products("da_r", {"da_n": sources, "q_t": others, **slopes}, extra=extra[1:])
    behind = ("", "n_t", "r_t", "h_t", "q_t")
    through = ("W_nᵀ (dh_t ∘ (1 - z_t))", "W_nᵀ dh_t")
    yield from products("da_r", {"W_nᵀ da_n": through, "h_{t-1}": behind, **slopes}, extra=extra)
    yield f"da_r = W_nᵀ da_n ∘ h_{{t-1}} ∘ {slope('r')}"
    yield "da_r = 0"


def reset_product() -> Iterator[str]:
    """Yield wrong equations for dq of a GRU, the gradient of what the reset gate multiplies."""
    others = ("z_t", "(1 - z_t)", "(1 - r_t)", "n_t", "h_{t-1}", slope("r"))
    yield from products("dq", {"da_n": ("dh_t",), "r_t": others})


def direct_carry() -> Iterator[str]:
    """Yield wrong equations for what a step of a GRU passes back directly, not through its gates."""
    yield from products(
        "dh_{t-1}",
        {"dh_t": ("Vᵀ do_t", "-dh_t"), "z_t": ("", "(1 - z_t)", "r_t", "n_t", slope("z"))},
        CARRY_AFTER,
    )


RNN_CARRIES: Final = (
    "dh_{t-1} = (Wᵀ dh_t) ∘ (1 - h_t²)",
    "dh_{t-1} = (Wᵀ da_t) ∘ (1 - h_t²)",
    "dh_{t-1} = (Wᵀ da_t) ∘ (1 - h_{t-1}²)",
    "dh_{t-1} = Wᵀ (dh_t ∘ (1 - h_{t-1}²))",
    "dh_{t-1} = Wᵀ da_t + dh_t",
    "dh_{t-1} = da_t",
    "dh_{t-1} = -Wᵀ da_t",
    "dh_{t-1} = 2 Wᵀ da_t",
)
LSTM_CARRIES: Final = (
    *("dh_{t-1} = Wᵀ da_t + dh_t", "dh_{t-1} = -Wᵀ da_t", "dh_{t-1} = 2 Wᵀ da_t"),
)


def mirrored(equation: str) -> str:
    """Return an equation of a GRU for code in which z multiplies the candidate, not the old state."""
    for one, other in (("(1 - z_t)", "z_t"), ("h_{t-1} - n_t", "n_t - h_{t-1}")):
        equation = equation.replace(one, "\0").replace(other, one).replace("\0", other)
    return equation
