"""An LSTM of four matrices whose parameters and gradients are pieces of one flat vector."""

import numpy as np

hidden = 16
vocab = 27
SHAPES = [(hidden, vocab + hidden)] * 4 + [(hidden,)] * 4 + [(vocab, hidden), (vocab,)]


def unpack(theta):
    out, k = [], 0
    for s in SHAPES:
        n = int(np.prod(s))
        out.append(theta[k : k + n].reshape(s))
        k += n
    return out


def pack(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_and_grad(theta, xs, ys, h, c):
    Wi, Wf, Wo, Wg, bi, bf, bo, bg, Why, by = unpack(theta)
    cache = []
    loss = 0.0
    for x, y in zip(xs, ys):
        e = np.zeros(vocab)
        e[x] = 1
        z = np.concatenate([e, h])
        i, f, o, g = (
            sigmoid(Wi @ z + bi),
            sigmoid(Wf @ z + bf),
            sigmoid(Wo @ z + bo),
            np.tanh(Wg @ z + bg),
        )
        cp = c
        c = f * cp + i * g
        h = o * np.tanh(c)
        s = Why @ h + by
        p = np.exp(s - s.max())
        p /= p.sum()
        loss -= np.log(p[y])
        cache.append((z, i, f, o, g, cp, c, h, p, y))
    G = [np.zeros(s) for s in SHAPES]
    dWi, dWf, dWo, dWg, dbi, dbf, dbo, dbg, dWhy, dby = G
    dhn = np.zeros(hidden)
    dcn = np.zeros(hidden)
    for z, i, f, o, g, cp, c, h, p, y in cache[::-1]:
        d = p.copy()
        d[y] -= 1
        dWhy += np.outer(d, h)
        dby += d
        dh = Why.T @ d + dhn
        dc = dcn + dh * o * (1 - np.tanh(c) ** 2)
        ao = dh * np.tanh(c) * o * (1 - o)
        ai = dc * g * i * (1 - i)
        af = dc * cp * f * (1 - f)
        ag = dc * i * (1 - g * g)
        for dW, db, a in ((dWi, dbi, ai), (dWf, dbf, af), (dWo, dbo, ao), (dWg, dbg, ag)):
            dW += np.outer(a, z)
            db += a
        dz = Wi.T @ ai + Wf.T @ af + Wo.T @ ao + Wg.T @ ag
        dhn = dz[vocab:]
        dcn = dc * f
    return loss, pack(G)
