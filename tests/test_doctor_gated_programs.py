"""Watching finds the roles, the loss and the gradients in programs that train an LSTM or a GRU."""

import numpy as np
import pytest

from charloom.cell_table import CELLS
from charloom.diagnosis.faulty_network import answer, exact_loss
from charloom.diagnosis.forms.trying import OWN, RELATED
from charloom.diagnosis.trials import PLANS, Fixed, make_trial
from charloom.diagnosis.watching.array_names import name_of
from charloom.diagnosis.watching.form_of_program import rank_of
from charloom.diagnosis.watching.program_search import observed
from gated_programs import ADAM_LSTM, GRU

FLOAT64 = 1e-9  # largest relative error of right gradients
# The input gate is computed from the forget gate, so three gates have matrices.
COUPLED = (
    ADAM_LSTM.replace("w_f w_i w_c w_o b_f b_i b_c b_o", "w_f w_c w_o b_f b_c b_o")
    .replace("for _ in range(4)), np.ones(H), *(np.zeros(H) for _ in range(3))",
             "for _ in range(3)), np.ones(H), *(np.zeros(H) for _ in range(2))")
    .replace("f, i, o = sigmoid(w.w_f @ z + w.b_f), sigmoid(w.w_i @ z + w.b_i), ",
             "f, o = sigmoid(w.w_f @ z + w.b_f), ")
    .replace("old, c = c, f * c + i * g", "i = 1 - f; old, c = c, f * c + i * g")
    .replace("of_f, of_i = dc * old * f * (1 - f), dc * g * i * (1 - i)", "of_f = dc * (old - g) * f * (1 - f)")
    .replace("d[:4], d[4:8], w[:4], (of_f, of_i, of_g, of_o)", "d[:3], d[3:6], w[:3], (of_f, of_g, of_o)")
)  # fmt: skip


def watched(folder, source):
    """Return the observation of a program."""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    return observed(path)


def called(found, plan=PLANS[0]):
    """Return the problem of a trial, and the loss and gradients of a watched program for it."""
    fixed = Fixed(found.sizes.H, found.sizes.K, True, False)
    problem = make_trial(found.roles.cell, 0, 0, plan, fixed).problem
    return problem, *found.run(problem)


def names(found, block):
    """Return the names of the arrays with a block."""
    return {name_of(place) for place, role in found.roles.roles.items() if role.block == block}


@pytest.mark.parametrize("plan", [PLANS[0], PLANS[2]], ids=lambda plan: plan.name)
def test_an_lstm_whose_forget_gate_begins_with_1_is_known(tmp_path, plan):
    found = watched(tmp_path, ADAM_LSTM)
    assert found.exact
    problem, loss, gradients = called(found, plan)
    right, T = answer(problem), len(problem.x)
    assert loss == pytest.approx(right.loss / T, rel=FLOAT64)
    for name, array in right.gradients.items():
        assert np.allclose(gradients[name], array / T, rtol=FLOAT64, atol=FLOAT64), name


def test_the_memory_of_adam_is_no_parameter_although_a_loss_is_computed_after_the_update(tmp_path):
    found = watched(tmp_path, ADAM_LSTM)
    assert not {name_of(place) for place in found.roles.roles} & {"m", "v"}
    assert set(found.gradients) == {
        place for place, role in found.roles.roles.items() if role.block in ("gates", "output")
    }


def test_the_fields_of_a_named_tuple_have_their_names(tmp_path):
    found = watched(tmp_path, ADAM_LSTM)
    assert names(found, "output") == {"w_y", "b_y"}
    assert {
        role.gate: name_of(place)
        for place, role in found.roles.roles.items()
        if role.columns == "hx"
    } == {"f": "w_f", "i": "w_i", "g": "w_c", "o": "w_o"}


@pytest.mark.parametrize(("scale", "share"), [("len(ys)", lambda T: 1 / T), ("1", lambda T: 1)])
def test_the_loss_is_the_number_whose_derivative_the_gradients_are(tmp_path, scale, share):
    found = watched(tmp_path, ADAM_LSTM.replace("da /= len(ys)", f"da /= {scale}"))
    problem, loss, _ = called(found)
    assert loss == pytest.approx(exact_loss(problem) * share(len(problem.x)), rel=FLOAT64)


def test_a_gru_with_both_usual_differences_is_related(tmp_path):
    found = watched(tmp_path, GRU)
    assert found.related
    assert {
        name_of(place): role.gate
        for place, role in found.roles.roles.items()
        if role.block == "gates"
    } == {f"{kind}{name}": gate for kind in "WUb" for name, gate in zip("zrh", "zrn", strict=True)}


def test_an_lstm_may_compute_the_input_gate_from_the_forget_gate(tmp_path):
    found = watched(tmp_path, COUPLED)
    assert found.related
    assert found.roles.is_coupled
    shapes = CELLS["lstm"].shapes(found.sizes.H, found.sizes.K)
    theta = {name: np.random.default_rng(0).normal(size=s) for name, s in shapes.items()}
    theta |= {"V": np.zeros((found.sizes.K, found.sizes.H)), "c": np.zeros(found.sizes.K)}
    state = {"h": np.zeros(found.sizes.H), "cell": np.zeros(found.sizes.H)}
    again = found.roles.read(
        found.roles.written(theta, state), {n: a.shape for n, a in theta.items()}
    )
    H = found.sizes.H
    for name in shapes:
        assert np.array_equal(
            again[name][:H], theta[name][:H]
        )  # the rows of i, which stand in those of f
        assert not again[name][H : 2 * H].any()


# The output also sees the state before: no network of the doctor.
SKIPPING = ADAM_LSTM.replace("a = w.w_y @ h + w.b_y", "a = w.w_y @ (h + 0.5 * z[:H]) + w.b_y")


@pytest.mark.parametrize(
    ("source", "rank"),
    [
        # The gradient is not that of the own loss, so functions that can be called may be better.
        (SKIPPING, OWN + 1),
        (SKIPPING.replace("d.w_y[...] += np.outer(da, h)", "d.w_y[...] += np.outer(da, h + 0.5 * z[:H])")
         .replace("dh, dc = back[:H], dc * f", "dh, dc = back[:H] + 0.5 * (w.w_y.T @ da), dc * f"), OWN),
        # The loss is shown in bits, beside the sum in nats.
        (ADAM_LSTM.replace("total / len(xs)", "total / np.log(2) / len(xs)"), RELATED),
    ],
)  # fmt: skip
def test_a_program_with_a_network_of_its_own_is_ranked_by_its_gradients(tmp_path, source, rank):
    found = watched(tmp_path, source)
    seen = rank_of(found, Fixed(found.sizes.H, found.sizes.K, True, False))
    assert seen == rank or seen < rank == RELATED  # a lower rank is as good: nothing else is tried
