import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_cell_forward(xt, h_prev, P):
    """xt (K,), h_prev (H,). Candidate: tanh(Wn xt + r * (Un h_prev) + bn)."""
    rt = sigmoid(P["Wr"] @ xt + P["Ur"] @ h_prev + P["br"])
    zt = sigmoid(P["Wz"] @ xt + P["Uz"] @ h_prev + P["bz"])
    uh = P["Un"] @ h_prev
    nt = np.tanh(P["Wn"] @ xt + rt * uh + P["bn"])
    ht = (1 - zt) * nt + zt * h_prev
    return ht, (xt, h_prev, rt, zt, uh, nt)


def gru_cell_backward(dht, cache, P):
    xt, h_prev, rt, zt, uh, nt = cache
    g = {}
    dn = dht * (1 - zt) * (1 - nt ** 2)
    dz = dht * (h_prev - nt) * zt * (1 - zt)
    dr = dn * uh * rt * (1 - rt)
    duh = dn * rt
    g["Wr"], g["Ur"], g["br"] = np.outer(dr, xt), np.outer(dr, h_prev), dr
    g["Wz"], g["Uz"], g["bz"] = np.outer(dz, xt), np.outer(dz, h_prev), dz
    g["Wn"], g["Un"], g["bn"] = np.outer(dn, xt), np.outer(duh, h_prev), dn
    dh_prev = dht * zt + P["Ur"].T @ dr + P["Uz"].T @ dz + P["Un"].T @ duh
    return dh_prev, g


def output_forward(h, y, P):
    s = P["Wy"] @ h + P["by"]
    s = s - s.max()
    p = np.exp(s) / np.exp(s).sum()
    return -np.log(p[y]), p


def output_backward(p, y, h, P):
    ds = p.copy()
    ds[y] -= 1
    return P["Wy"].T @ ds, {"Wy": np.outer(ds, h), "by": ds}


def gru_loss(P, x, y, h0):
    K = len(P["by"])
    h, steps, loss = h0, [], 0.0
    for ix, iy in zip(x, y):
        h, cell = gru_cell_forward(np.eye(K)[ix], h, P)
        step_loss, p = output_forward(h, iy, P)
        loss = loss + step_loss
        steps.append((cell, h, p, iy))
    total = {k: np.zeros(np.shape(v)) for k, v in P.items()}
    dh = np.zeros_like(h0)
    for cell, ht, p, iy in steps[::-1]:
        dh_out, g_out = output_backward(p, iy, ht, P)
        dh, g_cell = gru_cell_backward(dh + dh_out, cell, P)
        for k, v in {**g_out, **g_cell}.items():
            total[k] += v
    return loss, total, h
