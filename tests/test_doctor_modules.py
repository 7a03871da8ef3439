"""The doctor checks code that leaves the gradient to PyTorch or JAX, as courses and tutorials write it.

Each file is judged in a process of its own, which imports PyTorch or JAX. So the tests take some seconds each.
"""

import importlib.util

import pytest

from charloom.diagnosis import adapt, doctor
from charloom.diagnosis.forms.module_making import role_in_class
from charloom.diagnosis.trials import PLANS
from charloom.errors import DoctorError

SMALL = PLANS[:2]  # two trials show whether a form is read in the right way

LANGUAGE_MODEL = """
import torch
from torch import nn

text = open("no such text.txt").read()
device = "cuda" if torch.cuda.is_available() else "cpu"


class CharRNN(nn.Module):
    def __init__(self, vocab_size, embed_size, hidden_size, num_layers=1, dropout=0.5):
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.GRU(embed_size, hidden_size, num_layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden_size, vocab_size)

    def forward(self, x, hidden):
        out, hidden = self.rnn(self.embedding(x).float(), hidden)
        return self.fc(self.dropout(out)), hidden


model = CharRNN(len(set(text)), 64, 128).to(device)
for epoch in range(10):
    optimizer.zero_grad()
"""

LOOP = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(80, 32)
        self.cell = nn.LSTMCell(32, 128)
        self.out = nn.Linear(128, 80)

    def forward(self, x, state=None):
        h, c = state if state is not None else (torch.zeros(x.shape[0], 128),) * 2
        logits = []
        for t in range(x.shape[1]):
            h, c = self.cell(self.embedding(x[:, t]), (h, c))
            logits.append(self.out(h))
        return torch.stack(logits, dim=1), (h, c)
"""

CLASSIFIER = """
import torch
from torch import nn


class Names(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size, LAYERS)
        self.fc = nn.Linear(WIDTH * hidden_size, num_classes)

    def forward(self, x, h0):
        out, _ = self.rnn(x, h0)
        return self.fc(out)
"""

COMBINED = """
import torch
from torch import nn


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)

    def forward(self, input, hidden):
        combined = torch.cat((input, hidden), 1)
        return torch.log_softmax(self.i2o(combined), dim=1), self.i2h(combined)
"""

GLOBALS = """
import torch
import torch.nn.functional as F

hidden_size, vocab_size = 100, 65
Wxh = (torch.randn(hidden_size, vocab_size) * 0.01).requires_grad_()
Whh = (torch.randn(hidden_size, hidden_size) * 0.01).requires_grad_()
Why = (torch.randn(vocab_size, hidden_size) * 0.01).requires_grad_()
bh = torch.zeros(hidden_size, 1, requires_grad=True)
by = torch.zeros(vocab_size, 1, requires_grad=True)


def loss_of_window(inputs, targets, hprev):
    h, loss = hprev, 0
    for k, target in zip(inputs, targets):
        x = torch.zeros(vocab_size, 1, dtype=torch.float32)
        x[k] = 1
        h = torch.tanh(Wxh @ x + Whh @ h + bh)
        loss = loss + F.cross_entropy((Why @ h + by).T, torch.tensor([target]))
    return loss, h
"""

INSTANCE = """
import torch


class Network:
    def __init__(self, vocab_size, hidden_size):
        self.Wxh = torch.randn(hidden_size, vocab_size, requires_grad=True)
        self.Whh = torch.randn(hidden_size, hidden_size, requires_grad=True)
        self.Why = torch.randn(vocab_size, hidden_size, requires_grad=True)
        self.bh = torch.zeros(hidden_size, requires_grad=True)
        self.by = torch.zeros(vocab_size, requires_grad=True)

    def loss(self, inputs, targets, h):
        total = 0
        for k, target in zip(inputs, targets):
            h = torch.tanh(self.Wxh[:, k] + self.Whh @ h + self.bh)
            total = total - torch.log_softmax(self.Why @ h + self.by, dim=0)[target]
        return total, h
