"""A class with a dict self.params, whose method loss takes a minibatch and returns a dict of gradients."""

import numpy as np


class Model:
    def __init__(self, input_dim=10, hidden_dim=20, dtype=np.float64):
        self.params = {}
        self.params["Wx"] = np.random.randn(input_dim, hidden_dim) / np.sqrt(input_dim)
        self.params["Wh"] = np.random.randn(hidden_dim, hidden_dim) / np.sqrt(hidden_dim)
        self.params["b"] = np.zeros(hidden_dim)
        self.params["W_vocab"] = np.random.randn(hidden_dim, input_dim)
        self.params["b_vocab"] = np.zeros(input_dim)

    def loss(self, x, y, h0):
        """x (N, T, D), y (N, T), h0 (N, H)."""
        Wx, Wh, b = self.params["Wx"], self.params["Wh"], self.params["b"]
        V, c = self.params["W_vocab"], self.params["b_vocab"]
        N, T, D = x.shape
        hs, prev = [], h0
        for t in range(T):
            prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
            hs.append(prev)
        h = np.stack(hs, axis=1)
        o = h @ V + c
        p = np.exp(o - o.max(axis=2, keepdims=True))
        p /= p.sum(axis=2, keepdims=True)
        rows = np.arange(N)[:, None], np.arange(T)[None], y
        loss = -np.log(p[rows]).sum() / N
        do = p.copy()
        do[rows] -= 1
        do /= N
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        grads["W_vocab"] = h.reshape(N * T, -1).T @ do.reshape(N * T, -1)
        grads["b_vocab"] = do.sum(axis=(0, 1))
        dnext = np.zeros_like(h0)
        for t in reversed(range(T)):
            da = (do[:, t] @ V.T + dnext) * (1 - h[:, t] ** 2)
            grads["Wx"] += x[:, t].T @ da
            grads["Wh"] += (h[:, t - 1] if t else h0).T @ da
            grads["b"] += da.sum(axis=0)
            dnext = da @ Wh.T
        return loss, grads
