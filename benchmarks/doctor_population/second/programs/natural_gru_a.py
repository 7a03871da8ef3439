import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def gru_loss(params, x, y, h0):
    """GRU, gates r, z, n stacked in U (3H, K), W (3H, H), b (3H,); d (H,) is inside the reset gate."""
    U, W, b, d, V, c = (params[k] for k in "UWbdVc")
    H = len(h0)
    R, Z, N = slice(0, H), slice(H, 2 * H), slice(2 * H, 3 * H)
    hs, cache = [h0], []
    loss = 0.0
    for t in range(len(x)):
        h_prev = hs[-1]
        from_x = U[:, x[t]] + b
        from_h = W @ h_prev
        r = sigmoid(from_x[R] + from_h[R])
        z = sigmoid(from_x[Z] + from_h[Z])
        q = from_h[N] + d
        n = np.tanh(from_x[N] + r * q)
        h = (1 - z) * n + z * h_prev
        logits = V @ h + c
        logits = logits - np.max(logits)
        p = np.exp(logits) / np.exp(logits).sum()
        loss += -np.log(p[y[t]])
        hs.append(h)
        cache.append((r, z, n, q, p))

    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh = np.zeros(H)
    for t in range(len(x) - 1, -1, -1):
        r, z, n, q, p = cache[t]
        h_prev = hs[t]
        dlogits = p.copy()
        dlogits[y[t]] -= 1
        grads["V"] += np.outer(dlogits, hs[t + 1])
        grads["c"] += dlogits
        dh = dh + V.T @ dlogits

        da_n = dh * (1 - z) * (1 - n ** 2)
        da_z = dh * (h_prev - n) * z * (1 - z)
        da_r = da_n * q * r * (1 - r)
        dq = da_n * r

        for_x = np.concatenate((da_r, da_z, da_n))
        for_h = np.concatenate((da_r, da_z, dq))
        grads["U"][:, x[t]] += for_x
        grads["b"] += for_x
        grads["W"] += np.outer(for_h, h_prev)
        grads["d"] += dq
        dh = dh * z + W.T @ for_h
    return loss, grads
