"""The places of nested parameters, and the flow of results between functions, are read from the source."""

import pytest

from charloom.diagnosis.forms.call_flow import flows
from charloom.diagnosis.forms.file_contents import read_contents
from charloom.diagnosis.forms.nested_parameters import nested_holders, read_paths
from charloom.diagnosis.forms.parameter_layout import Part, layouts_of
from charloom.diagnosis.forms.parameter_paths import leaves


@pytest.fixture
def contents(tmp_path):
    """Return a function that writes a file and returns what it defines."""

    def read(text):
        path = tmp_path / "net.py"
        path.write_text(text, encoding="utf-8")
        return read_contents(path)

    return read


def places(found, name):
    """Return the paths that a function reads, as source."""
    reader = read_paths(found, [found.functions[name]], None)
    return [path.root + path.suffix for path in leaves(reader.read)]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("a, b = params\n    W, c = a", ["params[1]", "params[0][0]", "params[0][1]"]),
        ("W = params['f']['W']", ['params["f"]["W"]']),
        ("for g in 'if': W = params['W' + g]", ['params["Wi"]', 'params["Wf"]']),
        ("for g in GATES: W = params[g]['W']", ['params["i"]["W"]', 'params["o"]["W"]']),
        ("for k in range(2): W = params[k]", ["params[0]", "params[1]"]),
        ("W = inner(params['f'])", ['params["f"]["U"]']),
        ("W = params.forget.W", ["params.forget.W"]),
    ],
)
def test_each_place_of_a_nested_parameter_is_found(body, wanted, contents):
    text = f"GATES = ('i', 'o')\ndef inner(p):\n    return p['U']\ndef loss(params):\n    {body}\n"
    assert [p for p in places(contents(text), "loss") if not p.startswith("net.")] == wanted


def test_the_pieces_of_a_flat_vector_have_the_order_of_the_source(contents):
    gates = "".join(f"W{g}, b{g}, " for g in "ifgo")
    found = contents(
        "def unpack(v):\n    return [v[:3].reshape(3), v[3:]]\n"
        f"def loss(theta, x, y, h0):\n    {gates}V, c = unpack(theta)\n    return 0, theta\n"
    )
    holder = next(nested_holders(found, [found.functions["loss"]], None))
    assert holder.is_flat
    assert list(holder.places) == ["Wi", "bi", "Wf", "bf", "Wg", "bg", "Wo", "bo", "V", "c"]


def test_what_the_user_passes_from_one_function_to_another_is_found(contents):
    found = contents(
        "def run(ws, x):\n    return 1, 2, 3\ndef back(ws, tape, d):\n    return 4\n"
        "def other(ws, tape, d):\n    return 5\n"
        "def train(ws, x):\n    out, tape, state = run(ws, x)\n    return back(ws, d=out, tape=tape)\n"
    )
    run, back, other = (found.functions[name] for name in ("run", "back", "other"))
    assert flows(found, run, back) == {"tape": 1, "d": 0}
    assert flows(found, run, other) == {}


@pytest.mark.parametrize(
    ("names", "cell", "part"),
    [
        ("W_forget W_input W_cell W_output W_y b_y", "lstm", {"W_cell": Part("WU", "g"), "W_y": Part("V")}),
        ("forget_W input_W output_W candidate_W out_W", "lstm", {"input_W": Part("WU", "i")}),
        ("W_update U_update W_reset U_reset W_hidden U_hidden", "gru", {"U_reset": Part("W", "r")}),
        ("Wi Ri Wf Rf Wz Rz Wo Ro Wout", "lstm", {"Rz": Part("W", "g"), "Wout": Part("V")}),
        ("Wx_gi Wh_gi Wx_gf Wh_gf Wx_go Wh_go Wx_gg Wh_gg", "lstm", {"Wh_gf": Part("W", "f")}),
        ("Wf Wc Wo bf bc bo Wy by", "lstm", {"Wf": Part("WU", "f")}),
        ("Wf bf Wi bi Wc bc Wo bo Wq bq", "lstm", {"Wq": Part("V"), "bq": Part("c")}),
        ("Wi Wf Wo Wg pi pf po V", "lstm", {"pf": Part("peephole", "f")}),
    ],
)  # fmt: skip
def test_the_gates_are_known_by_letters_words_and_endings(names, cell, part):
    layout = layouts_of(names.split())[0]
    assert layout.cell == cell
    assert part.items() <= layout.parts.items()


def test_sizes_and_settings_are_not_taken_for_an_output_layer():
    names = ["Wf", "Wi", "Wc", "Wo", "window", "batch_size", "vocab_size", "weight_decay", "beta"]
    assert "V" not in layouts_of(names)[0].blocks
