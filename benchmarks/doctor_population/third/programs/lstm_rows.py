import numpy as np


def sig(a):
    return 1.0 / (1.0 + np.exp(-a))


def loss_grad(theta, x, y, h0, s0):
    """LSTM with gates i, f, g, o stacked in rows: U (4H, K), W (4H, H), b (4H,); V (K, H), c (K,)."""
    U, W, b, V, c = (theta[k] for k in ("U", "W", "b", "V", "c"))
    T, H = len(x), W.shape[1]
    h, s = np.zeros((T + 1, H)), np.zeros((T + 1, H))
    h[-1], s[-1] = h0, s0
    gates = np.zeros((T, 4 * H))
    p = np.zeros((T, c.size))
    loss = 0.0
    for t in range(T):
        a = U[:, x[t]] + W @ h[t - 1] + b
        i, f, g, o = sig(a[:H]), sig(a[H : 2 * H]), np.tanh(a[2 * H : 3 * H]), sig(a[3 * H :])
        gates[t] = np.concatenate((i, f, g, o))
        s[t] = f * s[t - 1] + i * g
        h[t] = o * np.tanh(s[t])
        e = V @ h[t] + c
        e = np.exp(e - e.max())
        p[t] = e / e.sum()
        loss -= np.log(p[t, y[t]])

    dU, dW, db, dV, dc = (np.zeros_like(q) for q in (U, W, b, V, c))
    dh_next, ds_next = np.zeros(H), np.zeros(H)
    for t in reversed(range(T)):
        i, f, g, o = np.split(gates[t], 4)
        e = p[t].copy()
        e[y[t]] -= 1
        dV += np.outer(e, h[t])
        dc += e
        dh = V.T @ e + dh_next
        th = np.tanh(s[t])
        ds = ds_next + dh * o * (1 - th ** 2)
        da = np.empty(4 * H)
        da[:H] = ds * g * i * (1 - i)
        da[H : 2 * H] = ds * s[t - 1] * f * (1 - f)
        da[2 * H : 3 * H] = ds * i * (1 - g ** 2)
        da[3 * H :] = dh * th * o * (1 - o)
        dU[:, x[t]] += da
        dW += np.outer(da, h[t - 1])
        db += da
        dh_next = W.T @ da
        ds_next = ds * f
    return loss, {"U": dU, "W": dW, "b": db, "V": dV, "c": dc}
