"""The doctor says at which gates, steps and sums a gradient is wrong, whether or not it knows the mistake."""

import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.blocks import Block
from charloom.diagnosis.case import Case
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.location import Places
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.places import Place, steps_text
from charloom.diagnosis.trials import FREE, make_trials, separate_trial
from plants import CELL, PLANTS, Plant, function

pytestmark = pytest.mark.usefixtures("kept_predictions")

ALL, BUT_LAST, LAST, FIRST = (1, 2, 3, 4, 5), (1, 2, 3, 4), (5,), (1,)
LSTM_BUT_O = ("i", "f", "g")


def judge(file, *edits):
    """Return the diagnosis of a hand-written network with these edits, given as old, new, old, new …"""
    pairs = tuple(zip(edits[::2], edits[1::2], strict=True))
    return doctor(function(file, Plant(file, "none", pairs)), cell=CELL.get(file, "rnn"))


def places(found):
    """Return the kind, the gates and the steps of each place."""
    return [(place.kind, place.gates, place.steps) for place in found.location.places]


CLIPPED = "    for g in grads.values():\n        np.clip(g, -1, 1, out=g)\n    return loss, grads"
SCALED = """    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    return loss, {name: g * min(1, 2 / norm) for name, g in grads.items()}"""
(PEEPHOLE_PLANT,) = (plant for plant in PLANTS if plant.name == "lstm-peepholes")
PEEPHOLES = tuple(text for edit in PEEPHOLE_PLANT.edits for text in edit)
# Name: the network, the edits, and the places that must be found.
STEPS = {
    "a derivative at the last step only": (
        "loop", ("da = dh *", "da = dh if t == T - 1 else dh *"), [("gates", (), LAST)],
    ),
    "a derivative at all steps but the last": (
        "loop", ("da = dh *", "da = dh if t < T - 1 else dh *"), [("dh", (), BUT_LAST)],
    ),
    "an unknown derivative": ("loop", ("(1 - h[t] ** 2)", "(1 - h[t] ** 4)"), [("gates", (), ALL)]),
    "an unknown carry": ("loop", ("dh_next = W.T @ da", "dh_next = W.T @ da / 3"), [("dh", (), BUT_LAST)]),
    "one gate of an LSTM": ("lstm", ("f * (1 - f)", "f * (1 - f) ** 2"), [("gates", ("f",), ALL)]),
    "one gate at the first step": (
        "lstm", ("da_i = ds", "da_i = (1 if t else 2) * ds"), [("gates", ("i",), FIRST)],
    ),
    "the cell of an LSTM": ("lstm", ("ds_next = ds * f", "ds_next = ds * f * 0.5"), [("ds", (), BUT_LAST)]),
    "the cell of an LSTM that starts from zero, so that f shows nothing at the first step": (
        "lstm",
        ("ds_next = ds * f", "ds_next = ds * f * 0.5", "h, s = h0", "h, s = np.zeros_like(h0[0]), np.zeros_like(h0[1])"),
        [("ds", (), BUT_LAST)],
    ),
    "the state of an LSTM": ("lstm", ("dh_next = W.T @ da", "dh_next = W.T @ da * 0.5"), [("dh", (), BUT_LAST)]),
    "two gates of an LSTM, independently": (
        "lstm", ("f * (1 - f)", "f", "o * (1 - o)", "(1 - o) ** 3"),
        [("gates", ("f", "o"), ALL)],
    ),
    "one gate of a GRU": ("gru", ("z * (1 - z)", "z * (1 - z) ** 2"), [("gates", ("z",), ALL)]),
    "the reset gate of a GRU": ("gru", ("r * (1 - r)", "r * (1 - r) ** 2"), [("gates", ("r",), ALL)]),
    "the state of a GRU": ("gru", ("dh_next = dh * z", "dh_next = dh * z * 0.5"), [("dh", (), BUT_LAST)]),
    "the logits at the last step": (
        "loop", ("do[y[t]] -= 1", "do[y[t]] -= 1 if t < T - 1 else 0.5"), [("logits", (), LAST)],
    ),
    "a sum over too few steps": ("loop", ("dW += np", "dW += (t > 1) * np"), [("dW", (), ())]),
    "the rows of one gate in dW": (
        "lstm", ('grads["W"] += np.outer(da, h_prev)', 'grads["W"] += np.outer(da, h_prev)\n        grads["W"][:H] += 0.1'),
        [("dW", ("i",), ())],
    ),
    "the rows of one gate in dU": (
        "gru", ("    return loss, grads", "    grads['U'][-len(h0):] *= 1.3\n    return loss, grads"), [("dU", ("n",), ())],
    ),
    "gates with different factors": (
        "lstm", ("da_i = ds", "da_i = 0.5 * ds", "da_f = ds", "da_f = 0.7 * ds", "da_g = ds", "da_g = 1.3 * ds"),
        [("gates", ("i", "f", "g"), ALL)],
    ),
    "one gate of an LSTM whose entries are clipped": (
        "lstm", ("f * (1 - f)", "f * (1 - f) ** 2", "    return loss, grads", CLIPPED), [("gates", ("f",), ALL)],
    ),
    "one gate of a GRU whose norm is clipped": (
        "gru", ("z * (1 - z)", "z * (1 - z) ** 2", "    return loss, grads", SCALED), [("gates", ("z",), ALL)],
    ),
    "one gate of an LSTM with peepholes": (
        "lstm", (*PEEPHOLES, "da_g = ds * i", "da_g = ds * i * (1 + (t == 0))"), [("gates", ("g",), FIRST)],
    ),
    "an output gradient": ("gru", ('grads["V"] += np.outer(dy, h)', 'grads["V"] += np.outer(dy, h + 0.1)'), [("dV", (), ())]),
}  # fmt: skip


