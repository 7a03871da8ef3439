"""What the doctor says about a mistake fits the place and the variant that it found."""

import pytest

from charloom.cli.doctor_command import diagnosis_lines
from charloom.diagnosis import MISTAKES, Found, adapt, doctor
from charloom.diagnosis.variant_equations import WRITERS
from charloom.errors import DoctorError
from charloom.report.diagnosis_page import render_diagnosis
from pages import Page
from plants import CELL, Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

OWN = "right for its own network"


def judged(file, *edits, **options):
    """Return the diagnosis of a hand-written network with these edits (old, new)."""
    changed = function(file, Plant(file, "planted", tuple(edits)))
    return doctor(changed, cell=CELL.get(file, "rnn"), **options)


def words(diagnosis):
    """Return what the terminal shows, on one line."""
    return " ".join(" ".join(diagnosis_lines(diagnosis)).split())


PLACES = [
    ("lstm", ("(1 - g**2)", "(1 - np.tanh(g) ** 2)"), "the candidate g",
     "da_g = ds ∘ i_t ∘ (1 - tanh(g_t)²)", "da_g = ds ∘ i_t ∘ (1 - g_t²)", "1 - g_t²"),
    ("lstm", ("(1 - np.tanh(s) ** 2)", "(1 - np.tanh(s))"), "the gradient of the cell",
     "ds = ds_t + dh_t ∘ o_t ∘ (1 - tanh(s_t))", "ds = ds_t + dh_t ∘ o_t ∘ (1 - tanh(s_t)²)", "1 - tanh(s_t)²"),
    ("lstm", (" * f * (1 - f)", ""), "the forget gate f",
     "da_f = ds ∘ s_{t-1}, without the derivative", "da_f = ds ∘ s_{t-1} ∘ f_t ∘ (1 - f_t)", "f_t ∘ (1 - f_t)"),
    ("lstm", ("i * (1 - i)", "(1 - i**2)"), "the input gate i",
     "da_i = ds ∘ g_t ∘ (1 - i_t²)", "da_i = ds ∘ g_t ∘ i_t ∘ (1 - i_t)", "i_t ∘ (1 - i_t)"),
    ("lstm", ("o * (1 - o)", "(1 - o)"), "the output gate o",
     "da_o = dh_t ∘ tanh(s_t) ∘ (1 - o_t)", "da_o = dh_t ∘ tanh(s_t) ∘ o_t ∘ (1 - o_t)", "o_t ∘ (1 - o_t)"),
    ("gru", ("(1 - n**2)", "(1 - n)"), "the candidate n",
     "da_n = dh_t ∘ (1 - z_t) ∘ (1 - n_t)", "da_n = dh_t ∘ (1 - z_t) ∘ (1 - n_t²)", "1 - n_t²"),
    ("gru", ("z * (1 - z)", "(1 - z)"), "the update gate z",
     "da_z = dh_t ∘ (h_{t-1} - n_t) ∘ (1 - z_t)", "da_z = dh_t ∘ (h_{t-1} - n_t) ∘ z_t ∘ (1 - z_t)", "z_t ∘ (1 - z_t)"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "edit", "place", "does", "right", "factor"), PLACES)
def test_a_wrong_derivative_is_named_with_its_gate(file, edit, place, does, right, factor):
    found = judged(file, edit)
    (one,) = found.found
    assert place in found.headline()
    assert (one.does, one.right) == (does, right)
    assert f"multiply by {factor}" in one.fix
    assert "h_t²" not in one.fix
    assert does in words(found)
    assert "in detail" not in words(found)


def test_a_wrong_derivative_in_another_network_claims_no_factor_of_the_specification():
    """In an LSTM with coupled gates, da_i has another factor than g_t."""
    one = Found("sigmoid-derivative", "1 - σ, i").in_network([Found("coupled-gates")], "lstm")
    assert (one.does, one.right) == ("da_i = … ∘ (1 - i_t)", "da_i = … ∘ i_t ∘ (1 - i_t)")
    one = Found("tanh-derivative", "1 - h").in_network([Found("activation-differs", "relu")], "gru")
    assert "activation function" in one.title
    assert "tanh" not in one.fix.replace("not by that of tanh", "")


def test_a_variant_at_some_steps_only_keeps_these_steps_as_its_detail():
    one = Found("sigmoid-derivative", "1, f, at the last step only").in_network([], "lstm")
    assert one.title == "the derivative of σ is missing in the forget gate f"
    assert one.detail == "at the last step only"


def test_each_variant_of_a_mistake_with_texts_of_its_own_can_be_said_in_words():
    assert set(WRITERS) <= {mistake.id for mistake in MISTAKES}
    for mistake in MISTAKES:
        for cell in mistake.cells if mistake.id in WRITERS else ():
            said = set()
            for variant in mistake.variants_of(cell):
                one = Found(mistake.id, variant).in_network([], cell)
                assert one.title
                assert one.fix.endswith(".")
                said.add((one.title, one.does, one.detail))
            assert len(said) == len(mistake.variants_of(cell)), (mistake.id, cell)


