"""In a program that trains, the doctor also looks at a batch of several texts and at the second iteration."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.batch_gradients import mistakes_in_training
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.trials import PLANS, Fixed, make_trial
from charloom.diagnosis.watching.own_derivatives import calls_in_training, looks_clipped
from charloom.diagnosis.watching.program_search import observed
from training_programs import LAYERS, SCRIPT

CLEARED = "layer.gM[...], layer.gs[...] = 0, 0"
BITS = "bits = loss / steps / np.log(2)"
SUMMED = "self.gs += d.sum(axis=1, keepdims=True)"
RIGHT = {
    "sum": (LAYERS, []),
    "mean of the loss alone": (LAYERS, [("return loss", "return loss / X[0].shape[1]")]),
    "memory that begins with ε": (SCRIPT, [("np.zeros_like(p) for p", "np.full_like(p, 1e-8) for p")]),
    "momentum": (SCRIPT, [("s += g * g", "s *= 0.9; s += g"), ("g / np.sqrt(s + 1e-8)", "s")]),
}  # fmt: skip
WRONG = {
    "the mean over the texts": (SUMMED, SUMMED.replace("sum", "mean"), ("batch-not-summed", "db, dc")),
    "the first text alone": (SUMMED, "self.gs += d[:, :1]", ("batch-not-summed", "db, dc")),
    "biases that are not cleared": (CLEARED, "layer.gM[...] = 0", ("gradients-carried-over", "db, dc")),
    "nothing is cleared": (CLEARED, "pass", ("gradients-carried-over", "dU, dW, db, dV, dc")),
}  # fmt: skip


def written(folder, source, edits):
    """Write an edited program into a folder, and return its path."""
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_program_is_right_in_a_batch_and_in_its_second_iteration(tmp_path, name):
    found = observed(written(tmp_path, *RIGHT[name]))
    assert found.exact
    assert mistakes_in_training(*calls_in_training(found)) == []


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_that_the_first_window_does_not_show_is_named(tmp_path, name):
    old, new, expected = WRONG[name]
    found = observed(written(tmp_path, LAYERS, [(old, new)]))
    mistakes = mistakes_in_training(*calls_in_training(found))
    assert [(one.id, one.variant) for one in mistakes] == [expected]


def test_the_doctor_calls_a_program_wrong_that_is_wrong_only_in_a_batch(tmp_path):
    old, new, expected = WRONG["the first text alone"]
    result = doctor(str(written(tmp_path, LAYERS, [(old, new)])), plans=PLANS[:2])
    assert (result.verdict, result.mistakes) == ("wrong", (expected[0],))
    assert "db, dc" in result.found[0].variant_text


def test_a_factor_that_all_gradients_of_a_batch_share_is_no_mistake():
    right = {"U ": np.ones(1), "W ": np.full(1, 2.0), "b ": np.full(1, -3.0)}
    for factors, mistakes in (((3, 3, 3), []), ((3, 3, 1), ["db"])):
        given = {n: f * g for (n, g), f in zip(right.items(), factors, strict=True)}
        calls = [Call(None, one, (), {}, False) for one in (right, given)]
        assert [one.variant for one in mistakes_in_training(calls, [])] == mistakes


@pytest.mark.parametrize(("shown", "factor"), [("print(loss)", 1), (BITS, np.log(2))])
def test_the_gradient_of_a_mean_is_right_if_its_loss_is_shown_in_bits(tmp_path, shown, factor):
    divided = [
        ("    memory = h[-1]", "    for g in grads:\n        g /= steps\n    memory = h[-1]")
    ]
    found = observed(written(tmp_path, SCRIPT, [*divided, ("print(loss)", shown)]))
    assert found.factor == pytest.approx(factor)
    right = mistakes_in_training(*calls_in_training(found)) == []
    loss, gradients = found.run(make_trial("rnn", 0, 0, PLANS[0], Fixed(11, 7, True)).problem)
    exact = answer(make_trial("rnn", 0, 0, PLANS[0], Fixed(11, 7, True)).problem)
    T = PLANS[0].T
    assert right
    assert loss == pytest.approx(exact.loss / (1 if factor == 1 else T))
    np.testing.assert_allclose(gradients["W"], exact.gradients["W"] / T)


def test_a_round_largest_entry_looks_clipped():
    assert looks_clipped(np.array([0.3, -5.0]))
    assert not looks_clipped(np.array([0.3, -4.98765]))
