"""The check of a student's own numbers finds each planted error and names it; right numbers pass."""

import json

import numpy as np
import pytest

import charloom
from charloom.errors import CharloomError

CELLS = ("rnn", "lstm", "gru")


@pytest.fixture(scope="module")
def traces():
    return {
        cell: charloom.trace(cell=cell, hidden_size=2, vocabulary_size=4, seed=1) for cell in CELLS
    }


def numbers_of(trace):
    """Return all numbers of a trace, as a student could give them."""
    return {name: trace[name].copy() for name in trace.names}


@pytest.mark.parametrize("cell", CELLS)
def test_the_numbers_of_the_trace_itself_are_right(cell, traces):
    check = traces[cell].check(numbers_of(traces[cell]))
    assert check.passed
    assert check.missing == ()
    assert check.first_wrong is None


@pytest.mark.parametrize("cell", CELLS)
def test_a_planted_error_in_any_value_is_found_and_named(cell, traces):
    trace = traces[cell]
    for value in trace.values:
        given = numbers_of(trace)
        given[value.name] = (
            given[value.name] + 1e-6 / 3 if value.part != "given" else given[value.name] + 1
        )
        check = trace.check(given)
        assert [one.name for one in check.of("wrong")] == [value.name]
        assert not check.passed
        text = str(check)
        assert f"The first wrong value in the order of the computation is {value.name}" in text
        assert value.statement in text


def test_the_first_of_several_errors_is_the_first_in_the_computation_not_in_the_file(traces):
    trace = traces["rnn"]
    given = numbers_of(trace)
    for name in ("dW", "da_1", "da_3"):
        given[name] = given[name] * 1.5
    check = trace.check(dict(reversed(given.items())))
    assert [one.name for one in check.of("wrong")] == ["da_3", "da_1", "dW"]
    assert check.first_wrong.name == "da_3"
    assert check.first_wrong.remark == "your numbers are 1.5 times the right ones"
    assert "Correct it first" in str(check)


@pytest.mark.parametrize("places", [1, 2, 3, 4, 6, 8])
def test_numbers_rounded_by_hand_pass_and_a_wrong_digit_does_not(places, traces, tmp_path):
    trace = traces["rnn"]
    rounded = {name: np.round(trace[name], places).tolist() for name in trace.names}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(rounded))
    assert trace.check(path).passed
    wrong = np.array(rounded["h_2"])
    wrong[1] += 3 * 10.0**-places
    # A number like 0.5 in a list with 0.412 does not make the list less exact.
    rounded["h_2"] = [round(number, places) for number in wrong]
    path.write_text(json.dumps(rounded))
    check = trace.check(path)
    assert [one.name for one in check.of("wrong")] == ["h_2"]
    assert check.first_wrong.index == (1,)


def test_numbers_without_decimals_are_judged_as_rounded(traces):
    trace = traces["rnn"]
    loss = round(float(trace["loss"]))
    assert trace.check({"loss": loss}).passed
    assert trace.check({"loss": float(loss)}).passed
    wrong = trace.check({"loss": loss + 1}).first_wrong
    assert (wrong.tolerance, wrong.remark) == (
        0.5,
        "numbers without decimals are judged as rounded to whole numbers",
    )


def test_zeros_are_not_the_rounding_of_small_numbers(traces):
    trace = traces["rnn"]
    zeros = np.zeros_like(trace["da_3"])
    assert not trace.check({"da_3": zeros}).passed
    assert not trace.check({"da_3": zeros.astype(int)}).passed


def test_a_factor_is_named_only_if_it_is_clear(traces):
    right = np.round(traces["rnn"]["h_1"], 2)
    near = right + [0.02, 0.01] * np.sign(right)
    assert "times" not in traces["rnn"].check({"h_1": np.round(near, 2)}).first_wrong.remark
    half = np.round(0.5 * traces["rnn"]["h_1"], 2)
    assert "times the right ones" in traces["rnn"].check({"h_1": half}).first_wrong.remark


def test_all_matrices_of_a_student_may_be_transposed_and_one_alone_may_not(traces):
    trace = traces["rnn"]
    alone = trace.check({"dW": trace["dW"].T})
    assert alone.first_wrong.remark == "your numbers are the transpose of the right ones"
    assert "Transposed" not in str(alone)
    both = trace.check({"dU": trace["dU"].T, "dW": trace["dW"].T, "dV": trace["dV"]})
    assert both.passed
    assert "Transposed, as for row vectors: dU, dW." in str(both)
    wrong = trace.check({"dU": trace["dU"].T, "dW": trace["dW"].T + 1})
    assert wrong.first_wrong.name == "dW"


