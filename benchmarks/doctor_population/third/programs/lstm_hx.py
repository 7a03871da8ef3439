import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_loss(p, xs, ys, h0, c0):
    """One LSTM layer over [h, x] with four weight matrices. xs, ys: ids; h0, c0: vectors."""
    H, K = h0.size, p["by"].size
    T = len(xs)
    h, c = h0, c0
    store = []
    loss = 0
    for t in range(T):
        x = np.eye(K)[xs[t]]
        z = np.hstack([h, x])
        f = sigmoid(p["Wf"] @ z + p["bf"])
        i = sigmoid(p["Wi"] @ z + p["bi"])
        g = np.tanh(p["Wc"] @ z + p["bc"])
        o = sigmoid(p["Wo"] @ z + p["bo"])
        c_prev = c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        v = p["Wy"] @ h + p["by"]
        y_hat = np.exp(v - np.max(v))
        y_hat /= np.sum(y_hat)
        loss -= np.log(y_hat[ys[t]])
        store.append((z, f, i, g, o, c, c_prev, h, y_hat))

    d = {k: np.zeros_like(w) for k, w in p.items()}
    dh_next = np.zeros(H)
    dc_next = np.zeros(H)
    for t in reversed(range(T)):
        z, f, i, g, o, c, c_prev, h, y_hat = store[t]
        dv = y_hat.copy()
        dv[ys[t]] -= 1
        d["Wy"] += np.outer(dv, h)
        d["by"] += dv

        dh = p["Wy"].T @ dv
        dh += dh_next

        do = dh * np.tanh(c)
        do = o * (1 - o) * do
        d["Wo"] += np.outer(do, z)
        d["bo"] += do

        dc = dc_next.copy()
        dc += dh * o * (1 - np.tanh(c) ** 2)

        dg = dc * i
        dg = (1 - g ** 2) * dg
        d["Wc"] += np.outer(dg, z)
        d["bc"] += dg

        di = dc * g
        di = i * (1 - i) * di
        d["Wi"] += np.outer(di, z)
        d["bi"] += di

        df = dc * c_prev
        df = f * (1 - f) * df
        d["Wf"] += np.outer(df, z)
        d["bf"] += df

        dz = p["Wf"].T @ df + p["Wi"].T @ di + p["Wc"].T @ dg + p["Wo"].T @ do
        dh_next = dz[:H]
        dc_next = f * dc
    return loss, d, h, c
