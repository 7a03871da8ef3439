"""What the doctor says about a mistake fits the place and the variant that it found."""

import pytest

from charloom.cli.doctor_command import diagnosis_lines
from charloom.diagnosis import MISTAKES, Found, doctor
from charloom.diagnosis.variant_equations import WRITERS
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
    assert "the mistake is made at gate f; the other rows of dU, dW and db are wrong because" in said
    assert "the rows of i, f, g, o" not in said
    assert said.count("dV, dc") == 1  # "right in every trial", and not again


def test_wrong_rows_of_every_gate_are_named_as_a_whole():
    found = judged("lstm", ("ds = ds_next + dh", "ds = dh"))
    assert "wrong: every row of dU, dW and db." in found.clues


def test_rows_of_some_gates_are_still_named():
    found = judged("lstm", ('grads["b"] += da', 'grads["b"] += da\n        grads["b"][:H] += 0.1'))
    assert "wrong: the rows of i in db." in found.clues
    assert any(clue.startswith("right: the rows of i, f, g, o in dU") for clue in found.clues)
