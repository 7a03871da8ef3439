"""The classic network with all steps at once where that is possible; gradients as a tuple."""

import numpy as np


def loss_and_gradients(params, inputs, targets, hprev):
    Wxh, Whh, Why = params["Wxh"], params["Whh"], params["Why"]
    bh, by = params["bh"], params["by"]
    steps = len(inputs)
    states = np.empty((steps + 1, len(hprev)))
    states[0] = hprev
    read = Wxh.T[inputs] + bh
    for t in range(steps):
        states[t + 1] = np.tanh(read[t] + Whh @ states[t])
    logits = states[1:] @ Why.T + by
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(steps), targets].sum()
    dy = np.exp(log_p)
    dy[np.arange(steps), targets] -= 1
    dstates = dy @ Why
    da = np.empty((steps, len(hprev)))
    after = np.zeros(len(hprev))
    for t in range(steps - 1, -1, -1):
        da[t] = (dstates[t] + after) * (1 - states[t + 1] ** 2)
        after = da[t] @ Whh
    dWxh = np.zeros_like(Wxh)
    np.add.at(dWxh.T, inputs, da)
    dWhh = da.T @ states[:-1]
    dWhy = dy.T @ states[1:]
    dbh = da.sum(axis=0)
    dby = dy.sum(axis=0)
    return loss, (dWxh, dWhh, dWhy, dbh, dby)
