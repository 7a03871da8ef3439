"""No numpy: plain lists and loops, to understand every index."""
import math


def rnn_lists(U, W, b, V, c, xs, ys, h0):
    H, K, T = len(b), len(c), len(xs)
    h = [list(h0)]
    p = []
    loss = 0.0
    for t in range(T):
        new = []
        for j in range(H):
            a = b[j] + U[j][xs[t]]
            for k in range(H):
                a += W[j][k] * h[t][k]
            new.append(math.tanh(a))
        h.append(new)
        o = []
        for m in range(K):
            s = c[m]
            for j in range(H):
                s += V[m][j] * new[j]
            o.append(s)
        top = max(o)
        e = [math.exp(v - top) for v in o]
        total = sum(e)
        p.append([v / total for v in e])
        loss += -math.log(p[t][ys[t]])

    dU = [[0.0] * K for _ in range(H)]
    dW = [[0.0] * H for _ in range(H)]
    db = [0.0] * H
    dV = [[0.0] * H for _ in range(K)]
    dc = [0.0] * K
    dh_next = [0.0] * H
    for t in range(T - 1, -1, -1):
        do = list(p[t])
        do[ys[t]] -= 1.0
        dh = list(dh_next)
        for m in range(K):
            dc[m] += do[m]
            for j in range(H):
                dV[m][j] += do[m] * h[t + 1][j]
                dh[j] += V[m][j] * do[m]
        da = [dh[j] * (1.0 - h[t + 1][j] ** 2) for j in range(H)]
        dh_next = [0.0] * H
        for j in range(H):
            db[j] += da[j]
            dU[j][xs[t]] += da[j]
            for k in range(H):
                dW[j][k] += da[j] * h[t][k]
                dh_next[k] += W[j][k] * da[j]
    return loss, dU, dW, db, dV, dc, h[T]
