import numpy as np

#############################################
# vanilla RNN layers, time as the 2nd axis
#############################################


def word_embedding_forward(ids, W):
    return W[ids], (ids, W)


def word_embedding_backward(dout, cache):
    ids, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, ids, dout)
    return dW


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    z = x @ Wx
    z = z + prev_h @ Wh
    z = z + b
    next_h = np.tanh(z)
    cache = {"x": x, "prev_h": prev_h, "Wx": Wx, "Wh": Wh, "next_h": next_h}
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    dtanh = (1 - cache["next_h"] * cache["next_h"]) * dnext_h
    grad = {}
    grad["b"] = np.sum(dtanh, axis=0)
    grad["Wh"] = cache["prev_h"].T @ dtanh
    grad["prev_h"] = dtanh @ cache["Wh"].T
    grad["Wx"] = cache["x"].T @ dtanh
    grad["x"] = dtanh @ cache["Wx"].T
    return grad["x"], grad["prev_h"], grad["Wx"], grad["Wh"], grad["b"]


def rnn_forward(x, h0, Wx, Wh, b):
    h_list = []
    cache = []
    h = h0
    for t in range(x.shape[1]):
        h, c = rnn_step_forward(x[:, t, :], h, Wx, Wh, b)
        h_list.append(h)
        cache.append(c)
    return np.stack(h_list, axis=1), cache


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    D = cache[0]["x"].shape[1]
    dx = np.zeros((N, T, D))
    dWx = np.zeros((D, H))
    dWh = np.zeros((H, H))
    db = np.zeros((H,))
    dprev = np.zeros((N, H))
    for t in range(T)[::-1]:
        dxt, dprev, dWxt, dWht, dbt = rnn_step_backward(dh[:, t, :] + dprev, cache[t])
        dx[:, t, :] = dxt
        dWx += dWxt
        dWh += dWht
        db += dbt
    return dx, dprev, dWx, dWh, db