def test_names_of_course_code_are_known(traces):
    trace = traces["rnn"]
    given = {"dWax": "dU", "dWaa": "dW", "dba": "db", "dWya": "dV", "dby": "dc", "dWhh": "dW"}
    for name, own in given.items():
        assert trace.check({name: trace[own]}).passed, name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.csv", "h_1,0.1,0.2\nh_1,0.3,0.4\n"),
        ("mine.csv", "h_1,h_1\n0.1,0.2\n"),
        ("mine.json", '{"h_1": [0.1, 0.2], "h_1": [0.3, 0.4]}'),
        ("mine.json", '{"h_1": [0.1, 0.2], "h1": [0.3, 0.4]}'),
    ],
)
def test_a_name_that_stands_twice_is_refused(name, text, traces, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CharloomError, match=r"h_1 (again|twice)|both stand for h_1"):
        traces["rnn"].check(path)


def test_the_output_of_the_command_is_a_file_of_numbers(traces, tmp_path):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(traces["gru"].to_dict()))
    check = traces["gru"].check(path)
    assert check.passed
    assert len(check.judged) == len(traces["gru"].names)


def test_a_csv_file_has_names_and_flat_numbers(traces, tmp_path):
    trace = traces["rnn"]
    path = tmp_path / "mine.csv"
    rows = [",".join([name, *map(repr, trace[name].ravel().tolist())]) for name in trace.names]
    path.write_text("name,numbers\n" + "\n".join(rows) + "\n\n")
    assert trace.check(path).passed
    path.write_text("\n".join(rows).replace("da_2,", "da_2,-"))
    assert trace.check(str(path)).first_wrong.name == "da_2"


@pytest.mark.parametrize(
    "text",
    [
        "Name;Wert 1;Wert 2\nh_1;{0};{1}\nloss_1;{2}\n",
        "name,0,1\nh_1,{0:.},{1:.}\nloss_1,{2:.},\n",
        ",0,1\nh_1,{0:.},{1:.}\nloss_1,{2:.}\n",
        'h_1,"{0}","{1}"\nloss_1,"{2}"\n',
        "# rounded\nh_1 {0:.}  {1:.}\n\nloss_1 {2:.}\n",
        "h_1\tloss_1\n{0}\t{2}\n{1}\t\n",
        "step,h_1,loss_1\n0,{0:.},{2:.}\n1,{1:.}\n",
        "h_1,[ {0:.} {1:.}]\nloss_1,{2:.}\n",
    ],
)
def test_csv_files_of_spreadsheets_and_programs_are_read(text, traces, tmp_path):
    trace, path = traces["rnn"], tmp_path / "mine.csv"
    numbers = [*trace["h_1"], float(trace["loss_1"])]
    path.write_text(written(text, numbers), encoding="utf-8")
    check = trace.check(path)
    assert {one.name for one in check.of("right")} == {"h_1", "loss_1"}
    path.write_text(written(text, [numbers[0] + 0.001, *numbers[1:]]), encoding="utf-8")
    assert trace.check(path).first_wrong.name == "h_1"


def written(text, numbers):
    """Return a text with numbers of four decimals: with a point for {:.}, else with a comma and a minus sign."""
    for n, number in enumerate(numbers):
        point = f"{number:.4f}"
        text = text.replace(f"{{{n}:.}}", point)
        text = text.replace(f"{{{n}}}", point.replace(".", ",").replace("-", "\N{MINUS SIGN}"))
    return text


@pytest.mark.parametrize("places", [2, 3, 4, 6])
def test_rounded_arrays_are_judged_as_rounded_text(places, traces, tmp_path):
    trace, path = traces["rnn"], tmp_path / "mine.npz"
    rounded = {name: np.round(trace[name], places) for name in trace.names}
    for dtype in ("float64", "float32"):
        np.savez(path, **{name: array.astype(dtype) for name, array in rounded.items()})
        assert trace.check(path).passed
    assert trace.check(rounded).passed
    rounded["h_2"][1] += 3 * 10.0**-places
    rounded["h_2"] = np.round(rounded["h_2"], places)
    np.savez(path, **rounded)
    assert [one.name for one in trace.check(path).of("wrong")] == ["h_2"]


