import numpy as np


class RNN:
    """Holds the parameters (or the gradients) of the network."""

    def __init__(self, m, K, sig=0.01, seed=400):
        rng = np.random.default_rng(seed)
        self.b = np.zeros((m, 1))
        self.c = np.zeros((K, 1))
        self.U = rng.normal(0, sig, (m, K))
        self.W = rng.normal(0, sig, (m, m))
        self.V = rng.normal(0, sig, (K, m))


def softmax(s):
    e = np.exp(s - np.max(s, axis=0))
    return e / np.sum(e, axis=0)


def forward_pass(rnn, X, h0):
    """X is K x T. Returns A (m x T), H (m x (T+1), first column h0) and P (K x T)."""
    K, T = X.shape
    m = rnn.W.shape[0]
    H = np.zeros((m, T + 1))
    A = np.zeros((m, T))
    O = np.zeros((K, T))
    H[:, 0] = h0[:, 0]
    for t in range(T):
        a = rnn.W @ H[:, [t]] + rnn.U @ X[:, [t]] + rnn.b
        A[:, [t]] = a
        H[:, [t + 1]] = np.tanh(a)
        O[:, [t]] = rnn.V @ H[:, [t + 1]] + rnn.c
    P = softmax(O)
    return A, H, P


def compute_loss(P, Y):
    return -np.sum(np.log(np.sum(Y * P, axis=0)))


def backward_pass(rnn, X, Y, A, H, P):
    K, T = X.shape
    m = rnn.W.shape[0]
    grads = RNN(m, K)

    G = -(Y - P)
    grads.V = G @ H[:, 1:].T
    grads.c = np.sum(G, axis=1, keepdims=True)

    dLda = np.zeros((m, T))
    dLdh = rnn.V.T @ G[:, T - 1]
    dLda[:, T - 1] = dLdh * (1 - np.tanh(A[:, T - 1]) ** 2)
    for t in range(T - 2, -1, -1):
        dLdh = rnn.V.T @ G[:, t] + rnn.W.T @ dLda[:, t + 1]
        dLda[:, t] = dLdh * (1 - np.tanh(A[:, t]) ** 2)

    grads.W = dLda @ H[:, :-1].T
    grads.U = dLda @ X.T
    grads.b = np.sum(dLda, axis=1, keepdims=True)
    return grads


def compute_gradients(rnn, X, Y, h0):
    A, H, P = forward_pass(rnn, X, h0)
    return compute_loss(P, Y), backward_pass(rnn, X, Y, A, H, P)
