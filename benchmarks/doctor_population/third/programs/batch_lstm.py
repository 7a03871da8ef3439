"""Batched LSTM language model; time is the first axis inside, the batch is the first axis outside."""
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(params, X, Y, h0, c0):
    N, T = X.shape
    H = h0.shape[1]
    E = np.eye(params["b_out"].shape[0])
    h, c = h0, c0
    tape, loss = [], 0.0
    for t in range(T):
        x = E[X[:, t]]
        a = x @ params["W_in"].T + h @ params["W_rec"].T + params["b_rec"]
        i, f, g, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), np.tanh(a[:, 2 * H:3 * H]), sigmoid(a[:, 3 * H:])
        c_prev, h_prev = c, h
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        s = h @ params["W_out"].T + params["b_out"]
        s = s - s.max(axis=1, keepdims=True)
        p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
        loss -= np.log(p[np.arange(N), Y[:, t]]).mean()
        tape.append((x, h_prev, c_prev, i, f, g, o, c, h, p))
    return loss, tape


def backward(params, Y, tape):
    N, T = Y.shape
    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh_next = np.zeros_like(tape[0][1])
    dc_next = np.zeros_like(dh_next)
    for t in reversed(range(T)):
        x, h_prev, c_prev, i, f, g, o, c, h, p = tape[t]
        ds = p.copy()
        ds[np.arange(N), Y[:, t]] -= 1
        ds = ds / N
        grads["W_out"] += ds.T @ h
        grads["b_out"] += ds.sum(axis=0)
        dh = ds @ params["W_out"] + dh_next
        tc = np.tanh(c)
        dc = dh * o * (1 - tc ** 2) + dc_next
        da = np.concatenate(
            [dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g ** 2), dh * tc * o * (1 - o)], axis=1
        )
        grads["W_in"] += da.T @ x
        grads["W_rec"] += da.T @ h_prev
        grads["b_rec"] += da.sum(axis=0)
        dh_next = da @ params["W_rec"]
        dc_next = dc * f
    return grads


def loss_and_grads(params, X, Y, h0, c0):
    loss, tape = forward(params, X, Y, h0, c0)
    return loss, backward(params, Y, tape)
