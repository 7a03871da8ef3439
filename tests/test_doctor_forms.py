"""The doctor accepts the forms in which people write networks, without options, and sees mistakes in them.

Each file of tests/written_forms is checked in a process, and so is the wrapper that --adapt writes for it. So
the tests take some seconds each.
"""

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from charloom.cli import app
from charloom.diagnosis import adapt, doctor
from charloom.diagnosis.forms.file_contents import read_contents
from charloom.diagnosis.forms.parameter_layout import layouts_of
from charloom.diagnosis.forms.partial_loading import load_definitions, works_at_top_level
from charloom.diagnosis.forms.stand_ins import TEXT
from charloom.diagnosis.trials import PLANS, make_trial
from charloom.errors import DoctorError
from charloom.messages import for_command_line

FOLDER = Path(__file__).parent / "written_forms"
SMALL = PLANS[:2]  # two trials show whether a form is read in the right way


class Form(NamedTuple):
    """A file, the function to name ("" for none), its cell, and an edit that plants a mistake.

    `ours` says whether the network is the one that the doctor checks; others start from zero, lack
    biases, clip, or have other equations.
    """

    file: str
    function: str
    cell: str
    old: str
    new: str
    ours: bool = True


FORMS = {
    form.file + form.function: form
    for form in (
        Form("hundred_lines", "", "rnn", "dWhh += np.dot(da, hs[t - 1].T)", "dWhh += np.dot(da, hs[t].T)", ours=False),
        Form("layers", "rnn_forward", "rnn", "da = dnext_h * (1 - next_h**2)", "da = dnext_h * (1 - next_h)"),
        Form("layers", "rnn_step_backward", "rnn", "dprev_h = da.dot(Wh.T)", "dprev_h = da.dot(Wh)"),
        Form("layers", "lstm_backward", "lstm", "dc * prev_c, dc * i", "dc * tanh_c, dc * i", ours=False),
        Form("layers", "lstm_step_forward", "lstm", "dc * g, dc * prev_c", "dc * i, dc * prev_c"),
        Form("dinosaurs", "", "rnn", "daraw = (1 - a * a) * da", "daraw = (1 - a) * da"),
        Form("cells_of_a_course", "", "rnn", "dWaa = np.dot(dtanh, a_prev.T)", "dWaa = np.dot(dtanh, a_next.T)"),
        Form("cells_of_a_course", "rnn_cell_backward", "rnn", "dWaa = np.dot(dtanh, a_prev.T)", "dWaa = np.dot(dtanh, a_next.T)"),
        Form("lstm_of_a_course", "", "lstm", "dft = dc * c_prev", "dft = dc * c_next", ours=False),
        Form("lstm_of_a_course", "lstm_cell_forward", "lstm", "dft = dc * c_prev", "dft = dc * c_next"),
        Form("four_matrices", "", "lstm", "dg = dc * is_[t] * (1 - gs[t] ** 2)", "dg = dc * is_[t] * (1 - gs[t])"),
        Form("parameter_objects", "", "lstm", "dc * before * f * (1 - f)", "dc * after * f * (1 - f)"),
        Form("lstm_eight_matrices", "", "lstm", "dc_next = dc * f", "dc_next = dc * i"),
        Form("gru_functions", "", "rnn", "dq = da_n * r", "dq = da_n"),
        Form("gru_three_matrices", "", "gru", "da_z = dh * (n - h_prev)", "da_z = dh * (h_prev - n)", ours=False),
        Form("flat_vector", "", "lstm", "af = dc * cp * f * (1 - f)", "af = dc * c * f * (1 - f)"),
        Form("nested_tuples", "", "lstm", "dWi += np.outer(di, ks[t])", "dWi += np.outer(df, ks[t])"),
        Form("two_dicts", "", "lstm", "dc_next = dc * f", "dc_next = dc * i"),
        Form("gate_dicts", "", "lstm", "dhn = dz[:H]", "dhn = -dz[:H]"),
        Form("class_attributes", "", "rnn", "dWhh += da @ hs[t - 1].T", "dWhh += da @ hs[t].T"),
        Form("class_params", "", "rnn", "dnext = da @ Wh.T", "dnext = da @ Wh"),
        Form("class_bptt", "", "rnn", "dLdW += np.outer(delta_t, s[step - 1])", "dLdW += np.outer(delta_t, s[step])", ours=False),
        Form("batched", "", "rnn", "db_h += da.sum(axis=0, keepdims=True)", "db_h = da.sum(axis=0, keepdims=True)"),
        Form("course_pair", "", "rnn", "dh = RNN[\"W\"].T @ A[:, [t]]", "dh = RNN[\"W\"] @ A[:, [t]]"),
        Form("without_state", "", "rnn", "dh_next = W.T @ da", "dh_next = 0", ours=False),
        Form("plain_lists", "", "rnn", "dW[i][j] += da[i] * hs[t][j]", "dW[i][j] += da[i] * hs[t + 1][j]"),
        Form("torch_function", "", "rnn", "] = hprev\n", "] = hprev\n        hprev = hprev.detach()\n"),
        Form("torch_loss", "", "rnn", "h = torch.tanh(", "h = h.detach()\n        h = torch.tanh("),
        Form("torch_autograd", "", "rnn", "dWhh += torch.outer(da, ctx.hs[t])", "dWhh += torch.outer(da, ctx.hs[t + 1])"),
        Form("torch_linear", "", "rnn", "hidden = torch.tanh(", "hidden = hidden.detach()\n        combined = torch.cat((input, hidden), 1)\n        hidden = torch.tanh("),
        Form("torch_cell", "", "lstm", "h, c = self.cell(one_hot, (h, c))", "h, c = self.cell(one_hot, (h.detach(), c))"),
    )
}  # fmt: skip
FORMS["gru_functions"] = FORMS["gru_functions"]._replace(cell="gru")


