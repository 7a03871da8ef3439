"""Whole programs that read a text and train, for the tests: no function alone shows what to check.

Each text has the part `DERIVATIVE`, the factor of the derivative of tanh; with `WRONG` in its place, the
gradient of the hidden layer is wrong.
"""

RIGHT, WRONG = "(1 - h[t + 1] ** 2)", "(1 - h[t + 1])"

# Everything stands in the training loop, and the state is carried from window to window.
SCRIPT = """
import numpy as np
data = open("no such text.txt").read()
letters = sorted(set(data))
number = {letter: i for i, letter in enumerate(letters)}
units, steps, rate = 100, 25, 0.1
first = np.random.randn(units, len(letters)) * 0.01
second = np.random.randn(units, units) * 0.01
third = np.random.randn(len(letters), units) * 0.01
shift, tail = np.zeros((units, 1)), np.zeros((len(letters), 1))
squares = [np.zeros_like(p) for p in (first, second, third, shift, tail)]
memory = np.zeros((units, 1))
at = 0
while True:
    if at + steps + 1 >= len(data):
        at, memory = 0, np.zeros((units, 1))
    given = [number[c] for c in data[at:at + steps]]
    wanted = [number[c] for c in data[at + 1:at + steps + 1]]
    h, p, loss = [memory], [], 0
    for t in range(steps):
        x = np.zeros((len(letters), 1))
        x[given[t]] = 1
        h.append(np.tanh(first @ x + second @ h[t] + shift))
        o = third @ h[t + 1] + tail
        p.append(np.exp(o) / np.exp(o).sum())
        loss += -np.log(p[t][wanted[t], 0])
    grads = [np.zeros_like(q) for q in (first, second, third, shift, tail)]
    back = np.zeros((units, 1))
    for t in reversed(range(steps)):
        do = p[t].copy()
        do[wanted[t]] -= 1
        grads[2] += do @ h[t + 1].T
        grads[4] += do
        da = (third.T @ do + back) * DERIVATIVE
        grads[3] += da
        grads[1] += da @ h[t].T
        grads[0][:, [given[t]]] += da
        back = second.T @ da
    memory = h[-1]
    for q, g, s in zip((first, second, third, shift, tail), grads, squares):
        s += g * g
        q -= rate * g / np.sqrt(s + 1e-8)
    at += steps
    print(loss)
""".replace("DERIVATIVE", RIGHT)

# Layers are objects, and a batch of several texts comes as one-hot vectors, a list of steps.
LAYERS = """
import numpy as np

class Dense:
    def __init__(self, n, m):
        self.M, self.s = np.random.randn(m, n) * 0.1, np.zeros((m, 1))
        self.gM, self.gs = np.zeros_like(self.M), np.zeros_like(self.s)
    def forward(self, x):
        return self.M @ x + self.s
    def back(self, d, x):
        self.gM += d @ x.T
        self.gs += d.sum(axis=1, keepdims=True)
        return self.M.T @ d

class Net:
    def __init__(self, K, n):
        self.inner, self.outer, self.n = Dense(K + n, n), Dense(n, K), n
    def run(self, X, Y, h0):
        for layer in (self.inner, self.outer):
            layer.gM[...], layer.gs[...] = 0, 0
        h, v, p, loss = [h0], [], [], 0.0
        for x, y in zip(X, Y):
            v.append(np.vstack([x, h[-1]]))
            h.append(np.tanh(self.inner.forward(v[-1])))
            o = self.outer.forward(h[-1])
            p.append(np.exp(o) / np.exp(o).sum(axis=0))
            loss -= np.sum(y * np.log(p[-1]))
        d = np.zeros_like(h0)
        for t in reversed(range(len(X))):
            d = d + self.outer.back(p[t] - Y[t], h[t + 1])
            d = self.inner.back(d * DERIVATIVE, v[t])[-self.n:]
        return loss

def main():
    text = open("book.txt").read()
    abc = sorted(set(text))
    hot = np.eye(len(abc))[:, [abc.index(c) for c in text]]
    N, T, net = 5, 20, Net(len(abc), 64)
    per = (hot.shape[1] - 1) // N
    at = np.arange(N) * per
    for epoch in range(3):
        for s in range(0, per - T, T):
            X = [hot[:, at + s + t] for t in range(T)]
            Y = [hot[:, at + s + t + 1] for t in range(T)]
            loss = net.run(X, Y, np.zeros((64, N)))
            for layer in (net.inner, net.outer):
                layer.M -= 0.01 * np.clip(layer.gM, -5, 5)
                layer.s -= 0.01 * np.clip(layer.gs, -5, 5)
        print(epoch, loss / N / T)

if __name__ == "__main__":
    main()
""".replace("DERIVATIVE", RIGHT)

