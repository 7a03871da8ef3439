"""A function of params, x and y that starts every window from zero."""

import numpy as np


def loss_and_grads(params, x, y):
    U, W, b, V, c = (params[k] for k in ("U", "W", "b", "V", "c"))
    T, H = len(x), len(b)
    h = np.zeros((T + 1, H))
    p = np.zeros((T, len(c)))
    loss = 0
    for t in range(T):
        h[t + 1] = np.tanh(U[:, x[t]] + W @ h[t] + b)
        o = V @ h[t + 1] + c
        p[t] = np.exp(o - o.max())
        p[t] /= p[t].sum()
        loss -= np.log(p[t, y[t]])
    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh_next = np.zeros(H)
    for t in range(T - 1, -1, -1):
        do = p[t].copy()
        do[y[t]] -= 1
        grads["V"] += np.outer(do, h[t + 1])
        grads["c"] += do
        da = (V.T @ do + dh_next) * (1 - h[t + 1] ** 2)
        grads["U"][:, x[t]] += da
        grads["W"] += np.outer(da, h[t])
        grads["b"] += da
        dh_next = W.T @ da
    return loss, grads
