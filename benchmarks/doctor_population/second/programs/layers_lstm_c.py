import numpy as np


def sigmoid(x):
    pos = x >= 0
    z = np.exp(np.where(pos, -x, x))
    return np.where(pos, 1 / (1 + z), z / (1 + z))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """One step of an LSTM. The columns of Wx, Wh and b are the gates i, f, o, g."""
    N, H = prev_h.shape
    # (1) activations of all gates
    a = x @ Wx + prev_h @ Wh + b
    # (2) the gates
    i = sigmoid(a[:, 0*H:1*H])
    f = sigmoid(a[:, 1*H:2*H])
    o = sigmoid(a[:, 2*H:3*H])
    g = np.tanh(a[:, 3*H:4*H])
    # (3) cell
    kept = f * prev_c
    added = i * g
    next_c = kept + added
    # (4) output
    squashed = np.tanh(next_c)
    next_h = o * squashed
    cache = (x, prev_h, prev_c, Wx, Wh, b, i, f, o, g, next_c, squashed)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    (x, prev_h, prev_c, Wx, Wh, b, i, f, o, g, next_c, squashed) = cache
    # (4)
    do = squashed * dnext_h
    dsquashed = o * dnext_h
    dcell = dnext_c + dsquashed * (1 - squashed ** 2)
    # (3)
    dkept = dcell
    dadded = dcell
    df = prev_c * dkept
    dprev_c = f * dkept
    di = g * dadded
    dg = i * dadded
    # (2)
    dai = i * (1 - i) * di
    daf = f * (1 - f) * df
    dao = o * (1 - o) * do
    dag = (1 - g ** 2) * dg
    da = np.concatenate([dai, daf, dao, dag], axis=1)
    # (1)
    dx = da @ Wx.T
    dWx = x.T @ da
    dprev_h = da @ Wh.T
    dWh = prev_h.T @ da
    db = np.sum(da, axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[-1]
    c = np.zeros((N, H))
    h = h0
    outputs = []
    cache = []
    for t in range(T):
        h, c, step_cache = lstm_step_forward(x[:, t, :], h, c, Wx, Wh, b)
        outputs.append(h)
        cache.append(step_cache)
    return np.array(outputs).transpose(1, 0, 2), cache


def lstm_backward(dh, cache):
    N, T, H = dh.shape
    x, Wx, Wh, b = cache[0][0], cache[0][3], cache[0][4], cache[0][5]
    dx = np.zeros((N, T, x.shape[1]))
    dWx, dWh, db = np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(b.shape)
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    while cache:
        t = len(cache) - 1
        out = lstm_step_backward(dh[:, t, :] + dprev_h, dprev_c, cache.pop())
        dx[:, t, :] = out[0]
        dprev_h = out[1]
        dprev_c = out[2]
        dWx += out[3]
        dWh += out[4]
        db += out[5]
    return dx, dprev_h, dWx, dWh, db