@pytest.fixture
def copied(tmp_path):
    """Return a function that copies the file of a form, with or without the mistake, and returns its name."""

    def copy(form, mistaken=False):
        if form.file.startswith("torch"):
            pytest.importorskip("torch", reason="PyTorch is not installed")
        text = (FOLDER / f"{form.file}.py").read_text(encoding="utf-8")
        assert form.old in text
        path = tmp_path / f"{form.file}.py"
        path.write_text(text.replace(form.old, form.new) if mistaken else text, encoding="utf-8")
        return f"{path}:{form.function}" if form.function else str(path)

    return copy


def wrapped(name, folder):
    """Return the path of the wrapper of a form, and its function, loaded in this process."""
    path = folder / "wrapper.py"
    wrapper = adapt(name, path)
    assert wrapper.blanks == 0
    path.write_text(wrapper.text, encoding="utf-8")
    space = {"__file__": str(path), "__name__": "wrapper"}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for module in [file.stem for file in folder.glob("*.py")]:
            patch.delitem(sys.modules, module, raising=False)
        exec(compile(wrapper.text, str(path), "exec"), space)
    return path, space["checked"]


def call(checked, problem):
    """Return the loss and the gradients that a wrapper returns for a problem."""
    state = [s.copy() for s in problem.state.values()]
    parameters = {name: p.copy() for name, p in problem.parameters.items()}
    return checked(parameters, problem.x, problem.y, state[0] if len(state) == 1 else tuple(state))


def plain(value):
    """Return an array for an array, a number or a tensor."""
    return np.asarray(value.detach().numpy() if hasattr(value, "detach") else value, dtype=float)


def is_exact(checked, cell):
    """Return True if the gradients of a wrapper are those of its own loss, in every single direction.

    Weights are small, so that no gradient is clipped.
    """
    problem = make_trial(cell, 0, 0, PLANS[1]._replace(sigma=0.3)).problem
    _, gradients = call(checked, problem)
    # The file's functions may write the next gradients into the same arrays.
    gradients = {name: plain(gradient).copy() for name, gradient in gradients.items()}
    for name, parameter in problem.parameters.items():
        given = gradients[name].reshape(parameter.shape)
        for at in np.ndindex(parameter.shape):
            losses = []
            for step in (1e-5, -1e-5):
                moved = {n: p.copy() for n, p in problem.parameters.items()}
                moved[name][at] += step
                losses.append(plain(call(checked, problem._replace(parameters=moved))[0]).item())
            if abs((losses[0] - losses[1]) / 2e-5 - given[at]) > 1e-8:
                return False
    return True


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_recognised_without_options_and_its_gradients_are_exact(name, copied, tmp_path):
    form = FORMS[name]
    given = copied(form)
    found = doctor(given, plans=SMALL)
    assert found.tried.cell == form.cell
    assert any(note.startswith("recognised: ") for note in found.notes)
    if form.ours:
        assert (found.verdict, found.mistakes) == ("right", ())
        assert found.worst().norm_relative < 1e-13
    if form.file != "torch_function":  # it is called as it is
        assert is_exact(wrapped(given, tmp_path)[1], form.cell)