def test_numbers_that_are_not_finite_come_after_the_mistake():
    """The factor of the gate f overflows in the trials with large weights."""
    found = judge("lstm", "da_f = ds", "da_f = (1.1 + 0 * np.exp(np.abs(a).max() ** 4)) * ds")
    assert found.verdict == "wrong"
    assert ("gates", ("f",), ALL) in places(found)
    assert found.headline().startswith("Wrong: the gradient of gate f is wrong at every step.")
    assert found.headline().endswith("not a number (NaN or infinite).")


@pytest.mark.parametrize("name", STEPS)
def test_the_gates_and_the_steps_of_a_mistake_are_found(name):
    file, edits, wanted = STEPS[name]
    found = judge(file, *edits)
    assert found.verdict == "wrong"
    assert places(found) == wanted


def test_right_code_has_no_places_and_no_wrong_blocks():
    for cell, file in (("rnn", "loop"), ("lstm", "lstm"), ("gru", "gru")):
        found = judge(file)
        assert (found.verdict, found.location.wrong, found.location.places) == ("right", (), ())
        trial = separate_trial(cell, 0, FREE)
        exact, trials = answer(trial.problem), make_trials(cell)
        places = Places(
            Case(
                trials,
                [Call(None, answer(t.problem).gradients, (), {}, False) for t in trials],
                "sum",
            ),
            trial.problem,
            Call(exact.loss, exact.gradients, (), {}, False),
        )
        assert places.all() == []


def test_the_right_blocks_are_named_beside_the_wrong_ones():
    found = judge("lstm", "da_f = ds * s_prev", "da_f = 1.5 * ds * s_prev")
    assert Block("U", "f") in found.location.wrong
    found = judge("lstm", 'grads["W"] += np.outer(da, h_prev)', 'grads["W"] += np.outer(da, h_prev)\n        grads["W"][:H] += 0.1')  # fmt: skip
    assert found.location.wrong == (Block("W", "i"),)
    assert "wrong: the rows of i in dW." in found.clues
    assert any(
        clue.startswith("right: the rows of i, f, g, o in dU, the rows of f, g, o in dW")
        for clue in found.clues
    )
    assert found.headline().startswith("Wrong: dW is summed wrongly over the steps")


def test_several_mistakes_in_different_places_are_named_independently():
    found = judge(
        "lstm",
        *("f * (1 - f)", "f"),
        *("o * (1 - o)", "(1 - o**2)"),
        *("np.outer(da, h_prev)", "np.outer(da, h)"),
        *("grads[\"b\"] += da", "grads[\"b\"] = da"),
    )  # fmt: skip
    assert {"recurrent-gradient-from-current-state", "hidden-bias-not-summed"} <= set(
        found.mistakes
    )
    assert ("gates", ("f", "o"), ALL) in places(found)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_place_of_a_mistake_does_not_depend_on_the_random_numbers(seed):
    plant = next(plant for plant in PLANTS if plant.name == "lstm-sigmoid-derivative-in i")
    found = doctor(function("lstm", plant), cell="lstm", seed=seed)
    assert places(found) == [("gates", ("i",), ALL)]


def test_steps_are_told_in_words():
    assert steps_text((1, 2, 3), 3) == "every step"
    assert steps_text((1, 2), 3) == "all steps but the last"
    assert steps_text((2, 3), 3) == "all steps but the first"
    assert steps_text((3,), 3) == "the last step only"
    assert steps_text((1,), 3) == "the first step only"
    assert steps_text((2, 4), 5) == "steps 2 and 4 of 5"
    assert Place("dW", ("f",), (), 5, None).sentence().endswith("in the rows of f.")