# An LSTM whose names say nothing; it is given characters, not ids, and its parameters are rebound.
CHARACTERS = """
import numpy as np

def s(a):
    return 1 / (1 + np.exp(-a))

class Writer:
    def __init__(self, text, n=50):
        self.known, self.n = sorted(set(text)), n
        self.a1, self.a2, self.a3, self.a4 = (np.random.randn(n, n + len(self.known)) * 0.1 for _ in range(4))
        self.k1, self.k2, self.k3, self.k4 = (np.zeros(n) for _ in range(4))
        self.out, self.last = np.random.randn(len(self.known), n) * 0.1, np.zeros(len(self.known))
    def learn(self, before, after):
        n, h, c, kept, loss = self.n, np.zeros(self.n), np.zeros(self.n), [], 0.0
        for one, other in zip(before, after):
            v = np.concatenate([h, np.eye(len(self.known))[self.known.index(one)]])
            keep, add, show = s(self.a1 @ v + self.k1), s(self.a2 @ v + self.k2), s(self.a3 @ v + self.k3)
            new, old = np.tanh(self.a4 @ v + self.k4), c
            c = keep * c + add * new
            h = show * np.tanh(c)
            o = self.out @ h + self.last
            p = np.exp(o) / np.exp(o).sum()
            loss -= np.log(p[self.known.index(other)])
            kept.append((v, keep, add, show, new, old, c, h, p, self.known.index(other)))
        g = {name: np.zeros_like(getattr(self, name)) for name in vars(self) if name[0] in "akol" and name[1] != "n"}
        dh, dc = np.zeros(n), np.zeros(n)
        for v, keep, add, show, new, old, c, h, p, target in reversed(kept):
            do = p.copy()
            do[target] -= 1
            g["out"] += np.outer(do, h)
            g["last"] += do
            dh = dh + self.out.T @ do
            dc = dc + dh * show * (1 - np.tanh(c) ** 2)
            parts = (dc * old * keep * (1 - keep), dc * new * add * (1 - add), dh * np.tanh(c) * show * (1 - show), dc * add * (1 - new ** 2))
            dh = np.zeros(n)
            for number, d in enumerate(parts, 1):
                g[f"a{number}"] += np.outer(d, v)
                g[f"k{number}"] += d
                dh += (getattr(self, f"a{number}").T @ d)[:n]
            dc = dc * keep
        for name, one in g.items():
            setattr(self, name, getattr(self, name) - 0.1 * one)
        return loss

text = open("poem.txt").read()
writer = Writer(text)
for start in range(0, len(text) - 16, 15):
    print(writer.learn(text[start:start + 15], text[start + 1:start + 16]))
"""

# PyTorch's own derivatives; the training is in the main part, and the state is detached at each step if wrong.
AUTOGRAD = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, kinds, units):
        super().__init__()
        self.enter, self.again, self.leave = nn.Linear(kinds, units), nn.Linear(units, units, bias=False), nn.Linear(units, kinds)
    def forward(self, sequence, state):
        found = []
        for one in sequence:
            state = torch.tanh(self.enter(one) + self.again(STATE))
            found.append(self.leave(state))
        return torch.stack(found), state

if __name__ == "__main__":
    text = open("book.txt").read()
    kinds = sorted(set(text))
    ids = torch.tensor([kinds.index(c) for c in text])
    net = Net(len(kinds), 64)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    judge = nn.CrossEntropyLoss(reduction="sum")
    for start in range(0, len(ids) - 31, 30):
        given = nn.functional.one_hot(ids[start:start + 30], len(kinds)).float()
        found, _ = net(given, torch.zeros(64))
        loss = judge(found, ids[start + 1:start + 31])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(loss.item())
"""