@pytest.mark.parametrize("name", FORMS)
def test_a_mistake_in_a_form_is_seen(name, copied, tmp_path):
    form = FORMS[name]
    given = copied(form, mistaken=True)
    assert doctor(given, plans=SMALL).verdict == "wrong"
    if form.file != "torch_function":
        assert not is_exact(wrapped(given, tmp_path)[1], form.cell)


@pytest.mark.parametrize("mistaken", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_a_wrapper_that_is_written_gives_the_same_diagnosis_as_the_file(
    name, mistaken, copied, tmp_path
):
    form = FORMS[name]
    given = copied(form, mistaken)
    path = tmp_path / "wrapper.py"
    path.write_text(adapt(given, path).text, encoding="utf-8")
    first = doctor(given, plans=SMALL)
    second = doctor(f"{path}:checked", plans=SMALL)
    assert (first.verdict, first.mistakes) == (second.verdict, second.mistakes)
    assert first.tried.cell == second.tried.cell
    assert [row.given for row in first.rows] == [row.given for row in second.rows]


# What is loaded of a file.

ENDLESS = """
import numpy as np
data = open('no such text.txt').read()
vocab_size = len(set(data))
rng = np.random.default_rng(0)
np.random.seed(3)
TABLE = [k * k for k in range(3)]
for k in range(2):
    TABLE.append(k)


def lossFun(inputs, targets, hprev):
    raise NotImplementedError


def train():
    while True:
        pass


train()
answer = input('continue?')
while True:
    lossFun([], [], None)
if __name__ == '__main__':
    train()
"""


def test_a_file_is_loaded_without_its_loops_its_reading_and_its_training(tmp_path):
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    contents = read_contents(path)
    assert works_at_top_level(contents)
    loaded = load_definitions(contents, "endless")
    assert loaded.module.TABLE == [0, 1, 4, 0, 1]
    assert callable(loaded.module.lossFun)
    assert loaded.module.vocab_size == len(set(TEXT))
    assert loaded.module.answer == "5"
    assert [line for line, _ in loaded.skipped] == [21, 23, 25]
    note = loaded.note("endless.py")
    for words in (
        "the call of train",
        "a loop",
        "a short text stands in for what lines 3, 22 read",
    ):
        assert words in note
    assert not hasattr(loaded.module, "open")


def test_a_training_loop_that_calls_no_function_is_not_run(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(
        "import numpy as np\nW = np.eye(3)\nsquares = []\nfor n in range(3):\n    squares.append(n * n)\n"
        "for step in range(10**9):\n    for t in range(3):\n        W = W @ W\n"
    )
    loaded = load_definitions(read_contents(path), "script")
    assert loaded.module.squares == [0, 1, 4]
    assert loaded.skipped == [(6, "a loop")]


def test_a_file_without_work_at_its_top_level_is_loaded_whole(tmp_path):
    path = tmp_path / "calm.py"
    path.write_text(
        "import numpy as np\nnp.random.seed(1)\nW = np.zeros(3)\nprint('loaded')\nif __name__ == '__main__':\n    W = 1\n"
    )
    assert not works_at_top_level(read_contents(path))


def test_an_import_that_fails_is_skipped_and_named(tmp_path):
    path = tmp_path / "missing.py"
    path.write_text(
        "import nothing_of_that_name\nfrom utils_of_a_course import sigmoid\nvalue = 3\n"
    )
    loaded = load_definitions(read_contents(path), "missing")
    assert loaded.module.value == 3
    assert loaded.missing == {1: "nothing_of_that_name", 2: "utils_of_a_course"}
    advice = loaded.advice("missing.py")
    assert "imports nothing_of_that_name and utils_of_a_course" in advice
    assert "put them beside missing.py" in advice


NEEDED = """
import numpy as np
from utils_of_a_course import squash


def loss(Wxh, Whh, bh, Why, by, inputs, targets, hprev):
    hs, loss = [hprev], 0
    for k, j in zip(inputs, targets):
        hs.append(squash(Wxh[:, k] + Whh @ hs[-1] + bh))
    dWxh, dWhh, dbh, dWhy, dby = map(np.zeros_like, (Wxh, Whh, bh, Why, by))
    return loss, dWxh, dWhh, dbh, dWhy, dby
"""


def test_a_function_that_needs_a_missing_import_gets_advice_on_the_import(tmp_path):
    path = tmp_path / "needed.py"
    path.write_text(NEEDED)
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    assert "NameError: name 'squash'" in str(caught.value)
    assert "imports utils_of_a_course" in str(caught.value)
    assert "wrapper written by the doctor" not in str(caught.value)


PRINT = 'print("%d characters, %d of them different" % (data_size, vocab_size))'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (PRINT, "print '%d characters' % data_size", "Python 2: line 9 has `print` without"),
        ("in range(len(inputs)):", "in xrange(len(inputs)):", "line 32 has xrange. Python 3 calls it range"),
    ],
)  # fmt: skip
def test_a_file_for_python_2_gets_an_error_that_says_so(old, new, words, tmp_path):
    path = tmp_path / "old.py"
    text = (FOLDER / "hundred_lines.py").read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DoctorError, match=re.escape(words)):
        doctor(str(path))


