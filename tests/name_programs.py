"""Whole programs that train on a list of names, for the tests: the names have marks at both ends, or at the end."""

# Both ends have the same mark; a batch of names is filled to the same length, and what is filled does not count.
BATCHES = """
import numpy as np

words = [line.strip() for line in open("names.txt") if line.strip()]
signs = ["."] + sorted(set("".join(words)))
at = {s: i for i, s in enumerate(signs)}
V, units, many = len(signs), 40, 16
rng = np.random.default_rng(3)
P = {"in": rng.normal(0, 0.2, (V, units)), "again": rng.normal(0, 0.2, (units, units)), "shift": np.zeros(units),
     "out": rng.normal(0, 0.2, (units, V)), "tail": np.zeros(V)}

def rows(batch):
    longest = max(map(len, batch)) + 1
    x, y, count = (np.zeros((len(batch), longest), int) for _ in range(3))
    for n, word in enumerate(batch):
        ids = [at[c] for c in word]
        x[n, 1:len(ids) + 1], y[n, :len(ids)], count[n, :len(ids) + 1] = ids, ids, 1
    return x, y, count

for update in range(1000):
    x, y, count = rows([words[i] for i in rng.integers(0, len(words), many)])
    N, T = x.shape
    h, p, loss = [np.zeros((N, units))], [], 0.0
    for t in range(T):
        h.append(np.tanh(P["in"][x[:, t]] + h[t] @ P["again"] + P["shift"]))
        e = np.exp(h[-1] @ P["out"] + P["tail"])
        p.append(e / e.sum(1, keepdims=True))
        loss -= (np.log(p[t][np.arange(N), y[:, t]]) * count[:, t]).sum() / count.sum()
    g = {name: np.zeros_like(one) for name, one in P.items()}
    back = np.zeros((N, units))
    for t in reversed(range(T)):
        d = p[t].copy()
        d[np.arange(N), y[:, t]] -= 1
        d *= count[:, t][:, None] / count.sum()
        g["out"] += h[t + 1].T @ d
        g["tail"] += d.sum(0)
        d = (d @ P["out"].T + back) * (1 - h[t + 1] ** 2)
        np.add.at(g["in"], x[:, t], d)
        g["again"] += h[t].T @ d
        g["shift"] += d.sum(0)
        back = d @ P["again"].T
    for name in P:
        P[name] -= 0.1 * g[name]
"""

# A pure Python program: the target of the last letter is a line break. Each matrix is changed number by number.
PLAIN = """
import math, random

names = open("towns.txt").read().lower().splitlines()
letters = "\\n" + "".join(sorted(set("".join(names))))
K, n = len(letters), 12
table = lambda rows, columns: [[random.gauss(0, 0.3) for _ in range(columns)] for _ in range(rows)]
A, B, C, s, e = table(n, K), table(n, n), table(K, n), [0.0] * n, [0.0] * K

def gradients(given, wanted):
    dA, dB, dC = ([[0.0] * len(row) for row in m] for m in (A, B, C))
    ds, de, h, kept, loss = [0.0] * n, [0.0] * K, [0.0] * n, [], 0.0
    for x, y in zip(given, wanted):
        new = [math.tanh(A[i][x] + s[i] + sum(B[i][j] * h[j] for j in range(n))) for i in range(n)]
        o = [e[k] + sum(C[k][i] * new[i] for i in range(n)) for k in range(K)]
        total = sum(math.exp(one) for one in o)
        p = [math.exp(one) / total for one in o]
        loss -= math.log(p[y])
        kept.append((x, y, h, new, p))
        h = new
    back = [0.0] * n
    for x, y, old, new, p in reversed(kept):
        p[y] -= 1
        d = list(back)
        for k in range(K):
            de[k] += p[k]
            for i in range(n):
                dC[k][i] += p[k] * new[i]
                d[i] += p[k] * C[k][i]
        d = [d[i] * (1 - new[i] ** 2) for i in range(n)]
        back = [sum(B[i][j] * d[i] for i in range(n)) for j in range(n)]
        for i in range(n):
            dA[i][x] += d[i]
            ds[i] += d[i]
            for j in range(n):
                dB[i][j] += d[i] * old[j]
    return loss, (dA, dB, dC, ds, de)

def change(m, d):
    for i in range(len(m)):
        if isinstance(m[i], list):
            change(m[i], d[i])
        else:
            m[i] -= 0.05 * d[i]

for epoch in range(20):
    for name in names:
        ids = [letters.index(c) for c in name]
        loss, found = gradients(ids, ids[1:] + [0])
        for m, d in zip((A, B, C, s, e), found):
            change(m, d)
"""