CELL_FROM_ZERO = ("h, s = h0", "h, s = h0[0], np.zeros_like(h0[1])")


def test_a_cell_that_starts_from_zero_is_not_a_window_that_starts_from_zeros():
    found = judged("lstm", CELL_FROM_ZERO)
    assert (found.verdict, found.differences) == (OWN, ("initial-state-ignored",))
    assert "the initial cell is ignored: the cell starts from zeros" in found.headline()
    (one,) = found.network
    assert one.does == "s_0 = 0, but h_0 is used"
    assert "the window starts from zeros" not in words(found)


@pytest.mark.parametrize("name", ["initial-state-ignored", "initial-state-ignored=cell"])
def test_who_asks_for_an_ignored_initial_state_also_means_that_of_the_cell(name):
    found = judged("lstm", CELL_FROM_ZERO, network=[name])
    assert found.verdict == "right"
    assert "Right for the network that you asked for" in found.headline()


def test_who_asks_for_another_part_of_the_initial_state_is_told_so():
    found = judged("lstm", CELL_FROM_ZERO, network=["initial-state-ignored=h"])
    assert found.verdict == OWN
    assert (
        "without it: the initial hidden state is ignored: it starts from zeros" in found.headline()
    )


def test_a_cut_gradient_of_the_cell_is_not_a_cut_gradient_of_the_state():
    found = judged("lstm", ("ds = ds_next + dh", "ds = dh"))
    assert found.mistakes == ("time-carry-missing",)
    assert "no gradient of the cell flows back from step t+1 to step t" in found.headline()
    (one,) = found.found
    assert one.does.startswith("ds = dh_t ∘ o_t ∘ (1 - tanh(s_t)²), without ds_t")
    assert "dh_t = Vᵀ do_t" not in words(found)


def test_the_equation_of_a_mean_is_that_of_the_wrong_parameter():
    found = judged("loop", ("dc += do", "dc += do / T"))
    (one,) = found.found
    assert (one.id, one.does) == ("gradient-averaged", "dc = (1/T) Σ_t do_t")
    assert one.right == "dc   = Σ_t do_t"
    assert "dc is the mean over the steps, not the sum" in found.headline()
    assert "db = " not in words(found)


def test_the_step_that_the_loop_leaves_out_is_in_the_headline():
    found = judged("loop", ("reversed(range(T))", "reversed(range(1, T))"))
    assert found.mistakes == ("step-left-out",)
    assert "leaves out the first step" in found.headline()


def test_the_gate_that_does_not_go_back_is_in_the_headline():
    found = judged("gru", ("W.T @ held", "W.T @ np.concatenate([0 * da_r, da_z, dq])"))
    assert found.mistakes == ("gate-not-carried",)
    assert "lacks the reset gate r" in found.headline()


def test_only_the_gate_of_the_mistake_is_named_where_the_error_spreads_to_all():
    found = judged("lstm", (" * f * (1 - f)", ""))
    assert {block.gate for block in found.location.wrong} == set("ifgo")
    said = words(found)
    assert (
        "the mistake is made at gate f; the other rows of dU, dW and db are wrong because" in said
    )
    assert "the rows of i, f, g, o" not in said
    assert said.count("dV, dc") == 1  # "right in every trial", and not again


def test_wrong_rows_of_every_gate_are_named_as_a_whole():
    found = judged("lstm", ("ds = ds_next + dh", "ds = dh"))
    assert "wrong: every row of dU, dW and db." in found.clues


def test_rows_of_some_gates_are_still_named():
    found = judged("lstm", ('grads["b"] += da', 'grads["b"] += da\n        grads["b"][:H] += 0.1'))
    assert "wrong: the rows of i in db." in found.clues
    assert any(clue.startswith("right: the rows of i, f, g, o in dU") for clue in found.clues)


GRU_OF_TUTORIALS = (
    "q = Wn @ h_prev + d", "q = Wn @ (r * h_prev)", "u_n + r * q", "u_n + q",
    "da_r = da_n * q * r * (1 - r)", "back = Wn.T @ da_n\n        da_r = back * h_prev * r * (1 - r)",
    "dq = da_n * r", "dq = 0 * da_n",
    'grads["W"] += np.outer(held, h_prev)',
    'grads["W"] += np.concatenate([np.outer(da_r, h_prev), np.outer(da_z, h_prev), np.outer(da_n, r * h_prev)])',
    "W.T @ held", "Wr.T @ da_r + Wz.T @ da_z + r * back",
)  # fmt: skip
TUTORIAL = tuple(zip(GRU_OF_TUTORIALS[::2], GRU_OF_TUTORIALS[1::2], strict=True))


def test_a_gru_without_its_second_bias_is_not_told_to_add_it():
    found = judged("gru", *TUTORIAL)
    assert set(found.differences) == {"second-bias-left-out", "reset-before-product"}
    said = words(found)
    assert "the reset gate acts before the product" in said
    assert "second bias" not in found.headline()
    assert "add d to" not in said


