"""A GRU by hand: gates r, z, n, the reset gate after the product, with its own bias d."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def loss_and_gradients(params, x, y, h0):
    U, W, b, d, V, c = (params[name] for name in ("U", "W", "b", "d", "V", "c"))
    Wr, Wz, Wn = np.split(W, 3)
    h, kept, loss = h0, [], 0.0
    for t in range(len(x)):
        h_prev = h
        u_r, u_z, u_n = np.split(U[:, x[t]] + b, 3)
        r = sigmoid(u_r + Wr @ h_prev)
        z = sigmoid(u_z + Wz @ h_prev)
        q = Wn @ h_prev + d
        n = np.tanh(u_n + r * q)
        h = (1 - z) * n + z * h_prev
        logits = V @ h + c
        e = np.exp(logits - logits.max())
        p = e / e.sum()
        loss -= np.log(p[y[t]])
        kept.append((h_prev, r, z, q, n, h, p))
    grads = {name: np.zeros_like(array) for name, array in params.items()}
    dh_next = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        h_prev, r, z, q, n, h, p = kept[t]
        dy = p.copy()
        dy[y[t]] -= 1
        grads["V"] += np.outer(dy, h)
        grads["c"] += dy
        dh = V.T @ dy + dh_next
        da_n = dh * (1 - z) * (1 - n**2)
        da_z = dh * (h_prev - n) * z * (1 - z)
        da_r = da_n * q * r * (1 - r)
        dq = da_n * r
        da = np.concatenate([da_r, da_z, da_n])
        held = np.concatenate([da_r, da_z, dq])
        grads["U"][:, x[t]] += da
        grads["W"] += np.outer(held, h_prev)
        grads["b"] += da
        grads["d"] += dq
        dh_next = dh * z + W.T @ held
    return loss, grads
