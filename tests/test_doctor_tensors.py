"""The doctor checks code on tensors of PyTorch that computes gradients itself or leaves them in `.grad`.

Each file is judged in a process of its own, which imports PyTorch. So the tests take some seconds each.
"""

import importlib.util

import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.trials import PLANS
from charloom.errors import DoctorError

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

SMALL = PLANS[:2]  # two trials show whether a form is read in the right way

BY_HAND = """
import torch

vocab_size, hidden_size = 27, 100
Wxh = torch.randn(hidden_size, vocab_size) * 0.01
Whh = torch.randn(hidden_size, hidden_size) * 0.01
Why = torch.randn(vocab_size, hidden_size) * 0.01
bh, by = torch.zeros(hidden_size, 1), torch.zeros(vocab_size, 1)


def lossFun(inputs, targets, hprev):
    xs, hs, ps = {}, {-1: hprev.clone()}, {}
    loss = 0
    for t in range(len(inputs)):
        xs[t] = torch.zeros(vocab_size, 1)
        xs[t][inputs[t]] = 1
        hs[t] = torch.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        ps[t] = torch.softmax(Why @ hs[t] + by, dim=0)
        loss -= torch.log(ps[t][targets[t], 0]).item()
    dWxh, dWhh, dWhy = torch.zeros_like(Wxh), torch.zeros_like(Whh), torch.zeros_like(Why)
    dbh, dby = torch.zeros_like(bh), torch.zeros_like(by)
    dhnext = torch.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = ps[t].clone()
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].t()
        dby += dy
        dhraw = (1 - hs[t] * hs[t]) * (Why.t() @ dy + dhnext)
        dbh += dhraw
        dWxh += dhraw @ xs[t].t()
        dWhh += dhraw @ hs[t - 1].t()
        dhnext = Whh.t() @ dhraw
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]
"""

LEAVES = """
import torch
import torch.nn.functional as F

V, H = 27, 64
W_xh = (torch.randn(V, H) * 0.1).requires_grad_()
W_hh = (torch.randn(H, H) * 0.1).requires_grad_()
b_h = torch.zeros(H, requires_grad=True)
W_hq = (torch.randn(H, V) * 0.1).requires_grad_()
b_q = torch.zeros(V, requires_grad=True)
params = [W_xh, W_hh, b_h, W_hq, b_q]


def train_step(inputs, targets, h):
    loss = 0.0
    for t in range(len(inputs)):
        h = torch.tanh(F.one_hot(inputs[t], V).float() @ W_xh + h @ W_hh + b_h)
        loss = loss + F.cross_entropy((h @ W_hq + b_q).unsqueeze(0), targets[t : t + 1])
    for p in params:
        p.grad = None
    loss.backward()
    return loss.item() / len(inputs), [p.grad.clone() for p in params], h.detach()
"""

LSTM_STEPS = """
import torch


def step(x, state, m):
    h, c = state
    z = torch.cat((h, x), dim=0)
    f, i, o = (torch.sigmoid(m["W" + k] @ z + m["b" + k]) for k in "fio")
    g = torch.tanh(m["Wc"] @ z + m["bc"])
    c_new = f * c + i * g
    return (o * torch.tanh(c_new), c_new), (z, c, f, i, o, g, c_new)


def train_step(X_train, y_train, state, m):
    D, H = m["Wy"].shape
    caches, probs, loss = [], [], 0.0
    for k, target in zip(X_train, y_train):
        x = torch.zeros(D, 1)
        x[k] = 1.0
        state, cache = step(x, state, m)
        p = torch.softmax(m["Wy"] @ state[0] + m["by"], dim=0)
        loss -= torch.log(p[target, 0])
        caches.append((*cache, state[0]))
        probs.append(p)
    grads = {k: torch.zeros_like(v) for k, v in m.items()}
    dh_next, dc_next = torch.zeros_like(state[0]), torch.zeros_like(state[1])
    for target, p, (z, c, f, i, o, g, c_new, h) in reversed(list(zip(y_train, probs, caches))):
        dy = p.clone()
        dy[target] -= 1.0
        grads["Wy"] += dy @ h.T
        grads["by"] += dy
        dh = m["Wy"].T @ dy + dh_next
        dc = dc_next + dh * o * (1 - torch.tanh(c_new) ** 2)
        d = {
            "f": dc * c * f * (1 - f), "i": dc * g * i * (1 - i),
            "o": dh * torch.tanh(c_new) * o * (1 - o), "c": dc * i * (1 - g**2),
        }
        for k, one in d.items():
            grads["W" + k] += one @ z.T
            grads["b" + k] += one
        dh_next = sum(m["W" + k].T @ one for k, one in d.items())[:H]
        dc_next = f * dc
    return grads, loss, state


def make(H, D):
    return dict(
        Wf=torch.randn(H, H + D), Wi=torch.randn(H, H + D), Wc=torch.randn(H, H + D), Wo=torch.randn(H, H + D),
        bf=torch.zeros(H, 1), bi=torch.zeros(H, 1), bc=torch.zeros(H, 1), bo=torch.zeros(H, 1),
        Wy=torch.randn(D, H), by=torch.zeros(D, 1),
    )
"""

