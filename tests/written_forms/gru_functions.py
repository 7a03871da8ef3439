"""A GRU of six matrices with biases, as arguments of a function, in charloom's own equations."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru_loss(inputs, targets, hprev, Wxr, Whr, br, Wxz, Whz, bz, Wxn, Whn, bn, bhn, Why, by):
    hs, steps, loss = {-1: hprev}, [], 0
    for t, k in enumerate(inputs):
        h = hs[t - 1]
        r = sigmoid(Wxr[:, [k]] + Whr @ h + br)
        z = sigmoid(Wxz[:, [k]] + Whz @ h + bz)
        q = Whn @ h + bhn
        n = np.tanh(Wxn[:, [k]] + bn + r * q)
        hs[t] = (1 - z) * n + z * h
        o = Why @ hs[t] + by
        p = np.exp(o - o.max())
        p /= p.sum()
        loss -= np.log(p[targets[t], 0])
        steps.append((r, z, q, n, p))
    dWxr, dWhr, dbr = np.zeros_like(Wxr), np.zeros_like(Whr), np.zeros_like(br)
    dWxz, dWhz, dbz = np.zeros_like(Wxz), np.zeros_like(Whz), np.zeros_like(bz)
    dWxn, dWhn, dbn = np.zeros_like(Wxn), np.zeros_like(Whn), np.zeros_like(bn)
    dbhn, dWhy, dby = np.zeros_like(bhn), np.zeros_like(Why), np.zeros_like(by)
    dh_next = np.zeros_like(hprev)
    for t in reversed(range(len(inputs))):
        r, z, q, n, p = steps[t]
        h, k = hs[t - 1], inputs[t]
        do = p.copy()
        do[targets[t]] -= 1
        dWhy += do @ hs[t].T
        dby += do
        dh = Why.T @ do + dh_next
        da_n = dh * (1 - z) * (1 - n**2)
        da_z = dh * (h - n) * z * (1 - z)
        da_r = da_n * q * r * (1 - r)
        dq = da_n * r
        dWxn[:, [k]] += da_n
        dWxz[:, [k]] += da_z
        dWxr[:, [k]] += da_r
        dWhn += dq @ h.T
        dWhz += da_z @ h.T
        dWhr += da_r @ h.T
        dbn += da_n
        dbz += da_z
        dbr += da_r
        dbhn += dq
        dh_next = dh * z + Whn.T @ dq + Whz.T @ da_z + Whr.T @ da_r
    return loss, (dWxr, dWhr, dbr, dWxz, dWhz, dbz, dWxn, dWhn, dbn, dbhn, dWhy, dby)
