"""A gradient that is exactly that of the code's own loss is right for its own network, which is named."""

import inspect
import itertools

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.diagnosis import MISTAKES, doctor
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.mistakes import BY_ID
from charloom.diagnosis.networks import variants_by_id
from charloom.diagnosis.related_texts import TEXTS
from charloom.diagnosis.trials import make_trials
from charloom.errors import ConfigError
from plants import PLANTS, Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

STEP = 1e-3
OWN = "right for its own network"


def numerical(problem, switches):
    """Return the derivative of the predicted loss, by central differences of fourth order."""
    found = {}
    for name, array in problem.parameters.items():
        found[name] = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            losses = {}
            for n in (1, -1, 2, -2):
                moved = array.copy()
                moved[at] += n * STEP
                parameters = {**problem.parameters, name: moved}
                losses[n] = answer(problem._replace(parameters=parameters), switches).loss
            found[name][at] = (8 * (losses[1] - losses[-1]) - losses[2] + losses[-2]) / (12 * STEP)
    return found


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_difference_has_the_gradient_of_its_own_loss(cell):
    """Each gate order is checked only once, because the orders differ by a permutation alone."""
    problem = make_trials(cell)[1].problem
    for mistake in MISTAKES:
        variants = [v for v in mistake.variants_of(cell) if mistake.is_consistent(v)]
        for variant in variants[: 1 if mistake.id == "gate-order" else 5]:
            predicted = answer(problem, {mistake.id: variant}).gradients
            for name, right in numerical(problem, {mistake.id: variant}).items():
                far = np.linalg.norm(predicted[name] - right)
                assert far <= 1e-9 + 1e-8 * np.linalg.norm(right), (mistake.id, variant, name)


def gru(params, x, y, h0, *, carry=True):
    """A GRU as most tutorials have it: gates z, r, n, no d, reset before the product, z weights the candidate."""
    U, W, b, V, c = (params[name] for name in "UWbVc")
    H, h, loss, kept = len(h0), h0, 0.0, []
    Uz, Ur, Un = np.split(U, 3)
    Wz, Wr, Wn = np.split(W, 3)
    bz, br, bn = np.split(b, 3)
    for t in range(len(x)):
        before = h
        z = 1 / (1 + np.exp(-(Uz[:, x[t]] + Wz @ before + bz)))
        r = 1 / (1 + np.exp(-(Ur[:, x[t]] + Wr @ before + br)))
        n = np.tanh(Un[:, x[t]] + Wn @ (r * before) + bn)
        h = (1 - z) * before + z * n
        p = np.exp(V @ h + c - (V @ h + c).max())
        p /= p.sum()
        loss -= np.log(p[y[t]])
        kept.append((before, z, r, n, h, p))
    grads = {name: np.zeros_like(params[name]) for name in "UWbVc"}
    after = np.zeros(H)
    for t in reversed(range(len(x))):
        before, z, r, n, h, p = kept[t]
        do = p - np.eye(len(c))[y[t]]
        grads["V"] += np.outer(do, h)
        grads["c"] += do
        dh = V.T @ do + after
        dn = dh * z * (1 - n**2)
        dz = dh * (n - before) * z * (1 - z)
        dr = (Wn.T @ dn) * before * r * (1 - r)
        da = np.concatenate([dz, dr, dn])
        grads["U"][:, x[t]] += da
        grads["b"] += da
        grads["W"] += np.vstack(
            [np.outer(dz, before), np.outer(dr, before), np.outer(dn, r * before)]
        )
        after = dh * (1 - z) + Wz.T @ dz + Wr.T @ dr + (Wn.T @ dn) * r
        after = after if carry else np.zeros(H)
    return loss, grads


TUTORIAL = ["second-bias-left-out", "reset-before-product", "update-gate-reversed"]


def test_the_gru_of_most_tutorials_is_right_for_its_own_network():
    found = doctor(gru, cell="gru")
    assert (found.verdict, list(found.differences)) == (OWN, TUTORIAL)
    assert found.headline().startswith("Your gradient is exactly that of your loss.")
    assert "the reset gate acts before the product" in found.headline()
    assert "gates in the order z, r, n" in found.tried.convention
    assert found.passed


