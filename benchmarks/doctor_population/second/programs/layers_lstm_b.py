import numpy as np


def sigmoid(z):
    # stable for large positive and negative values
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = np.dot(x, Wx) + np.dot(prev_h, Wh) + b
    ai, af, ao, ag = np.split(a, 4, axis=1)
    i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, dict(x=x, prev_h=prev_h, prev_c=prev_c, next_c=next_c, Wx=Wx, Wh=Wh,
                                i=i, f=f, o=o, g=g)


def lstm_step_backward(dnext_h, dnext_c, cache):
    i, f, o, g = cache['i'], cache['f'], cache['o'], cache['g']
    H = i.shape[1]
    tanh_c = np.tanh(cache['next_c'])

    dc = dnext_c + dnext_h * o * (1 - tanh_c * tanh_c)
    da = np.empty((i.shape[0], 4 * H), dtype=i.dtype)
    da[:, 0:H] = dc * g * i * (1 - i)
    da[:, H:2*H] = dc * cache['prev_c'] * f * (1 - f)
    da[:, 2*H:3*H] = dnext_h * tanh_c * o * (1 - o)
    da[:, 3*H:4*H] = dc * i * (1 - g * g)

    dx = np.dot(da, cache['Wx'].T)
    dWx = np.dot(cache['x'].T, da)
    dprev_h = np.dot(da, cache['Wh'].T)
    dWh = np.dot(cache['prev_h'].T, da)
    db = np.sum(da, axis=0)
    dprev_c = dc * f
    return dx, dprev_h, dprev_c, dWx, dWh, db


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, _ = x.shape
    hs = np.empty((N, T, h0.shape[1]), dtype=x.dtype)
    h, c = h0, np.zeros_like(h0)
    caches = [None] * T
    for t in range(T):
        h, c, caches[t] = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        hs[:, t] = h
    return hs, caches


def lstm_backward(dh, caches):
    N, T, H = dh.shape
    Wx = caches[0]['Wx']
    grads = {
        'x': np.zeros((N, T, Wx.shape[0])),
        'Wx': np.zeros_like(Wx),
        'Wh': np.zeros_like(caches[0]['Wh']),
        'b': np.zeros(4 * H),
    }
    dh_t = np.zeros((N, H))
    dc_t = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dh_t = dh_t + dh[:, t]
        dx_t, dh_t, dc_t, dWx_t, dWh_t, db_t = lstm_step_backward(dh_t, dc_t, caches[t])
        grads['x'][:, t] = dx_t
        grads['Wx'] += dWx_t
        grads['Wh'] += dWh_t
        grads['b'] += db_t
    return grads['x'], dh_t, grads['Wx'], grads['Wh'], grads['b']


def affine_softmax_loss(h, W, b, y):
    """Mean over all N*T predictions. h (N, T, H), W (H, V), y (N, T) ids."""
    N, T, H = h.shape
    flat = h.reshape(-1, H)
    scores = flat.dot(W) + b
    scores = scores - scores.max(axis=1)[:, None]
    p = np.exp(scores)
    p = p / p.sum(axis=1)[:, None]
    rows = np.arange(N * T)
    loss = -np.mean(np.log(p[rows, y.ravel()]))
    dscores = p
    dscores[rows, y.ravel()] -= 1
    dscores = dscores / (N * T)
    return loss, dscores.dot(W.T).reshape(N, T, H), flat.T.dot(dscores), dscores.sum(axis=0)


def char_lstm_loss(params, x, y, h0):
    """x: (N, T, V) one-hot characters, y: (N, T) the next characters."""
    h, caches = lstm_forward(x, h0, params['Wx'], params['Wh'], params['b'])
    loss, dh, dW_out, db_out = affine_softmax_loss(h, params['W_out'], params['b_out'], y)
    dx, dh0, dWx, dWh, db = lstm_backward(dh, caches)
    return loss, {'Wx': dWx, 'Wh': dWh, 'b': db, 'W_out': dW_out, 'b_out': db_out, 'h0': dh0}
