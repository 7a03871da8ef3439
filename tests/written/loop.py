"""The classic network by hand, step by step: what somebody would write who follows the equations."""

import numpy as np


def loss_and_gradients(params, x, y, h0):
    U, W, b, V, c = (params[name] for name in ("U", "W", "b", "V", "c"))
    T = len(x)
    h = {-1: h0}
    a, p = {}, {}
    loss = 0.0
    for t in range(T):
        a[t] = W @ h[t - 1] + U[:, x[t]] + b
        h[t] = np.tanh(a[t])
        o = V @ h[t] + c
        e = np.exp(o - o.max())
        p[t] = e / e.sum()
        loss += -np.log(p[t][y[t]])
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dV, dc = np.zeros_like(V), np.zeros_like(c)
    dh_next = np.zeros_like(h0)
    for t in reversed(range(T)):
        do = p[t].copy()
        do[y[t]] -= 1
        dV += np.outer(do, h[t])
        dc += do
        dh = V.T @ do + dh_next
        da = dh * (1 - h[t] ** 2)
        dU[:, x[t]] += da
        dW += np.outer(da, h[t - 1])
        db += da
        dh_next = W.T @ da
    return loss, {"U": dU, "W": dW, "b": db, "V": dV, "c": dc}
