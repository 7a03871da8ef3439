import numpy as np

# LSTM with the input first: every gate sees [x_t, h_{t-1}] as one row


def sig(a):
    return 1. / (1. + np.exp(-a))


def lstm_forward(model, X_ids, h, c):
    Wf, Wi, Wc, Wo, Wy = model['Wf'], model['Wi'], model['Wc'], model['Wo'], model['Wy']
    bf, bi, bc, bo, by = model['bf'], model['bi'], model['bc'], model['bo'], model['by']
    n_chars = by.shape[1]
    caches = []
    probs = []
    for ix in X_ids:
        x_one_hot = np.zeros((1, n_chars))
        x_one_hot[0, ix] = 1.
        X = np.column_stack((x_one_hot, h))
        hf = sig(X @ Wf + bf)
        hi = sig(X @ Wi + bi)
        ho = sig(X @ Wo + bo)
        hc = np.tanh(X @ Wc + bc)
        c_old = c
        c = hf * c_old + hi * hc
        tanh_c = np.tanh(c)
        h = ho * tanh_c
        y = h @ Wy + by
        e = np.exp(y - y.max())
        prob = e / e.sum()
        caches.append((X, hf, hi, ho, hc, c_old, tanh_c, h))
        probs.append(prob)
    return probs, caches


def lstm_backward(prob, y_true, d_next, model, cache):
    Wf, Wi, Wc, Wo, Wy = model['Wf'], model['Wi'], model['Wc'], model['Wo'], model['Wy']
    X, hf, hi, ho, hc, c_old, tanh_c, h = cache
    dh_next, dc_next = d_next
    D = Wy.shape[1]

    dy = prob.copy()
    dy[0, y_true] -= 1.
    dWy = h.T @ dy
    dby = dy
    dh = dy @ Wy.T + dh_next

    dho = tanh_c * dh
    dho = ho * (1 - ho) * dho
    dc = ho * dh * (1 - tanh_c ** 2)
    dc = dc + dc_next
    dhf = c_old * dc
    dhf = hf * (1 - hf) * dhf
    dhi = hc * dc
    dhi = hi * (1 - hi) * dhi
    dhc = hi * dc
    dhc = (1 - hc ** 2) * dhc

    dWf = X.T @ dhf
    dXf = dhf @ Wf.T
    dWi = X.T @ dhi
    dXi = dhi @ Wi.T
    dWo = X.T @ dho
    dXo = dho @ Wo.T
    dWc = X.T @ dhc
    dXc = dhc @ Wc.T
    dX = dXf + dXi + dXo + dXc
    dh_next = dX[:, D:]
    dc_next = hf * dc

    grad = dict(Wf=dWf, Wi=dWi, Wc=dWc, Wo=dWo, Wy=dWy, bf=dhf, bi=dhi, bc=dhc, bo=dho, by=dby)
    return grad, (dh_next, dc_next)


def train_step(model, X_ids, y_ids, state):
    h, c = state
    probs, caches = lstm_forward(model, X_ids, h, c)
    loss = 0.0
    for prob, y_true in zip(probs, y_ids):
        loss += -np.log(prob[0, y_true])
    loss /= len(X_ids)

    d_next = (np.zeros_like(h), np.zeros_like(c))
    grads = {k: np.zeros_like(v) for k, v in model.items()}
    for prob, y_true, cache in reversed(list(zip(probs, y_ids, caches))):
        grad, d_next = lstm_backward(prob, y_true, d_next, model, cache)
        for k in grads:
            grads[k] += grad[k]
    for k in grads:
        grads[k] /= len(X_ids)
    return loss, grads