def test_a_mistake_in_another_network_is_named_with_the_differences_of_the_network():
    def broken(params, x, y, h0):
        return gru(params, x, y, h0, carry=False)

    found = doctor(broken, cell="gru")
    assert (found.verdict, list(found.differences)) == ("wrong", TUTORIAL)
    assert found.mistakes == ("time-carry-missing",)


def edited_gru(old, new):
    """Return `gru` with a part of its code replaced, in a module of its own."""
    text = inspect.getsource(gru)
    assert text.count(old) == 1
    names = {"np": np}
    exec(text.replace(old, new), names)
    return names["gru"]


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("(Wn.T @ dn) * r\n", "(Wn.T @ dn)\n", "only in what goes back to step t-1"),
        ("np.outer(dn, r * before)", "np.outer(dn, before)", "only in dW"),
    ],
    ids=["carry", "W"],
)
def test_the_advice_for_a_reset_gate_before_the_product_is_that_of_this_network(old, new, detail):
    """With dq = da_n ∘ r_t, which is right in the specification, dW_n would be wrong in this network."""
    (found,) = doctor(edited_gru(old, new), cell="gru").found
    assert (found.id, found.variant_text) == ("reset-gate-not-in-gradient", detail)
    texts = f"{found.title} {found.does} {found.right} {found.fix}"
    assert "dq" not in texts
    assert "multiply da_n by r_t" not in texts
    assert "dW_n += da_n (r_t ∘ h_{t-1})ᵀ, and dh_{t-1} += r_t ∘ (W_nᵀ da_n)" in found.right
    assert "da_n itself stays without r_t" in found.fix


def test_a_wrong_factor_behind_a_reset_gate_before_the_product_is_written_as_the_code_has_it():
    (found,) = doctor(edited_gru("(Wn.T @ dn) * r\n", "(Wn.T @ dn) * (1 - r)\n"), cell="gru").found
    assert found.variant_text == "dh_{t-1} += (W_nᵀ da_n) ∘ (1 - r_t)"
    assert found.right == "dh_{t-1} += r_t ∘ (W_nᵀ da_n), in your network"


def test_the_factor_of_the_old_state_is_that_of_a_reversed_update_gate():
    (found,) = doctor(edited_gru("dh * (1 - z) + Wz", "dh * z + Wz"), cell="gru").found
    assert found.right.startswith("dh_{t-1} = dh_t ∘ (1 - z_t) + W_rᵀ da_r")
    assert found.fix.endswith("in the forward pass, 1 - z_t.")


def test_texts_of_related_networks_belong_to_known_mistakes_and_differences():
    known = {"peepholes"} | {
        name
        for mistake in MISTAKES
        for variant in mistake.variants
        if mistake.is_consistent(variant)
        for name in (mistake.id, f"{mistake.id} {variant}")
    }
    for mistake_id, texts in TEXTS.items():
        assert mistake_id in BY_ID
        for needed in texts:
            assert set(needed.split(", ")) <= known, (mistake_id, needed)


@pytest.mark.parametrize(
    ("found", "difference", "words"),
    [
        (Found("input-gate-gradient", "da_i = ds ∘ i_t ∘ (1 - i_t)"), Found("coupled-gates"), "g_t - s_{t-1}"),
        (Found("output-gate-gradient"), Found("cell-tanh-missing"), "multiply dh_t by s_t"),
        (Found("forget-gate-not-carried"), Found("peepholes", "1, 1, 1"), "da_i ∘ p_i"),
        (Found("tanh-derivative-missing"), Found("activation-differs", "relu"), "the activation function"),
        (Found("candidate-gradient"), Found("update-gate-reversed"), "z_t, then by 1 - n_t²"),
        (Found("update-gate-gradient"), Found("update-gate-reversed"), "multiply dh_t by n_t - h_{t-1}"),
        (Found("reset-product"), Found("second-bias-left-out"), "for W_n and h_{t-1}"),
    ],
    ids=lambda value: value.id if isinstance(value, Found) else "",
)  # fmt: skip
def test_a_fix_is_that_of_a_related_network(found, difference, words):
    assert words not in found.fix
    assert words in found.in_network([difference]).fix
    assert found.in_network([]) == found