# What a file without one clear choice gets.


def test_the_command_judges_each_network_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (FOLDER / "layers.py").read_text()
    Path("layers.py").write_text(text)
    right = charloom_("doctor", "layers.py")
    assert right.exit_code == 0
    assert "=== layers.py:rnn_backward" in right.stdout
    assert "=== layers.py:lstm_backward" in right.stdout
    Path("layers.py").write_text(text.replace("dc * prev_c, dc * i", "dc * tanh_c, dc * i"))
    wrong = charloom_("doctor", "layers.py", "--json")
    found = json.loads(wrong.stdout)
    assert wrong.exit_code == 1
    assert (found["verdict"], found["passed"]) == ("wrong", False)
    assert {one["function"]: one["verdict"] for one in found["results"]} == {
        "rnn_backward": "right",
        "lstm_backward": "wrong",
    }


def test_a_file_with_several_networks_is_listed_with_the_next_commands(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text((FOLDER / "layers.py").read_text())
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    message = for_command_line(str(caught.value))
    assert "layers.py has more than one thing to check" in message
    assert f"charloom doctor {path}:rnn_backward" in message
    assert f"charloom doctor {path}:lstm_backward" in message


def test_a_file_without_gradients_is_listed_with_what_it_defines(tmp_path):
    path = tmp_path / "words.py"
    path.write_text("def count(text):\n    return len(text)\n\n\nclass Book:\n    def read(self):\n        return 1\n")  # fmt: skip
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    message = for_command_line(str(caught.value))
    assert "count(text)" in message
    assert "class Book with read" in message
    assert "--template numpy" in message


UNCLEAR = """
import numpy as np


def gradients(inputs, targets, hprev, flavour, Wxh, Whh, bh, Why, by):
    loss, dWxh, dWhh, dbh, dWhy, dby = 0, 0, 0, 0, 0, 0
    return loss, dWxh, dWhh, dbh, dWhy, dby
"""


def test_what_cannot_be_found_out_is_a_line_to_fill_in(tmp_path):
    path = tmp_path / "unclear.py"
    path.write_text(UNCLEAR)
    with pytest.raises(DoctorError, match="to fill in"):
        doctor(str(path))
    wrapper = adapt(str(path), tmp_path / "wrapper.py")
    assert wrapper.blanks == 1
    (line,) = (line for line in wrapper.text.splitlines() if "# fill in" in line)
    assert line.strip() == "...,  # fill in: flavour"
    compile(wrapper.text, "wrapper.py", "exec")


def test_a_dict_of_gradients_whose_keys_are_made_from_names_is_read(tmp_path):
    """Its keys are not in the source: they are "d" and the names of the parameters."""
    text = (FOLDER / "lstm_eight_matrices.py").read_text()
    for letter in "WUb":
        text = text.replace(f'grads["{letter}" + gate]', f'grads["d{letter}" + gate]')
    text = text.replace('grads["Why"]', 'grads["dWhy"]').replace('grads["by"]', 'grads["dby"]')
    text = text.replace("{name: np.zeros_like", '{"d" + name: np.zeros_like')
    path = tmp_path / "made_keys.py"
    path.write_text(text)
    assert doctor(str(path), plans=SMALL).verdict == "right"


@pytest.mark.parametrize("function", ["", ":lossFun"])
def test_a_form_that_fails_shows_the_users_own_error(function, tmp_path):
    text = (FOLDER / "hundred_lines.py").read_text()
    path = tmp_path / "failing.py"
    path.write_text(text.replace("np.dot(Whh, hs[t - 1])", "np.dot(Wxh, hs[t - 1])"))
    with pytest.raises(DoctorError) as caught:
        doctor(f"{path}{function}")
    assert "in lossFun" in str(caught.value)
    assert "ValueError: shapes" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "function"),
    [
        ("dinosaurs", "(1 - a * a)", "(1 - aa * a)", "rnn_step_backward"),
        ("dinosaurs", "p_t = softmax(", "p_t = aa(", "rnn_step_forward"),
        ("course_pair", "np.exp(", "aa(", "forward_pass"),
        ("lstm_eight_matrices", "reversed(targets)", "aa(targets)", "backward"),
        ("gru_three_matrices", "np.exp(self.Wy", "aa(self.Wy", "forward"),
        ("without_state", "W.T @ da", "W.T @ aa", "loss_and_grads"),
        ("gru_functions", "dq = da_n", "dq = aa", "gru_loss"),
    ],
)
def test_a_misspelt_name_is_shown_with_its_own_line(file, old, new, function, tmp_path):
    """Other calls fail earlier: of the backward function without its cache, or with arrays of another shape."""
    text = (FOLDER / f"{file}.py").read_text()
    assert old in text
    path = tmp_path / "failing.py"
    path.write_text(text.replace(old, new, 1))
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    assert f'failing.py", line {line}, in {function}\n' in str(caught.value)
    assert str(caught.value).endswith("NameError: name 'aa' is not defined")


