import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, h_prev, c_prev, Wx, Wh, b):
    """x: id of the character. Wx (4H, K), Wh (4H, H), b (4H,), gates f, i, o, g."""
    H = h_prev.size
    z = Wx[:, x] + Wh.dot(h_prev) + b
    f = sigmoid(z[0:H])
    i = sigmoid(z[H:2*H])
    o = sigmoid(z[2*H:3*H])
    g = np.tanh(z[3*H:4*H])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, c, (x, h_prev, c_prev, f, i, o, g, c)


def lstm_step_back(dh, dc, cache, Wx, Wh):
    x, h_prev, c_prev, f, i, o, g, c = cache
    H = h_prev.size
    tc = np.tanh(c)
    dc = dc + dh * o * (1 - tc ** 2)
    dz = np.zeros(4 * H)
    dz[0:H] = dc * c_prev * f * (1 - f)
    dz[H:2*H] = dc * g * i * (1 - i)
    dz[2*H:3*H] = dh * tc * o * (1 - o)
    dz[3*H:4*H] = dc * i * (1 - g ** 2)
    dWx = np.zeros_like(Wx)
    dWx[:, x] = dz
    dWh = np.outer(dz, h_prev)
    dh_prev = Wh.T.dot(dz)
    dc_prev = dc * f
    return dh_prev, dc_prev, dWx, dWh, dz


def loss_and_grads(inputs, targets, hprev, cprev, Wx, Wh, b, Why, by):
    h, c = hprev, cprev
    steps = []
    hs = []
    ps = []
    loss = 0.
    for t in range(len(inputs)):
        h, c, cache = lstm_step(inputs[t], h, c, Wx, Wh, b)
        y = Why.dot(h) + by
        y = y - np.max(y)
        p = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(p[targets[t]])
        steps.append(cache)
        hs.append(h)
        ps.append(p)

    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dWhy, dby = np.zeros_like(Why), np.zeros_like(by)
    dh_next, dc_next = np.zeros_like(hprev), np.zeros_like(cprev)
    for t in reversed(range(len(inputs))):
        dy = ps[t]
        dy[targets[t]] -= 1
        dWhy += np.outer(dy, hs[t])
        dby += dy
        dh = Why.T.dot(dy) + dh_next
        dh_next, dc_next, dWx_t, dWh_t, db_t = lstm_step_back(dh, dc_next, steps[t], Wx, Wh)
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return loss, dWx, dWh, db, dWhy, dby