def test_the_network_that_the_user_asks_for_is_right():
    assert doctor(gru, cell="gru", network=TUTORIAL).verdict == "right"
    other = doctor(gru, cell="gru", network=[*TUTORIAL, "hidden-bias-left-out"])
    assert other.verdict == OWN
    assert "You asked for this too, but your network is without it" in other.headline()
    assert doctor(function("gru"), cell="gru", network=TUTORIAL).verdict == OWN


def test_a_reset_gate_before_the_product_needs_no_second_bias():
    short = ["reset-before-product", "update-gate-reversed"]
    assert doctor(gru, cell="gru", network=short).verdict == "right"


def test_an_unknown_difference_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"network has 'reset'.*reset-before-product"):
        doctor(gru, cell="gru", network=["reset"])
    with pytest.raises(ConfigError, match="activation-differs=sigmoid, activation-differs=relu"):
        doctor(gru, cell="gru", network=["activation-differs=gelu"])
    assert "coupled-gates" not in variants_by_id("gru")
    assert "coupled-gates" in variants_by_id(None)


EDITS = {
    "mean-over-time": ("    return loss, {", "    loss /= T\n    dU, dW, db, dV, dc = (g / T for g in (dU, dW, db, dV, dc))\n    return loss, {"),
    "initial-state-ignored": ("h = {-1: h0}", "h = {-1: 0 * h0}"),
    "clipped": ("    return loss, {", "    for g in (dU, dW, db, dV, dc):\n        np.clip(g, -5, 5, out=g)\n    return loss, {"),
    "sign": ("loss += -np.log", "loss += np.log"),
    "cube": ("np.tanh(a[t])", "np.arctan(a[t])"),
    "slope": ("1 - h[t] ** 2", "1 / (1 + a[t] ** 2)"),
    "large epsilon": ("-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 0.2)"),
    "time-carry-missing": ("        dh_next = W.T @ da\n", ""),
    "epsilon": ("-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-9)"),
}  # fmt: skip
COMBINED = list(itertools.combinations(("mean-over-time", "initial-state-ignored", "epsilon"), 2))


def edited(*names):
    """Return the network of tests/written/loop.py with these edits."""
    return function("loop", Plant("loop", "none", tuple(EDITS[name] for name in names)))


@pytest.mark.parametrize("names", COMBINED, ids="+".join)
def test_a_mistake_is_named_beside_two_usual_deviations(names):
    found = doctor(edited(*names, "time-carry-missing"))
    assert found.verdict == "wrong"
    assert "time-carry-missing" in found.mistakes


STRANGE = (("np.tanh(a[t])", "np.sin(a[t])"), ("1 - h[t] ** 2", "np.cos(a[t])"))
FLOOR = ("-np.log(p[t][y[t]])", "-np.log(np.maximum(p[t][y[t]], 1e-12))")


def floored(*edits):
    """Return the GRU of most tutorials with a loss of ln max(p, 1e-12) and other edits."""
    text = inspect.getsource(gru)
    for old, new in (("np.log(p[y[t]])", "np.log(np.maximum(p[y[t]], 1e-12))"), *edits):
        assert old in text
        text = text.replace(old, new)
    space = {"np": np}
    exec(text, space)
    return space["gru"]


def test_a_smallest_probability_in_the_loss_of_another_network_is_a_difference():
    found = doctor(floored(), cell="gru")
    assert (found.verdict, list(found.differences)) == (OWN, [*TUTORIAL, "epsilon-in-log"])


def test_a_mistake_is_named_beside_a_smallest_probability_in_another_network():
    found = doctor(floored(("dn = dh * z * (1 - n**2)", "dn = dh * z")), cell="gru")
    assert found.verdict == "wrong"
    assert found.exact
    assert "tanh-derivative" in found.mistakes[0]