def test_a_missing_import_that_a_forward_function_needs_is_named(tmp_path):
    text = (FOLDER / "dinosaurs.py").read_text()
    path = tmp_path / "needing.py"
    path.write_text(
        text.replace("def softmax(z)", "from utils_of_a_course import softmax\n\n\ndef other(z)")
    )
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    assert "in rnn_step_forward" in str(caught.value)
    assert "NameError: name 'softmax' is not defined\nneeding.py imports utils_of_a_course," in str(
        caught.value
    )
    assert "cell" not in str(caught.value).splitlines()[-1]


# The command.


def charloom_(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="charloom")


def test_a_function_of_an_unknown_form_gets_an_outline_with_few_lines_to_fill_in(tmp_path):
    path = tmp_path / "unknown.py"
    path.write_text("def work(inputs, targets, one, two, three, four, five, six):\n    return 0\n")
    wrapper = adapt(f"{path}:work", tmp_path / "wrapper.py")
    assert 1 <= wrapper.blanks <= 5
    compile(wrapper.text, "wrapper.py", "exec")


def test_the_command_checks_a_file_and_names_its_form(tmp_path):
    path = tmp_path / "hundred_lines.py"
    path.write_text((FOLDER / "hundred_lines.py").read_text())
    done = charloom_("doctor", path)
    words = " ".join(done.stdout.split())
    assert "recognised: the hundred-line character RNN (lossFun), parameters are module globals" in words  # fmt: skip


