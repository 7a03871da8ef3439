import numpy as np


def f(params, x, y):
    """Mean negative log-likelihood per character and its gradient; every call starts from a zero state."""
    W_in, W_hid, b_hid = params["W_in"], params["W_hid"], params["b_hid"]
    W_out, b_out = params["W_out"], params["b_out"]
    T, n = len(x), len(b_hid)
    h = np.zeros((T + 1, n))
    prob = np.zeros((T, len(b_out)))
    for t in range(T):
        h[t + 1] = np.tanh(W_in[:, x[t]] + W_hid @ h[t] + b_hid)
        o = W_out @ h[t + 1] + b_out
        prob[t] = np.exp(o - o.max()) / np.exp(o - o.max()).sum()
    loss = -np.log(prob[np.arange(T), y]).mean()

    delta_out = prob.copy()
    delta_out[np.arange(T), y] -= 1
    delta_out /= T
    grad = {"W_out": delta_out.T @ h[1:], "b_out": delta_out.sum(axis=0)}
    delta = np.zeros((T, n))
    upstream = np.zeros(n)
    for t in range(T - 1, -1, -1):
        delta[t] = (W_out.T @ delta_out[t] + upstream) * (1 - h[t + 1] ** 2)
        upstream = W_hid.T @ delta[t]
    grad["W_hid"] = delta.T @ h[:-1]
    grad["b_hid"] = delta.sum(axis=0)
    X = np.eye(W_in.shape[1])[x]
    grad["W_in"] = delta.T @ X
    return loss, grad
