"""An LSTM of eight matrices in nested tuples, whose gradients are nested in the same way."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def init(n_in, n_h):
    r = np.random.randn
    gate = lambda: (r(n_h, n_in) * 0.1, r(n_h, n_h) * 0.1, np.zeros(n_h))
    return gate(), gate(), gate(), gate(), (r(n_in, n_h) * 0.1, np.zeros(n_in))


def lstm_loss(params, x, y, h0, c0):
    forget, inp, outp, cand, out = params
    Wf, Uf, bf = forget
    Wi, Ui, bi = inp
    Wo, Uo, bo = outp
    Wc, Uc, bc = cand
    V, b = out
    T = len(x)
    n = len(h0)
    h, c = [h0], [c0]
    ks, fs, is_, os_, gs, ps = [], [], [], [], [], []
    loss = 0
    for t in range(T):
        e = np.zeros(V.shape[0])
        e[x[t]] = 1.0
        f = sigmoid(Wf.dot(e) + Uf.dot(h[-1]) + bf)
        i = sigmoid(Wi.dot(e) + Ui.dot(h[-1]) + bi)
        o = sigmoid(Wo.dot(e) + Uo.dot(h[-1]) + bo)
        g = np.tanh(Wc.dot(e) + Uc.dot(h[-1]) + bc)
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        z = V.dot(h[-1]) + b
        p = np.exp(z - z.max())
        p = p / p.sum()
        loss += -np.log(p[y[t]])
        fs.append(f)
        is_.append(i)
        os_.append(o)
        gs.append(g)
        ps.append(p)
        ks.append(e)
    dWf, dUf, dbf = np.zeros_like(Wf), np.zeros_like(Uf), np.zeros_like(bf)
    dWi, dUi, dbi = np.zeros_like(Wi), np.zeros_like(Ui), np.zeros_like(bi)
    dWo, dUo, dbo = np.zeros_like(Wo), np.zeros_like(Uo), np.zeros_like(bo)
    dWc, dUc, dbc = np.zeros_like(Wc), np.zeros_like(Uc), np.zeros_like(bc)
    dV, db = np.zeros_like(V), np.zeros_like(b)
    dh = np.zeros(n)
    dc = np.zeros(n)
    for t in range(T - 1, -1, -1):
        dz = ps[t].copy()
        dz[y[t]] -= 1
        dV += np.outer(dz, h[t + 1])
        db += dz
        dh = dh + V.T.dot(dz)
        tc = np.tanh(c[t + 1])
        dc = dc + dh * os_[t] * (1 - tc**2)
        do = dh * tc * os_[t] * (1 - os_[t])
        df = dc * c[t] * fs[t] * (1 - fs[t])
        di = dc * gs[t] * is_[t] * (1 - is_[t])
        dg = dc * is_[t] * (1 - gs[t] ** 2)
        dWf += np.outer(df, ks[t])
        dUf += np.outer(df, h[t])
        dbf += df
        dWi += np.outer(di, ks[t])
        dUi += np.outer(di, h[t])
        dbi += di
        dWo += np.outer(do, ks[t])
        dUo += np.outer(do, h[t])
        dbo += do
        dWc += np.outer(dg, ks[t])
        dUc += np.outer(dg, h[t])
        dbc += dg
        dh = Uf.T.dot(df) + Ui.T.dot(di) + Uo.T.dot(do) + Uc.T.dot(dg)
        dc = dc * fs[t]
    grads = ((dWf, dUf, dbf), (dWi, dUi, dbi), (dWo, dUo, dbo), (dWc, dUc, dbc), (dV, db))
    return loss, grads, h[-1], c[-1]
