"""The classic network in single numbers: loops and nothing else."""

import math


def loss_and_gradients(params, x, y, h0):
    U, W, b, V, c = (params[name].tolist() for name in ("U", "W", "b", "V", "c"))
    T, H, K = len(x), len(b), len(c)
    x, y = [int(k) for k in x], [int(k) for k in y]
    h, p, loss = [h0.tolist()], [], 0.0
    for t in range(T):
        a = [b[i] + U[i][x[t]] + sum(W[i][j] * h[t][j] for j in range(H)) for i in range(H)]
        h.append([math.tanh(value) for value in a])
        o = [c[k] + sum(V[k][i] * h[t + 1][i] for i in range(H)) for k in range(K)]
        top = max(o)
        total = sum(math.exp(value - top) for value in o)
        p.append([math.exp(value - top) / total for value in o])
        loss -= o[y[t]] - top - math.log(total)
    dU, dW = [[0.0] * K for _ in range(H)], [[0.0] * H for _ in range(H)]
    dV, db, dc = [[0.0] * H for _ in range(K)], [0.0] * H, [0.0] * K
    carried = [0.0] * H
    for t in range(T - 1, -1, -1):
        do = [p[t][k] - (k == y[t]) for k in range(K)]
        dh = [carried[i] + sum(V[k][i] * do[k] for k in range(K)) for i in range(H)]
        da = [dh[i] * (1 - h[t + 1][i] ** 2) for i in range(H)]
        for k in range(K):
            dc[k] += do[k]
            for i in range(H):
                dV[k][i] += do[k] * h[t + 1][i]
        for i in range(H):
            db[i] += da[i]
            dU[i][x[t]] += da[i]
            for j in range(H):
                dW[i][j] += da[i] * h[t][j]
        carried = [sum(W[i][j] * da[i] for i in range(H)) for j in range(H)]
    return loss, {"dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc}
