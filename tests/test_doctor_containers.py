"""The doctor accepts parameters in what the user's own code makes, whatever their names.

Each style puts the same network into another container: dicts in a dict, a named tuple, layers in an object, a
list. Each file is judged right, and a planted mistake in it is seen.
"""

import json
from pathlib import Path

import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.forms.equation_meanings import meanings_of
from charloom.diagnosis.forms.file_contents import read_contents
from charloom.diagnosis.forms.notebook_reader import code_of
from charloom.diagnosis.trials import PLANS

SMALL = PLANS[:2]

# The computation of a window with the parameters A, B, p, C and q, whose gradients are gA, gB, gp, gC and gq.
COMPUTATION = """
states, probs, total = [start], [], 0.0
for k, target in zip(codes, wanted):
    states.append(np.tanh(A[:, k] + B @ states[-1] + p))
    z = C @ states[-1] + q
    e = np.exp(z - z.max())
    probs.append(e / e.sum())
    total -= np.log(probs[-1][target])
gA, gB, gp, gC, gq = [np.zeros_like(m) for m in (A, B, p, C, q)]
flow = np.zeros_like(start)
for t in reversed(range(len(codes))):
    e = probs[t].copy()
    e[wanted[t]] -= 1
    gC += np.outer(e, states[t + 1])
    gq += e
    d = (C.T @ e + flow) * (1 - states[t + 1] ** 2)
    gA[:, codes[t]] += d
    gB += np.outer(d, states[t])
    gp += d
    flow = B.T @ d
"""
RIGHT, WRONG = "(1 - states[t + 1] ** 2)", "(1 - states[t + 1])"


def body(start, end):
    """Return the lines of a function with the computation."""
    text = start + COMPUTATION + end
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines()) + "\n"


DRAW = "n = lambda *s: np.random.randn(*s) * 0.1\n"
STYLES = {
    "dicts in a dict": f"""
{DRAW}
def build(chars, units):
    return {{"cell": {{"in": n(units, chars), "rec": n(units, units), "bias": np.zeros(units)}},
             "head": {{"weight": n(chars, units), "bias": np.zeros(chars)}}}}

def gradient(net, codes, wanted, start):
{body('''A, B, p = net["cell"]["in"], net["cell"]["rec"], net["cell"]["bias"]
C, q = net["head"]["weight"], net["head"]["bias"]''',
'''return total, {"cell": {"in": gA, "rec": gB, "bias": gp}, "head": {"weight": gC, "bias": gq}}''')}""",
    "a named tuple": f"""
from collections import namedtuple
{DRAW}
Net = namedtuple("Net", "first again offset last shift")

def new_net(a, b):
    return Net(n(b, a), n(b, b), np.zeros(b), n(a, b), np.zeros(a))

def gradient(start, codes, wanted, net):
{body("A, B, p, C, q = net", "return Net(gA, gB, gp, gC, gq), total")}""",
    "layers in an object": f"""
{DRAW}
class Layer:
    def __init__(self, rows, columns):
        self.M, self.v = n(rows, columns), np.zeros(rows)

class Model:
    def __init__(self, nc, nu):
        self.inner, self.outer, self.back = Layer(nu, nc), Layer(nc, nu), n(nu, nu)

    def fit(self, codes, wanted, start):
{body('''A, B, p = self.inner.M, self.back, self.inner.v
C, q = self.outer.M, self.outer.v''',
'''self.inner.gM, self.gback, self.inner.gv, self.outer.gM, self.outer.gv = gA, gB, gp, gC, gq
return total''').replace(chr(10) + "    ", chr(10) + "        ").replace("    A, B", "        A, B", 1)}""",
    "a list": f"""
{DRAW}
def make_weights(a, b):
    return [n(b, a), n(b, b), np.zeros(b), n(a, b), np.zeros(a)]

def gradient(codes, wanted, start, w):
{body("A, B, p, C, q = w", "return total, [gA, gB, gp, gC, gq]")}""",
}  # fmt: skip


def verdict_of(text, folder):
    """Return the verdict on a file."""
    path = Path(folder) / "submission.py"
    path.write_text("import numpy as np\n" + text)
    return doctor(str(path), plans=SMALL).verdict


@pytest.mark.parametrize("style", STYLES)
def test_a_right_network_in_a_container_is_right(style, tmp_path):
    assert verdict_of(STYLES[style], tmp_path) == "right"


@pytest.mark.parametrize("style", STYLES)
def test_a_planted_mistake_in_a_container_is_seen(style, tmp_path):
    assert verdict_of(STYLES[style].replace(RIGHT, WRONG), tmp_path) == "wrong"


def test_equations_say_what_names_mean(tmp_path):
    path = tmp_path / "submission.py"
    path.write_text("def f(A, B, p, C, q, codes, wanted, start):\n" + body("", "return total, gA"))
    meanings = meanings_of(read_contents(path))
    assert meanings.blocks == {"A": "U", "B": "W", "p": "b", "C": "V", "q": "c"}
    assert meanings.gradients["gB"] == "B"


def test_the_reader_of_a_wrapper_leaves_out_commands_of_the_shell(tmp_path):
    path = tmp_path / "notebook.ipynb"
    cells = [
        {"cell_type": "code", "source": ["files = !ls\n", "%matplotlib inline\n", "a = 7 % 4"]}
    ]
    path.write_text(json.dumps({"cells": cells}))
    assert code_of(path) == "files = None\n\na = 7 % 4"
