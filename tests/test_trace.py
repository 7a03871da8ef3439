"""A trace has the right numbers: those of the scalar oracle, the complex step and the reference engine."""

import json

import numpy as np
import pytest

import charloom
import oracle
from charloom.errors import CharloomError
from charloom.network_trace import cell_steps, random_problem, trace_problem
from charloom.network_trace.trace_text import rows_of
from charloom.network_trace.window_values import values_of_window
from small_runs import TEXT

CELLS = ("rnn", "lstm", "gru")


def problem(cell, **sizes):
    """Return a network with other sizes than the default, so that no two of them are equal."""
    return random_problem(
        **{
            "cell": cell,
            "hidden_size": 3,
            "seq_length": 4,
            "vocabulary_size": 5,
            "seed": 2,
            **sizes,
        }
    )


def sources(number):
    """Return the numbers from which the oracle computed a number."""
    return [source for source, _ in number.sources]


def oracle_step(cell, h, new_h, new_c):
    """Return the oracle's numbers of a step by their names, for each unit a number."""
    found = {}
    for unit, state in enumerate(new_h):
        if cell == "rnn":
            own = {"a": sources(state)[0]}
        elif cell == "lstm":
            o, tanh_s = sources(state)
            kept, added = sources(new_c[unit])
            (f, _), (i, g) = sources(kept), sources(added)
            gates = {"i": i, "f": f, "g": g, "o": o}
            own = {f"a_{name}": sources(gate)[0] for name, gate in gates.items()}
            own |= {"i": i, "f": f, "g": g, "gate_o": o, "tanh_s": tanh_s, "s": new_c[unit]}
        else:
            mixed, held = sources(state)
            n, z = sources(mixed)[1], sources(held)[0]
            r, q = sources(sources(sources(n)[0])[1])
            gates = {"r": r, "z": z, "n": n}
            own = {f"a_{name}": sources(gate)[0] for name, gate in gates.items()}
            own |= {"r": r, "z": z, "n": n, "q": q}
        for name, number in {**own, "h": state}.items():
            found.setdefault(name, []).append(number)
    return found


def oracle_values(given):
    """Return the oracle's numbers of every step of a network with one layer, and the propagated loss, by name."""
    parameters = {
        name: oracle.each(array.tolist(), oracle.Number) for name, array in given.parameters.items()
    }
    h = [oracle.Number(value) for value in given.state["h"][0].tolist()]
    c = [oracle.Number(value) for value in given.state.get("cell", given.state["h"])[0].tolist()]
    found, loss = {"h_0": h, "s_0": c}, oracle.Number(0.0)
    for t, (x, y) in enumerate(zip(given.x, given.y, strict=True), 1):
        new_h, new_c = oracle.step(given.cell, parameters, 0, x, h, c)
        for name, numbers in oracle_step(given.cell, h, new_h, new_c).items():
            found[f"{name}_{t}"] = numbers
        h, c = new_h, new_c
        o = found[f"o_{t}"] = oracle.logits(parameters, h)
        lost = oracle.total(o_k.exp() for o_k in o).log() + o[y] * oracle.Number(-1.0)
        found[f"loss_{t}"] = [lost]
        loss = loss + lost
    oracle.propagate(loss)
    return {**found, "loss": [loss]}


def differing(trace, found):
    """Return the names of the values of a trace whose numbers or gradients differ from the oracle's."""
    wrong = []
    for name, numbers in found.items():
        gradient = {"h_0": "dh_next_0", "s_0": "ds_next_0"}.get(name, f"d{name}")
        for own, right in (
            (name, [number.value for number in numbers]),
            (gradient, [number.gradient for number in numbers]),
        ):
            if own in trace.by_name and not np.allclose(
                trace[own].ravel(), right, rtol=1e-12, atol=1e-14
            ):
                wrong.append(own)
    return wrong


