"""The doctor finds right code right in every form, and names each mistake that is planted by hand."""

import dataclasses
import inspect
import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import charloom
from charloom.cell_table import CELL_NAMES
from charloom.diagnosis import MISTAKES, Found, doctor
from charloom.diagnosis.faulty_network import answer, exact_state
from charloom.diagnosis.problem import Problem
from charloom.diagnosis.trials import PLANS, make_trials, window
from charloom.engines.reference.network import loss_and_gradients
from charloom.errors import CharloomError, ConfigError, DoctorError
from charloom.messages import for_command_line
from plants import CELL, OTHER_NETWORK, PLANTS, TORCH_PLANTS, Plant, function, source

pytestmark = pytest.mark.usefixtures("kept_predictions")

OWN_ORDER = {"lstm": "ifgo", "gru": "rzn"}
HAND_WRITTEN = ("loop", "whole", "course", "scalar", "lstm", "gru")


def judge(file, *plants, **options):
    """Return the diagnosis of a hand-written network with these mistakes in it."""
    name = "Model" if file == "module" else "loss_and_gradients"
    cell = None if file == "module" else CELL.get(file, "rnn")
    return doctor(function(file, *plants, name=name), **{"cell": cell, **options})


# Right code.


@pytest.mark.parametrize("file", HAND_WRITTEN)
def test_a_right_network_written_by_hand_is_right(file):
    found = judge(file)
    assert (found.verdict, found.mistakes) == ("right", ())
    assert found.worst().norm_relative < 1e-13
    assert found.certificate().startswith("charloom doctor: loss_and_gradients is right")


def edited(file, *edits):
    """Return a hand-written network with edits that keep it right."""
    return function(file, Plant(file, "none", tuple(zip(edits[::2], edits[1::2], strict=True))))


def column(file="loop"):
    """Return the natural form with columns for b, c and h0."""
    return edited(
        file, "def loss_and_gradients(params, x, y, h0):",
        "def loss_and_gradients(params, x, y, h0):\n    assert h0.shape == params['b'].shape == (len(h0), 1)\n"
        "    h0, params = h0[:, 0], {k: v[:, 0] if v.shape[1] == 1 else v for k, v in params.items()}",
    )  # fmt: skip


def spread(arguments):
    """Return the network with each parameter as a separate argument."""
    inner = function("loop")
    ours = {"inputs": "x", "targets": "y", "hprev": "h0", "h": "h0", "Wxh": "U", "Wx": "U", "Whh": "W",
            "Wh": "W", "Why": "V", "Wy": "V", "bh": "b", "bias_h": "b", "by": "c", "bias_y": "c"}  # fmt: skip

    def judged(*values):
        by = {ours.get(n, n): v for n, v in zip(arguments.split(", "), values, strict=True)}
        return inner({name: by[name] for name in "UWbVc"}, by["x"], by["y"], by["h0"])

    scope = {"judged": judged}
    exec(f"def lossFun({arguments}):\n    return judged({arguments})", scope)
    return scope["lossFun"]


VARIATIONS = {
    "columns": column(),
    "flat h0 in the course's form": edited(
        "course", "    h = h0\n", "    assert h0.ndim == 1\n    h0 = h0.reshape(-1, 1)\n    h = h0\n"
    ),
    "a dict of gradients": edited("course", "return loss, grads", "return loss, vars(grads)"),
    "a tuple of gradients": edited(
        "course", "return loss, grads", "return loss, (grads.b, grads.c, grads.U, grads.W, grads.V)"
    ),
    "gradients first": edited("loop", "return loss, {", "return {", '"c": dc}', '"c": dc}, loss'),
    "gradients alone": edited("loop", "return loss, {", "return {"),
    "all in one tuple": edited(
        "whole", "return loss, (dWxh, dWhh, dWhy, dbh, dby)", "return loss, dWxh, dWhh, dWhy, dbh, dby"
    ),
    "the state comes back too": edited("loop", '"c": dc}', '"c": dc}, h[T - 1]'),
    "a dict for the network": edited("course", "RNN.", "RNN_", "RNN_b", "RNN['b']", "RNN_c", "RNN['c']",
                                     "RNN_U", "RNN['U']", "RNN_W", "RNN['W']", "RNN_V", "RNN['V']"),
    "steps in rows": edited("course", "    K, tau = X.shape\n", "    assert X.shape[1] == len(RNN.c)\n    X, Y = X.T, Y.T\n    K, tau = X.shape\n"),
    "matrices transposed": edited(
        "loop", "for name in (\"U\", \"W\", \"b\", \"V\", \"c\"))",
        "for name in (\"U\", \"W\", \"b\", \"V\", \"c\"))\n    assert U.shape[1] == len(b)\n    U, W, V = U.T, W.T, V.T",
        '"U": dU, "W": dW, "b": db, "V": dV', '"U": dU.T, "W": dW.T, "b": db, "V": dV.T',
    ),
    "parameters spread out": spread("inputs, targets, hprev, Wxh, Whh, Why, bh, by"),
    "parameters spread out, in front": spread("Wx, Wh, bias_h, Wy, bias_y, x, y, h"),
    "a row times W": edited("whole", "Whh @ states[t]", "states[t] @ Whh", "da[t] @ Whh", "Whh @ da[t]",
                            "dWhh = da.T @ states[:-1]", "dWhh = states[:-1].T @ da"),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIATIONS)
