"""Vanilla RNN language model: loss and gradients for one sequence."""
import numpy as np


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def rnn_loss(params, x, y, h0):
    U, W, b, V, c = (params[k] for k in ("U", "W", "b", "V", "c"))
    T = len(x)

    # forward
    h = {-1: h0}
    p = {}
    loss = 0.0
    for t in range(T):
        a = U[:, x[t]] + W @ h[t - 1] + b
        h[t] = np.tanh(a)
        o = V @ h[t] + c
        p[t] = softmax(o)
        loss -= np.log(p[t][y[t]])

    # backward
    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh_next = np.zeros_like(h0)
    for t in reversed(range(T)):
        do = p[t].copy()
        do[y[t]] -= 1
        grads["V"] += np.outer(do, h[t])
        grads["c"] += do
        dh = V.T @ do + dh_next
        da = dh * (1 - h[t] ** 2)
        grads["U"][:, x[t]] += da
        grads["W"] += np.outer(da, h[t - 1])
        grads["b"] += da
        dh_next = W.T @ da
    return loss, grads
