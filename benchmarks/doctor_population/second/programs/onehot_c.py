from dataclasses import dataclass

import numpy as np


@dataclass
class Params:
    U: np.ndarray  # (m, K)
    W: np.ndarray  # (m, m)
    V: np.ndarray  # (K, m)
    b: np.ndarray  # (m, 1)
    c: np.ndarray  # (K, 1)

    def zeros_like(self):
        return Params(*(np.zeros_like(p) for p in (self.U, self.W, self.V, self.b, self.c)))


def forward(net: Params, X: np.ndarray, Y: np.ndarray, h0: np.ndarray):
    """Mean cross-entropy over the sequence, and what the backward pass needs."""
    tau = X.shape[1]
    h = np.zeros((net.W.shape[0], tau))
    h_before = np.zeros_like(h)
    state = h0
    for t in range(tau):
        h_before[:, t] = state[:, 0]
        state = np.tanh(net.W @ state + net.U @ X[:, t, None] + net.b)
        h[:, t] = state[:, 0]
    scores = net.V @ h + net.c
    scores -= scores.max(axis=0, keepdims=True)
    probs = np.exp(scores)
    probs /= probs.sum(axis=0, keepdims=True)
    loss = -np.log((Y * probs).sum(axis=0)).mean()
    return loss, (h, h_before, probs)


def backward(net: Params, X: np.ndarray, Y: np.ndarray, cache) -> Params:
    h, h_before, probs = cache
    tau = X.shape[1]
    grads = net.zeros_like()
    d_scores = (probs - Y) / tau
    grads.V = d_scores @ h.T
    grads.c = d_scores.sum(axis=1, keepdims=True)
    d_h = net.V.T @ d_scores
    d_from_future = np.zeros((net.W.shape[0], 1))
    for t in reversed(range(tau)):
        d_a = (d_h[:, t, None] + d_from_future) * (1 - h[:, t, None] ** 2)
        grads.W += d_a @ h_before[:, t, None].T
        grads.U += d_a @ X[:, t, None].T
        grads.b += d_a
        d_from_future = net.W.T @ d_a
    return grads


def loss_and_gradients(net: Params, X, Y, h0):
    loss, cache = forward(net, X, Y, h0)
    return loss, backward(net, X, Y, cache)
