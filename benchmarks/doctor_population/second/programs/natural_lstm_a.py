import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_loss(params, x, y, state):
    """LSTM with stacked gates i, f, g, o. U (4H, K), W (4H, H), b (4H,), V (K, H), c (K,)."""
    U, W, b, V, c = params["U"], params["W"], params["b"], params["V"], params["c"]
    h0, s0 = state
    H = h0.shape[0]
    T = len(x)

    h, s = {-1: h0}, {-1: s0}
    i, f, g, o, p = {}, {}, {}, {}, {}
    loss = 0.0
    for t in range(T):
        a = U[:, x[t]] + W @ h[t - 1] + b
        i[t] = sigmoid(a[:H])
        f[t] = sigmoid(a[H:2 * H])
        g[t] = np.tanh(a[2 * H:3 * H])
        o[t] = sigmoid(a[3 * H:])
        s[t] = f[t] * s[t - 1] + i[t] * g[t]
        h[t] = o[t] * np.tanh(s[t])
        scores = V @ h[t] + c
        p[t] = np.exp(scores - scores.max())
        p[t] /= p[t].sum()
        loss -= np.log(p[t][y[t]])

    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dh_next = np.zeros(H)
    ds_next = np.zeros(H)
    for t in reversed(range(T)):
        dscores = p[t].copy()
        dscores[y[t]] -= 1
        grads["V"] += np.outer(dscores, h[t])
        grads["c"] += dscores
        dh = V.T @ dscores + dh_next
        ds = ds_next + dh * o[t] * (1 - np.tanh(s[t]) ** 2)
        da_i = ds * g[t] * i[t] * (1 - i[t])
        da_f = ds * s[t - 1] * f[t] * (1 - f[t])
        da_g = ds * i[t] * (1 - g[t] ** 2)
        da_o = dh * np.tanh(s[t]) * o[t] * (1 - o[t])
        da = np.concatenate([da_i, da_f, da_g, da_o])
        grads["U"][:, x[t]] += da
        grads["W"] += np.outer(da, h[t - 1])
        grads["b"] += da
        dh_next = W.T @ da
        ds_next = ds * f[t]
    return loss, grads
