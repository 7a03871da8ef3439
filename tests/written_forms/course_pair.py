"""A course's forward and backward pass: one-hot columns, a dict RNN, and the backward pass gets P and H."""

import numpy as np


def forward_pass(RNN, X, Y, h0):
    tau = X.shape[1]
    H = np.zeros((h0.shape[0], tau + 1))
    H[:, [0]] = h0
    P = np.zeros_like(Y)
    for t in range(tau):
        H[:, [t + 1]] = np.tanh(RNN["W"] @ H[:, [t]] + RNN["U"] @ X[:, [t]] + RNN["b"])
        o = RNN["V"] @ H[:, [t + 1]] + RNN["c"]
        P[:, [t]] = np.exp(o) / np.sum(np.exp(o))
    loss = -np.sum(np.log(np.sum(Y * P, axis=0)))
    return loss, P, H


def backward_pass(RNN, X, Y, P, H):
    tau = X.shape[1]
    G = P - Y
    grads = {}
    grads["V"] = G @ H[:, 1:].T
    grads["c"] = G.sum(axis=1, keepdims=True)
    dh = np.zeros((H.shape[0], 1))
    A = np.zeros((H.shape[0], tau))
    for t in reversed(range(tau)):
        dh = RNN["V"].T @ G[:, [t]] + dh
        A[:, [t]] = dh * (1 - H[:, [t + 1]] ** 2)
        dh = RNN["W"].T @ A[:, [t]]
    grads["W"] = A @ H[:, :-1].T
    grads["U"] = A @ X.T
    grads["b"] = A.sum(axis=1, keepdims=True)
    return grads