FLAT = """
import torch


def unpack(theta, K, M):
    a, b, c, d, e = torch.split(theta, [M * K, M * M, M, K * M, K])
    return a.view(M, K), b.view(M, M), c, d.view(K, M), e


def costGrad(theta, x, y, K, M):
    Wi, Wr, b, Wo, c = unpack(theta, K, M)
    T = x.numel()
    h, s = torch.zeros(T + 1, M), torch.zeros(T, K)
    for t in range(T):
        h[t] = torch.tanh(Wi[:, x[t]] + Wr.mv(h[t - 1]) + b)
        s[t] = Wo.mv(h[t]) + c
    D = torch.softmax(s, 1)
    cost = -D[torch.arange(T), y].log().mean()
    D[torch.arange(T), y] -= 1
    D /= T
    g = torch.zeros_like(theta)
    gWi, gWr, gb, gWo, gc = unpack(g, K, M)
    gWo += D.t().mm(h[:T])
    gc += D.sum(0)
    carry = torch.zeros(M)
    for t in range(T - 1, -1, -1):
        delta = (Wo.t().mv(D[t]) + Wr.t().mv(carry)) * (1 - h[t] ** 2)
        gWi[:, x[t]] += delta
        gWr += torch.ger(delta, h[t - 1])
        gb += delta
        carry = delta
    return cost, g
"""

FUNCTION_OF_A_MODULE = """
import torch
from torch import nn


class LSTMCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x2h = nn.Linear(input_size, 4 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x, state):
        h, c = state
        i, o, f, g = (self.x2h(x) + self.h2h(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class CharLSTM(nn.Module):
    def __init__(self, num_tokens, hidden_dim):
        super().__init__()
        self.num_tokens = num_tokens
        self.cell = LSTMCell(num_tokens, hidden_dim)
        self.fc = nn.Linear(hidden_dim, num_tokens)

    def forward(self, tokens, state):
        outs = []
        for x in nn.functional.one_hot(tokens, self.num_tokens).float().unbind(1):
            state = self.cell(x, state)
            outs.append(self.fc(state[0]))
        return torch.stack(outs, 1), state


def training_step(model, optimizer, x, y, state):
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer.zero_grad()
    logits, state = model(x, state)
    loss = criterion(logits.transpose(1, 2), y)
    loss.backward()
    optimizer.step()
    return loss.item() / x.shape[1], tuple(s.detach() for s in state)
"""

