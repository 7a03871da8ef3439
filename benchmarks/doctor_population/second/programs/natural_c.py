# RNN from scratch with plain loops, to see every single sum
import math

import numpy as np


def forward(params, x, h0):
    U, W, b, V, c = params["U"], params["W"], params["b"], params["V"], params["c"]
    H = len(b)
    K = len(c)
    hs = [list(h0)]
    probs = []
    for t in range(len(x)):
        h_old = hs[-1]
        h_new = []
        for i in range(H):
            s = b[i] + U[i][x[t]]
            for j in range(H):
                s += W[i][j] * h_old[j]
            h_new.append(math.tanh(s))
        scores = []
        for k in range(K):
            s = c[k]
            for i in range(H):
                s += V[k][i] * h_new[i]
            scores.append(s)
        biggest = max(scores)
        exps = [math.exp(s - biggest) for s in scores]
        total = sum(exps)
        probs.append([e / total for e in exps])
        hs.append(h_new)
    return hs, probs


def cross_entropy(probs, y):
    loss = 0.0
    for t in range(len(y)):
        loss += -math.log(probs[t][y[t]])
    return loss


def bptt(params, x, y, h0):
    hs, probs = forward(params, x, h0)
    loss = cross_entropy(probs, y)

    W, V = params["W"], params["V"]
    H = len(params["b"])
    K = len(params["c"])
    dU = np.zeros(np.shape(params["U"]))
    dW = np.zeros(np.shape(W))
    db = np.zeros(H)
    dV = np.zeros(np.shape(V))
    dc = np.zeros(K)

    dh_next = [0.0] * H
    for t in reversed(range(len(x))):
        h = hs[t + 1]
        h_prev = hs[t]
        dscore = list(probs[t])
        dscore[y[t]] -= 1.0
        for k in range(K):
            dc[k] += dscore[k]
            for i in range(H):
                dV[k, i] += dscore[k] * h[i]
        delta = [0.0] * H
        for i in range(H):
            grad_h = dh_next[i]
            for k in range(K):
                grad_h += V[k][i] * dscore[k]
            delta[i] = grad_h * (1.0 - h[i] * h[i])
        for i in range(H):
            db[i] += delta[i]
            dU[i, x[t]] += delta[i]
            for j in range(H):
                dW[i, j] += delta[i] * h_prev[j]
        dh_next = [0.0] * H
        for i in range(H):
            for j in range(H):
                dh_next[j] += W[i][j] * delta[i]

    return loss, {"U": dU, "W": dW, "b": db, "V": dV, "c": dc}
