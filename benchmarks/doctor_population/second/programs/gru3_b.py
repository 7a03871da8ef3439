# GRU with separate matrices for the input (W) and the state (U)
import numpy as np

sigmoid = lambda a: 1.0 / (1.0 + np.exp(-a))
dsigmoid = lambda s: s * (1.0 - s)      # in terms of the output
dtanh = lambda u: 1.0 - u ** 2          # in terms of the output


def step_forward(P, x, h_prev):
    z = sigmoid(P['Wz'][:, x] + P['Uz'] @ h_prev + P['bz'])
    r = sigmoid(P['Wr'][:, x] + P['Ur'] @ h_prev + P['br'])
    n = np.tanh(P['Wn'][:, x] + P['Un'] @ (r * h_prev) + P['bn'])
    h = (1 - z) * n + z * h_prev
    return h, (x, h_prev, z, r, n)


def step_backward(P, G, dh, cache):
    x, h_prev, z, r, n = cache

    dz = dh * (h_prev - n)
    dn = dh * (1 - z)
    dh_prev = dh * z

    dn_in = dn * dtanh(n)
    G['Wn'][:, x] += dn_in
    G['Un'] += np.outer(dn_in, r * h_prev)
    G['bn'] += dn_in
    dgated = P['Un'].T @ dn_in
    dr = dgated * h_prev
    dh_prev += dgated * r

    dr_in = dr * dsigmoid(r)
    G['Wr'][:, x] += dr_in
    G['Ur'] += np.outer(dr_in, h_prev)
    G['br'] += dr_in
    dh_prev += P['Ur'].T @ dr_in

    dz_in = dz * dsigmoid(z)
    G['Wz'][:, x] += dz_in
    G['Uz'] += np.outer(dz_in, h_prev)
    G['bz'] += dz_in
    dh_prev += P['Uz'].T @ dz_in

    return dh_prev


def gru_loss(P, xs, ys, h0):
    h = h0
    loss = 0.0
    states, caches, probs = [], [], []
    for x, y in zip(xs, ys):
        h, cache = step_forward(P, x, h)
        o = P['V'] @ h + P['c']
        q = np.exp(o - o.max())
        q /= q.sum()
        loss += -np.log(q[y])
        states.append(h)
        caches.append(cache)
        probs.append(q)

    G = {name: np.zeros_like(value) for name, value in P.items()}
    dh_next = np.zeros_like(h0)
    for t in reversed(range(len(xs))):
        do = probs[t].copy()
        do[ys[t]] -= 1
        G['V'] += np.outer(do, states[t])
        G['c'] += do
        dh = P['V'].T @ do + dh_next
        dh_next = step_backward(P, G, dh, caches[t])
    return loss, G