def test_numbers_of_three_significant_digits_pass_and_a_wrong_digit_does_not(traces, tmp_path):
    trace, path = traces["lstm"], tmp_path / "mine.json"
    short = {
        name: np.vectorize(lambda one: float(f"{one:.3g}"))(trace[name]).tolist()
        for name in ("h_1", "dW", "da_2", "loss")
    }
    path.write_text(json.dumps(short))
    assert trace.check(path).passed
    short["dW"][0][0] *= 1.05
    path.write_text(json.dumps(short))
    assert [one.name for one in trace.check(path).of("wrong")] == ["dW"]


def test_an_npz_file_may_hold_other_dtypes(traces, tmp_path):
    trace = traces["lstm"]
    path = tmp_path / "mine.npz"
    np.savez(path, **{name: trace[name].astype(np.float32) for name in ("h_1", "da_2", "dW")})
    assert trace.check(path).passed
    assert trace.check(path, tolerance=1e-12).of("wrong")
    np.savez(path, dW=trace["dW"] + 1e-7)
    assert not trace.check(path).passed


def test_numbers_that_were_computed_in_float32_are_recognized_in_a_json_file(traces, tmp_path):
    trace = traces["lstm"]
    path = tmp_path / "mine.json"
    single = {
        name: trace[name].astype(np.float32).tolist() for name in ("h_1", "da_2", "dW", "loss")
    }
    path.write_text(json.dumps(single))
    assert trace.check(path).passed
    path.write_text(json.dumps({name: (trace[name] + 1e-7).tolist() for name in single}))
    assert len(trace.check(path).of("wrong")) == 4


def test_names_of_course_code_and_stacks_of_steps_are_understood(traces):
    trace = traces["rnn"]
    h = [trace[f"h_{t}"] for t in range(4)]
    given = {
        "dWxh": trace["dU"], "dby": trace["dc"], "h": h, "p": [trace[f"p_{t}"] for t in (1, 2, 3)],
        "da[2]": trace["da_2"], "do3": trace["do_3"], "hs(1)": h[1], "dhnext_1": trace["dh_next_1"],
        "x": trace["x"],
    }  # fmt: skip
    check = trace.check(given)
    assert check.passed, str(check)
    assert {one.name for one in check.judged} == {
        "x", "dU", "dc", "h_0", "h_1", "h_2", "h_3", "p_1", "p_2", "p_3", "da_2", "do_3", "dh_next_1",
    }  # fmt: skip
    h[2] = h[2] + 0.1
    assert trace.check({"hs": h}).first_wrong.name == "h_2"
    assert trace.check({"h": h[1:]}).first_wrong.name == "h_2"


def test_steps_may_be_rows_or_columns_with_or_without_the_initial_state(traces, tmp_path):
    trace, path = traces["rnn"], tmp_path / "mine.csv"
    h = np.array([trace[f"h_{t}"] for t in range(4)])
    for own in (h, h[1:], h.T, h[1:].T):
        check = trace.check({"H": own})
        assert check.passed, str(check)
        assert len(check.judged) == max(own.shape)
        path.write_text(",".join(["h", *map(str, own.ravel())]))
        assert trace.check(path).passed == (own.shape[1] == 2)
    # K = 4 and 4 rows with h_0, so that rows and columns have the same length
    square = charloom.trace(hidden_size=4, seed=1)
    h = np.array([square[f"h_{t}"] for t in range(4)])
    assert square.check({"h": h}).passed
    assert square.check({"h": h.T}).passed
    assert not square.check({"h": h[::-1]}).passed
    assert [one.verdict for one in trace.check({"h": h}).judged] == ["unknown"]


def test_steps_that_were_counted_from_zero_are_recognized(traces):
    trace = traces["rnn"]
    given = {f"hs[{t - 1}]": trace[f"h_{t}"].round(3) for t in (1, 2, 3)}
    check = trace.check(given)
    assert [one.remark for one in check.of("wrong")] == [
        f"your numbers are those of h_{t}; steps count from 1" for t in (1, 2, 3)
    ]
    assert "those of h_1" in str(check)
    given["hs[0]"] = trace["h_1"] + 0.1
    assert trace.check(given).first_wrong.remark == ""


def test_other_capitals_are_understood_unless_two_names_have_these_letters(traces):
    trace = traces["rnn"]
    assert trace.check({"H1": trace["h_1"], "dw": trace["dW"], "v": trace["V"]}).passed
    assert trace.check({"C": trace["c"]}).passed
    assert trace.check({"XYZ": 1.0}).of("unknown")