@pytest.mark.parametrize("cell", CELLS)
def test_every_value_of_each_step_is_that_of_the_oracle(cell):
    given = problem(cell)
    trace, found = trace_problem(given), oracle_values(given)
    assert differing(trace, found) == []
    # All values are compared, except those of which others are the sums, the products or the parts.
    compared = set(found) | {f"d{name}" for name in found} | {"dh_next_0", "ds_next_0"}
    left = {name.rstrip("0123456789").rstrip("_") for name in set(trace.names) - compared}
    parameters = {"U", "W", "b", "V", "c"} | ({"d"} if cell == "gru" else set())
    gradients = {f"d{name}" for name in parameters}
    stacked = set() if cell == "rnn" else {"da"}
    carried = {"dh_next", "ds_next"} if cell == "lstm" else {"dh_next"}
    assert left == {"x", "y", "p", *parameters, *gradients, *stacked, *carried}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_loss_and_gradients_are_those_of_the_oracle(cell, layers):
    given = problem(cell, layers=layers)
    trace = trace_problem(given)
    loss, gradients, _ = oracle.loss_and_gradients(
        cell,
        {name: array.tolist() for name, array in given.parameters.items()},
        [[token] for token in given.x],
        [[token] for token in given.y],
        {name: [[units] for units in array.tolist()] for name, array in given.state.items()},
    )
    assert trace.loss == pytest.approx(loss, rel=1e-14)
    assert len(trace.gradients) == len(gradients)
    for name, gradient in gradients.items():
        layer, _, symbol = name.rpartition(".")
        own = f"{layer}.d{symbol}" if layers > 1 and layer else f"d{symbol}"
        assert np.allclose(trace[own], gradient, rtol=1e-12, atol=1e-14), own


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_are_those_of_the_complex_step_of_the_loss(cell, layers):
    given = problem(cell, layers=layers)
    trace = trace_problem(given)
    for name, array in given.parameters.items():
        exact = np.empty(array.shape)
        for entry in np.ndindex(array.shape):
            moved = {n: p.astype(complex) for n, p in given.parameters.items()}
            moved[name][entry] += 1e-20j
            values = values_of_window(moved, cell, given.x, given.y, given.state)
            (loss,) = (value.numbers for value in values if value.name == "loss")
            exact[entry] = loss.imag / 1e-20
        layer, _, symbol = name.rpartition(".")
        own = f"{layer}.d{symbol}" if layers > 1 and layer else f"d{symbol}"
        assert np.allclose(trace[own], exact, rtol=1e-12, atol=1e-14), own


def test_a_planted_error_in_a_step_is_found_by_the_oracle(monkeypatch):
    given = problem("lstm")
    monkeypatch.setattr(cell_steps, "sigmoid", lambda a: (1 + np.tanh(a / 2.001)) / 2)
    wrong = differing(trace_problem(given), oracle_values(given))
    assert {"i_1", "da_i_1", "h_1", "do_4"} <= set(wrong)
    assert "a_i_1" not in wrong


def test_a_model_has_the_loss_and_gradients_of_the_reference_engine():
    model = charloom.train(
        string=TEXT, recipe="classic", cell="gru", hidden_size=5, layers=2, updates=3,
        dtype="float64", engine="reference",
    )  # fmt: skip
    trace = charloom.trace(string=TEXT[:8], model=model)
    learner = model.learner
    for array in learner.state.values():
        array[...] = 0
    ids = learner.vocabulary.encode(TEXT[:8])[:, None]
    loss, gradients, _ = model.engine.loss_and_gradients(learner, ids[:-1], ids[1:])
    assert trace.loss == pytest.approx(loss, rel=1e-12)
    assert np.allclose(trace["layers.1.dW"], gradients["layers.1.W"], rtol=1e-10, atol=1e-13)
    assert np.allclose(trace["dV"], gradients["V"], rtol=1e-10, atol=1e-13)


def test_parameters_and_state_are_short_numbers_and_never_zero():
    trace = charloom.trace(hidden_size=9, vocabulary_size=9, seed=5)
    numbers = np.concatenate(
        [v.numbers.ravel() for v in trace.values if v.part == "given" and v.numbers.dtype == float]
    )
    assert set(np.abs(numbers).tolist()) == {n / 10 for n in range(1, 10)}
    assert len(set(numbers.tolist())) == 18
    assert not charloom.trace(state="zero")["h_0"].any()