"""

STATE_IN_A_TUPLE = """
import torch


def rnn(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.tanh(X @ W_xh + H @ W_hh + b_h)
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs, dim=0), (H,)
"""

ADVICE = """
import torch
from torch import nn


class Mixed(nn.Module):
    def __init__(self, vocab_size, hidden_size, flavour):
        super().__init__()
        assert flavour == "plain"
        self.rnn = nn.RNN(vocab_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, x, h):
        out, h = self.rnn(x, h)
        return self.out(out), h
"""


@pytest.fixture
def diagnosed(tmp_path):
    """Return a function that writes a file and returns its diagnosis."""
    pytest.importorskip("torch", reason="PyTorch is not installed")

    def diagnose(text, plans=SMALL):
        path = tmp_path / "submission.py"
        path.write_text(text)
        return doctor(str(path), plans=plans)

    return diagnose


@pytest.mark.parametrize("text", [LANGUAGE_MODEL, LOOP, GLOBALS, INSTANCE, STATE_IN_A_TUPLE])
def test_code_as_tutorials_write_it_is_right_in_float64(text, diagnosed):
    found = diagnosed(text)
    assert (found.verdict, found.mistakes, found.tried.dtype) == ("right", (), "float64")
    assert found.worst().norm_relative < 1e-13


DETACHED = [
    (LANGUAGE_MODEL, "self.fc(self.dropout(out))", "self.fc(self.dropout(out.detach()))"),
    (LOOP, "(h, c))\n            logits", "(h.detach(), c))\n            logits"),
    (GLOBALS, "Whh @ h + bh", "Whh @ h.detach() + bh"),
    (INSTANCE, "self.Whh @ h", "self.Whh @ h.data"),
    (STATE_IN_A_TUPLE, "H @ W_hh", "H.detach() @ W_hh"),
]


@pytest.mark.parametrize(("text", "old", "new"), DETACHED)
def test_a_detached_tensor_is_wrong(text, old, new, diagnosed):
    assert old in text
    assert diagnosed(text.replace(old, new)).verdict == "wrong"


@pytest.mark.parametrize("cut", ["out.detach()", "out.data"])
def test_a_gradient_that_is_cut_off_before_the_output_reaches_no_weight_of_the_cell(cut, diagnosed):
    text = CLASSIFIER.replace("LAYERS", "1").replace("WIDTH", "1")
    (found,) = diagnosed(text.replace("self.fc(out)", f"self.fc({cut})")).found
    assert found.title == "no gradient reaches U, W and b: dU, dW and db are zero"
    assert ".detach(), .data or torch.no_grad()" in found.fix


def test_notes_say_what_was_done_to_a_module(diagnosed):
    notes = " ".join(diagnosed(LANGUAGE_MODEL).notes)
    assert "dropout is off (eval mode)" in notes
    assert "the embedding is set to the identity" in notes
    assert "the number of layers was set to 1" in notes


@pytest.mark.parametrize(
    ("layers", "width", "verdict", "words"),
    [
        ("1", 1, "right", ""),
        ("1, bidirectional=True", 2, "right", "only its forward direction is checked"),
        ("2", 1, "right for its own network", "keep their first values: rnn.weight_ih_l1"),
    ],
)
def test_layers_and_directions_that_the_classic_network_lacks(
    layers, width, verdict, words, diagnosed
):
    found = diagnosed(CLASSIFIER.replace("LAYERS", layers).replace("WIDTH", str(width)))
    assert found.verdict == verdict
    assert words in " ".join(found.notes)


def test_the_logits_of_the_last_step_are_a_network_of_their_own(diagnosed):
    text = CLASSIFIER.replace("LAYERS", "1").replace("WIDTH", "1")
    found = diagnosed(text.replace("self.fc(out)", "self.fc(out[-1])"))
    assert found.verdict == "right for its own network"
    assert [one.id for one in found.network] == ["last-step-only"]


def test_a_network_whose_output_reads_the_input_too_is_right_for_itself(diagnosed):
    assert diagnosed(COMBINED).verdict == "right for its own network"
    wrong = COMBINED.replace("(input, hidden)", "(input, hidden.detach())")
    assert diagnosed(wrong).verdict == "wrong"


def test_a_softmax_before_the_cross_entropy_is_named(diagnosed):
    text = CLASSIFIER.replace("LAYERS", "1").replace("WIDTH", "1")
    text = text.replace("self.fc(out)", "torch.softmax(self.fc(out), dim=-1)")
    found = diagnosed(f"{text}\ncriterion = nn.CrossEntropyLoss()\n")
    assert [one.id for one in found.network] == ["softmax-twice"]
    assert diagnosed(text).verdict == "right"  # the file takes the logarithm of the probabilities


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_a_softmax_before_the_cross_entropy_is_named_in_each_cell(cell, diagnosed):
    """The gates of an LSTM keep its loss near T ln K, so a wrong reading of the output may fit the loss."""
    text = CLASSIFIER.replace("LAYERS", "1").replace("WIDTH", "1").replace("nn.RNN", f"nn.{cell}")
    text = text.replace("self.fc(out)", "torch.softmax(self.fc(out), dim=-1)")
    found = diagnosed(f"{text}\ncriterion = nn.CrossEntropyLoss()\n")
    assert [one.id for one in found.network] == ["softmax-twice"]
    assert diagnosed(text).verdict == "right"


def test_a_module_that_cannot_be_made_gets_advice_that_works(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "mixed.py"
    path.write_text(ADVICE)
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    assert "it is not clear what to pass for flavour" in str(caught.value)
    assert "def make(vocab_size, hidden_size):" in str(caught.value)
    path.write_text(
        f'{ADVICE}\n\ndef make(vocab_size, hidden_size):\n    return Mixed(vocab_size, hidden_size, "plain")\n'
    )
    assert doctor(f"{path}:make", plans=SMALL).verdict == "right"
    assert doctor(str(path), plans=SMALL).verdict == "right"


CRASHING = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, n_letters, n_units=20):
        super().__init__()
        self.n_letters = n_letters
        self.rnn = nn.LSTM(n_letters, n_units, batch_first=True)
        self.head = nn.Linear(n_units, n_letters)

    def forward(self, x, state=None):
        out, state = self.rnn(F.one_hot(x, self.n_letters).to(self.head.weight.dtype), state)
        return self.heed(out), state
"""