def test_every_form_of_right_code_is_right(name):
    found = doctor(VARIATIONS[name])
    assert (found.verdict, found.mistakes) == ("right", ()), found.headline()


def in_float32(file):
    """Return the function in float32; it returns float32 arrays."""
    double = function(file)

    def single(params, x, y, h0):
        params = {name: array.astype(np.float32) for name, array in params.items()}
        loss, grads = double(params, x, y, h0.astype(np.float32))
        return np.float32(loss), {name: g.astype(np.float32) for name, g in grads.items()}

    return single


def test_float32_arrays_are_checked_with_the_tolerance_of_float32():
    found = doctor(in_float32("loop"))
    assert (found.verdict, found.tried.dtype) == ("right", "float32")
    assert 1e-9 < found.worst().norm_relative < 1e-4


def test_a_mistake_in_float32_code_is_named_too():
    (plant,) = (p for p in PLANTS if p.name == "loop-recurrent-gradient-from-current-state")
    double = function("loop", plant)

    def single(params, x, y, h0):
        params = {name: array.astype(np.float32) for name, array in params.items()}
        loss, grads = double(params, x, y, h0.astype(np.float32))
        return loss, {name: g.astype(np.float32) for name, g in grads.items()}

    assert doctor(single).mistakes == ("recurrent-gradient-from-current-state",)


def test_a_mean_over_time_is_right_only_if_the_user_says_mean():
    (plant,) = (p for p in PLANTS if p.name == "loop-mean-over-time-both")
    found = judge("loop", plant, reduction="mean")
    assert found.verdict == "right"
    assert "(rnn, float64, mean over time)" in found.certificate()
    summed = judge("loop", reduction="mean")
    assert (summed.verdict, summed.differences) == (
        "right for its own network",
        ("sum-over-time",),
    )


# Each mistake.


# The loss is that of 100 o, and the gradient that of o: both this and the overflow are said.
LOCATED_TOO = {
    "loop-not-a-number-overflow": "Wrong: the gradient of the logits, do, is wrong. Also, in some trials"
}
WRONG_GRADIENT = [plant for plant in PLANTS if plant.name not in OTHER_NETWORK]


@pytest.mark.parametrize("plant", WRONG_GRADIENT, ids=lambda plant: plant.name)
def test_a_planted_mistake_is_named(plant):
    found = judge(plant.file, plant)
    assert found.verdict == "wrong"
    assert found.mistakes[:1] == (plant.id,), found.explanations
    assert found.headline().startswith(LOCATED_TOO.get(plant.name, "Wrong, and"))


@pytest.mark.parametrize("name", OTHER_NETWORK)
def test_a_right_gradient_of_another_network_or_loss_is_right_for_its_own_network(name):
    (plant,) = planted(name)
    found = judge(plant.file, plant, gates=OWN_ORDER.get(plant.file, ""))
    assert found.verdict == "right for its own network"
    assert found.passed
    assert (*found.differences, *found.mistakes) == (plant.id,)
    assert found.headline().startswith("Your gradient is ")
    assert plant.id in found.certificate()


@pytest.mark.parametrize("plant", TORCH_PLANTS, ids=lambda plant: plant.name)
def test_a_mistake_planted_in_a_module_of_pytorch_is_named(plant):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = judge("module", plant)
    assert (*found.differences, *found.mistakes) == (plant.id,)


