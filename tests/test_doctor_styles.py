"""The doctor accepts further styles of submissions without options, and sees a mistake in each.

Each style changes how the same network is written: where the parameters are, what is returned, how the sizes
are known. Every file is judged in a process, with two trials, so the tests take some seconds each.
"""

import json
from pathlib import Path

import pytest

from charloom.diagnosis import adapt, doctor
from charloom.diagnosis.trials import PLANS
from charloom.errors import DoctorError

SMALL = PLANS[:2]

# The computation of a window: hs, ps and loss, and the gradients dU, dW, db, dV and dc. The styles put it into
# functions, in which U, W, b, V, c, x, y, h0 and one_hot are known.
COMPUTATION = """
hs, ps, loss = [h0], [], 0.0
for k, target in zip(x, y):
    hs.append(np.tanh(U @ one_hot(k) + W @ hs[-1] + b))
    o = V @ hs[-1] + c
    p = np.exp(o - o.max())
    ps.append(p / p.sum())
    loss -= np.log(ps[-1][target])
dU, dW, db, dV, dc = [np.zeros_like(p) for p in (U, W, b, V, c)]
carry = np.zeros_like(h0)
for t in reversed(range(len(x))):
    do = ps[t] - one_hot(y[t])
    dV += np.outer(do, hs[t + 1])
    dc += do
    da = (V.T @ do + carry) * (1 - hs[t + 1] ** 2)
    dU += np.outer(da, one_hot(x[t]))
    dW += np.outer(da, hs[t])
    db += da
    carry = W.T @ da
"""
RIGHT, WRONG = "(1 - hs[t + 1] ** 2)", "(1 - hs[t + 1])"
EYE = "one_hot = lambda k: np.eye(len(c))[k]\n"


def indented(text, spaces=4):
    """Return a text with spaces before each line."""
    return "\n".join(" " * spaces + line if line else "" for line in text.splitlines())


def function(signature, start, end):
    """Return the source of a function with the computation."""
    return f"def {signature}:\n{indented(start + EYE + COMPUTATION + end)}\n"


