import numpy as np


def sig(a):
    return 1.0 / (1.0 + np.exp(-a))


def gru_fb(inputs, targets, h0, W_r, b_r, W_z, b_z, W_h, b_h, W_o, b_o):
    """Every matrix acts on [h, x]; the new state is (1 - z) h_prev + z h_tilde, as in the colah post."""
    H, K = h0.shape[0], b_o.shape[0]
    onehot = np.eye(K)
    hs, cache, loss = [h0], [], 0.0
    for ix, iy in zip(inputs, targets):
        hx = np.r_[hs[-1], onehot[ix]]
        r = sig(W_r.dot(hx) + b_r)
        z = sig(W_z.dot(hx) + b_z)
        rhx = np.r_[r * hs[-1], onehot[ix]]
        h_tilde = np.tanh(W_h.dot(rhx) + b_h)
        h = (1 - z) * hs[-1] + z * h_tilde
        o = W_o.dot(h) + b_o
        p = np.exp(o - o.max())
        p = p / p.sum()
        loss += -np.log(p[iy])
        hs.append(h)
        cache.append((hx, r, z, rhx, h_tilde, p))

    dW_r, dW_z, dW_h, dW_o = np.zeros_like(W_r), np.zeros_like(W_z), np.zeros_like(W_h), np.zeros_like(W_o)
    db_r, db_z, db_h, db_o = np.zeros_like(b_r), np.zeros_like(b_z), np.zeros_like(b_h), np.zeros_like(b_o)
    dh = np.zeros_like(h0)
    for t in range(len(inputs))[::-1]:
        hx, r, z, rhx, h_tilde, p = cache[t]
        h_prev = hs[t]
        do = p.copy()
        do[targets[t]] -= 1
        dW_o += np.outer(do, hs[t + 1])
        db_o += do
        dh = dh + W_o.T.dot(do)
        dh_prev = dh * (1 - z)
        da_h = dh * z * (1 - h_tilde ** 2)
        dW_h += np.outer(da_h, rhx)
        db_h += da_h
        drhx = W_h.T.dot(da_h)
        da_r = drhx[:H] * h_prev * r * (1 - r)
        dh_prev = dh_prev + drhx[:H] * r
        da_z = dh * (h_tilde - h_prev) * z * (1 - z)
        dW_r += np.outer(da_r, hx)
        db_r += da_r
        dW_z += np.outer(da_z, hx)
        db_z += da_z
        dh_prev = dh_prev + W_r.T.dot(da_r)[:H] + W_z.T.dot(da_z)[:H]
        dh = dh_prev
    return loss, dW_r, db_r, dW_z, db_z, dW_h, db_h, dW_o, db_o, hs[-1]
