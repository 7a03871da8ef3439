"""The course's form: one-hot X and Y (K, T), column h0, an object with b, c, U, W, V."""

import numpy as np


class Grads:
    pass


def loss_and_gradients(X, Y, RNN, h0):
    K, tau = X.shape
    m = RNN.W.shape[0]
    A, H, P = np.zeros((m, tau)), np.zeros((m, tau)), np.zeros((K, tau))
    h = h0
    for t in range(tau):
        a = RNN.W @ h + RNN.U @ X[:, [t]] + RNN.b
        h = np.tanh(a)
        o = RNN.V @ h + RNN.c
        p = np.exp(o) / np.sum(np.exp(o))
        A[:, [t]], H[:, [t]], P[:, [t]] = a, h, p
    loss = -np.sum(np.log(np.sum(Y * P, axis=0)))

    grads = Grads()
    G = -(Y - P).T
    grads.V = G.T @ H.T
    grads.c = np.sum(G, axis=0).reshape(-1, 1)
    dA = np.zeros((tau, m))
    dh = G[-1] @ RNN.V
    dA[-1] = dh * (1 - np.tanh(A[:, -1]) ** 2)
    for t in range(tau - 2, -1, -1):
        dh = G[t] @ RNN.V + dA[t + 1] @ RNN.W
        dA[t] = dh * (1 - np.tanh(A[:, t]) ** 2)
    Hprev = np.column_stack([h0, H[:, :-1]])
    grads.W = dA.T @ Hprev.T
    grads.U = dA.T @ X.T
    grads.b = np.sum(dA, axis=0).reshape(-1, 1)
    return loss, grads