def test_the_command_writes_a_wrapper_and_says_the_next_command(tmp_path):
    path, wrapper = tmp_path / "hundred_lines.py", tmp_path / "wrapper.py"
    path.write_text((FOLDER / "hundred_lines.py").read_text())
    done = charloom_("doctor", path, "--adapt", wrapper)
    assert done.exit_code == 0
    assert f"charloom doctor {wrapper}:checked" in done.stderr
    assert "net.lossFun(x.tolist(), y.tolist(), h0[:, None])" in wrapper.read_text()
    again = charloom_("doctor", path, "--adapt", wrapper)
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert charloom_("doctor", path, "--adapt", tmp_path / "wrapper.txt").exit_code == 2


def test_a_wrapper_in_another_folder_finds_the_file(tmp_path):
    path, other = tmp_path / "hundred-lines.py", tmp_path / "other"
    path.write_text((FOLDER / "hundred_lines.py").read_text())
    other.mkdir()
    (other / "wrapper.py").write_text(adapt(str(path), other / "wrapper.py").text)
    found = doctor(f"{other / 'wrapper.py'}:checked", plans=SMALL)
    assert found.rows == doctor(str(path), plans=SMALL).rows


def test_the_gradient_of_jax_is_checked_as_it_is(tmp_path):
    """A stand-in has the two functions of JAX that the file uses, if JAX is not installed."""
    (tmp_path / "value_and_grad.py").write_text((FOLDER / "value_and_grad.py").read_text())
    if importlib.util.find_spec("jax") is None:
        (tmp_path / "jax").mkdir()
        (tmp_path / "jax" / "numpy.py").write_text("from numpy import *\n")
        (tmp_path / "jax" / "__init__.py").write_text(STAND_IN)
    found = doctor(str(tmp_path / "value_and_grad.py"), plans=SMALL)
    dtype = "float64" if importlib.util.find_spec("jax") is None else found.tried.dtype
    assert (found.verdict, found.tried.dtype) == ("right", dtype)
    assert "recognised: loss_and_grad." in found.notes


STAND_IN = """
import functools
import numpy as np
from . import numpy


def value_and_grad(f):
    @functools.wraps(f)
    def differentiated(params, *rest):
        gradients = {}
        for name, p in params.items():
            gradients[name] = np.zeros(p.shape)
            for at in np.ndindex(p.shape):
                moved = p.astype(complex)
                moved[at] += 1e-30j
                gradients[name][at] = f({**params, name: moved}, *rest).imag / 1e-30
        return f(params, *rest), gradients

    return differentiated
"""


# Names.


@pytest.mark.parametrize(
    ("names", "cell", "parts"),
    [
        ("Wxh Whh Why bh by", "rnn", "U W V b c"),
        ("Waa Wax Wya ba by", "rnn", "W U V b c"),
        ("Wf Wi Wc Wo Wy bf bi bc bo by", "lstm", "WUf WUi WUg WUo V bf bi bg bo c"),
        ("W_f W_i W_C W_o W_v", "lstm", "WUf WUi WUg WUo V"),
        ("Wxf Whf Wxi Whi Wxg Whg Wxo Who Why", "lstm", "Uf Wf Ui Wi Ug Wg Uo Wo V"),
        ("Wfx Wfh Wix Wih Wcx Wch Wox Woh bf bi bc bo", "lstm", "Uf Wf Ui Wi Ug Wg Uo Wo bf bi bg bo"),
        ("Wf Uf Wi Ui Wc Uc Wo Uo", "lstm", "Uf Wf Ui Wi Ug Wg Uo Wo"),
        ("Wr Wz Wh", "gru", "WUr WUz WUn"),
        ("Wr Ur Wz Uz W U V", "gru", "Ur Wr Uz Wz Un Wn V"),
        ("Wxr Whr Wxz Whz Wxh Whh Why br bz bh by", "gru", "Ur Wr Uz Wz Un Wn V br bz bn c"),
        ("Wa b Wy by", "rnn", "WU b V c"),
    ],
)  # fmt: skip
def test_the_names_of_arrays_show_the_network(names, cell, parts):
    layout = layouts_of(names.split())[0]
    assert layout.cell == cell
    assert [part.block + part.gate for part in layout.parts.values()] == parts.split()


def test_names_that_show_no_recurrence_are_no_network():
    assert layouts_of(["x", "y", "theta", "W"]) == []