@pytest.mark.parametrize("right", [True, False])
def test_a_smallest_probability_in_an_unknown_network_is_accounted_for(right):
    edits = STRANGE if right else STRANGE[:1]
    found = doctor(function("loop", Plant("loop", "none", (*edits, FLOOR))))
    assert (found.verdict, found.network_known) == (OWN if right else "wrong", False)


def test_a_network_that_nobody_knows_is_judged_by_the_derivative_of_its_own_loss():
    found = doctor(function("loop", Plant("loop", "none", STRANGE)))
    assert (found.verdict, found.network_known, found.differences) == (OWN, False, ())
    wrong = doctor(function("loop", Plant("loop", "none", STRANGE[:1])))
    assert (wrong.verdict, wrong.network_known) == ("wrong", False)
    assert "dU, dW and db are not the derivatives of your own loss." in wrong.clues


LONG_ONLY = {
    "a truncation in long windows": ("dh_next = W.T @ da", "dh_next = W.T @ da * (T - t < 9)"),
    "a repeated character": ("dU[:, x[t]] += da", "dU[:, x[t]] += da * (1 + (t > 9))"),
}


@pytest.mark.parametrize("name", LONG_ONLY)
def test_a_mistake_in_long_windows_of_an_unknown_network_is_wrong(name):
    """The two trials in which each block is differentiated are too short to show it."""
    edits = (("np.tanh(a[t])", "np.sin(a[t])"), ("1 - h[t] ** 2", "np.cos(a[t])"), LONG_ONLY[name])
    found = doctor(function("loop", Plant("loop", "none", edits)))
    assert (found.verdict, found.network_known) == ("wrong", False)
    assert any(clue.startswith("in the trials") for clue in found.clues)


def test_clipping_does_not_excuse_a_loss_that_nobody_knows():
    found = doctor(edited("clipped", "sign"))
    assert found.verdict == "wrong"
    assert "Your loss differs from that of the specification" in found.headline()
    assert "Wrong: your gradient is not that of your loss." in found.headline()


def test_an_unknown_network_that_clips_its_gradient_is_right_for_its_own_network():
    found = doctor(edited("cube", "slope", "clipped"))
    assert (found.verdict, found.mistakes, found.network_known) == (OWN, ("clipped",), False)
    assert doctor(edited("cube", "clipped")).verdict == "wrong"