@pytest.mark.parametrize("name", ["", ":Net"])
def test_a_module_that_raises_an_error_shows_it_with_its_line(name, tmp_path):
    """Other inputs fail earlier, such as one-hot vectors for which the file makes one-hot vectors again."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "crashing.py"
    path.write_text(CRASHING)
    with pytest.raises(DoctorError) as caught:
        doctor(f"{path}{name}")
    assert str(caught.value).count("File ") == 1
    assert 'crashing.py", line 16, in forward\n    return self.heed(out), state' in str(
        caught.value
    )
    assert "AttributeError: 'Net' object has no attribute 'heed'" in str(caught.value)


def test_a_module_whose_forward_runs_shows_no_error_of_another_input(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "silent.py"
    path.write_text(CRASHING.replace("self.heed(out), state", "None"))
    with pytest.raises(DoctorError) as caught:
        doctor(str(path))
    assert "Net: forward runs with none of the usual inputs" in str(caught.value)
    assert "failed" not in str(caught.value)


def test_a_wrapper_for_a_module_gives_the_same_diagnosis(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path, wrapper = tmp_path / "loop.py", tmp_path / "wrapper.py"
    path.write_text(LOOP)
    written = adapt(str(path), wrapper)
    assert written.blanks == 0
    assert "fitted(" in written.text
    wrapper.write_text(written.text)
    assert doctor(f"{wrapper}:checked", plans=SMALL).rows == doctor(str(path), plans=SMALL).rows


def test_a_library_that_is_missing_gets_an_error_that_says_so(tmp_path):
    path = tmp_path / "other.py"
    path.write_text(
        "from tinygrad.tensor import Tensor\n\n\ndef loss(params, x, y, h0):\n    return 0\n"
    )
    if importlib.util.find_spec("tinygrad") is not None:
        pytest.skip("tinygrad is installed")
    with pytest.raises(DoctorError, match="imports tinygrad, which is not installed"):
        doctor(str(path))


@pytest.mark.parametrize(
    ("name", "role"),
    [("vocab_size", "K"), ("embed_dim", "E"), ("nhid", "H"), ("rnn_type", "kind"), ("dropout", "zero"), ("device", "device"), ("flavour", "")],
)  # fmt: skip
def test_the_name_of_an_argument_shows_its_role(name, role):
    assert role_in_class(name) == role


# JAX.

SCAN = """
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Params(NamedTuple):
    Wxh: jnp.ndarray
    Whh: jnp.ndarray
    bh: jnp.ndarray
    Why: jnp.ndarray
    by: jnp.ndarray


