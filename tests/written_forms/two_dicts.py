"""An LSTM with the weights in one dict and the biases in another, forward and backward."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(W, b, X, h, c):
    cache = []
    for x in X:
        z = np.concatenate([h, x])
        i = sigmoid(W["i"] @ z + b["i"])
        f = sigmoid(W["f"] @ z + b["f"])
        o = sigmoid(W["o"] @ z + b["o"])
        g = np.tanh(W["g"] @ z + b["g"])
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        s = W["y"] @ h_new + b["y"]
        p = np.exp(s - s.max())
        p /= p.sum()
        cache.append((z, i, f, o, g, c, c_new, h_new, p))
        h, c = h_new, c_new
    return cache


def compute_loss(cache, targets):
    return -sum(np.log(step[-1][t]) for step, t in zip(cache, targets))


def backward(W, b, cache, targets):
    dW = {k: np.zeros_like(v) for k, v in W.items()}
    db = {k: np.zeros_like(v) for k, v in b.items()}
    H = cache[0][7].shape[0]
    dh_next = np.zeros(H)
    dc_next = np.zeros(H)
    for (z, i, f, o, g, cp, c, h, p), t in zip(reversed(cache), reversed(targets)):
        ds = p.copy()
        ds[t] -= 1
        dW["y"] += np.outer(ds, h)
        db["y"] += ds
        dh = W["y"].T @ ds + dh_next
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        da = {
            "i": dc * g * i * (1 - i),
            "f": dc * cp * f * (1 - f),
            "o": dh * np.tanh(c) * o * (1 - o),
            "g": dc * i * (1 - g**2),
        }
        dz = 0
        for k in "ifog":
            dW[k] += np.outer(da[k], z)
            db[k] += da[k]
            dz = dz + W[k].T @ da[k]
        dh_next = dz[:H]
        dc_next = dc * f
    return dW, db