def test_a_mistake_comes_before_the_differences_which_have_one_line_each():
    found = judged("gru", *TUTORIAL, ("da_z = dh * (h_prev - n)", "da_z = dh * (h_prev + n)"))
    lines = list(diagnosis_lines(found))
    assert found.verdict == "wrong"
    difference = next(n for n, line in enumerate(lines) if "  reset-before-product: " in line)
    assert "which is not the mistake" in lines[difference - 1]
    fixes = [n for n, line in enumerate(lines) if "to fix it" in line]
    assert all(n < difference for n in fixes)
    assert "to match it" not in words(found)
    page = Page(render_diagnosis(found))
    assert page.titles.index("What is wrong") < page.titles.index("How the network differs")
    assert "not the mistake" in page.words


def test_clipping_is_not_called_another_network():
    clipped = "        np.clip(g, -0.37, 0.74, out=g)\n    return loss, {"
    found = judged("loop", ("    return loss, {", "    for g in (dU, dW, db, dV, dc):\n" + clipped))
    assert found.verdict == OWN
    page = Page(render_diagnosis(found)).words
    assert "The function clips its finished gradients." in page
    assert "another network" not in page
    (one,) = found.found
    assert one.right == "g = the exact gradient of the window's loss, which is clipped after it is returned"  # fmt: skip


def test_the_trials_of_the_table_are_described_below_it():
    found = judged("loop", ("dW += np.outer(da, h[t - 1])", "dW += np.outer(da, h[t])"))
    named = [line for line in diagnosis_lines(found) if line.startswith("trial ")]
    worst = max((row for row in found.rows if row.parameter == "W"), key=lambda r: r.norm_relative)
    trial = found.tried.trials[worst.trial]
    assert named == [f"trial {trial.name}: {trial.description()}"]


def test_the_settings_of_the_page_say_what_was_checked_and_which_loss_was_expected():
    page = Page(render_diagnosis(judged("loop", ("dc += do", "dc += do / T"))))
    assert "expected loss" in page.words
    assert "docs/spec" not in page.words


NAMES = """import numpy as np

data = open("input.txt").read()
first = [][3]
hidden_size, vocab_size = 100, len(set(data))
Wxh = np.random.randn(hidden_size, vocab_size) * 0.01
Whh = np.random.randn(hidden_size, hidden_size) * 0.01
Why = np.random.randn(vocab_size, hidden_size) * 0.01
bh, by = np.zeros((hidden_size, 1)), np.zeros((vocab_size, 1))

def lossFun(inputs, targets, hprev):
    hs, ps, loss = {-1: np.copy(hprev)}, {}, 0
    for t in range(len(inputs)):
        x = np.zeros((Wxh.shape[1], 1)); x[inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ x + Whh @ hs[t - 1] + bh)
        ys = Why @ hs[t] + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby, dhnext = np.zeros_like(bh), np.zeros_like(by), np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t]); dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T; dby += dy
        dh = Why.T @ dy + dhnext
        da = (1 - hs[t] ** 2) * dh
        dbh += da; dWxh[:, inputs[t]] += da[:, 0]; dWhh += da @ hs[t].T
        dhnext = Whh.T @ da
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]

while True:
    lossFun([0], [0], bh)
"""


def test_the_names_of_the_student_stand_above_the_diagnosis(tmp_path):
    file = tmp_path / "student.py"
    file.write_text(NAMES, encoding="utf-8")
    found = doctor(str(file))
    assert found.mistakes == ("recurrent-gradient-from-current-state",)
    lines = list(diagnosis_lines(found))
    (names,) = found.names
    assert names == (
        "in this text, U is your Wxh, W is your Whh, b is your bh, V is your Why and c is your by; "
        "dW is your dWhh."
    )
    place = next(n for n, line in enumerate(lines) if line.startswith("In this text, "))
    assert place < next(n for n, line in enumerate(lines) if "your code" in line)
    assert not [line for line in lines if line.startswith("Note: in this text")]
    line = NAMES.splitlines().index("first = [][3]") + 1
    assert f"what failed with an IndexError (line {line}) was left out" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("text", "outlined"),
    [
        ("def train():\n    return 1\n", False),
        ("class RNN:\n    pass\n", False),
        ("def forward(a, b):\n    return a\n", True),
    ],
)
def test_an_outline_is_offered_only_if_there_is_one(text, outlined, tmp_path):
    file = tmp_path / "student.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DoctorError) as error:
        doctor(str(file))
    assert ("writes the outline of one" in error.value.message) == outlined
    if outlined:
        assert adapt(str(file), tmp_path / "wrapper.py").blanks
    else:
        with pytest.raises(DoctorError):
            adapt(str(file), tmp_path / "wrapper.py")


def test_the_function_of_a_wrapper_comes_before_what_loads_the_file(tmp_path):
    file = tmp_path / "student.py"
    file.write_text(NAMES, encoding="utf-8")
    text = adapt(str(file), tmp_path / "wrapper.py").text
    assert text.index("def checked(") < text.index("def load(") < text.index("net = load(")
    (tmp_path / "wrapper.py").write_text(text, encoding="utf-8")
    found = doctor(f"{tmp_path / 'wrapper.py'}:checked")
    assert found.mistakes == ("recurrent-gradient-from-current-state",)
