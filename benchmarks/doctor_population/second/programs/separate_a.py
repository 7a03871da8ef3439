import numpy as np


def loss_fun(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    """
    inputs, targets -- lists of integers
    hprev -- (H, 1)
    returns the loss, the gradients in the order of the arguments, and the last state
    """
    K = Wxh.shape[1]
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = hprev.copy()
    loss = 0.0

    for t, char in enumerate(inputs):
        xs[t] = np.zeros((K, 1))
        xs[t][char] = 1.0
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        ys[t] = Why @ hs[t] + by
        ps[t] = np.exp(ys[t] - ys[t].max())
        ps[t] = ps[t] / ps[t].sum()
        loss += -np.log(ps[t][targets[t], 0])

    dWxh = np.zeros(Wxh.shape)
    dWhh = np.zeros(Whh.shape)
    dWhy = np.zeros(Why.shape)
    dbh = np.zeros(bh.shape)
    dby = np.zeros(by.shape)
    dh_from_right = np.zeros(hprev.shape)

    for t in range(len(inputs) - 1, -1, -1):
        dy = ps[t].copy()
        dy[targets[t]] -= 1.0
        dby += dy
        dWhy += dy @ hs[t].T
        dh = Why.T @ dy
        dh += dh_from_right
        dtanh = dh * (1.0 - hs[t] ** 2)
        dbh += dtanh
        dWxh += dtanh @ xs[t].T
        dWhh += dtanh @ hs[t - 1].T
        dh_from_right = Whh.T @ dtanh

    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]
