"""An LSTM with W for the input and U for the state of each gate, in a dict; x is one-hot vectors in rows."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def forward(params, X, h0, c0):
    h, c, steps = h0, c0, []
    for x in X:
        i = sigmoid(params["Wi"] @ x + params["Ui"] @ h + params["bi"])
        f = sigmoid(params["Wf"] @ x + params["Uf"] @ h + params["bf"])
        o = sigmoid(params["Wo"] @ x + params["Uo"] @ h + params["bo"])
        g = np.tanh(params["Wg"] @ x + params["Ug"] @ h + params["bg"])
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        y = params["Why"] @ h_new + params["by"]
        p = np.exp(y - y.max())
        steps.append((x, h, c, i, f, o, g, c_new, h_new, p / p.sum()))
        h, c = h_new, c_new
    return steps


def compute_loss(steps, targets):
    return -sum(np.log(step[-1][k]) for step, k in zip(steps, targets))


def backward(params, steps, targets):
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dh_next, dc_next = 0, 0
    for (x, h, c, i, f, o, g, c_new, h_new, p), k in zip(reversed(steps), reversed(targets)):
        dy = p.copy()
        dy[k] -= 1
        grads["Why"] += np.outer(dy, h_new)
        grads["by"] += dy
        dh = params["Why"].T @ dy + dh_next
        dc = dh * o * (1 - np.tanh(c_new) ** 2) + dc_next
        da = {
            "i": dc * g * i * (1 - i),
            "f": dc * c * f * (1 - f),
            "o": dh * np.tanh(c_new) * o * (1 - o),
            "g": dc * i * (1 - g**2),
        }
        dh_next = 0
        for gate, d in da.items():
            grads["W" + gate] += np.outer(d, x)
            grads["U" + gate] += np.outer(d, h)
            grads["b" + gate] += d
            dh_next = dh_next + params["U" + gate].T @ d
        dc_next = dc * f
    return grads
