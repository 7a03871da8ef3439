"""A network of plain Python lists, without NumPy."""

import math


def zeros(rows, columns):
    return [[0.0] * columns for _ in range(rows)]


def gradients(inputs, targets, h0, U, W, b, V, c):
    H, K = len(b), len(c)
    hs, ps, loss = [h0 + []], [], 0.0
    for k, target in zip(inputs, targets):
        h = [
            math.tanh(U[i][k] + sum(W[i][j] * hs[-1][j] for j in range(H)) + b[i]) for i in range(H)
        ]
        hs = hs + [h]
        o = [sum(V[r][i] * h[i] for i in range(H)) + c[r] for r in range(K)]
        top = max(o)
        e = [math.exp(v - top) for v in o]
        ps = ps + [[v / sum(e) for v in e]]
        loss -= math.log(ps[-1][target])
    dU, dW, dV = zeros(H, K), zeros(H, H), zeros(K, H)
    db, dc, carry = [0.0] * H, [0.0] * K, [0.0] * H
    for t in reversed(range(len(inputs))):
        do = [p - (r == targets[t]) for r, p in enumerate(ps[t])]
        da = []
        for i in range(H):
            dh = sum(V[r][i] * do[r] for r in range(K)) + carry[i]
            da = da + [dh * (1 - hs[t + 1][i] ** 2)]
        for r in range(K):
            dc[r] += do[r]
            for i in range(H):
                dV[r][i] += do[r] * hs[t + 1][i]
        for i in range(H):
            dU[i][inputs[t]] += da[i]
            db[i] += da[i]
            for j in range(H):
                dW[i][j] += da[i] * hs[t][j]
        carry = [sum(W[i][j] * da[i] for i in range(H)) for j in range(H)]
    return loss, dU, dW, db, dV, dc