READ = """
data = open("no such text.txt").read()
letters = sorted(set(data))
n_letters = len(letters)
n_units = 12
both = n_letters + n_units
U = np.random.randn(n_units, n_letters)
W = np.random.randn(n_units, n_units)
V = np.random.randn(n_letters, n_units)
b, c = np.zeros(n_units), np.zeros(n_letters)
"""
STYLES = {
    "a list in the order of the parameters": function(
        "f(x, y, h0, params)", "U, W, b, V, c = params\n", "grads = [g for g in (dU, dW, db, dV, dc)]\nreturn loss, grads"
    ),
    "a dict with made keys": function(
        "f(params, x, y)",
        'h0 = np.zeros(len(params["b"]))\nU, W, b, V, c = (params[n] for n in "UWbVc")\n',
        'g = dict(zip("UWbVc", (dU, dW, db, dV, dc)))\nreturn loss, {name: g[name] for name in params}',
    ),
    "arguments that must be named": function(
        "f(x, y, *, U, W, b, V, c, h0, clip=None)", "", "return dict(dU=dU, dW=dW, db=db, dV=dV, dc=dc), loss"
    ),
    "a named tuple": 'from collections import namedtuple\nResult = namedtuple("Result", "loss grads")\n'
    'Grads = namedtuple("Grads", "dU dW db dV dc")\n'
    + function("f(params, x, y, h0)", "U, W, b, V, c = params\n", "g = list((dU, dW, db, dV, dc))\nreturn Result(loss, Grads(*g))"),
    "a dataclass": "from dataclasses import dataclass\n\n\n@dataclass\nclass Weights:\n    U: object\n    W: object\n"
    "    b: object\n    V: object\n    c: object\n\n\n"
    + function("f(w, x, y, h0)", "U, W, b, V, c = w.U, w.W, w.b, w.V, w.c\n", "g = Weights(dU, dW, db, dV, dc)\nreturn loss, Weights(U=dU, W=dW, b=db, V=dV, c=dc)"),
    "a loss in a dict": function(
        "f(U, W, b, V, c, x, y, h_init)", "h0 = h_init\n",
        'out = {}\nout["loss"] = loss\nout["dU"], out["dW"], out["db"] = dU, dW, db\nout["dV"], out["dc"] = dV, dc\nreturn out',
    ),
    "words of another language": READ + function(
        "perdida_y_gradientes(entradas, objetivos, anterior)",
        "assert W.shape == (n_units, both - n_letters)\nx, y, h0 = entradas, objetivos, anterior\n",
        "perdida = -sum(np.log(p[k]) for p, k in zip(ps, y))\nreturn perdida, dU, dW, db, dV, dc",
    ) + "\nwhile True:\n    pass\n",
    "fixed sizes": function(
        "f(U, W, b, V, c, x, y, h0)", "assert np.zeros((9, 14)).shape == U.shape\n", "return loss, dU, dW, db, dV, dc"
    ),
    "a state of the module": "state = np.zeros(5)\nU, W, b, V, c = [np.zeros((5, 5))] * 5\n" + function(
        "run(x, y)", "h0 = h_prev\n", "return loss, {'U': dU, 'W': dW, 'b': db, 'V': dV, 'c': dc}"
    ) + "\n\nh_prev = np.zeros(5)\n",
    "attributes that a loop makes": "class Net:\n    def __init__(self, K, H):\n"
    "        shapes = {'U': (H, K), 'W': (H, H), 'b': (H,), 'V': (K, H), 'c': (K,)}\n"
    "        for name, shape in shapes.items():\n            setattr(self, name, np.zeros(shape))\n\n"
    + indented(function("loss(self, x, y, h0)", "U, W, b, V, c = self.U, self.W, self.b, self.V, self.c\n", "g = {}\nfor name, one in zip('UWbVc', (dU, dW, db, dV, dc)):\n    g[name] = one\nreturn loss, g")),
    "an import that is not needed": "from utils_of_a_course import load_data\n" + function(
        "f(params, x, y, h0)", 'U, W, b, V, c = (params[n] for n in "UWbVc")\n',
        "grads = {'U': dU, 'W': dW, 'b': db, 'V': dV, 'c': dc}\nreturn loss, grads",
    ),
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """Return a function that writes the file of a style, with or without the mistake, and returns its path."""

    def write(name, mistaken=False):
        text = "import numpy as np\n\n\n" + STYLES[name]
        assert RIGHT in text
        path = tmp_path / "submission.py"
        path.write_text(text.replace(RIGHT, WRONG) if mistaken else text)
        return str(path)

    return write


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_accepted_and_right(name, written):
    found = doctor(written(name), plans=SMALL)
    assert found.passed
    assert found.worst().norm_relative < 1e-12
    assert "loss" in {row.parameter for row in found.rows}


@pytest.mark.parametrize("name", STYLES)
def test_a_mistake_in_a_style_is_named(name, written):
    found = doctor(written(name, mistaken=True), plans=SMALL)
    assert found.verdict == "wrong"
    assert "tanh-derivative" in found.mistakes


@pytest.mark.parametrize("name", STYLES)
def test_the_wrapper_of_a_style_is_python_without_lines_to_fill_in(name, written, tmp_path):
    wrapper = adapt(written(name), tmp_path / "wrapper.py")
    assert wrapper.blanks == 0
    compile(wrapper.text, "wrapper.py", "exec")


def test_a_notebook_is_read_as_its_code_cells_and_so_is_its_wrapper(written, tmp_path):
    code = Path(written("words of another language")).read_text()
    head, rest = code.split("def ", 1)
    cells = [("markdown", "# My network"), ("code", "%matplotlib inline\n" + head), ("code", "def " + rest)]  # fmt: skip
    notebook = {"cells": [{"cell_type": kind, "source": text.splitlines(True)} for kind, text in cells]}  # fmt: skip
    path = tmp_path / "homework.ipynb"
    path.write_text(json.dumps(notebook))
    assert doctor(str(path), plans=SMALL).passed
    wrapper = tmp_path / "wrapper.py"
    wrapper.write_text(adapt(str(path), wrapper).text)
    assert doctor(f"{wrapper}:checked", plans=SMALL).passed


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    path = tmp_path / "homework.ipynb"
    path.write_text("print(1)")
    with pytest.raises(DoctorError, match="not a Jupyter notebook"):
        doctor(str(path))