def test_a_hint_says_that_the_network_may_be_another_if_nothing_is_right(traces):
    other = charloom.trace(vocabulary_size=4, seed=2)
    names = ("h_1", "dW", "loss")
    check = traces["rnn"].check({name: other[name] for name in names})
    assert "None of your numbers is right" in str(check)
    own = {name: other[name] for name in names} | {"da_3": traces["rnn"]["da_3"]}
    assert "None of your numbers" not in str(traces["rnn"].check(own))


def test_steps_may_be_the_keys_of_an_object(traces, tmp_path):
    path = tmp_path / "mine.json"
    trace = traces["rnn"]
    path.write_text(json.dumps({"h": {"1": trace["h_1"].tolist(), "2": [0.5, 0.5]}}))
    check = trace.check(path)
    assert [one.name for one in check.judged] == ["h_1", "h_2"]
    assert check.first_wrong.name == "h_2"


def test_shapes_that_hold_the_same_numbers_are_understood(traces):
    trace = traces["rnn"]
    check = trace.check(
        {"h_1": trace["h_1"][:, None], "dU": trace["dU"].T, "loss": [trace["loss"]]}
    )
    assert check.passed
    (transposed,) = [one for one in check.judged if one.name == "dU"]
    assert transposed.remark == "your matrix is transposed"


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (lambda right: right.T, "your numbers are the transpose of the right ones"),
        (lambda right: -right, "your numbers have the opposite sign"),
        (lambda right: right / 3, "your numbers are 0.3333 times the right ones"),
        (lambda right: right[:1], "it must have 2 × 2 numbers, but you gave 1 × 2 numbers"),
        (lambda right: right * np.nan, ""),
        (lambda right: "none", "dW is 'none', which is not a number or an array of numbers"),
        (lambda right: [[1, 2], [3]], "dW has rows of different lengths"),
        (lambda right: [[1, None], [3, 4]], "dW has None, which is not a number"),
    ],
)
def test_what_is_wrong_is_said(change, remark, traces):
    check = traces["rnn"].check({"dW": change(traces["rnn"]["dW"])})
    assert check.first_wrong.name == "dW"
    assert check.first_wrong.remark == remark
    assert "dW = dW_1 + dW_2 + dW_3" in str(check)
    json.dumps(check.to_dict())


def test_an_unknown_name_is_not_passed_over(traces):
    check = traces["rnn"].check({"h_1": traces["rnn"]["h_1"], "dh_nxt_1": [1, 2], "xyz": 3})
    assert not check.passed
    assert [one.name for one in check.of("unknown")] == ["dh_nxt_1", "xyz"]
    assert "dh_nxt_1: did you mean dh_next_1" in str(check)
    assert check.first_wrong is None


def test_what_was_not_given_is_named(traces):
    check = traces["rnn"].check({"loss": traces["rnn"]["loss"]})
    assert check.passed
    assert "h_1" in check.missing
    assert "U" not in check.missing
    assert "not given:  x_1, a_1, h_1, o_1, p_1 and 40 more" in str(check)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("mine.txt", b"h_1 0.5", "must be in a .json, .npz or .csv file"),
        ("mine.json", b"{h_1: 0.5}", "is not a readable .json file"),
        ("mine.json", b"[1, 2]", "must be an object of names and numbers"),
        ("mine.json", b"{}", "has no numbers"),
        ("mine.json", b'{"h_1": ' + 100_000 * b"[", "is not a readable .json file"),
        ("mine.json", b"\xff\xfe\xfa", "is not a readable .json file"),
        ("mine.csv", b"h_1,0.5\nh_2,half\n", "line 2 has half, which is not a number"),
        ("mine.npz", b"PK\x03\x04 not a zip", "is not a readable .npz file"),
    ],
)
def test_a_file_that_holds_no_numbers_is_refused(name, contents, message, traces, tmp_path):
    path = tmp_path / name
    path.write_bytes(contents)
    with pytest.raises(CharloomError, match=message):
        traces["rnn"].check(path)


def test_a_missing_file_and_a_wrong_tolerance_are_refused(traces, tmp_path):
    with pytest.raises(CharloomError, match="cannot be read"):
        traces["rnn"].check(tmp_path / "missing.json")
    with pytest.raises(CharloomError, match="tolerance"):
        traces["rnn"].check({"loss": 1.0}, tolerance=0)


def test_pickled_objects_in_a_file_are_never_opened(traces, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, h_1=np.array([object()], dtype=object))
    with pytest.raises(CharloomError, match=r"is not a readable \.npz file"):
        traces["rnn"].check(path)