def loss(params, xs, ys, h0):
    def step(h, pair):
        x, y = pair
        h = jnp.tanh(params.Wxh[:, x] + params.Whh @ h + params.bh)
        return h, -jax.nn.log_softmax(params.Why @ h + params.by)[y]

    _, losses = jax.lax.scan(step, h0.astype(jnp.float32), (xs, ys))
    return losses.sum()


@jax.jit
def update(params, xs, ys, h0, lr=0.1):
    grads = jax.grad(loss)(params, xs, ys, h0)
    return jax.tree_util.tree_map(lambda p, g: p - lr * g, params, grads)
"""

AS_IT_IS = """
import jax
import jax.numpy as jnp


def loss(params, x, y, h0):
    h, total = h0, 0.0
    for k, target in zip(x, y):
        h = jnp.tanh(params["U"][:, k] + params["W"] @ h + params["b"])
        total -= jax.nn.log_softmax(params["V"] @ h + params["c"])[target]
    return total


loss_and_gradients = jax.jit(jax.value_and_grad(loss))
"""


@pytest.mark.parametrize(("text", "old"), [(SCAN, "params.Whh @ h"), (AS_IT_IS, 'params["W"] @ h')])
def test_a_loss_in_jax_is_differentiated_in_float64(text, old, tmp_path):
    """Each file is compiled for some shapes, which takes some seconds."""
    pytest.importorskip("jax", reason="JAX is not installed")
    path = tmp_path / "submission.py"
    path.write_text(text)
    found = doctor(str(path), plans=SMALL)
    assert (found.verdict, found.tried.dtype) == ("right", "float64")
    assert old in text
    path.write_text(text.replace(old, old.replace("@ h", "@ jax.lax.stop_gradient(h)")))
    found = doctor(str(path), plans=SMALL)
    assert (found.verdict, found.mistakes) == ("wrong", ("time-carry-missing",))


COUNTERPART = """
import numpy as np
import torch


def compute_grads_with_torch(X, y, h0, RNN):
    net = {name: torch.tensor(RNN[name], requires_grad=True) for name in RNN}
    Xt, h, tau = torch.from_numpy(X), torch.from_numpy(h0), X.shape[1]
    Hs = torch.empty(h0.shape[0], tau, dtype=torch.float64)
    for t in range(tau):
        h = torch.tanh(net["U"] @ Xt[:, t : t + 1] + net["W"] @ h + net["b"])
        Hs[:, t : t + 1] = h
    P = torch.softmax(net["V"] @ Hs + net["c"], dim=0)
    torch.mean(-torch.log(P[y, np.arange(tau)])).backward()
    return {name: net[name].grad.numpy() for name in RNN}
"""


def test_a_counterpart_that_returns_only_gradients_gets_ids_y(diagnosed):
    """One-hot Y raises no error in it: P[Y, ...] then takes other entries."""
    found = diagnosed(COUNTERPART)
    assert found.verdict == "right for its own network"
    assert [one.id for one in found.network] == ["mean-over-time"]
    assert "ids y" in found.tried.convention
