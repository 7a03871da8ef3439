# GRU by hand -- all cells of my notebook in one file
import numpy as np

corpus = "abcabdabcabe"
symbols = sorted(set(corpus))
K = len(symbols)
H = 6
rng = np.random.RandomState(0)
params = {}
for gate in "rzh":
    params["W" + gate] = rng.randn(H, K) * 0.2
    params["U" + gate] = rng.randn(H, H) * 0.2
    params["b" + gate] = np.zeros(H)
params["Wo"], params["bo"] = rng.randn(K, H) * 0.2, np.zeros(K)

logistic = lambda v: 1 / (1 + np.exp(-v))


def onehot(k, size):
    v = np.zeros(size)
    v[k] = 1
    return v


def gru_gradients(params, x_ids, y_ids, h_start):
    K = params["bo"].size
    T = len(x_ids)
    xs = [onehot(k, K) for k in x_ids]
    hs, rs, zs, hts, us, outs = [h_start], [], [], [], [], []
    loss = 0.0
    for t in range(T):
        h = hs[-1]
        r = logistic(params["Wr"] @ xs[t] + params["Ur"] @ h + params["br"])
        z = logistic(params["Wz"] @ xs[t] + params["Uz"] @ h + params["bz"])
        u = params["Uh"] @ h
        ht = np.tanh(params["Wh"] @ xs[t] + r * u + params["bh"])
        hs.append(z * h + (1 - z) * ht)
        e = np.exp(params["Wo"] @ hs[-1] + params["bo"])
        outs.append(e / e.sum())
        loss -= np.log(outs[t][y_ids[t]])
        rs.append(r), zs.append(z), hts.append(ht), us.append(u)

    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh = np.zeros_like(h_start)
    for t in range(T - 1, -1, -1):
        h_prev, r, z, ht, u = hs[t], rs[t], zs[t], hts[t], us[t]
        d_out = outs[t] - onehot(y_ids[t], K)
        grads["Wo"] += np.outer(d_out, hs[t + 1])
        grads["bo"] += d_out
        dh = dh + params["Wo"].T @ d_out
        d_ht = dh * (1 - z) * (1 - ht ** 2)
        d_z = dh * (h_prev - ht) * z * (1 - z)
        d_r = d_ht * u * r * (1 - r)
        grads["Wr"] += np.outer(d_r, xs[t])
        grads["Ur"] += np.outer(d_r, h_prev)
        grads["br"] += d_r
        grads["Wz"] += np.outer(d_z, xs[t])
        grads["Uz"] += np.outer(d_z, h_prev)
        grads["bz"] += d_z
        grads["Wh"] += np.outer(d_ht, xs[t])
        grads["Uh"] += np.outer(d_ht * r, h_prev)
        grads["bh"] += d_ht
        dh = dh * z + params["Ur"].T @ d_r + params["Uz"].T @ d_z + params["Uh"].T @ (d_ht * r)
    return loss, grads


ids = [symbols.index(ch) for ch in corpus]
for step in range(5):
    loss, grads = gru_gradients(params, ids[:-1], ids[1:], np.zeros(H))
    for k in params:
        params[k] -= 0.05 * grads[k]
