"""Whole programs that train an LSTM or a GRU, for the tests, with what students' programs often have."""

# A matrix for each gate in a named tuple, biases of the forget gate that begin with 1, a loss that is a mean, Adam,
# and a validation loss by the same function after the update.
ADAM_LSTM = """
import numpy as np
from collections import namedtuple

Weights = namedtuple("Weights", "w_f w_i w_c w_o b_f b_i b_c b_o w_y b_y")
text = open("no such text.txt").read()
letters = sorted(set(text))
K, H, T = len(letters), 50, 20
ids = np.array([letters.index(c) for c in text])

def random(*shape):
    return np.random.randn(*shape) * 0.1

w = Weights(*(random(H, H + K) for _ in range(4)), np.ones(H), *(np.zeros(H) for _ in range(3)), random(K, H), np.zeros(K))

def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def cost(w, xs, ys, h, c):
    tape, total = [], 0.0
    for k, target in zip(xs, ys):
        z = np.concatenate([h, np.eye(K)[k]])
        f, i, o = sigmoid(w.w_f @ z + w.b_f), sigmoid(w.w_i @ z + w.b_i), sigmoid(w.w_o @ z + w.b_o)
        g = np.tanh(w.w_c @ z + w.b_c)
        old, c = c, f * c + i * g
        h = o * np.tanh(c)
        a = w.w_y @ h + w.b_y
        p = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        total -= np.log(p[target])
        tape.append((z, f, i, g, o, old, c, h, p))
    return total, total / len(xs), tape, h, c

def slopes(w, tape, ys):
    d = Weights(*(np.zeros_like(one) for one in w))
    dh, dc = np.zeros(H), np.zeros(H)
    for (z, f, i, g, o, old, c, h, p), target in zip(tape[::-1], ys[::-1]):
        da = p.copy()
        da[target] -= 1
        da /= len(ys)
        d.w_y[...] += np.outer(da, h)
        d.b_y[...] += da
        dh = dh + w.w_y.T @ da
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        of_f, of_i = dc * old * f * (1 - f), dc * g * i * (1 - i)
        of_g, of_o = dc * i * (1 - g ** 2), dh * np.tanh(c) * o * (1 - o)
        back = np.zeros(H + K)
        for dw, db, one, part in zip(d[:4], d[4:8], w[:4], (of_f, of_i, of_g, of_o)):
            dw[...] += np.outer(part, z)
            db[...] += part
            back += one.T @ part
        dh, dc = back[:H], dc * f
    return d

m, v = [[np.zeros_like(one) for one in w] for _ in range(2)]
h, c = np.zeros(H), np.zeros(H)
for n in range(200):
    xs, ys = ids[n * T:(n + 1) * T], ids[n * T + 1:(n + 1) * T + 1]
    total, mean, tape, h, c = cost(w, xs, ys, h, c)
    for one, g, a, b in zip(w, slopes(w, tape, ys), m, v):
        a += 0.1 * (g - a)
        b += 0.01 * (g * g - b)
        one -= 0.01 * a / (np.sqrt(b) + 1e-8)
    if n % 50 == 0:
        print(mean, cost(w, ids[-T - 1:-1], ids[-T:], np.zeros(H), np.zeros(H))[1])
"""

# The usual way to write a GRU: r acts before the product, and z is the share of the new state.
GRU = """
import numpy as np

text = open("no such text.txt").read()
letters = sorted(set(text))
K, H, T = len(letters), 50, 20
ids = [letters.index(c) for c in text]
P = {"Wz": 0, "Uz": 0, "Wr": 0, "Ur": 0, "Wh": 0, "Uh": 0}
P = {name: np.random.randn(H, K if name[0] == "W" else H) * 0.1 for name in P}
P |= {"bz": np.zeros(H), "br": np.zeros(H), "bh": np.zeros(H), "Wy": np.random.randn(K, H) * 0.1, "by": np.zeros(K)}

def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def learn(xs, ys, h):
    loss, tape = 0.0, []
    for k, target in zip(xs, ys):
        z = sigmoid(P["Wz"][:, k] + P["Uz"] @ h + P["bz"])
        r = sigmoid(P["Wr"][:, k] + P["Ur"] @ h + P["br"])
        n = np.tanh(P["Wh"][:, k] + P["Uh"] @ (r * h) + P["bh"])
        old, h = h, (1 - z) * h + z * n
        a = P["Wy"] @ h + P["by"]
        p = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        loss -= np.log(p[target])
        tape.append((k, target, z, r, n, old, h, p))
    G = {name: np.zeros_like(one) for name, one in P.items()}
    dh = np.zeros(H)
    for k, target, z, r, n, old, after, p in tape[::-1]:
        do = p.copy()
        do[target] -= 1
        G["Wy"] += np.outer(do, after)
        G["by"] += do
        dh = dh + P["Wy"].T @ do
        dn, dz = dh * z * (1 - n ** 2), dh * (n - old) * z * (1 - z)
        inner = P["Uh"].T @ dn
        dr = inner * old * r * (1 - r)
        for name, da, seen in (("z", dz, old), ("r", dr, old), ("h", dn, r * old)):
            G["W" + name][:, k] += da
            G["U" + name] += np.outer(da, seen)
            G["b" + name] += da
        dh = dh * (1 - z) + inner * r + P["Uz"].T @ dz + P["Ur"].T @ dr
    return loss, G, h

h = np.zeros(H)
for at in range(0, len(ids) - T - 1, T):
    loss, G, h = learn(ids[at:at + T], ids[at + 1:at + T + 1], h)
    for name in P:
        P[name] -= 0.1 * G[name]
"""