WITH_GRAD = """
import torch


class ManualRNN:
    def __init__(self, input_dim, hidden_dim):
        self.Wax = 0.01 * torch.randn(hidden_dim, input_dim)
        self.Waa = 0.01 * torch.randn(hidden_dim, hidden_dim)
        self.ba = torch.zeros(hidden_dim)
        self.Wya = 0.01 * torch.randn(input_dim, hidden_dim)
        self.by = torch.zeros(input_dim)
        for p in self.parameters():
            p.grad = torch.zeros_like(p)

    def parameters(self):
        return [self.Wax, self.Waa, self.ba, self.Wya, self.by]

    def forward(self, x, a0):
        self.x, self.a, self.logits = x, [a0], []
        for one in x:
            self.a.append(torch.tanh(one @ self.Wax.t() + self.a[-1] @ self.Waa.t() + self.ba))
            self.logits.append(self.a[-1] @ self.Wya.t() + self.by)
        return torch.stack(self.logits)

    def backward(self, y):
        for p in self.parameters():
            p.grad.zero_()
        loss, da_next = 0, torch.zeros_like(self.a[0])
        for t in reversed(range(len(y))):
            p = self.logits[t].softmax(1)
            loss = loss - torch.log(p.gather(1, y[t][:, None])).sum()
            d = p.scatter_add(1, y[t][:, None], -torch.ones(len(p), 1))
            self.Wya.grad.add_(d.t() @ self.a[t + 1])
            self.by.grad.add_(d.sum(0))
            dz = (d @ self.Wya + da_next) * (1 - self.a[t + 1] ** 2)
            self.Wax.grad.add_(dz.t() @ self.x[t])
            self.Waa.grad.add_(dz.t() @ self.a[t])
            self.ba.grad.add_(dz.sum(0))
            da_next = dz @ self.Waa
        return loss
"""

ONE_SEQUENCE = """
import torch


def loss(Wx, Wh, Wo, seq, h):
    hs, ps, total = [h], [], 0.0
    for t in range(len(seq) - 1):
        h = torch.tanh(Wx[seq[t]] + h @ Wh)
        p = (h @ Wo).softmax(-1)
        total -= p[seq[t + 1]].log()
        hs.append(h)
        ps.append(p)
    dWx, dWh, dWo = (torch.zeros_like(w) for w in (Wx, Wh, Wo))
    dh = torch.zeros_like(h)
    for t in range(len(seq) - 2, -1, -1):
        d = ps[t].clone()
        d[seq[t + 1]] -= 1
        dWo += torch.outer(hs[t + 1], d)
        da = (Wo @ d + dh) * (1 - hs[t + 1] ** 2)
        dWx[seq[t]] += da
        dWh += torch.outer(hs[t], da)
        dh = Wh @ da
    return total, dWx, dWh, dWo
"""

# A text, a part of it, what a student may write instead, and a mistake that the doctor then names.
PLANTED = [
    (BY_HAND, "Whh.t() @ dhraw", "Whh.t() @ (dhraw * 0)", "time-carry-missing"),
    (LEAVES, "+ h @ W_hh", "+ h.detach() @ W_hh", "time-carry-missing"),
    (LEAVES, "        p.grad = None\n", "        pass\n", "gradients-carried-over"),
    (WITH_GRAD, "            p.grad.zero_()\n", "            pass\n", "gradients-carried-over"),
    (FLAT, "carry = delta", "carry = 0 * delta", "time-carry-missing"),
]


@pytest.fixture
def diagnosed(tmp_path):
    def of(text):
        path = tmp_path / "submission.py"
        path.write_text(text)
        return doctor(str(path), plans=SMALL)

    return of


@pytest.mark.parametrize(
    "text", [BY_HAND, LEAVES, LSTM_STEPS, FLAT, FUNCTION_OF_A_MODULE, WITH_GRAD]
)
def test_gradients_on_tensors_are_right_in_every_style(text, diagnosed):
    assert diagnosed(text).verdict in ("right", "right for its own network")


@pytest.mark.parametrize(("text", "old", "new", "mistake"), PLANTED)
def test_a_mistake_on_tensors_is_named(text, old, new, mistake, diagnosed):
    assert old in text
    found = diagnosed(text.replace(old, new))
    assert found.verdict == "wrong"
    assert mistake in found.mistakes


def test_a_detached_state_in_a_function_that_calls_a_module_is_wrong(diagnosed):
    text = FUNCTION_OF_A_MODULE.replace(
        "self.cell(x, state)", "self.cell(x, tuple(s.detach() for s in state))"
    )
    assert text != FUNCTION_OF_A_MODULE
    found = diagnosed(text)
    assert found.verdict == "wrong"
    assert "recognised: training_step, which calls the module CharLSTM" in found.notes[0]


def test_a_function_whose_targets_are_in_the_sequence_is_not_called_wrong(diagnosed):
    """Its loss is that of other targets than y, so the doctor cannot judge it as it is."""
    with pytest.raises(DoctorError):
        diagnosed(ONE_SEQUENCE)
