import numpy as np


def rnn_lm(params, X, Y, h0):
    """Batch first. X, Y: (N, T) integer ids, h0: (N, H). The loss is the mean over batch and time."""
    Wxh, Whh, bh = params["Wxh"], params["Whh"], params["bh"]
    Why, by = params["Why"], params["by"]
    N, T = X.shape
    H, K = Whh.shape[0], by.shape[0]
    hs = np.zeros((N, T + 1, H))
    hs[:, 0] = h0
    for t in range(T):
        hs[:, t + 1] = np.tanh(Wxh[X[:, t]] + hs[:, t] @ Whh + bh)
    logits = hs[:, 1:] @ Why + by
    logits -= logits.max(axis=2, keepdims=True)
    probs = np.exp(logits)
    probs /= probs.sum(axis=2, keepdims=True)
    rows, cols = np.arange(N)[:, None], np.arange(T)[None, :]
    loss = -np.log(probs[rows, cols, Y]).sum() / (N * T)

    dlogits = probs.copy()
    dlogits[rows, cols, Y] -= 1
    dlogits /= N * T
    dWhy = hs[:, 1:].reshape(N * T, H).T @ dlogits.reshape(N * T, K)
    dby = dlogits.sum(axis=(0, 1))
    dhs = dlogits @ Why.T
    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(bh)
    dh_next = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dh = dhs[:, t] + dh_next
        da = dh * (1 - hs[:, t + 1] ** 2)
        np.add.at(dWxh, X[:, t], da)
        dWhh += hs[:, t].T @ da
        dbh += da.sum(axis=0)
        dh_next = da @ Whh.T
    grads = {"Wxh": dWxh, "Whh": dWhh, "bh": dbh, "Why": dWhy, "by": dby}
    return loss, grads, hs[:, -1]
