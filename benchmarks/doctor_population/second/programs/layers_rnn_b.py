import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    a = np.matmul(x, Wx) + np.matmul(prev_h, Wh) + b
    next_h = np.tanh(a)
    return next_h, (x, prev_h, Wx, Wh, a)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, a = cache
    da = dnext_h / np.cosh(a) ** 2
    dx = np.matmul(da, Wx.T)
    dprev_h = np.matmul(da, Wh.T)
    dWx = np.matmul(x.T, da)
    dWh = np.matmul(prev_h.T, da)
    db = np.sum(da, axis=0)
    return dx, dprev_h, dWx, dWh, db


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.empty((N, T, h0.shape[1]), dtype=x.dtype)
    caches = {}
    state = h0
    for t in range(T):
        state, caches[t] = rnn_step_forward(x[:, t], state, Wx, Wh, b)
        h[:, t] = state
    return h, caches


def rnn_backward(dh, caches):
    N, T, H = dh.shape
    D = caches[0][0].shape[1]
    dx = np.empty((N, T, D), dtype=dh.dtype)
    dWx, dWh, db = 0, 0, 0
    dstate = 0
    for t in range(T - 1, -1, -1):
        dx[:, t], dstate, dWxt, dWht, dbt = rnn_step_backward(dh[:, t] + dstate, caches[t])
        dWx = dWx + dWxt
        dWh = dWh + dWht
        db = db + dbt
    return dx, dstate, dWx, dWh, db


def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    M = b.shape[0]
    out = x.reshape(N * T, D).dot(w).reshape(N, T, M) + b
    return out, (x, w)


def temporal_affine_backward(dout, cache):
    x, w = cache
    N, T, D = x.shape
    M = dout.shape[2]
    flat = dout.reshape(N * T, M)
    dx = flat.dot(w.T).reshape(N, T, D)
    dw = x.reshape(N * T, D).T.dot(flat)
    db = flat.sum(axis=0)
    return dx, dw, db


def temporal_softmax_loss(x, y):
    """Scores x (N, T, V) and ids y (N, T): the loss summed over time, averaged over the batch."""
    N, T, V = x.shape
    scores = x.reshape(N * T, V)
    labels = y.reshape(N * T)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    probs = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(probs[np.arange(N * T), labels]).sum() / N
    dscores = probs
    dscores[np.arange(N * T), labels] -= 1
    dscores /= N
    return loss, dscores.reshape(N, T, V)


def rnn_loss(params, x, y, h0):
    """x: (N, T, V) one-hot. params: Wx, Wh, b, W_vocab, b_vocab."""
    h, cache = rnn_forward(x, h0, params['Wx'], params['Wh'], params['b'])
    scores, affine_cache = temporal_affine_forward(h, params['W_vocab'], params['b_vocab'])
    loss, dscores = temporal_softmax_loss(scores, y)
    grads = {}
    dh, grads['W_vocab'], grads['b_vocab'] = temporal_affine_backward(dscores, affine_cache)
    _, grads['h0'], grads['Wx'], grads['Wh'], grads['b'] = rnn_backward(dh, cache)
    return loss, grads