def test_right_modules_of_pytorch_are_right():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    for kind, cell in (("RNN", "rnn"), ("LSTM", "lstm"), ("GRU", "gru")):
        edits = (("nn.RNN", f"nn.{kind}"), ("h0.dtype", "self.head.weight.dtype"))
        plant = Plant("module", "none", edits)
        found = judge("module", plant)
        assert (found.verdict, found.tried.cell) == ("right", cell)


def test_every_known_mistake_is_planted_at_least_once():
    planted = {plant.id for plant in (*PLANTS, *TORCH_PLANTS)}
    planted.add("sum-over-time")  # where a mean is meant: the test of means
    planted.add("batch-not-summed")  # in batches: tests/test_doctor_batches.py
    known = {m.id for m in MISTAKES if m.kind != "numerical"}
    assert known - planted == set()


PAIRS = [
    ("loop-initial-state-dropped", "loop-tanh-derivative-1-h"),
    ("loop-time-carry-missing", "loop-hidden-bias-not-summed"),
    ("loop-mean-over-time-both", "loop-output-gradient-from-previous-state"),
    ("loop-softmax-target-missing", "loop-input-gradient-from-target"),
    ("course-tanh-derivative-a", "course-recurrent-gradient-from-current-state"),
    ("lstm-time-carry-missing-cell", "lstm-input-gradient-from-target"),
    ("gru-tanh-derivative", "gru-recurrent-gradient-from-current-state"),
]


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_two_mistakes_in_one_function_are_both_named(names):
    plants = [plant for name in names for plant in PLANTS if plant.name == name]
    found = judge(plants[0].file, *plants)
    assert found.verdict == "wrong"
    assert {plant.id for plant in plants} == {*found.mistakes, *found.differences}


def test_three_mistakes_in_three_gradients_are_all_named():
    names = ("loop-hidden-bias-not-summed", "loop-output-gradient-from-previous-state",
             "loop-input-gradient-from-target")  # fmt: skip
    plants = [plant for name in names for plant in PLANTS if plant.name == name]
    found = judge("loop", *plants)
    assert set(found.mistakes) == {plant.id for plant in plants}
    assert not found.exact


def test_an_unknown_mistake_is_wrong_and_has_no_name():
    plant = Plant(
        "loop", "none", (("da = dh * (1 - h[t] ** 2)", "da = dh * (1 - h[t] ** 2) + 0.01 * x[t]"),)
    )
    found = judge("loop", plant)
    assert (found.verdict, found.mistakes, found.exact) == ("wrong", (), False)
    assert found.headline() == "Wrong: the gradient da is wrong at every step."
    assert any("right in every trial: dV, dc, the loss" in clue for clue in found.clues)


def planted(*names):
    """Return the planted mistakes with these names."""
    return [plant for name in names for plant in PLANTS if plant.name == name]


def test_a_constant_factor_of_one_or_all_gradients_is_reported():
    found = judge("loop", *planted("loop-gradient-scaled"))
    assert found.exact
    assert found.headline() == "Wrong, and this is why: db is 2 times the right one."
    (two,) = judge("loop", *planted("loop-gradient-scaled-two")).explanations
    assert [one.title for one in two] == [
        "db is 2 times the right one and dV is -1 times the right one"
    ]
    found = judge("loop", *planted("loop-gradient-scaled-all"))
    assert "every gradient is 0.37 times the right one." in found.clues


def test_a_mistake_that_would_make_right_gradients_wrong_is_not_named():
    """The mistake 2 (p - y) would explain db alone, but it would make dV wrong, which is right."""
    names = ("gradient-scaled", "input-gradient-from-target", "recurrent-gradient-transposed")
    found = judge("loop", *planted(*(f"loop-{name}" for name in names)))
    assert set(found.mistakes) == set(names)


def test_a_wrong_loss_with_right_gradients_is_explained_exactly_or_not_at_all():
    for amount in ("1e-3", "1e-8", "-1e-8"):
        strange = Plant("loop", "none", (("loss += -np", f"loss += {amount} * t - np"),))
        found = judge("loop", strange)
        assert (found.verdict, found.mistakes) == ("right for its own network", ())
        assert not found.network_known
        assert found.headline() == (
            "Your gradient is exactly that of your loss. Your loss differs from that of the specification, "
            "and the doctor does not know why: no difference that it knows explains it."
        )
    found = judge("loop", *planted("loop-epsilon-in-log"))
    assert found.exact
    assert [[one.variant for one in e] for e in found.explanations] == [["ε = 1e-8"]]


