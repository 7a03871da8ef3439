import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


class Parameters:
    """The weights of the four gates act on [h, x]; columns are examples of the batch."""

    names = ("Wf", "bf", "Wi", "bi", "Wc", "bc", "Wo", "bo", "Why", "by")

    def __init__(self, n_h, n_x, rng):
        for w, bias in (("Wf", "bf"), ("Wi", "bi"), ("Wc", "bc"), ("Wo", "bo")):
            setattr(self, w, rng.standard_normal((n_h, n_h + n_x)) / np.sqrt(n_h + n_x))
            setattr(self, bias, np.zeros((n_h, 1)))
        self.Why = rng.standard_normal((n_x, n_h)) / np.sqrt(n_h)
        self.by = np.zeros((n_x, 1))


def cell_forward(P, xt, h_prev, c_prev):
    concat = np.concatenate((h_prev, xt), axis=0)
    ft = sigmoid(P.Wf @ concat + P.bf)
    it = sigmoid(P.Wi @ concat + P.bi)
    cct = np.tanh(P.Wc @ concat + P.bc)
    ot = sigmoid(P.Wo @ concat + P.bo)
    ct = ft * c_prev + it * cct
    ht = ot * np.tanh(ct)
    return ht, ct, (concat, ft, it, cct, ot, ct, c_prev)


def cell_backward(P, dht, dct, cache, grads):
    concat, ft, it, cct, ot, ct, c_prev = cache
    n_h = dht.shape[0]
    th = np.tanh(ct)
    dc_total = dct + dht * ot * (1 - th * th)
    dot = dht * th * ot * (1 - ot)
    dcct = dc_total * it * (1 - cct * cct)
    dit = dc_total * cct * it * (1 - it)
    dft = dc_total * c_prev * ft * (1 - ft)

    grads["Wf"] += dft @ concat.T
    grads["Wi"] += dit @ concat.T
    grads["Wc"] += dcct @ concat.T
    grads["Wo"] += dot @ concat.T
    grads["bf"] += dft.sum(axis=1, keepdims=True)
    grads["bi"] += dit.sum(axis=1, keepdims=True)
    grads["bc"] += dcct.sum(axis=1, keepdims=True)
    grads["bo"] += dot.sum(axis=1, keepdims=True)

    dh_prev = P.Wf[:, :n_h].T @ dft
    dh_prev += P.Wi[:, :n_h].T @ dit
    dh_prev += P.Wc[:, :n_h].T @ dcct
    dh_prev += P.Wo[:, :n_h].T @ dot
    dc_prev = dc_total * ft
    return dh_prev, dc_prev


def forward_backward(P, X, Y, h0, c0):
    """X, Y: (T, B) ids. Loss: sum over time, mean over the batch."""
    T, B = X.shape
    n_x = P.by.shape[0]
    eye = np.eye(n_x)
    h, c = h0, c0
    caches, hs, ps = [], [], []
    loss = 0.0
    for t in range(T):
        h, c, cache = cell_forward(P, eye[:, X[t]], h, c)
        logits = P.Why @ h + P.by
        logits = logits - logits.max(axis=0)
        prob = np.exp(logits) / np.exp(logits).sum(axis=0)
        loss += -np.log(prob[Y[t], np.arange(B)]).sum() / B
        caches.append(cache)
        hs.append(h)
        ps.append(prob)

    grads = {name: np.zeros_like(getattr(P, name)) for name in P.names}
    dh = np.zeros_like(h0)
    dc = np.zeros_like(c0)
    for t in range(T - 1, -1, -1):
        dy = (ps[t] - eye[:, Y[t]]) / B
        grads["Why"] += dy @ hs[t].T
        grads["by"] += dy.sum(axis=1, keepdims=True)
        dh, dc = cell_backward(P, P.Why.T @ dy + dh, dc, caches[t], grads)
    return loss, grads
