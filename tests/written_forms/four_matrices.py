"""An LSTM with a matrix for each gate over [h, x], module globals, and columns."""

import numpy as np

hidden_size, vocab_size = 20, 30
z_size = hidden_size + vocab_size
Wf = np.random.randn(hidden_size, z_size) * 0.1
Wi = np.random.randn(hidden_size, z_size) * 0.1
Wc = np.random.randn(hidden_size, z_size) * 0.1
Wo = np.random.randn(hidden_size, z_size) * 0.1
Wy = np.random.randn(vocab_size, hidden_size) * 0.1
bf, bi, bc, bo = (np.zeros((hidden_size, 1)) for _ in range(4))
by = np.zeros((vocab_size, 1))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def forward_backward(inputs, targets, h_prev, c_prev):
    xs, zs, fs, is_, gs, cs, os, hs, ps = {}, {}, {}, {}, {}, {}, {}, {}, {}
    hs[-1], cs[-1] = np.copy(h_prev), np.copy(c_prev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        zs[t] = (
            np.row_stack((hs[t - 1], xs[t]))
            if hasattr(np, "row_stack_")
            else np.vstack((hs[t - 1], xs[t]))
        )
        fs[t] = sigmoid(np.dot(Wf, zs[t]) + bf)
        is_[t] = sigmoid(np.dot(Wi, zs[t]) + bi)
        gs[t] = np.tanh(np.dot(Wc, zs[t]) + bc)
        cs[t] = fs[t] * cs[t - 1] + is_[t] * gs[t]
        os[t] = sigmoid(np.dot(Wo, zs[t]) + bo)
        hs[t] = os[t] * np.tanh(cs[t])
        y = np.dot(Wy, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    dWf, dWi, dWc, dWo, dWy = (np.zeros_like(w) for w in (Wf, Wi, Wc, Wo, Wy))
    dbf, dbi, dbc, dbo, dby = (np.zeros_like(v) for v in (bf, bi, bc, bo, by))
    dh_next, dc_next = np.zeros_like(hs[0]), np.zeros_like(cs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Wy.T, dy) + dh_next
        do = dh * np.tanh(cs[t]) * os[t] * (1 - os[t])
        dc = dh * os[t] * (1 - np.tanh(cs[t]) ** 2) + dc_next
        df = dc * cs[t - 1] * fs[t] * (1 - fs[t])
        di = dc * gs[t] * is_[t] * (1 - is_[t])
        dg = dc * is_[t] * (1 - gs[t] ** 2)
        for dW, db, da in ((dWf, dbf, df), (dWi, dbi, di), (dWc, dbc, dg), (dWo, dbo, do)):
            dW += np.dot(da, zs[t].T)
            db += da
        dz = np.dot(Wf.T, df) + np.dot(Wi.T, di) + np.dot(Wc.T, dg) + np.dot(Wo.T, do)
        dh_next = dz[:hidden_size]
        dc_next = fs[t] * dc
    return (
        loss,
        dWf,
        dWi,
        dWc,
        dWo,
        dWy,
        dbf,
        dbi,
        dbc,
        dbo,
        dby,
        hs[len(inputs) - 1],
        cs[len(inputs) - 1],
    )