LIMITS = {
    "entries": "    for g in (dU, dW, db, dV, dc):\n        np.clip(g, -0.5, 0.5, out=g)\n    return loss, {",
    "norm": """    norm = np.sqrt(sum((g**2).sum() for g in (dU, dW, db, dV, dc)))
    dU, dW, db, dV, dc = (g * min(1, 2 / norm) for g in (dU, dW, db, dV, dc))
    return loss, {""",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_clipping_to_a_small_limit_does_not_hide_an_unknown_network(limit):
    edits = (EDITS["cube"], ("    return loss, {", LIMITS[limit]))
    right = doctor(function("loop", Plant("loop", "none", (*edits, EDITS["slope"]))))
    assert (right.verdict, right.mistakes) == (OWN, ("clipped",))
    assert doctor(function("loop", Plant("loop", "none", edits))).verdict == "wrong"


@pytest.mark.parametrize("rounding", ["round(float(loss), 4)", "float(np.float32(loss))"])
def test_a_rounded_loss_with_exact_gradients_is_named(rounding):
    edits = (("    return loss, {", f"    return {rounding}, {{"),)
    found = doctor(function("loop", Plant("loop", "none", edits)))
    assert (found.verdict, found.mistakes) == (OWN, ("float32-where-float64",))
    assert "except that the loss is rounded" in found.headline()
    wrong = doctor(function("loop", Plant("loop", "none", (*edits, EDITS["time-carry-missing"]))))
    assert (wrong.verdict, wrong.mistakes[0]) == ("wrong", "time-carry-missing")


def test_a_function_without_a_loss_is_tried_with_its_recurrent_matrix_transposed():
    function_without = function("loop", Plant("loop", "none", (("return loss, {", "return {"),)))

    def transposed(params, x, y, h0):
        found = function_without({**params, "W": params["W"].T}, x, y, h0)
        return {**found, "W": found["W"].T}

    found = doctor(transposed)
    assert (found.verdict, "W transposed" in found.tried.convention) == ("right", True)


def test_the_complex_step_is_used_if_the_function_keeps_imaginary_parts():
    strange = (EDITS["cube"], EDITS["slope"])
    drops = ("U, W, b", "params = {k: np.real(v) for k, v in params.items()}\n    U, W, b")
    for edits, method in (
        (strange, "the complex step"),
        ((*strange, drops), "central differences"),
    ):
        found = doctor(function("loop", Plant("loop", "none", edits)))
        assert found.verdict == OWN
        assert f"the derivative of your own loss was taken by {method}." in found.notes


def test_peepholes_are_recognised_and_can_be_asked_for():
    (plant,) = (plant for plant in PLANTS if plant.name == "lstm-peepholes")
    peepholes = function("lstm", plant)
    assert doctor(peepholes, cell="lstm", network=["peepholes"]).verdict == "right"
    other = doctor(function("lstm"), cell="lstm", network=["peepholes"])
    assert other.verdict == OWN
    assert "your network is without it: the gates also read the cell" in other.headline()


def test_each_unit_may_have_its_own_peephole_weights():
    edits = (
        ("    H = len(h)\n", "    H = len(h)\n    weights = np.sin(np.arange(H))\n"),
        ("i = sigmoid(a[:H])", "i = sigmoid(a[:H] + weights * s_prev)"),
        ("ds_next = ds * f", "ds_next = ds * f + weights * da_i"),
    )
    found = doctor(function("lstm", Plant("lstm", "none", edits)), cell="lstm")
    assert (found.verdict, found.differences) == (OWN, ("peepholes",))


def test_any_constant_beside_the_forget_bias_is_recognised():
    edits = (("f = sigmoid(a[H : 2 * H])", "f = sigmoid(a[H : 2 * H] + 0.7)"),)
    found = doctor(function("lstm", Plant("lstm", "none", edits)), cell="lstm")
    assert (found.verdict, found.differences) == (OWN, ("forget-bias-twice",))
    assert found.network[0].variant_text == "0.7 is added to the forget gate"


def test_a_large_epsilon_is_not_excused():
    found = doctor(edited("large epsilon"))
    assert (found.verdict, found.mistakes) == ("wrong", ("epsilon-in-log",))


def test_a_tiny_error_in_another_network_is_wrong_as_in_the_network_of_the_specification():
    relu = (("np.tanh(a[t])", "np.maximum(a[t], 0)"), ("1 - h[t] ** 2", "a[t] > 0"))
    tiny = ('"W": dW', '"W": dW * 1.0000005')
    assert doctor(function("loop", Plant("loop", "none", relu))).verdict == OWN
    assert doctor(function("loop", Plant("loop", "none", (*relu, tiny)))).verdict == "wrong"


def test_float32_code_of_an_unknown_network_is_not_called_wrong():
    right = edited("cube", "slope")

    def single(params, x, y, h0):
        params = {name: array.astype(np.float32) for name, array in params.items()}
        loss, grads = right(params, x, y, h0.astype(np.float32))
        return np.float32(loss), {name: g.astype(np.float32) for name, g in grads.items()}

    for seed in range(3):
        assert doctor(single, seed=seed).verdict == OWN


def test_a_nan_in_one_trial_does_not_hide_a_mistake():
    edits = (("        dh_next = W.T @ da\n", ""), ("    return loss", "    dW[0, 0] = np.nan if len(c) == 30 else dW[0, 0]\n    return loss"))  # fmt: skip
    found = doctor(function("loop", Plant("loop", "none", edits)))
    assert found.mistakes == ("time-carry-missing", "not-a-number")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_low_precision_does_not_hide_a_mistake(dtype):
    rounded = f"np.outer(da, h[t - 1]).astype(np.{dtype})"
    edits = (("        dh_next = W.T @ da\n", ""), ("np.outer(da, h[t - 1])", rounded))
    found = doctor(function("loop", Plant("loop", "none", edits)))
    assert found.verdict == "wrong"
    assert "time-carry-missing" in found.mistakes
