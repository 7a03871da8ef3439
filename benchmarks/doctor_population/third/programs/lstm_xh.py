import numpy as np

sigma = lambda a: 1.0 / (1.0 + np.exp(-a))


def loss_and_grad(weights, inputs, targets, h_init, c_init):
    """Row vectors: [x, h] @ W with W of shape (vocab + hidden, hidden)."""
    Wf, bf = weights["Wf"], weights["bf"]
    Wi, bi = weights["Wi"], weights["bi"]
    Wg, bg = weights["Wg"], weights["bg"]
    Wo, bo = weights["Wo"], weights["bo"]
    Wy, by = weights["Wy"], weights["by"]
    vocab = by.shape[0]
    n = len(inputs)
    hs, cs = [h_init], [c_init]
    xh, F, I, G, O, P = [], [], [], [], [], []
    total = 0.0
    for t in range(n):
        x = np.zeros(vocab)
        x[inputs[t]] = 1
        u = np.concatenate([x, hs[t]])
        f = sigma(u @ Wf + bf)
        i = sigma(u @ Wi + bi)
        g = np.tanh(u @ Wg + bg)
        o = sigma(u @ Wo + bo)
        c = f * cs[t] + i * g
        h = o * np.tanh(c)
        y = h @ Wy + by
        p = np.exp(y - y.max())
        p = p / p.sum()
        total += -np.log(p[targets[t]])
        xh.append(u), F.append(f), I.append(i), G.append(g), O.append(o), P.append(p)
        hs.append(h), cs.append(c)

    dWf, dWi, dWg, dWo, dWy = [np.zeros_like(w) for w in (Wf, Wi, Wg, Wo, Wy)]
    dbf, dbi, dbg, dbo, dby = [np.zeros_like(b) for b in (bf, bi, bg, bo, by)]
    dh_next, dc_next = np.zeros_like(h_init), np.zeros_like(c_init)
    for t in range(n - 1, -1, -1):
        dy = P[t].copy()
        dy[targets[t]] -= 1
        dWy += np.outer(hs[t + 1], dy)
        dby += dy
        dh = Wy @ dy + dh_next
        tc = np.tanh(cs[t + 1])
        dc = dc_next + dh * O[t] * (1 - tc ** 2)
        da_o = dh * tc * O[t] * (1 - O[t])
        da_f = dc * cs[t] * F[t] * (1 - F[t])
        da_i = dc * G[t] * I[t] * (1 - I[t])
        da_g = dc * I[t] * (1 - G[t] ** 2)
        dWf += np.outer(xh[t], da_f)
        dWi += np.outer(xh[t], da_i)
        dWg += np.outer(xh[t], da_g)
        dWo += np.outer(xh[t], da_o)
        dbf += da_f
        dbi += da_i
        dbg += da_g
        dbo += da_o
        du = Wf @ da_f + Wi @ da_i + Wg @ da_g + Wo @ da_o
        dh_next = du[vocab:]
        dc_next = dc * F[t]
    grads = dict(Wf=dWf, bf=dbf, Wi=dWi, bi=dbi, Wg=dWg, bg=dbg, Wo=dWo, bo=dbo, Wy=dWy, by=dby)
    return total, grads