def test_an_explanation_of_the_gradients_does_not_predict_a_wrong_loss():
    strange = (("loss += -np", "loss += 1e-3 * t - np"), ("        dh_next = W.T @ da\n", ""))
    found = judge("loop", Plant("loop", "none", strange))
    assert (found.mistakes, found.exact) == (("time-carry-missing",), False)


def test_a_gradient_that_is_not_a_number_is_wrong():
    plant = Plant("loop", "none", (("    return loss", "    dW[0, 0] = np.nan\n    return loss"),))
    found = judge("loop", plant)
    assert found.verdict == "wrong"
    assert found.worst().parameter == "W"
    assert "dW is not a number" in found.headline()
    assert not any("times the right one" in clue for clue in found.clues)
    json.dumps(found.to_dict())


def test_an_infinite_entry_is_explained_by_no_other_mistake():
    edit = ("    return loss", "    dW[0, 0] = np.inf\n    return loss")
    found = judge("loop", Plant("loop", "none", (edit,)))
    assert found.verdict == "wrong"
    assert set(found.mistakes) <= {"not-a-number"}


def test_complex_gradients_are_refused():
    edit = ('"W": dW', '"W": dW + 1j')
    with pytest.raises(DoctorError, match="array of real numbers"):
        judge("loop", Plant("loop", "none", (edit,)))


def test_a_matrix_of_a_single_hidden_unit_is_not_read_as_a_bias():
    plans = tuple(plan._replace(H=1) for plan in PLANS)
    assert doctor(function("loop"), plans=plans).verdict == "right"


def test_errors_by_step_show_the_first_wrong_step():
    plants = {p.name: p for p in PLANTS}
    carry = judge("loop", plants["loop-time-carry-missing"]).errors_by_step
    assert carry["W"][0] < 1e-12 < 1e-3 < min(carry["W"][1:])
    assert max(carry["V"]) < 1e-12
    dropped = judge("loop", plants["loop-initial-state-dropped"]).errors_by_step
    assert dropped["W"][0] > 0.5
    assert max(dropped["U"]) < 1e-12


