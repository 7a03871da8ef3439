import numpy as np


def step_forward(params, x_t, h_prev):
    """One time step. x_t: one-hot column (K, 1); h_prev: (H, 1)."""
    z = params["Wxh"] @ x_t + params["Whh"] @ h_prev + params["bh"]
    h_t = np.tanh(z)
    y = params["Why"] @ h_t + params["by"]
    y = y - np.max(y)
    p_t = np.exp(y) / np.sum(np.exp(y))
    return h_t, p_t


def step_backward(params, grads, x_t, h_prev, h_t, p_t, target, dh_next):
    """Add this step's share to grads; return the gradient for h_prev."""
    dy = p_t.copy()
    dy[target, 0] -= 1.0
    grads["Why"] += dy @ h_t.T
    grads["by"] += dy
    dh = params["Why"].T @ dy + dh_next
    dz = dh * (1 - h_t ** 2)
    grads["Wxh"] += dz @ x_t.T
    grads["Whh"] += dz @ h_prev.T
    grads["bh"] += dz
    return params["Whh"].T @ dz


def run(params, xs, ys, h0):
    """Return loss, gradients, final hidden state."""
    K = params["by"].shape[0]
    T = len(xs)
    h_prev = h0
    tape = []
    loss = 0.0
    for t in range(T):
        x_t = np.zeros((K, 1))
        x_t[xs[t], 0] = 1.0
        h_t, p_t = step_forward(params, x_t, h_prev)
        loss += -np.log(p_t[ys[t], 0])
        tape.append((x_t, h_prev, h_t, p_t, ys[t]))
        h_prev = h_t

    grads = {name: np.zeros_like(p) for name, p in params.items()}
    dh_next = np.zeros_like(h0)
    for t in range(T - 1, -1, -1):
        dh_next = step_backward(params, grads, *tape[t], dh_next)
    return loss, grads, h_prev
