import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def cell(x, h, c, L):
    H = h.size
    a = L["Wx"] @ x + L["Wh"] @ h + L["b"]
    i, f, g, o = sigmoid(a[:H]), sigmoid(a[H:2 * H]), np.tanh(a[2 * H:3 * H]), sigmoid(a[3 * H:])
    c_new = f * c + i * g
    return o * np.tanh(c_new), c_new, (x, h, c, i, f, g, o, c_new)


def cell_backward(dh, dc, cache, L, G):
    x, h, c, i, f, g, o, c_new = cache
    tc = np.tanh(c_new)
    dc = dc + dh * o * (1 - tc ** 2)
    da = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g ** 2), dh * tc * o * (1 - o)])
    G["Wx"] += np.outer(da, x)
    G["Wh"] += np.outer(da, h)
    G["b"] += da
    return L["Wx"].T @ da, L["Wh"].T @ da, dc * f


def deep_lstm(layers, Wy, by, inputs, targets, hs, cs):
    """layers: list of dicts Wx (4H, in), Wh (4H, H), b (4H,), gates i, f, g, o; hs, cs: a state per layer."""
    depth, K = len(layers), by.size
    h, c = [v.copy() for v in hs], [v.copy() for v in cs]
    tape, loss = [], 0.0
    for ix, iy in zip(inputs, targets):
        signal = np.eye(K)[ix]
        caches = []
        for l in range(depth):
            h[l], c[l], cache = cell(signal, h[l], c[l], layers[l])
            signal = h[l]
            caches.append(cache)
        o = Wy @ signal + by
        p = np.exp(o - o.max())
        p /= p.sum()
        loss += -np.log(p[iy])
        tape.append((caches, signal, p, iy))

    G = [{k: np.zeros_like(v) for k, v in L.items()} for L in layers]
    dWy, dby = np.zeros_like(Wy), np.zeros_like(by)
    dh = [np.zeros_like(v) for v in hs]
    dc = [np.zeros_like(v) for v in cs]
    for caches, top, p, iy in reversed(tape):
        do = p.copy()
        do[iy] -= 1
        dWy += np.outer(do, top)
        dby += do
        dsignal = Wy.T @ do
        for l in reversed(range(depth)):
            dsignal, dh[l], dc[l] = cell_backward(dh[l] + dsignal, dc[l], caches[l], layers[l], G[l])
    return loss, G, dWy, dby