# The right results.


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_without_mistakes_the_faulty_network_equals_the_reference_engine(cell):
    for trial in make_trials(cell, seed=3):
        problem = trial.problem
        names = {n: f"layers.0.{n}" if n in "UWbd" else n for n in problem.parameters}
        loss, gradients, state = loss_and_gradients(
            {names[n]: p for n, p in problem.parameters.items()},
            cell,
            problem.x[:, None],
            problem.y[:, None],
            {n: s[None, None] for n, s in problem.state.items()},
        )
        found = answer(problem)
        assert found.loss == pytest.approx(loss, rel=1e-13)
        for name, gradient in found.gradients.items():
            far = np.linalg.norm(gradient - gradients[names[name]])
            assert far <= 1e-13 * np.linalg.norm(gradient)
        for name, left in exact_state(problem).items():
            assert np.allclose(left, state[name][0, 0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_each_variant_of_each_mistake_changes_some_trial(cell):
    trials = make_trials(cell)
    exact = [answer(trial.problem) for trial in trials]
    hidden = []
    for mistake in MISTAKES:
        if mistake.kind != "gradient":
            continue
        for variant in mistake.variants_of(cell):
            with np.errstate(all="ignore"):
                shown = any(
                    differs(answer(trial.problem, {mistake.id: variant}), right)
                    for trial, right in zip(trials, exact, strict=True)
                )
            if not shown:
                hidden.append((mistake.id, variant))
    assert hidden == []


def differs(a, b):
    """Return True if two results differ by more than rounding."""
    if abs(a.loss - b.loss) > 1e-6 * abs(b.loss):
        return True
    return any(
        a.gradients[n].shape != g.shape
        or np.linalg.norm(a.gradients[n] - g) > 1e-6 * np.linalg.norm(g)
        for n, g in b.gradients.items()
    )


def test_trials_depend_only_on_the_seed_and_have_three_different_sizes():
    for seed in (0, 1):
        once, again = make_trials("gru", seed), make_trials("gru", seed)
        for a, b in zip(once, again, strict=True):
            assert all(
                np.array_equal(a.problem.parameters[n], p) for n, p in b.problem.parameters.items()
            )
            assert len({a.info.hidden_size, a.info.seq_length, a.info.vocabulary_size}) == 3
    assert not np.array_equal(
        make_trials("rnn", 0)[0].problem.x, make_trials("rnn", 1)[0].problem.x
    )  # fmt: skip


def test_the_trials_include_every_kind():
    assert {plan.sigma for plan in PLANS} >= {0.01, 0.1, 1.0}
    assert {plan.state for plan in PLANS} == {"zero", "non-zero"}
    assert 1 in {plan.T for plan in PLANS}
    assert any(plan.text == "same" for plan in PLANS)
    problem = make_trials("rnn")[0].problem
    assert window(problem, 2).x.tolist() == problem.x[:2].tolist()


# Random sizes; benchmarks/doctor.py does the same many times over.


@st.composite
def random_plans(draw):
    """Draw the default trials with other sizes and other sigmas."""
    numbers = [draw(st.permutations(range(3, 12)))[:3] for _ in PLANS]
    factor = draw(st.sampled_from([0.3, 0.7, 1.0, 1.5]))
    return tuple(
        plan._replace(
            H=sizes[0],
            T=1
            if plan.T == 1
            else 4
            if place == 1
            else plan.T
            if plan.text == "same"
            else sizes[1],
            K=sizes[2],
            sigma=plan.sigma * factor,
        )
        for place, (plan, sizes) in enumerate(zip(PLANS, numbers, strict=True))
    )


QUICKLY = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@QUICKLY
@given(random_plans(), st.integers(0, 2**31), st.sampled_from(HAND_WRITTEN))
def test_right_code_is_right_at_any_size(plans, seed, file):
    assert judge(file, seed=seed, plans=plans).verdict == "right"


@QUICKLY
@given(random_plans(), st.integers(0, 2**31), st.sampled_from(PLANTS))
def test_a_mistake_is_named_at_any_size(plans, seed, plant):
    found = judge(plant.file, plant, seed=seed, plans=plans, gates=OWN_ORDER.get(plant.file, ""))
    assert plant.id in (*found.mistakes, *found.differences)


# What the diagnosis contains.


def test_the_result_is_plain_data_with_verdict_and_mistakes():
    (plant,) = (p for p in PLANTS if p.name == "loop-index-wraps")
    data = json.loads(json.dumps(judge("loop", plant).to_dict()))
    assert (data["verdict"], data["mistakes"]) == ("wrong", ["index-wraps"])
    assert data["certificate"] is None
    ((explanation,),) = data["explanations"]
    assert explanation["right"] == "dW += da_t h_{t-1}ᵀ"
    assert {row["parameter"] for row in data["rows"]} == {"U", "W", "b", "V", "c", "loss"}
    assert len(data["errors_by_step"]["W"]) == data["tried"]["trials"][0]["seq_length"]
    assert dataclasses.is_dataclass(judge("loop"))


NAMES_OF_KINDS = (
    r"\b(depth|chunks|ends|entries|norms|apart|forward alone|too early|wrapping|d too)\b"
)


def test_each_variant_has_a_text_of_its_own_without_internal_names():
    for mistake in MISTAKES:
        texts = [Found(mistake.id, variant).variant_text for variant in mistake.variants]
        if mistake.id == "gate-order":
            assert set(texts) == {""}  # the title names the order
            continue
        assert len(set(texts)) == len(texts), mistake.id
        for variant, text in zip(mistake.variants, texts, strict=True):
            assert bool(text) == bool(variant)
            public_text = re.sub("the window is cut into chunks|each entry|entries", "", text)
            assert not re.search(NAMES_OF_KINDS, public_text), text
    assert Found("clipped", "norm 0.7").variant_text.endswith("scaled down to a norm of 0.7")
    assert Found("truncated", "last 1").variant_text.endswith("the last 1 step of the window")
    assert Found("gradient-scaled", "2 db").variant_text == ""


def test_an_equation_with_B_says_that_B_is_1():
    (plant,) = planted("loop-softmax-target-missing")
    ((one,),) = judge("loop", plant).explanations
    assert one.right == "do_t = (p_t - onehot(y_t)) / B, with B = 1 here"


def test_the_repr_of_a_diagnosis_and_the_signature_are_short():
    assert repr(judge("loop")).startswith("<Diagnosis of loss_and_gradients: Right:")
    assert len(str(inspect.signature(doctor))) < 800


def test_a_gru_that_returns_no_gradient_of_d_is_a_gru_without_d():
    inner = function("gru")

    def without(params, x, y, h0):
        loss, grads = inner({**params, "d": 0 * params["d"]}, x, y, h0)
        return loss, {name: g for name, g in grads.items() if name != "d"}

    found = doctor(without, cell="gru")
    assert (found.verdict, found.differences) == (
        "right for its own network",
        ("second-bias-left-out",),
    )


def test_a_row_has_the_entry_with_the_largest_error():
    plant = Plant("loop", "none", (("    return loss", "    dW[2, 1] += 5\n    return loss"),))
    rows = [row for row in judge("loop", plant).rows if row.parameter == "W"]
    assert {row.index for row in rows} == {(2, 1)}
    assert all(row.given - row.exact == pytest.approx(5) for row in rows)
    assert all(row.absolute == pytest.approx(5) for row in rows)


def test_doctor_is_a_public_function():
    assert charloom.doctor(function("loop")).verdict == "right"


# What it refuses, and what its errors ask for.


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"form": "matlab"}, "form"),
        ({"cell": "tree"}, "cell"),
        ({"reduction": "max"}, "reduction"),
        ({"dtype": "int"}, "dtype"),
        ({"time_limit": 0}, "time_limit"),
        ({"numerical": "f"}, "numerical"),
    ],
)
def test_an_argument_that_is_not_valid_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        doctor(function("loop"), **options)


