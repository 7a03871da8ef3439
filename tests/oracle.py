"""The classic network a third time, in scalar loops, straight from the equations.

It imports nothing of charloom and nothing that multiplies matrices, so that neither engine can
lend it a mistake. Numbers are Python floats, arrays nested lists. Names as in the equations:
U[i][k], W[i][j], b[i], V[k][i], c[k]; x[t][s] and y[t][s] are ids of step t in stream s.

    a_t = W h_{t-1} + U x_t + b     h_t = tanh(a_t)     o_t = V h_t + c     p_t = softmax(o_t)
    loss = 1/B · sum over streams and steps of -ln p_t[y_t]
"""

import math

NAMES = ("U", "W", "b", "V", "c")


def zeros_like(values):
    """Nested lists of the same shape, all zero."""
    if isinstance(values, list):
        return [zeros_like(value) for value in values]
    return 0.0


def forward(p, x, h_0):
    """The hidden vectors h_1 … h_T and the probabilities p_1 … p_T of one stream's ids."""
    H, K = len(p["b"]), len(p["c"])
    hs, ps = [], []
    h_prev = h_0
    for x_t in x:
        h = []
        for i in range(H):
            a = p["U"][i][x_t] + p["b"][i]
            for j in range(H):
                a += p["W"][i][j] * h_prev[j]
            h.append(math.tanh(a))
        o = []
        for k in range(K):
            o_k = p["c"][k]
            for i in range(H):
                o_k += p["V"][k][i] * h[i]
            o.append(o_k)
        largest = max(o)
        weights = [math.exp(o_k - largest) for o_k in o]
        total = math.fsum(weights)
        hs.append(h)
        ps.append([weight / total for weight in weights])
        h_prev = h
    return hs, ps


def loss_and_gradients(p, x, y, h_0):
    """Loss of a window of B streams, the gradient of each parameter, and the last h per stream."""
    T, B = len(x), len(x[0])
    H, K = len(p["b"]), len(p["c"])
    loss = 0.0
    d = {name: zeros_like(p[name]) for name in NAMES}
    h_last = []
    for s in range(B):
        x_s = [x[t][s] for t in range(T)]
        y_s = [y[t][s] for t in range(T)]
        hs, ps = forward(p, x_s, h_0[s])
        h_last.append(hs[-1])
        for t in range(T):
            loss -= math.log(ps[t][y_s[t]]) / B

        dh_next = [0.0] * H
        for t in range(T - 1, -1, -1):
            h_prev = hs[t - 1] if t > 0 else h_0[s]
            do = [(ps[t][k] - (1.0 if k == y_s[t] else 0.0)) / B for k in range(K)]
            da = []
            for i in range(H):
                dh = dh_next[i]
                for k in range(K):
                    dh += do[k] * p["V"][k][i]
                da.append(dh * (1.0 - hs[t][i] ** 2))
            for k in range(K):
                d["c"][k] += do[k]
                for i in range(H):
                    d["V"][k][i] += do[k] * hs[t][i]
            for i in range(H):
                d["b"][i] += da[i]
                d["U"][i][x_s[t]] += da[i]
                for j in range(H):
                    d["W"][i][j] += da[i] * h_prev[j]
            dh_next = [0.0] * H
            for j in range(H):
                for i in range(H):
                    dh_next[j] += da[i] * p["W"][i][j]
    return loss, d, h_last


def adagrad(p, m, g, learning_rate, epsilon, clip):
    """One clipped AdaGrad step on a parameter of any shape: the new parameter and accumulator."""
    if isinstance(p, list):
        pairs = [
            adagrad(p_i, m_i, g_i, learning_rate, epsilon, clip)
            for p_i, m_i, g_i in zip(p, m, g, strict=True)
        ]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    g = max(-clip, min(clip, g))
    m = m + g * g
    return p - learning_rate * g / math.sqrt(m + epsilon), m


def train(p, ids, updates, *, T, learning_rate, epsilon=1e-8, clip=5.0, smoothing=0.999):
    """The whole classic training of one stream from zero state and zero accumulators.

    Returns the parameters, the accumulators, the last h, the losses and the smooth losses.
    """
    m = {name: zeros_like(p[name]) for name in NAMES}
    h = [0.0] * len(p["b"])
    e = 0
    losses, smooth_losses = [], []
    for _ in range(updates):
        x = [[token] for token in ids[e : e + T]]
        y = [[token] for token in ids[e + 1 : e + T + 1]]
        loss, d, h_last = loss_and_gradients(p, x, y, [h])
        stepped = {n: adagrad(p[n], m[n], d[n], learning_rate, epsilon, clip) for n in NAMES}
        p = {name: pair[0] for name, pair in stepped.items()}
        m = {name: pair[1] for name, pair in stepped.items()}
        smooth = smoothing * smooth_losses[-1] + (1 - smoothing) * loss if losses else loss
        losses.append(loss)
        smooth_losses.append(smooth)
        h = h_last[0]
        e += T
        if e > len(ids) - T - 1:
            e, h = 0, [0.0] * len(h)
    return p, m, h, losses, smooth_losses
