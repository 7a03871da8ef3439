import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def gru_step(x, h, Wx, Wh, b):
    """x (N, D), h (N, H); the columns of Wx, Wh and b are z | r | n; the reset gate acts on h."""
    H = h.shape[1]
    xa = x @ Wx + b
    z = sigmoid(xa[:, :H] + h @ Wh[:, :H])
    r = sigmoid(xa[:, H : 2 * H] + h @ Wh[:, H : 2 * H])
    n = np.tanh(xa[:, 2 * H :] + (r * h) @ Wh[:, 2 * H :])
    return z * h + (1 - z) * n, (x, h, z, r, n)


def gru_step_back(dh_new, cache, Wx, Wh):
    x, h, z, r, n = cache
    H = h.shape[1]
    dn = dh_new * (1 - z) * (1 - n ** 2)
    dz = dh_new * (h - n) * z * (1 - z)
    drh = dn @ Wh[:, 2 * H :].T
    dr = drh * h * r * (1 - r)
    dxa = np.concatenate((dz, dr, dn), axis=1)
    dWx = x.T @ dxa
    db = dxa.sum(axis=0)
    dWh = np.concatenate((h.T @ dz, h.T @ dr, (r * h).T @ dn), axis=1)
    dh = dh_new * z + drh * r + dz @ Wh[:, :H].T + dr @ Wh[:, H : 2 * H].T
    return dh, dWx, dWh, db


def loss_and_grads(params, inputs, targets, h0):
    """inputs and targets (N, T) ids; h0 (N, H). The loss is summed over time, averaged over the batch."""
    Wx, Wh, b, Wy, by = (params[k] for k in ("Wx", "Wh", "b", "Wy", "by"))
    N, T = inputs.shape
    K = by.shape[0]
    h, caches, hs, ps = h0, [], [], []
    loss = 0.0
    for t in range(T):
        h, cache = gru_step(np.eye(K)[inputs[:, t]], h, Wx, Wh, b)
        scores = h @ Wy + by
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        loss += -np.log(p[np.arange(N), targets[:, t]]).sum() / N
        caches.append(cache)
        hs.append(h)
        ps.append(p)

    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh = np.zeros_like(h0)
    for t in range(T - 1, -1, -1):
        ds = ps[t]
        ds[np.arange(N), targets[:, t]] -= 1
        ds /= N
        grads["Wy"] += hs[t].T @ ds
        grads["by"] += ds.sum(axis=0)
        dh = dh + ds @ Wy.T
        dh, dWx, dWh, db = gru_step_back(dh, caches[t], Wx, Wh)
        grads["Wx"] += dWx
        grads["Wh"] += dWh
        grads["b"] += db
    return loss, grads, h
