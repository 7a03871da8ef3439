"""An LSTM by hand: gates i, f, g, o one below another, states h and s."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def loss_and_gradients(params, x, y, h0):
    U, W, b, V, c = (params[name] for name in ("U", "W", "b", "V", "c"))
    h, s = h0
    H = len(h)
    kept, loss = [], 0.0
    for t in range(len(x)):
        h_prev, s_prev = h, s
        a = W @ h_prev + U[:, x[t]] + b
        i = sigmoid(a[:H])
        f = sigmoid(a[H : 2 * H])
        g = np.tanh(a[2 * H : 3 * H])
        o = sigmoid(a[3 * H :])
        s = f * s_prev + i * g
        h = o * np.tanh(s)
        logits = V @ h + c
        e = np.exp(logits - logits.max())
        p = e / e.sum()
        loss -= np.log(p[y[t]])
        kept.append((h_prev, s_prev, i, f, g, o, s, h, p))
    grads = {name: np.zeros_like(array) for name, array in params.items()}
    dh_next, ds_next = np.zeros(H), np.zeros(H)
    for t in reversed(range(len(x))):
        h_prev, s_prev, i, f, g, o, s, h, p = kept[t]
        dy = p.copy()
        dy[y[t]] -= 1
        grads["V"] += np.outer(dy, h)
        grads["c"] += dy
        dh = V.T @ dy + dh_next
        do = dh * np.tanh(s)
        ds = ds_next + dh * o * (1 - np.tanh(s) ** 2)
        da_i = ds * g * i * (1 - i)
        da_f = ds * s_prev * f * (1 - f)
        da_g = ds * i * (1 - g**2)
        da_o = do * o * (1 - o)
        da = np.concatenate([da_i, da_f, da_g, da_o])
        grads["U"][:, x[t]] += da
        grads["W"] += np.outer(da, h_prev)
        grads["b"] += da
        dh_next = W.T @ da
        ds_next = ds * f
    return loss, grads