def test_a_trace_repeats_with_its_seed_and_changes_with_another():
    texts = [str(charloom.trace(seed=seed)) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_the_text_has_every_value_with_its_equation_in_order():
    trace = charloom.trace(string="abca", cell="lstm")
    text = str(trace)
    places = [text.index(f"\n  {value.statement}") for value in trace.values]
    assert places == sorted(places)
    assert text.startswith("An LSTM: H = 2, T = 3, K = 3; seed 0.\n")
    assert "Forward, step 3: reads 'c' (id 2), must predict 'a' (id 0)" in text
    assert f"{trace.loss:.6f}" in text
    assert "-0.000000" not in text


def test_every_name_in_an_equation_is_a_value_that_was_computed_before():
    for cell in CELLS:
        trace = charloom.trace(cell=cell, layers=2)
        before = set()
        for value in trace.values:
            words = value.equation.replace("(", " ").replace(")", " ").replace(",", " ").split()
            for word in words:
                if any(mark in word for mark in "_.") and "…" not in word:
                    name = word.partition("[")[0].rstrip("ᵀ²")
                    base, _, gate = name.rpartition("_")
                    known = name in before or (gate.isalpha() and base in before)
                    assert known, (value.statement, word)
            before.add(value.name)


def test_a_large_network_is_cut_in_the_text_but_whole_in_json():
    trace = charloom.trace(hidden_size=20, vocabulary_size=30)
    assert "…" in str(trace)
    assert "more rows" in str(trace)
    plain = json.loads(json.dumps(trace.to_dict()))
    assert np.shape(plain["numbers"]["dU"]) == (20, 30)
    assert plain["equations"]["h_2"] == "h_2 = tanh(a_2)"
    assert (plain["hidden_size"], plain["vocabulary_size"], plain["seq_length"]) == (20, 30, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 400, "vocabulary_size": 200}, "at most|the most is 200,000"),
        *(
            ({name: 2**31 - 1}, "the most is 200,000")
            for name in ("hidden_size", "layers", "seq_length", "vocabulary_size")
        ),
        ({"cell": "rmn"}, "rnn, lstm, gru"),
        ({"seq_length": 0}, "whole number from 1"),
        ({"seq_length": 0, "string": "abc"}, "whole number from 1"),
        ({"vocabulary_size": 1}, "whole number from 2"),
        ({"state": "one"}, "zero, non-zero"),
        ({"seed": -1}, "seed"),
        ({"string": "a"}, "needs 2 characters"),
        ({"string": "aaaa"}, "at least two different"),
        ({"string": "ab", "seq_length": 5}, "needs 6 characters"),
        ({"string": "ab", "text": "b.txt"}, "both give a text"),
        ({"string": "ab", "vocabulary_size": 3}, "only for random ids"),
        ({"text": "missing.txt"}, "missing.txt"),
        ({"model": "missing"}, "missing"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(settings, message):
    with pytest.raises(CharloomError, match=message):
        charloom.trace(**settings)


@pytest.mark.parametrize(
    ("made", "wanted", "message"),
    [
        ({}, {"hidden_size": 3}, "own settings; leave out hidden_size=3"),
        ({"ngram_order": 2}, {}, "ngram_order=2"),
        ({"input_pairs": 4}, {}, "input_pairs=4"),
        ({"hidden_size": 300}, {"seq_length": 9}, "the most is 200,000"),
        ({}, {"seq_length": 2**31 - 1}, "the most is 200,000"),
        ({}, {"seed": -1}, "seed"),
        ({}, {"seq_length": 0}, "whole number from 1"),
        ({}, {"string": "☃☃!"}, "☃"),
    ],
)
def test_a_model_that_no_trace_can_show_is_refused(made, wanted, message):
    model = charloom.train(
        string=TEXT, **{"recipe": "classic", "hidden_size": 4, "updates": 1, **made}
    )
    with pytest.raises(CharloomError, match=message):
        charloom.trace(model=model, **wanted)


def test_a_notebook_and_a_terminal_show_a_trace_and_a_check_shortly():
    trace = charloom.trace(seed=1)
    assert repr(trace).startswith(
        "<Trace of A plain recurrent network: H = 2, T = 3, K = 3; seed 1."
    )
    shown = trace._repr_html_()
    assert "h_2 = tanh(a_2)" in shown
    assert "Backward, step 1" in shown
    check = trace.check({"h_1": [0.5, "<"], "loss": trace.loss})
    assert repr(check) == "<NumberCheck: 1 of 2 values right.>"
    assert "h_1 has" in check._repr_html_() or "h_1 is" in check._repr_html_()
    assert "&lt;" in check._repr_html_()


def test_a_small_number_among_larger_ones_has_six_decimals_too():
    mixed = np.array([[0.5, -3.239e-05], [1e-9, 0.0]])
    assert [row.split() for row in rows_of(mixed)] == [
        ["0.500000", "-0.000032"],
        ["1.000e-09", "0.000000"],
    ]
    assert rows_of(np.array([3e-5, -2e-7]))[0].split() == ["3.000e-05", "-2.000e-07"]