ERRORS = {
    "three arguments": (lambda params, x, y: 0, "takes three arguments.*must take four"),
    "one argument": (lambda params: 0, r"takes one argument \(params\)"),
    "six arguments with unknown roles": (
        lambda params, x, y, h0, more, still: 0,
        r'arguments=\["U", "W", "b", "V", "c", "x", "y", "h0"\]',
    ),
    "unknown names of arguments": (lambda params, foo, bar, baz: 0, "arguments="),
    "nothing returned": (lambda params, x, y, h0: None, "no gradient of U, W, b, V, c"),
    "an unknown parameter": (
        lambda params, x, y, h0: params["Q"],
        r'names={"U": "Q", "W": "…", "b": "…", "V": "…", "c": "…"}',
    ),
    "arrays of the same shape": (
        lambda params, x, y, h0: (1.0, [params["W"], params["W"], params["V"]]),
        r'gradients=\["loss", "U", "W", "b", "V", "c"\]',
    ),
    "another shape": (
        lambda params, x, y, h0: (1.0, {**params, "W": np.zeros((2, 2))}),
        r"gradient of W has the shape \(2, 2\)",
    ),
    "words": (lambda params, x, y, h0: (1.0, {**params, "b": "words"}), "gradient of b"),
    "not a function": (3, "of the type int; name a function"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_the_doctor_needs_to_know(name):
    given, sentence = ERRORS[name]
    with pytest.raises(DoctorError, match=sentence):
        doctor(given)
    assert issubclass(DoctorError, CharloomError)


def test_names_orders_and_arguments_can_be_given():
    inner = function("loop")

    def strange(one, two, three, four):
        loss, g = inner({n: two[f"my{n}"] for n in "UWbVc"}, three, four, one)
        return g["c"], g["b"], loss, np.zeros(g["b"].shape), g["V"], g["W"], g["U"]

    found = doctor(
        strange,
        names={n: f"my{n}" for n in "UWbVc"},
        gradients=["c", "b", "loss", "_", "V", "W", "U"],
        arguments=["h0", "params", "x", "y"],
    )
    assert found.verdict == "right"


def test_an_lstm_may_take_its_two_states_as_separate_arguments():
    inner = function("lstm")
    assert doctor(lambda p, x, y, h0, c0: inner(p, x, y, (h0, c0)), cell="lstm").verdict == "right"
    assert doctor(lambda p, x, y, h, c: inner(p, x, y, (h, c)), cell="lstm").verdict == "right"


def test_the_error_for_a_function_of_three_arguments_names_the_command_that_writes_a_wrapper():
    with pytest.raises(DoctorError, match="takes three arguments") as caught:
        doctor(lambda inputs, targets, hprev: 0)
    advice = for_command_line(str(caught.value))
    assert "charloom doctor FILE.py --adapt wrapper.py" in advice


def test_the_error_for_a_module_with_an_embedding_names_it():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    edits = (
        ("nn.RNN(vocab_size, hidden_size)", "nn.RNN(13, hidden_size)"),
        (
            "        self.head =",
            "        self.embedding = nn.Embedding(vocab_size, 13)\n        self.head =",
        ),
    )
    with pytest.raises(
        DoctorError, match=r"13 numbers from an nn.Embedding.*one-hot vectors of size K"
    ):
        judge("module", Plant("module", "none", edits))


def test_a_problem_has_these_fields():
    assert Problem._fields == ("cell", "parameters", "x", "y", "state")
    assert "tanh" in source("loop")
